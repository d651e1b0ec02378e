import type { Memory } from "../../../machine/memory.ts";
import { EEXIST, ENOMEM } from "../../../uapi/errno.ts";
import {
  AMDVI_PTE_FC_HI,
  AMDVI_PTE_IR_HI,
  AMDVI_PTE_IW_HI,
  AMDVI_PTE_NEXT_LEVEL_MASK,
  AMDVI_PTE_NEXT_LEVEL_SHIFT,
  AMDVI_PTE_PR,
} from "../../../uapi/amdvi_tables.ts";
import { FrameUse } from "../../mm/frames.ts";
import type { PageAllocator } from "../../mm/page_alloc.ts";

/** Levels a domain begins with: 512 GiB. */
const FIRST_MODE = 3;
/** The largest page that is used: 1 GiB. */
const LARGEST_LEVEL = 3;
const IR_SHIFT_HI = 29;

/** Pages an entry of a level spans: 1 at level 1. */
function spanOf(level: number): number {
  return 512 ** (level - 1);
}

function wordAt(page: number, level: number): number {
  return (Math.floor(page / spanOf(level)) % 512) * 2;
}

const isPresent = (low: number) => (low & AMDVI_PTE_PR) !== 0;
/** Level of the table an entry leads to; 0: the entry is a page. */
const nextLevel = (low: number) => (low >>> AMDVI_PTE_NEXT_LEVEL_SHIFT) & AMDVI_PTE_NEXT_LEVEL_MASK;

/**
 * Version 1 tables, written by the driver into physical memory, from three levels up to as many
 * as an address needs. Works on runs: one descent for each table, then a loop over its entries.
 */
export class AmdPageTable {
  /** Frame of the top table, and levels from there. Both change when the tables grow. */
  root: number;
  mode = FIRST_MODE;
  /** Pages the last {@link map} put in place: all of them, or those before it failed. */
  mapped = 0;

  constructor(readonly memory: Memory, readonly allocator: PageAllocator, root: number) {
    this.root = root;
  }

  /** Levels that an address needs. */
  static levelsFor(lastPage: number): number {
    let levels = 1;
    while (lastPage >= 512 ** levels) levels++;
    return levels;
  }

  /** One level more on top: what was there is its first entry. False without memory. */
  grow(): boolean {
    const top = this.allocator.allocPage(FrameUse.iommuTable);
    if (top < 0) return false;
    this.#storeTable(top, 0, this.root, this.mode);
    this.root = top;
    this.mode++;
    return true;
  }

  #target(table: number, word: number): number {
    const high = this.memory.load(table, word + 1), low = this.memory.load(table, word);
    return ((high & 0xfffff) << 20) | (low >>> 12);
  }

  #storeTable(table: number, word: number, next: number, level: number): void {
    this.memory.store(table, word + 1, (next >>> 20) | AMDVI_PTE_IR_HI | AMDVI_PTE_IW_HI);
    this.memory.store(
      table,
      word,
      (next << 12) | level << AMDVI_PTE_NEXT_LEVEL_SHIFT | AMDVI_PTE_PR,
    );
  }

  #erase(table: number, word: number): void {
    this.memory.store(table, word, 0);
    this.memory.store(table, word + 1, 0);
  }

  /**
   * Maps `count` frames from `pfn` at `page`, in the largest pages that fit, or `single` ones.
   * ENOMEM and EEXIST leave what was mapped before the failure: the caller unmaps the first {@link mapped} pages.
   */
  map(page: number, pfn: number, count: number, prot: number, single = false): number {
    const flags = AMDVI_PTE_FC_HI | (prot & 3) << IR_SHIFT_HI;
    this.mapped = 0;
    while (count > 0) {
      const level = single ? 1 : this.#largestLevel(page, pfn, count);
      const table = this.#descend(page, level);
      if (table < 0) return table;
      const span = spanOf(level), first = wordAt(page, level);
      const entries = Math.min(512 - (first >>> 1), Math.floor(count / span));
      for (let i = 0; i < entries; i++) {
        if (!this.#clearForLeaf(table, first + i * 2)) return -EEXIST;
        this.memory.store(table, first + i * 2 + 1, (pfn >>> 20) | flags);
        this.memory.store(table, first + i * 2, (pfn << 12) | AMDVI_PTE_PR);
        this.mapped += span;
        page += span;
        pfn += span;
        count -= span;
      }
    }
    return 0;
  }

  #largestLevel(page: number, pfn: number, count: number): number {
    let level = 1;
    while (level < LARGEST_LEVEL) {
      const span = spanOf(level + 1);
      if (count < span || page % span !== 0 || pfn % span !== 0) break;
      level++;
    }
    return level;
  }

  /** The table of `level` that covers `page`, made where missing; -ENOMEM, -EEXIST. */
  #descend(page: number, level: number): number {
    let table = this.root;
    for (let at = this.mode; at > level; at--) {
      const word = wordAt(page, at);
      const low = this.memory.load(table, word);
      if (isPresent(low) && nextLevel(low) === 0) return -EEXIST;
      if (!isPresent(low)) {
        const next = this.allocator.allocPage(FrameUse.iommuTable);
        if (next < 0) return -ENOMEM;
        this.#storeTable(table, word, next, at - 1);
        table = next;
      } else table = this.#target(table, word);
    }
    return table;
  }

  /** True when a page may be written: nothing is there, or a table that unmapping left empty. */
  #clearForLeaf(table: number, word: number): boolean {
    const low = this.memory.load(table, word);
    if (!isPresent(low)) return true;
    const below = this.#target(table, word);
    if (nextLevel(low) === 0 || !this.#isEmpty(below)) return false;
    const freed: number[] = [];
    this.#collect(below, freed);
    this.#erase(table, word);
    // Nothing of it can be cached: what was mapped here was flushed when it was unmapped.
    for (const pfn of freed) this.allocator.freePage(pfn);
    return true;
  }

  #isEmpty(table: number): boolean {
    for (let word = 0; word < 1024; word += 2) {
      const low = this.memory.load(table, word);
      if (!isPresent(low)) continue;
      if (nextLevel(low) === 0 || !this.#isEmpty(this.#target(table, word))) return false;
    }
    return true;
  }

  /**
   * Unmaps [page, page + count). Tables that become wholly covered are put on `freed`, to be given
   * back after the TLB was flushed. A large page of which a part would stay is split first. Number
   * of pages that were mapped; -ENOMEM where a split found no memory.
   */
  unmap(page: number, count: number, freed: number[]): number {
    return this.#clear(this.root, this.mode, page, count, freed);
  }

  #clear(table: number, level: number, page: number, count: number, freed: number[]): number {
    const span = spanOf(level);
    let unmapped = 0;
    while (count > 0) {
      const word = wordAt(page, level);
      const inEntry = Math.min(count, span - page % span);
      const low = this.memory.load(table, word);
      if (isPresent(low)) {
        if (inEntry === span && nextLevel(low) === 0) {
          this.#erase(table, word);
          unmapped += span;
        } else {
          if (nextLevel(low) === 0 && !this.#split(table, word, level)) return -ENOMEM;
          const next = this.#target(table, word);
          const below = this.#clear(next, level - 1, page, inEntry, freed);
          if (below < 0) return below;
          unmapped += below;
          if (inEntry === span) {
            this.#erase(table, word);
            this.#collect(next, freed);
          }
        }
      }
      page += inEntry;
      count -= inEntry;
      if (level < this.mode && wordAt(page, level) === 0) break;
    }
    return unmapped;
  }

  /** A table with the same translations in the place of a large page. False without memory. */
  #split(table: number, word: number, level: number): boolean {
    const next = this.allocator.allocPage(FrameUse.iommuTable);
    if (next < 0) return false;
    const first = this.#target(table, word), span = spanOf(level - 1);
    const flags = this.memory.load(table, word + 1) & ~0xfffff;
    for (let i = 0; i < 512; i++) {
      const pfn = first + i * span;
      this.memory.store(next, i * 2 + 1, (pfn >>> 20) | flags);
      this.memory.store(next, i * 2, (pfn << 12) | AMDVI_PTE_PR);
    }
    this.#storeTable(table, word, next, level - 1);
    return true;
  }

  /** Frame of `page`, -1 where nothing is mapped. */
  translate(page: number): number {
    if (page >= 512 ** this.mode) return -1;
    let table = this.root;
    for (let level = this.mode; level >= 1; level--) {
      const word = wordAt(page, level);
      const low = this.memory.load(table, word);
      if (!isPresent(low)) return -1;
      const pfn = this.#target(table, word);
      if (nextLevel(low) === 0) return pfn + page % spanOf(level);
      table = pfn;
    }
    return -1;
  }

  /** Every table, the top one first. */
  tables(): number[] {
    const found: number[] = [];
    this.#collect(this.root, found);
    return found;
  }

  #collect(table: number, into: number[]): void {
    into.push(table);
    for (let word = 0; word < 1024; word += 2) {
      const low = this.memory.load(table, word);
      if (isPresent(low) && nextLevel(low) !== 0) this.#collect(this.#target(table, word), into);
    }
  }
}
