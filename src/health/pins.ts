import type { Fdt } from "../fdt/mod.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { Ioas } from "../kernel/iommufd/ioas.ts";
import { readNumber } from "../kernel/kho/abi.ts";
import type { Look } from "./checks.ts";

/** Pins by inode against the mappings that stand for them: in open contexts, and in the tree. */
export function pinsBalanced(kernel: Kernel, look: Look): void {
  const fs = kernel.guestmemfs;
  if (fs === undefined) return;
  const expected = openMappings(kernel);
  for (const ino of waitingMappings(kernel)) expected.set(ino, (expected.get(ino) ?? 0) + 1);
  // Devices that run for a context this kernel cannot read keep pins nobody here can count.
  const unread = kernel.iommufd.pending.length === 0 && kernel.iommu.groups.some((g) => g.held);
  for (const inode of fs.inodes()) {
    const mappings = expected.get(inode.ino) ?? 0;
    if (inode.pins > 0) look.premises.add("file-pinned");
    if (inode.pins === mappings || (unread && inode.pins > mappings)) continue;
    look.findings.push({
      invariant: "pins-balanced",
      subject: inode.name,
      detail: `${inode.pins} pins, ${mappings} mappings`,
    });
  }
}

/** Mappings of files in the contexts that are open, by inode. */
function openMappings(kernel: Kernel): Map<number, number> {
  const counts = new Map<number, number>();
  const areas = kernel.iommufd.contexts.flatMap((ctx) =>
    ctx.objects.all.flatMap((o) => o instanceof Ioas ? o.iopt.areas.items : [])
  );
  // Areas that share their pages share the pin.
  for (const pages of new Set(areas.map((a) => a.pages))) {
    const file = pages?.source.persistent;
    if (file !== undefined) counts.set(file.handle, (counts.get(file.handle) ?? 0) + 1);
  }
  return counts;
}

/** Inodes that stay pinned for contexts that were handed over and are not finished yet. */
function* waitingMappings(kernel: Kernel): Generator<number> {
  const fdt = kernel.kho.incoming;
  if (fdt === undefined) return;
  for (const id of kernel.iommufd.unfinished) {
    for (const file of children(fdt, fdt.path(`/iommufd/iommufds/${id}/files`))) {
      yield readNumber(fdt, file, "file-handle") ?? 0;
    }
    const ioases = fdt.path(`/iommufd/iommufds/${id}/ioases`);
    for (const ioas of children(fdt, ioases)) {
      for (const area of children(fdt, ioas)) yield readNumber(fdt, area, "file-handle") ?? 0;
    }
  }
}

function children(fdt: Fdt, node: number): number[] {
  return node < 0 ? [] : [...fdt.subnodes(node)];
}
