import type { Fdt, FdtWriter } from "../../fdt/mod.ts";
import { type KhoProperty, PCI_KHO } from "../../uapi/kho_abi.ts";
import * as R from "../../uapi/pci_regs.ts";
import type { Kernel } from "../kernel.ts";
import {
  KEXEC_KHO_DUMP,
  type KhoCommand,
  NOTIFY_BAD,
  NOTIFY_DONE,
  readNumber,
} from "../kho/abi.ts";
import type { PciCore, PciDev } from "./pci.ts";

const D = PCI_KHO.device;

/**
 * The PCI subscriber of the KHO chain: the devices that VFIO was told to keep and that no IOMMU
 * answers for (seed lines 3190-3196, FACTS 7.4). Those that still wait for their heir are handed on.
 */
export function pciNotify(core: PciCore, command: KhoCommand, fdt: FdtWriter): number {
  const dump = command === KEXEC_KHO_DUMP;
  for (const dev of core.devices) {
    dev.dumped = dump && dev.group === undefined && (dev.keep || dev.incoming);
  }
  const kept = core.devices.filter((dev) => dev.dumped);
  if (kept.length === 0) return NOTIFY_DONE;
  let err = fdt.beginNode(PCI_KHO.node);
  err |= fdt.propString("compatible", PCI_KHO.compatible);
  err |= fdt.beginNode(PCI_KHO.devices);
  kept.forEach((dev, index) => {
    err |= fdt.beginNode(String(index));
    err |= fdt.propU16(D.segment.name, dev.segment);
    err |= fdt.propU8(D.bus.name, dev.bus);
    err |= fdt.propU8(D.devfn.name, dev.devfn);
    err |= fdt.propU16(D.vendor.name, dev.vendor);
    err |= fdt.propU16(D.device.name, dev.device);
    err |= fdt.propU32(D.resetWorks.name, dev.resetWorks ? 1 : 0);
    err |= fdt.endNode();
  });
  err |= fdt.endNode();
  err |= fdt.endNode();
  return err !== 0 ? NOTIFY_BAD : NOTIFY_DONE;
}

/**
 * Marks the devices that the previous kernel left at work, by segment and address. One that is no
 * more, or is another, is not; a tree of another version says nothing.
 */
export function markIncoming(kernel: Kernel, devices: readonly PciDev[]): void {
  const fdt = kernel.kho.incoming;
  const node = fdt?.path(`/${PCI_KHO.node}`) ?? -1;
  if (fdt === undefined || node < 0) return;
  const compatible = new TextDecoder().decode(fdt.getprop(node, "compatible"));
  if (compatible !== PCI_KHO.compatible + "\0") {
    kernel.dmesg.err(`PCI: handed-over data is not ${PCI_KHO.compatible}, ignored`);
    return;
  }
  const list = fdt.subnode(node, PCI_KHO.devices);
  for (const entry of list < 0 ? [] : fdt.subnodes(list)) markOne(kernel, devices, fdt, entry);
}

/**
 * Devices that no IOMMU answers for and that are at work although nobody handed them over: better
 * they stop late than never.
 */
export function stopStrangers(kernel: Kernel, devices: readonly PciDev[]): void {
  if (!kernel.design.persists) return;
  for (const dev of devices) {
    if (dev.group !== undefined || dev.incoming || !dev.busMaster) continue;
    kernel.dmesg.warn(`pci ${dev.name}: found at work, but nobody handed it over: stopped`);
    dev.setCommand(0, R.PCI_COMMAND_MASTER);
  }
}

function markOne(kernel: Kernel, devices: readonly PciDev[], fdt: Fdt, entry: number): void {
  const value = ({ name }: KhoProperty) => readNumber(fdt, entry, name);
  const sid = (value(D.bus) ?? 0) << 8 | (value(D.devfn) ?? 0);
  const dev = devices.find((d) => d.sid === sid && d.segment === value(D.segment));
  if (dev === undefined || dev.vendor !== value(D.vendor) || dev.device !== value(D.device)) {
    kernel.dmesg.err(`PCI: the handed-over device at ${sid.toString(16)} is not there any more`);
    return;
  }
  dev.incoming = true;
  dev.resetWorks = value(D.resetWorks) === 1;
  kernel.dmesg.info(`pci ${dev.name}: at work since the previous kernel, left alone`);
}
