import type { Fdt } from "../../fdt/mod.ts";
import { PCI_COMMAND_MASTER } from "../../uapi/pci_regs.ts";
import type { PagingDomain } from "../iommu/domain.ts";
import type { Kernel } from "../kernel.ts";
import { readNumber } from "../kho/abi.ts";
import type { PciDev } from "../pci/pci.ts";
import { CarriedMemory } from "./carried.ts";
import { sidOf } from "./restore.ts";

/**
 * Gives up what was handed over with a context that nobody picks up (FACTS 10.6): its devices are
 * stopped, blocked where there is an IOMMU to block them, reset, and anybody's from then on; only
 * then its memory and tables are freed, and its files unpinned. 0, or what blocking answers.
 */
export function discardContext(kernel: Kernel, id: number): number {
  const left = new Set<PagingDomain>();
  for (const group of kernel.iommu.groups) {
    const domains = group.heldDomains;
    if (!domains.some((domain) => domain.persistentOwner === id)) continue;
    const rc = group.discard();
    if (rc < 0) return rc;
    giveUp(group.dev, "blocked and reset");
    group.toDefault();
    for (const domain of domains) left.add(domain);
  }
  // Several devices may have been on one.
  for (const domain of left) domain.free();
  const fdt = kernel.kho.incoming as Fdt, root = fdt.path(`/iommufd/iommufds/${id}`);
  for (const node of children(fdt, fdt.subnode(root, "devices"))) {
    const sid = sidOf(fdt, node);
    const dev = kernel.pci.devices.find((d) => d.sid === sid && d.incoming);
    if (dev === undefined) continue;
    dev.incoming = false;
    giveUp(dev, "stopped and reset");
  }
  const memory = kernel.iommufd.carried(id, () => CarriedMemory.claim(kernel, fdt, root));
  if (typeof memory !== "number") memory.release();
  for (const ioas of children(fdt, fdt.subnode(root, "ioases"))) {
    for (const area of children(fdt, ioas)) {
      unpin(kernel, readNumber(fdt, area, "file-handle") ?? 0);
    }
  }
  return 0;
}

/** Whatever it is at ends here. */
function giveUp(dev: PciDev, how: string): void {
  dev.setCommand(0, PCI_COMMAND_MASTER);
  dev.tryReset();
  dev.pci.kernel.dmesg.warn(`iommufd: ${dev.name}: given up, ${how}`);
}

function unpin({ guestmemfs }: Kernel, ino: number): void {
  if (guestmemfs?.allInodes().some((inode) => inode.ino === ino)) guestmemfs.unpin(ino);
}

function children(fdt: Fdt, node: number): number[] {
  return node < 0 ? [] : [...fdt.subnodes(node)];
}
