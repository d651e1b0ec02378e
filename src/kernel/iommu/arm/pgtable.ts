import type { Memory } from "../../../machine/memory.ts";
import { EEXIST, ENOMEM } from "../../../uapi/errno.ts";
import { PTE_AF, PTE_S2_NORMAL, PTE_TABLE, PTE_VALID } from "../../../uapi/smmuv3_tables.ts";
import { FrameUse } from "../../mm/frames.ts";
import type { Radix, RadixFormat } from "../compare.ts";
import { resize, type Resized, type SizeChange } from "../resize.ts";
import type { PageAllocator } from "../../mm/page_alloc.ts";

/** Level at which tables start, and of 4 KiB pages. Blocks are 1 GiB at level 1, 2 MiB at 2. */
const START = 1, LAST = 3;
/** S2AP, from IOMMU_READ and IOMMU_WRITE. */
const S2AP_SHIFT = 6;

/** Stage-2 entries, for comparing tables. There, levels count from the bottom. */
const FORMAT: RadixFormat = {
  present: PTE_VALID,
  permission: 3 << S2AP_SHIFT,
  size: PTE_TABLE,
  high: 0xffff,
  leadsOn: (low, level) => leadsOn(low, LAST + 1 - level),
  pointer: PTE_VALID | PTE_TABLE,
  leafAt: (low, level) => (low & 0xfff & ~PTE_TABLE) | (level === 1 ? PTE_TABLE : 0),
  noted: 0,
};

/** Pages an entry of a level spans: 1 at level 3. */
function spanOf(level: number): number {
  return 512 ** (LAST - level);
}

/** True for a valid entry that leads to a table of the next level. */
function leadsOn(low: number, level: number): boolean {
  return level < LAST && (low & (PTE_VALID | PTE_TABLE)) === (PTE_VALID | PTE_TABLE);
}

/**
 * Stage-2 tables of the 4 KiB granule, written by the driver into physical memory. The first
 * table is up to 16 pages side by side, so that three levels do for 42 bits. Works on runs: one
 * descent for each table, then a loop over its entries.
 */
export class Stage2Table {
  /** Pages the last {@link map} put in place: all of them, or those before it failed. */
  mapped = 0;
  /** Entries stored so far. */
  written = 0;

  /**
   * `root`: frame of the first table, `rootPages` long. `invalidate`: makes sure that nothing
   * cached of these pages is left. `breakFirst`: below BBML 2 an entry that changes between block
   * and table has to be invalid, and flushed, in between (FACTS 4.3). `largest`: pages of the largest block.
   */
  constructor(
    readonly memory: Memory,
    readonly allocator: PageAllocator,
    readonly root: number,
    readonly rootPages: number,
    readonly invalidate: (page: number, count: number) => void,
    readonly breakFirst: boolean,
    public largest = Infinity,
  ) {}

  /** Where the entry for a page is: the table of its level, as frame, and the word in it. */
  #wordAt(page: number, level: number): number {
    const index = Math.floor(page / spanOf(level));
    return (level === START ? index : index % 512) * 2;
  }

  #low(table: number, word: number): number {
    return this.memory.load(table + (word >>> 10), word & 1023);
  }

  #target(table: number, word: number): number {
    const pfn = table + (word >>> 10), at = word & 1023;
    return ((this.memory.load(pfn, at + 1) & 0xffff) << 20) | (this.memory.load(pfn, at) >>> 12);
  }

  #store(table: number, word: number, pfn: number, flags: number): void {
    const at = word & 1023;
    this.written++;
    this.memory.store(table + (word >>> 10), at + 1, flags === 0 ? 0 : pfn >>> 20);
    this.memory.store(table + (word >>> 10), at, flags === 0 ? 0 : (pfn << 12) | flags);
  }

  /**
   * Maps `count` frames from `pfn` at `page`, in the largest blocks that fit, or `single` pages.
   * ENOMEM and EEXIST leave what was mapped before the failure: the caller unmaps the first {@link mapped} pages.
   */
  map(page: number, pfn: number, count: number, prot: number, single = false): number {
    const flags = PTE_VALID | PTE_AF | PTE_S2_NORMAL | (prot & 3) << S2AP_SHIFT;
    this.mapped = 0;
    while (count > 0) {
      const level = single ? LAST : this.#largestLevel(page, pfn, count);
      const table = this.#descend(page, level);
      if (table < 0) return table;
      const span = spanOf(level), first = this.#wordAt(page, level);
      const inTable = level === START ? Infinity : 512 - (first >>> 1);
      const entries = Math.min(inTable, Math.floor(count / span));
      for (let i = 0; i < entries; i++) {
        if (!this.#clearForLeaf(table, first + i * 2, level, page)) return -EEXIST;
        this.#store(table, first + i * 2, pfn, flags | (level === LAST ? PTE_TABLE : 0));
        this.mapped += span;
        page += span;
        pfn += span;
        count -= span;
      }
    }
    return 0;
  }

  #largestLevel(page: number, pfn: number, count: number): number {
    let level = LAST;
    while (level > START) {
      const span = spanOf(level - 1);
      if (span > this.largest || count < span || page % span !== 0 || pfn % span !== 0) break;
      level--;
    }
    return level;
  }

  /** The table of `level` that covers `page`, made where missing; -ENOMEM, -EEXIST. */
  #descend(page: number, level: number): number {
    let table = this.root;
    for (let at = START; at < level; at++) {
      const word = this.#wordAt(page, at);
      const low = this.#low(table, word);
      if ((low & PTE_VALID) !== 0 && !leadsOn(low, at)) return -EEXIST;
      if ((low & PTE_VALID) === 0) {
        const next = this.allocator.allocPage(FrameUse.iommuTable);
        if (next < 0) return -ENOMEM;
        this.#store(table, word, next, PTE_VALID | PTE_TABLE);
        table = next;
      } else table = this.#target(table, word);
    }
    return table;
  }

  /** True when a leaf may be written: nothing is there, or a table that unmapping left empty. */
  #clearForLeaf(table: number, word: number, level: number, page: number): boolean {
    const low = this.#low(table, word);
    if ((low & PTE_VALID) === 0) return true;
    if (!leadsOn(low, level)) return false;
    const below = this.#target(table, word);
    if (!this.#isEmpty(below, level + 1)) return false;
    // Table to block by way of an invalid entry on any unit: the table's pages are given back.
    const freed: number[] = [];
    this.#collect(below, level + 1, 1, freed);
    this.#store(table, word, 0, 0);
    this.invalidate(page, spanOf(level));
    for (const pfn of freed) this.allocator.freePage(pfn);
    return true;
  }

  #isEmpty(table: number, level: number): boolean {
    for (let word = 0; word < 1024; word += 2) {
      const low = this.memory.load(table, word);
      if ((low & PTE_VALID) === 0) continue;
      if (!leadsOn(low, level) || !this.#isEmpty(this.#target(table, word), level + 1)) {
        return false;
      }
    }
    return true;
  }

  /**
   * Unmaps [page, page + count). Tables that become wholly covered are put on `freed`, to be given
   * back after the TLB was flushed. A block of which a part stays is split into a table first.
   * Number of pages that were mapped; -ENOMEM where a split found no memory.
   */
  unmap(page: number, count: number, freed: number[]): number {
    return this.#clear(this.root, START, page, count, freed);
  }

  #clear(table: number, level: number, page: number, count: number, freed: number[]): number {
    const span = spanOf(level);
    let unmapped = 0;
    while (count > 0) {
      const word = this.#wordAt(page, level);
      const inEntry = Math.min(count, span - page % span);
      const low = this.#low(table, word);
      if ((low & PTE_VALID) !== 0) {
        if (inEntry === span && !leadsOn(low, level)) {
          this.#store(table, word, 0, 0);
          unmapped += span;
        } else {
          if (!leadsOn(low, level) && !this.#split(table, word, level, page - page % span)) {
            return -ENOMEM;
          }
          const next = this.#target(table, word);
          const below = this.#clear(next, level + 1, page, inEntry, freed);
          if (below < 0) return below;
          unmapped += below;
          if (inEntry === span) {
            this.#store(table, word, 0, 0);
            this.#collect(next, level + 1, 1, freed);
          }
        }
      }
      page += inEntry;
      count -= inEntry;
      if (level > START && Math.floor(page / span) % 512 === 0) break;
    }
    return unmapped;
  }

  /** A table with the same translations in the place of a block. False without memory. */
  #split(table: number, word: number, level: number, page: number): boolean {
    const next = this.allocator.allocPage(FrameUse.iommuTable);
    if (next < 0) return false;
    const low = this.#low(table, word), first = this.#target(table, word);
    const flags = (low & 0xfff & ~PTE_TABLE) | (level + 1 === LAST ? PTE_TABLE : 0);
    const span = spanOf(level + 1);
    for (let i = 0; i < 512; i++) this.#store(next, i * 2, first + i * span, flags);
    if (this.breakFirst) {
      this.#store(table, word, 0, 0);
      this.invalidate(page, spanOf(level));
    }
    this.#store(table, word, next, PTE_VALID | PTE_TABLE);
    // What was cached of the block goes, so that the parts that stay are walked anew.
    if (!this.breakFirst) this.invalidate(page, spanOf(level));
    return true;
  }

  /** Frame of `page`, -1 where nothing is mapped. */
  translate(page: number): number {
    let table = this.root;
    for (let level = START; level <= LAST; level++) {
      const word = this.#wordAt(page, level);
      const low = this.#low(table, word);
      if ((low & PTE_VALID) === 0) return -1;
      const pfn = this.#target(table, word);
      if (!leadsOn(low, level)) return pfn + page % spanOf(level);
      table = pfn;
    }
    return -1;
  }

  get radix(): Radix {
    const { root, rootPages } = this;
    return { format: FORMAT, root, rootPages, levels: LAST + 1 - START };
  }

  /** Brings every page to the largest size there may be from now on; see {@link resize}. */
  limit(largest: number, change: SizeChange): Resized | number {
    const done = resize(this.memory, this.allocator, this.radix, largest, change);
    if (typeof done !== "number") this.largest = largest;
    return done;
  }

  /** Every table, the pages of the first one first. */
  tables(): number[] {
    const found: number[] = [];
    this.#collect(this.root, START, this.rootPages, found);
    return found;
  }

  #collect(table: number, level: number, pages: number, into: number[]): void {
    for (let i = 0; i < pages; i++) into.push(table + i);
    if (level === LAST) return;
    for (let word = 0; word < pages * 1024; word += 2) {
      if (!leadsOn(this.#low(table, word), level)) continue;
      this.#collect(this.#target(table, word), level + 1, 1, into);
    }
  }
}
