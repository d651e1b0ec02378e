import { PCI_BASE_CLASS_DISPLAY, PCI_CLASS_SERIAL_USB } from "../../uapi/pci_regs.ts";
import type { PciDev } from "../pci/pci.ts";
import type { ReservedRegion } from "./core.ts";

/**
 * Memory that firmware lets the device use for itself, which must be mapped 1:1 for it. Of USB and
 * graphics it is said that they do without once a driver is there (FACTS 3.6).
 */
export function firmwareRegions(dev: PciDev): ReservedRegion[] {
  const { rmrrs } = dev.pci.kernel.machine.firmware;
  const kind = isRelaxable(dev.classCode) ? "direct-relaxable" : "direct";
  return rmrrs.filter((r) => r.sid === dev.sid).map(({ base, size }) => ({
    start: BigInt(base),
    last: BigInt(base + size - 1),
    kind,
  }));
}

function isRelaxable(classCode: number): boolean {
  return classCode >>> 16 === PCI_BASE_CLASS_DISPLAY || classCode >>> 8 === PCI_CLASS_SERIAL_USB;
}

/** True for a region that a domain has to map while nobody else answers for the device. */
export function isDirect({ kind }: ReservedRegion): boolean {
  return kind === "direct" || kind === "direct-relaxable";
}
