import { Ioas } from "../kernel/iommufd/ioas.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Machine } from "../machine/machine.ts";
import { PCI_COMMAND } from "../uapi/pci_regs.ts";
import { readUnits } from "../health/readers.ts";

/**
 * What a kernel and its hardware look like to an operator, as text: objects, pins, tables, who has
 * which device, how much memory is free. Two equal texts mean that nothing was left behind. Guest
 * memory is not in it: guests and devices go on writing.
 */
export function fingerprint(machine: Machine, kernel: Kernel): string {
  const lines: string[] = [`free ${kernel.pages.freePages}`, `pinned ${kernel.userPages.pinned}`];
  lines.push(`kho ${kernel.kho.active} loaded ${kernel.kexec.loaded?.image.name ?? "nothing"}`);
  for (const inode of kernel.guestmemfs?.inodes() ?? []) {
    lines.push(`file ${inode.name} blocks ${inode.numMappings} pins ${inode.pins}`);
  }
  if (kernel.guestmemfs?.serialised) lines.push("guestmemfs serialised");
  for (const ctx of kernel.iommufd.contexts) {
    lines.push(`iommufd ${ctx.persistentId} frozen ${ctx.frozen}`);
    for (const object of ctx.objects.all) {
      lines.push(`  object ${object.id} kind ${object.kind} users ${object.users}`);
      if (!(object instanceof Ioas)) continue;
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
    lines.push(`unit ${name} on ${translates} tables ${live.tables.join(" ")}`);
  }
  return lines.join("\n");
}
