import { HeritableDomain } from "../kernel/iommu/succession.ts";
import { HwptPaging } from "../kernel/iommufd/hwpt.ts";
import { Ioas } from "../kernel/iommufd/ioas.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Machine } from "../machine/machine.ts";
import { PCI_COMMAND } from "../uapi/pci_regs.ts";
import { readUnits } from "../health/readers.ts";

/**
 * What a kernel and its hardware look like to an operator, as text: objects, pins, tables, who has
 * which device, how much memory is free. Two equal texts mean that nothing was left behind. Guest
 * memory is not in it: guests and devices go on writing. Nor is what devices have been given because
 * they asked for it, and what that took: they go on asking.
 */
export function fingerprint(machine: Machine, kernel: Kernel): string {
  const asked = new Asked(kernel);
  const { freePages } = kernel.pages, { pinned } = kernel.userPages;
  const lines: string[] = [
    `free ${freePages + asked.tables.size}`,
    `pinned ${pinned - asked.pinned}`,
  ];
  lines.push(`kho ${kernel.kho.active} loaded ${kernel.kexec.loaded?.image.name ?? "nothing"}`);
  for (const inode of kernel.guestmemfs?.inodes() ?? []) {
    const pins = asked.files.has(inode.ino) ? "as asked" : String(inode.pins);
    lines.push(`file ${inode.name} blocks ${inode.numMappings} pins ${pins}`);
  }
  if (kernel.guestmemfs?.serialised) lines.push("guestmemfs serialised");
  for (const ctx of kernel.iommufd.contexts) {
    lines.push(`iommufd ${ctx.persistentId} frozen ${ctx.frozen}`);
    for (const object of ctx.objects.all) {
      lines.push(`  object ${object.id} kind ${object.kind} users ${object.users}`);
      if (!(object instanceof Ioas) || asked.ioases.has(object)) continue;
      for (const area of object.iopt.areas.items) {
        lines.push(`    area ${area.start} ${area.last} prot ${area.prot}`);
      }
    }
  }
  for (const dev of kernel.pci.devices) {
    const domain = dev.group?.domain;
    lines.push(
      `device ${dev.name} command ${dev.read(PCI_COMMAND, 2)} driver ${dev.driver} ` +
        `domain ${domain?.type} ${domain?.persistentId} held ${dev.group?.held}`,
    );
  }
  for (const { name, translates, live } of readUnits(machine)) {
    for (const c of live.contexts) lines.push(`context ${c.sid} did ${c.did} root ${c.root}`);
    const tables = live.tables.filter((pfn) => !asked.tables.has(pfn));
    lines.push(`unit ${name} on ${translates} tables ${tables.join(" ")}`);
  }
  return lines.join("\n");
}

/** What comes and goes with the pages that devices ask for. */
class Asked {
  readonly ioases = new Set<Ioas>();
  readonly files = new Set<number>();
  readonly tables = new Set<number>();
  /** Pages that are pinned for it. */
  pinned = 0;

  constructor({ iommufd }: Kernel) {
    const objects = iommufd.contexts.flatMap((ctx) => ctx.objects.all);
    for (const object of objects) {
      if (!(object instanceof HwptPaging) || object.fault === undefined) continue;
      const { domain, ioas } = object;
      this.ioases.add(ioas);
      if (!(domain instanceof HeritableDomain)) continue;
      for (const pfn of domain.pages) if (pfn !== domain.pgd) this.tables.add(pfn);
    }
    for (const { pages } of [...this.ioases].flatMap((ioas) => ioas.iopt.areas.items)) {
      if (pages?.source.accounted) this.pinned += pages.pinned;
      const handle = pages?.source.persistent?.handle;
      if (handle !== undefined) this.files.add(handle);
    }
  }
}

/** The first line in which two fingerprints differ, for people. */
export function firstDifference(before: string, after: string): string {
  const a = before.split("\n"), b = after.split("\n");
  const at = a.findIndex((line, i) => line !== b[i]);
  return at < 0 ? `${b[a.length]} is new` : `was "${a[at]}", is "${b[at] ?? "gone"}"`;
}
