import { hex, PAGE_SIZE } from "../base/units.ts";
import type { Guestmemfs } from "../kernel/fs/guestmemfs/guestmemfs.ts";
import { BLOCK_FRAMES } from "../kernel/fs/guestmemfs/layout.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { FrameUse } from "../kernel/mm/frames.ts";
import type { Look } from "./checks.ts";
import type { Context, UnitReader } from "./translation.ts";

/** Every page a device can reach: it must be in use, and by nobody else than its user. */
export function leavesOwned(kernel: Kernel, unit: UnitReader, look: Look): void {
  if (!unit.translates) return;
  const memory = new MemoryUse(kernel);
  // A device that no user has is the kernel's own driver's, which works in kernel memory.
  const idle = kernel.iommu.groups.filter((group) => !group.owned);
  const kernels = new Set(idle.flatMap((group) => group.dev.requesters));
  for (const context of unit.live.contexts) {
    const own = kernels.has(context.sid);
    let seen = 0, bad: { page: number; pfn: number; what: string } | undefined;
    unit.eachLeaf(context, (page, _, span) => {
      seen++;
      if (bad !== undefined) return;
      for (let at = page; at < page + span;) {
        const found = unit.lookUp(context, at);
        if (found === undefined) return;
        const step = memory.step(found.pfn, page + span - at);
        const what = memory.strange(found.pfn, own) ?? look.strangerOf(context.sid, found.pfn);
        if (what !== undefined) {
          bad = { page: at, pfn: found.pfn, what };
          return;
        }
        at += step;
      }
    });
    if (seen > 0) look.premises.add("memory-mapped");
    if (bad !== undefined) report(look, context, bad);
  }
}

function report(
  look: Look,
  { sid }: Context,
  { page, pfn, what }: { page: number; pfn: number; what: string },
): void {
  look.findings.push({
    invariant: "leaves-owned",
    subject: look.nameOf(sid),
    address: page * PAGE_SIZE,
    detail: `IOVA ${hex(page * PAGE_SIZE)} leads to ${hex(pfn * PAGE_SIZE)}, ${what}`,
  });
}

/** What frames are used for, by the allocator's books and the file system's. */
class MemoryUse {
  readonly #kernel: Kernel;
  readonly #blocks: ReadonlySet<number> | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#blocks = kernel.guestmemfs && blocksOfFiles(kernel.guestmemfs);
  }

  /** Frames from `pfn` on, at most `count`, of which one answer of {@link strange} is that of all. */
  step(pfn: number, count: number): number {
    const block = this.#blockOf(pfn);
    return block === undefined ? 1 : Math.min(count, BLOCK_FRAMES - block.offset);
  }

  /** Why no device should reach a frame; undefined where one may. `own`: it is the kernel's own. */
  strange(pfn: number, own: boolean): string | undefined {
    const { pages, userPages } = this.#kernel;
    const use = pages.useOf(pfn);
    if (use === FrameUse.user) {
      return userPages.pinsOf(pfn) > 0 ? undefined : "a process's memory that nobody has pinned";
    }
    const block = this.#blockOf(pfn);
    if (block !== undefined && this.#blocks?.has(block.number) === false) {
      return "a block of guestmemfs that is no file's";
    }
    return own && use === FrameUse.kernel ? undefined : STRANGE[use];
  }

  #blockOf(pfn: number): { number: number; offset: number } | undefined {
    const range = this.#kernel.guestRange;
    if (range === undefined) return undefined;
    const at = pfn - range.base / PAGE_SIZE;
    if (at < 0 || at >= range.size / PAGE_SIZE) return undefined;
    return { number: Math.floor(at / BLOCK_FRAMES), offset: at % BLOCK_FRAMES };
  }
}

const STRANGE: Partial<Record<FrameUse, string>> = {
  [FrameUse.free]: "free memory",
  [FrameUse.kernel]: "the kernel's own memory",
  [FrameUse.iommuTable]: "a page table",
  [FrameUse.scratch]: "scratch, where the next kernel boots",
};

function blocksOfFiles(fs: Guestmemfs): Set<number> {
  const blocks = new Set<number>();
  for (const inode of fs.allInodes()) {
    for (let i = 0; i < inode.numMappings; i++) blocks.add(inode.block(i));
  }
  return blocks;
}
