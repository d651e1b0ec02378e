import type { PagingDomain } from "../kernel/iommu/domain.ts";
import type { Blocks } from "../kernel/fs/guestmemfs/layout.ts";
import { HwptPaging } from "../kernel/iommufd/hwpt.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Look } from "./checks.ts";

/** What there is one of has one owner: persistent ids, domains, and the blocks of files. */
export function oneClaimant(kernel: Kernel, look: Look): void {
  const report = (subject: string, detail: string) =>
    look.findings.push({ invariant: "one-claimant", subject, detail });
  const { contexts, pending } = kernel.iommufd;
  const ids = contexts.map((ctx) => ctx.persistentId).filter((id) => id !== 0);
  if (ids.length > 0) look.premises.add("iommufd-persistent");
  for (const id of new Set(ids)) {
    const open = ids.filter((other) => other === id).length;
    if (open > 1) report(`iommufd ${id}`, `${open} open iommufds are this one`);
    else if (pending.includes(id)) report(`iommufd ${id}`, "is open, and waits to be picked up");
  }
  const domains = new Set<PagingDomain>();
  for (const { objects, persistentId } of contexts) {
    for (const object of objects.all) {
      if (!(object instanceof HwptPaging)) continue;
      if (domains.has(object.domain)) {
        report(`iommufd ${persistentId}`, `the tables of HWPT ${object.id} are another's too`);
      }
      domains.add(object.domain);
    }
  }
  blocksOnce(kernel, report);
}

function blocksOnce(kernel: Kernel, report: (subject: string, detail: string) => void): void {
  const inodes = kernel.guestmemfs?.allInodes() ?? [];
  if (areApart(inodes.flatMap((inode) => inode.blocks()))) return;
  const owners = new Int32Array(kernel.guestmemfs?.blocks ?? 0).fill(-1);
  for (const [i, inode] of inodes.entries()) {
    for (let at = 0; at < inode.numMappings; at++) {
      const block = inode.block(at), other = inodes[owners[block] ?? -1];
      if (other !== undefined) report(inode.name, `has block ${block} of ${other.name}`);
      owners[block] = i;
    }
  }
}

/** No two runs have a block in common. */
function areApart(runs: Blocks[]): boolean {
  runs.sort((a, b) => a.first - b.first);
  return runs.every(({ first, count }, i) =>
    i + 1 === runs.length || first + count <= runs[i + 1].first
  );
}
