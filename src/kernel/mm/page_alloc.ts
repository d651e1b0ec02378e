import { assert } from "../../base/assert.ts";
import type { Chooser } from "../../base/choice.ts";
import { PAGE_SIZE } from "../../base/units.ts";
import type { Frames } from "../../machine/frame_runs.ts";
import type { Memory } from "../../machine/memory.ts";
import type { Costs } from "../costs.ts";
import { fails } from "../fault_points.ts";
import { Extents } from "./extents.ts";
import { FrameMap, FrameUse } from "./frames.ts";
import type { Region } from "./memblock.ts";

/**
 * The page allocator. Free memory is a sorted list of extents taken from the bottom, with a stack
 * of single pages in front of it (the per-CPU lists: what was freed last is used first; drained
 * when a range is wanted that the extents do not have). Pages come zeroed: whatever an earlier
 * kernel left in them is gone once they are handed out.
 */
export class PageAllocator {
  readonly frames: FrameMap;
  readonly #extents = new Extents();
  #stack: number[] = [];
  #free = 0;
  /** No free range is long enough: true when something was moved out of the way (compaction). */
  onFragmented: () => boolean = () => false;

  /** A page is freed that nobody has; it stays as it is. */
  onBadPage: (pfn: number) => void = freedTwice;

  /** Most pages of I/O page tables there may be: beyond it there is no memory for them. */
  tableLimit = Infinity;

  /** `costs`: where pages of I/O page tables are counted. */
  constructor(readonly memory: Memory, readonly chooser: Chooser, readonly costs?: Costs) {
    this.frames = new FrameMap(memory, (pfn) => this.#extents.has(pfn) ? FrameUse.free : 0);
  }

  /** Pages free now. */
  get freePages(): number {
    return this.#free;
  }

  /** Gives early boot's leftovers to the allocator, byte regions in ascending order. */
  donate(region: Region): void {
    const start = Math.ceil(region.start / PAGE_SIZE), end = Math.floor(region.end / PAGE_SIZE);
    if (end <= start) return;
    assert(this.#extents.last <= start, "donated regions must ascend");
    this.#extents.add(start, end - start);
    this.#free += end - start;
  }

  /** A zeroed page, or -1 when memory is out. */
  allocPage(use: FrameUse): number {
    if (fails(this.chooser, "allocPage") || !this.#mayTake(use, 1)) return -1;
    let pfn: number;
    if (this.#stack.length > 0) pfn = this.#stack.pop() as number;
    else if (this.#extents.length > 0) {
      pfn = this.#extents.start(0);
      this.#extents.carve(0, pfn, 1);
    } else return -1;
    this.#free--;
    this.#takeOne(pfn, use);
    return pfn;
  }

  /** The same for as many of `count` pages as come side by side; `pfn` -1: memory is out. */
  allocRun(count: number, use: FrameUse): Frames {
    const pfn = this.allocPage(use), next = pfn + 1;
    if (pfn < 0) return { pfn, count: 0 };
    const extents = this.#extents;
    const comesNext = this.#stack.length === 0 && extents.length > 0 && extents.start(0) === next;
    const more = comesNext ? Math.min(count, extents.end(0) - pfn) - 1 : 0;
    if (more === 0 || !this.#mayTake(use, more)) return { pfn, count: 1 };
    this.#carve(0, next, more);
    this.#take(next, more, use);
    return { pfn, count: 1 + more };
  }

  /**
   * Fills an array with zeroed pages, one by one as {@link allocPage} gives them, but for page tables;
   * how many there were. Those that lie side by side are made ready at once.
   */
  allocPages(into: Int32Array, use: FrameUse): number {
    assert(use !== FrameUse.iommuTable, "tables are counted page by page");
    const extents = this.#extents;
    for (let n = 0; n < into.length;) {
      if (this.#stack.length > 0 || extents.length === 0) {
        const pfn = this.allocPage(use);
        if (pfn < 0) return n;
        into[n++] = pfn;
        continue;
      }
      const first = extents.start(0), most = Math.min(into.length - n, extents.end(0) - first);
      let count = 0;
      while (count < most && !fails(this.chooser, "allocPage")) count++;
      for (let i = 0; i < count; i++) into[n++] = first + i;
      if (count > 0) {
        this.#carve(0, first, count);
        this.#take(first, count, use);
      }
      if (count < most) return n;
    }
    return into.length;
  }

  /**
   * A page at a random place: where a long-running kernel's fragmented lists would give one.
   * `points`: the names under which the free range and the page in it are picked.
   */
  allocPageAnywhere(use: FrameUse, points: { extent: string; page: string }): number {
    const extents = this.#extents;
    if (extents.length === 0) return this.allocPage(use);
    const i = this.chooser.pick(points.extent, extents.length - 1), start = extents.start(i);
    const pfn = start + this.chooser.pick(points.page, extents.end(i) - start - 1);
    this.#carve(i, pfn, 1);
    this.frames.setOne(pfn, use);
    this.memory.clearFrame(pfn);
    return pfn;
  }

  /**
   * A zeroed page above frame `pfn`, one of the `window` highest of the highest free range, or -1
   * when nothing up there is free.
   */
  allocAbove(pfn: number, use: FrameUse, window: number, point: string): number {
    const i = this.#extents.length - 1, { last } = this.#extents;
    if (last - 1 <= pfn) return -1;
    const lowest = Math.max(pfn + 1, this.#extents.start(i), last - window);
    const taken = lowest + this.chooser.pick(point, last - 1 - lowest);
    this.#carve(i, taken, 1);
    this.frames.set(taken, 1, use);
    this.memory.clearFrame(taken);
    return taken;
  }

  /** `count` contiguous zeroed pages aligned to `align` pages, or -1. */
  allocRange(count: number, align: number, use: FrameUse): number {
    if (fails(this.chooser, "allocPages") || !this.#mayTake(use, count)) return -1;
    let pfn = this.#takeRange(count, align);
    if (pfn < 0 && this.#stack.length > 0) {
      this.#drain();
      pfn = this.#takeRange(count, align);
    }
    if (pfn < 0 && this.onFragmented()) pfn = this.#takeRange(count, align);
    if (pfn < 0) return -1;
    this.#take(pfn, count, use);
    return pfn;
  }

  #mayTake(use: FrameUse, count: number): boolean {
    return use !== FrameUse.iommuTable || (this.costs?.tables ?? 0) + count <= this.tableLimit;
  }

  #take(pfn: number, count: number, use: FrameUse): void {
    this.frames.set(pfn, count, use);
    this.memory.clearFrames(pfn, count);
    if (use !== FrameUse.iommuTable || this.costs === undefined) return;
    this.costs.tablesAllocated += count;
    this.costs.countTables(count);
  }

  /** The same for a single page, as most are. */
  #takeOne(pfn: number, use: FrameUse): void {
    this.frames.setOne(pfn, use);
    this.memory.clearFrame(pfn);
    if (use !== FrameUse.iommuTable || this.costs === undefined) return;
    this.costs.tablesAllocated++;
    this.costs.countTables(1);
  }

  #takeRange(count: number, align: number): number {
    for (let i = 0; i < this.#extents.length; i++) {
      const pfn = Math.ceil(this.#extents.start(i) / align) * align;
      if (pfn + count > this.#extents.end(i)) continue;
      this.#carve(i, pfn, count);
      return pfn;
    }
    return -1;
  }

  /** The single pages go back into the extents, where they grow together. */
  #drain(): void {
    const pages = this.#stack;
    this.#stack = [];
    for (const pfn of pages) this.#extents.add(pfn, 1);
  }

  /** Frees one page; it will be the next one handed out. */
  freePage(pfn: number): void {
    if (!this.#isOwned(pfn)) return this.onBadPage(pfn);
    this.#releaseOne(pfn);
    this.#stack.push(pfn);
  }

  /** Frees contiguous pages back into the extents. */
  freeRange(pfn: number, count: number): void {
    for (let i = 0; i < count; i++) {
      if (this.#isOwned(pfn + i)) continue;
      this.onBadPage(pfn + i);
      if (i > 0) this.freeRange(pfn, i);
      if (i + 1 < count) this.freeRange(pfn + i + 1, count - i - 1);
      return;
    }
    if (count === 1) this.#releaseOne(pfn);
    else this.#release(pfn, count);
    this.#extents.add(pfn, count);
  }

  /** It was handed out, or claimed: handed-over memory that nobody claimed is nobody's. */
  #isOwned(pfn: number): boolean {
    const use = this.frames.use(pfn);
    return use !== FrameUse.free && use !== FrameUse.none && use !== FrameUse.preserved;
  }

  /** What this kernel believes the frame is. */
  useOf(pfn: number): FrameUse {
    return this.frames.use(pfn);
  }

  /** Frames from one on that are known at once to have the use that it has: at least 1. */
  alike(pfn: number): number {
    return this.frames.alike(pfn);
  }

  /** What this kernel believes of every `stride`-th frame from `pfn` on. */
  usesOf(pfn: number, stride: number, into: Uint8Array): void {
    this.frames.copy(pfn, stride, into);
    for (let e = 0; e < this.#extents.length; e++) {
      const from = Math.max(0, Math.ceil((this.#extents.start(e) - pfn) / stride));
      const to = Math.min(into.length, Math.ceil((this.#extents.end(e) - pfn) / stride));
      for (let i = from; i < to; i++) {
        if (into[i] === FrameUse.none) into[i] = FrameUse.free;
      }
    }
  }

  /** Marks frames outside the allocator (reserved memory, claims). */
  mark(pfn: number, count: number, use: FrameUse): void {
    if (use === FrameUse.iommuTable) this.costs?.countTables(count);
    this.frames.set(pfn, count, use);
  }

  #release(pfn: number, count: number): void {
    for (let i = 0; i < count; i++) {
      if (this.frames.use(pfn + i) === FrameUse.iommuTable) this.costs?.countTables(-1);
    }
    this.frames.set(pfn, count, FrameUse.free);
    this.#free += count;
  }

  #releaseOne(pfn: number): void {
    if (this.frames.use(pfn) === FrameUse.iommuTable) this.costs?.countTables(-1);
    this.frames.setOne(pfn, FrameUse.free);
    this.#free++;
  }

  #carve(i: number, pfn: number, count: number): void {
    this.#free -= count;
    this.#extents.carve(i, pfn, count);
  }
}

function freedTwice(pfn: number): void {
  assert(false, `frame ${pfn} freed twice`);
}
