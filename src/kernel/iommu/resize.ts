import type { Memory } from "../../machine/memory.ts";
import { ENOMEM } from "../../uapi/errno.ts";
import { FrameUse } from "../mm/frames.ts";
import type { PageAllocator } from "../mm/page_alloc.ts";
import type { Radix } from "./compare.ts";

/** What came of a sweep. */
export interface Resized {
  /** Leaves that took the place of 512 smaller ones. */
  joined: number;
  /** Leaves that 512 smaller ones took the place of. */
  split: number;
  /** Entries stored. */
  written: number;
}

/** How an entry in use changes between leaf and table (FACTS 4.3). */
export interface SizeChange {
  /**
   * Bits of a leaf's low word with which hardware does not cache it, nor minds what it has cached:
   * set before the change and cleared after it, with an invalidation between. 0: no need.
   */
  readonly mark: number;
  /** Makes sure that nothing cached of these pages is left. */
  invalidate(page: number, count: number): void;
}

/**
 * The sweep of seed lines 2769-2776: afterwards tables say the same with pages of other sizes. Leaves
 * of more than `largest` pages are split; 512 that lie side by side, with the same permissions, are
 * joined where that is no more than `largest`. At no store does an IOVA lead elsewhere, or nowhere, and
 * each store but the last of a kind is of an entry nobody walks yet. -ENOMEM: a split found no memory;
 * what was done until then stays.
 */
export function resize(
  memory: Memory,
  allocator: PageAllocator,
  radix: Radix,
  largest: number,
  change: SizeChange,
): Resized | number {
  const sweep = new Sweep(memory, allocator, radix, largest, change);
  const rc = sweep.tables(radix.root, radix.rootPages, radix.levels, 0);
  return rc < 0 ? rc : sweep.done;
}

/** Pages of the largest leaf there is; 0: nothing is mapped. */
export function largestLeaf(memory: Memory, { format, root, rootPages, levels }: Radix): number {
  let found = 0;
  const look = (table: number, pages: number, level: number): void => {
    const span = 512 ** (level - 1);
    for (let word = 0; word < pages * 1024 && found < span; word += 2) {
      const pfn = table + (word >>> 10), at = word & 1023;
      const low = memory.load(pfn, at);
      if ((low & format.present) === 0) continue;
      if (!format.leadsOn(low, level)) found = span;
      else look(((memory.load(pfn, at + 1) & format.high) << 20) | (low >>> 12), 1, level - 1);
    }
  };
  look(root, rootPages, levels);
  return found;
}

/** What an entry says: a frame, and its low bits. */
interface EntryValue {
  readonly frame: number;
  readonly low: number;
}

class Sweep {
  readonly done: Resized = { joined: 0, split: 0, written: 0 };

  constructor(
    readonly memory: Memory,
    readonly allocator: PageAllocator,
    readonly radix: Radix,
    readonly largest: number,
    readonly change: SizeChange,
  ) {}

  /** `pages` tables of a level, side by side; `first`: page of their first entry. */
  tables(table: number, pages: number, level: number, first: number): number {
    const { memory, radix: { format } } = this;
    const span = 512 ** (level - 1);
    for (let word = 0, page = first; word < pages * 1024; word += 2, page += span) {
      const pfn = table + (word >>> 10), at = word & 1023;
      const low = memory.load(pfn, at);
      if ((low & format.present) === 0) continue;
      const leadsOn = format.leadsOn(low, level);
      if (!leadsOn && span <= this.largest) continue;
      const below = leadsOn ? this.#target(pfn, at) : this.#split(pfn, at, level, page);
      if (below < 0) return below;
      const rc = level > 2 ? this.tables(below, 1, level - 1, page) : 0;
      if (rc < 0) return rc;
      if (leadsOn && span <= this.largest) this.#join(pfn, at, below, level, page);
    }
    return 0;
  }

  #target(pfn: number, word: number): number {
    const { memory, radix: { format } } = this;
    return ((memory.load(pfn, word + 1) & format.high) << 20) | (memory.load(pfn, word) >>> 12);
  }

  /** One 64-bit store: nobody sees one half without the other. */
  #store(pfn: number, word: number, frame: number, low: number): void {
    this.done.written++;
    this.memory.store(pfn, word + 1, frame >>> 20);
    this.memory.store(pfn, word, (frame << 12) | low);
  }

  /**
   * Puts an entry in the place of one in use that says the same of `count` pages from `page` on.
   * `leaf`: the one of the two that is a leaf and can be marked.
   */
  #exchange(
    pfn: number,
    word: number,
    leaf: EntryValue,
    next: EntryValue,
    page: number,
    count: number,
  ): void {
    const { change } = this, { mark } = change;
    if (mark !== 0) {
      this.#store(pfn, word, leaf.frame, leaf.low | mark);
      change.invalidate(page, count);
    }
    this.#store(pfn, word, next.frame, next.low);
    if (mark === 0) change.invalidate(page, count);
  }

  /** Puts a table with the same translations in the place of a leaf; its frame. */
  #split(pfn: number, word: number, level: number, page: number): number {
    const { memory, radix: { format } } = this;
    const next = this.allocator.allocPage(FrameUse.iommuTable);
    if (next < 0) return -ENOMEM;
    const low = memory.load(pfn, word) & 0xfff, frame = this.#target(pfn, word);
    const part = 512 ** (level - 2), flags = format.leafAt(low, level - 1);
    for (let i = 0; i < 512; i++) this.#store(next, i * 2, frame + i * part, flags);
    this.#exchange(
      pfn,
      word,
      { frame, low },
      { frame: next, low: format.pointer },
      page,
      part * 512,
    );
    this.done.split++;
    return next;
  }

  /** Puts one leaf in the place of a table whose leaves come to the same, if they do. */
  #join(pfn: number, word: number, below: number, level: number, page: number): void {
    const { format } = this.radix;
    const low = this.#common(below, level);
    if (low < 0) return;
    const leaf = { frame: this.#target(below, 0), low: format.leafAt(low, level) };
    this.#exchange(pfn, word, leaf, leaf, page, 512 ** (level - 1));
    // Only now can no cached walk lead into it any more.
    this.allocator.freePage(below);
    this.done.joined++;
  }

  /** Low bits that a table's leaves have in common; -1 where they cannot be one leaf. */
  #common(table: number, level: number): number {
    const { memory, radix: { format } } = this;
    const part = 512 ** (level - 2), first = this.#target(table, 0);
    const same = 0xfff & ~format.noted;
    const head = memory.load(table, 0) & 0xfff;
    if (first % (part * 512) !== 0) return -1;
    let noted = 0;
    for (let i = 0; i < 512; i++) {
      const low = memory.load(table, i * 2);
      if ((low & format.present) === 0 || format.leadsOn(low, level - 1)) return -1;
      if (((low ^ head) & same) !== 0 || this.#target(table, i * 2) !== first + i * part) return -1;
      noted |= low & format.noted;
    }
    return head | noted;
  }
}
