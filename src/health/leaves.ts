import { hex, PAGE_SIZE } from "../base/units.ts";
import { BLOCK_FRAMES } from "../kernel/fs/guestmemfs/layout.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { FrameUse } from "../kernel/mm/frames.ts";
import type { Look, Strange } from "./checks.ts";
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
    let seen = 0, bad: Strange & { readonly page: number } | undefined;
    // Frames that were led to and not looked at yet, one after the other as the IOVAs go on.
    let page = 0, pfn = 0, count = 0;
    const judge = () => {
      const strange = memory.firstStrange(pfn, count, own);
      const before = strange === undefined ? count : strange.pfn - pfn;
      const first = look.strangerOf(context.sid, pfn, before) ?? strange;
      if (first !== undefined) bad ??= { page: page + first.pfn - pfn, ...first };
    };
    unit.eachLeaf(context, (at, _, span) => {
      seen++;
      if (bad !== undefined) return;
      // What is visited at once says the same, frame after frame.
      const found = unit.lookUp(context, at);
      if (found === undefined) return;
      if (at !== page + count || found.pfn !== pfn + count) {
        judge();
        page = at;
        pfn = found.pfn;
        count = 0;
      }
      count += span;
    });
    judge();
    if (seen > 0) look.premises.add("memory-mapped");
    if (bad !== undefined) report(look, context, bad);
  }
}

function report(
  look: Look,
  { sid }: Context,
  { page, pfn, what }: Strange & { readonly page: number },
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
  /** By block of guestmemfs: 1 where it is some file's. */
  readonly #blocks: Uint8Array | undefined;

  /** Frames of guestmemfs's memory. */
  readonly #range: { readonly first: number; readonly end: number };

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    const { base, size } = kernel.guestRange ?? { base: 0, size: 0 };
    this.#range = { first: base / PAGE_SIZE, end: (base + size) / PAGE_SIZE };
    this.#blocks = kernel.guestmemfs?.blocksOfFiles();
  }

  /** The first of frames [pfn, pfn + count) that no device should reach. */
  firstStrange(pfn: number, count: number, own: boolean): Strange | undefined {
    const end = pfn + count;
    for (let at = pfn; at < end; at += this.#alike(at, end - at)) {
      const what = this.strange(at, own);
      if (what !== undefined) return { pfn: at, what };
    }
    return undefined;
  }

  /** Frames from one on that may be reached, at most `count`, that its answer is good for. */
  #alike(pfn: number, count: number): number {
    const at = this.#inRange(pfn), { pages } = this.#kernel;
    if (at < 0) return 1;
    const used = pages.useOf(pfn) === FrameUse.guestmemfs ? pages.alike(pfn) : 1;
    if (used < BLOCK_FRAMES) return Math.min(count, BLOCK_FRAMES - at % BLOCK_FRAMES);
    const most = Math.min(count, used, this.#range.end - pfn);
    const first = Math.floor(at / BLOCK_FRAMES), last = Math.ceil((at + most) / BLOCK_FRAMES);
    const none = this.#blocks?.subarray(first, last).indexOf(0) ?? -1;
    return none < 0 ? most : (first + none) * BLOCK_FRAMES - at;
  }

  /** Why no device should reach a frame; undefined where one may. `own`: it is the kernel's own. */
  strange(pfn: number, own: boolean): string | undefined {
    const { pages, userPages } = this.#kernel;
    const use = pages.useOf(pfn);
    if (use === FrameUse.user) {
      return userPages.pinsOf(pfn) > 0 ? undefined : "a process's memory that nobody has pinned";
    }
    const at = this.#inRange(pfn);
    if (at >= 0 && this.#blocks?.[Math.floor(at / BLOCK_FRAMES)] === 0) {
      return "a block of guestmemfs that is no file's";
    }
    return own && use === FrameUse.kernel ? undefined : STRANGE[use];
  }

  /** Frame of guestmemfs's memory, from its first one on; -1: it is none of it. */
  #inRange(pfn: number): number {
    const { first, end } = this.#range;
    return pfn >= first && pfn < end ? pfn - first : -1;
  }
}

const STRANGE: Partial<Record<FrameUse, string>> = {
  [FrameUse.free]: "free memory",
  [FrameUse.kernel]: "the kernel's own memory",
  [FrameUse.iommuTable]: "a page table",
  [FrameUse.scratch]: "scratch, where the next kernel boots",
};
