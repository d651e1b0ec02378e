import type { Memory } from "../../../machine/memory.ts";
import { FrameUse } from "../../mm/frames.ts";
import type { PageAllocator } from "../../mm/page_alloc.ts";
import { EEXIST, ENOMEM } from "../../../uapi/errno.ts";
import type { Radix, RadixFormat } from "../compare.ts";

/** Bits of a second-level entry (FACTS 3.2). */
export const DMA_PTE_READ = 1;
export const DMA_PTE_WRITE = 2;
export const DMA_PTE_LARGE = 1 << 7;

/** Second-level entries, for comparing tables. */
const FORMAT: RadixFormat = {
  present: DMA_PTE_READ | DMA_PTE_WRITE,
  permission: DMA_PTE_READ | DMA_PTE_WRITE,
  size: DMA_PTE_LARGE,
  high: 0xfffff,
  leadsOn: (low, level) => level > 1 && (low & DMA_PTE_LARGE) === 0,
};

/** Pages an entry of `level` spans: 1, 512, 512^2, … */
export function levelPages(level: number): number {
  return 512 ** (level - 1);
}

/** Index of `page` in a table of `level`. */
function indexAt(page: number, level: number): number {
  return Math.floor(page / levelPages(level)) & 511;
}

/**
 * Second-level page tables, written by the driver into physical memory. Works on runs: one descent
 * for each table, then a loop over its entries. The hardware's walker is another piece of code;
 * the two share nothing but the memory.
 */
export class DmarPageTable {
  /** Frame of the top table. */
  pgd: number;
  /** Pages the last {@link map} put in place: all of them, or those before it failed. */
  mapped = 0;
  /** Entries stored so far. */
  written = 0;

  /** `levels`: agaw + 2. `superpages`: CAP.SLLPS bits, 1 = 2 MiB, 2 = 1 GiB. */
  constructor(
    readonly memory: Memory,
    readonly allocator: PageAllocator,
    readonly levels: number,
    readonly superpages: number,
    pgd: number,
  ) {
    this.pgd = pgd;
  }

  /**
   * Maps `count` frames from `pfn` at `page` with `prot` (DMA_PTE_READ | DMA_PTE_WRITE), in the
   * largest pages that fit. ENOMEM and EEXIST leave what was mapped before the failure: the caller
   * unmaps the first {@link mapped} pages.
   */
  map(page: number, pfn: number, count: number, prot: number): number {
    this.mapped = 0;
    while (count > 0) {
      const level = this.#largestLevel(page, pfn, count);
      const table = this.#descend(page, level);
      if (table < 0) return table;
      const span = levelPages(level);
      const index = indexAt(page, level);
      // As many entries as this table still holds.
      const entries = Math.min(512 - index, Math.floor(count / span));
      const filled = this.#fill(table, index, entries, pfn, span, level, prot);
      const done = span * filled;
      this.written += filled;
      this.mapped += done;
      if (done < entries * span) return -EEXIST;
      page += done;
      pfn += done;
      count -= done;
    }
    return 0;
  }

  #largestLevel(page: number, pfn: number, count: number): number {
    let level = 1;
    while (level < 3 && level < this.levels && (this.superpages & (1 << (level - 1))) !== 0) {
      const span = levelPages(level + 1);
      if (count < span || page % span !== 0 || pfn % span !== 0) break;
      level++;
    }
    return level;
  }

  /** The table of `level` that covers `page`, made where missing; -ENOMEM, -EEXIST. */
  #descend(page: number, level: number): number {
    let table = this.pgd;
    for (let at = this.levels; at > level; at--) {
      const word = indexAt(page, at) * 2;
      const lo = this.memory.load(table, word);
      if ((lo & (DMA_PTE_READ | DMA_PTE_WRITE)) === 0) {
        const next = this.allocator.allocPage(FrameUse.iommuTable);
        if (next < 0) return -ENOMEM;
        this.memory.store(table, word + 1, next >>> 20);
        this.memory.store(table, word, (next << 12) | DMA_PTE_READ | DMA_PTE_WRITE);
        this.written++;
        table = next;
      } else {
        if (lo & DMA_PTE_LARGE) return -EEXIST;
        table = (this.memory.load(table, word + 1) << 20) | (lo >>> 12);
      }
    }
    return table;
  }

  /** Writes leaf entries as far as nothing is mapped there; how many. */
  #fill(
    table: number,
    index: number,
    entries: number,
    pfn: number,
    span: number,
    level: number,
    prot: number,
  ): number {
    const chunk = this.memory.writable(table);
    let at = this.memory.base(table) + index * 2;
    const flags = prot | (level > 1 ? DMA_PTE_LARGE : 0);
    for (let i = 0; i < entries; i++, at += 2, pfn += span) {
      const old = chunk[at] | 0;
      if ((old & (DMA_PTE_READ | DMA_PTE_WRITE)) !== 0) {
        // A superpage may take the place of a table that unmapping left empty.
        if (level === 1 || old & DMA_PTE_LARGE) return i;
        const below = (chunk[at + 1] << 20) | (old >>> 12);
        if (!this.#isEmpty(below, level - 1)) return i;
        this.#freeSubtree(below, level - 1);
      }
      chunk[at] = (pfn << 12) | flags;
      chunk[at + 1] = pfn >>> 20;
    }
    return entries;
  }

  /** True when no leaf is left below a table of `level`. */
  #isEmpty(table: number, level: number): boolean {
    for (let word = 0; word < 1024; word += 2) {
      const lo = this.memory.load(table, word);
      if ((lo & 3) === 0) continue;
      if (level === 1 || lo & DMA_PTE_LARGE) return false;
      const below = (this.memory.load(table, word + 1) << 20) | (lo >>> 12);
      if (!this.#isEmpty(below, level - 1)) return false;
    }
    return true;
  }

  /**
   * Unmaps [page, page + count). Tables that become wholly covered are put on `freed`, to be
   * given back after the IOTLB flush. Number of pages that were mapped.
   */
  unmap(page: number, count: number, freed: number[]): number {
    return this.#clear(this.pgd, this.levels, page, count, freed);
  }

  #clear(table: number, level: number, page: number, count: number, freed: number[]): number {
    const span = levelPages(level);
    let unmapped = 0;
    while (count > 0) {
      const index = indexAt(page, level);
      const inEntry = Math.min(count, span - page % span);
      const word = index * 2;
      const lo = this.memory.load(table, word);
      if ((lo & 3) !== 0) {
        if (level === 1 || lo & DMA_PTE_LARGE) {
          this.memory.store(table, word, 0);
          this.memory.store(table, word + 1, 0);
          unmapped += span;
        } else {
          const next = (this.memory.load(table, word + 1) << 20) | (lo >>> 12);
          unmapped += this.#clear(next, level - 1, page, inEntry, freed);
          if (inEntry === span) {
            this.memory.store(table, word, 0);
            this.memory.store(table, word + 1, 0);
            this.#collect(next, level - 1, freed);
          }
        }
      }
      page += inEntry;
      count -= inEntry;
      if (indexAt(page, level) === 0) break;
    }
    return unmapped;
  }

  /** Frame of `page`, -1 where nothing is mapped. */
  translate(page: number): number {
    let table = this.pgd;
    for (let level = this.levels; level >= 1; level--) {
      const word = indexAt(page, level) * 2;
      const lo = this.memory.load(table, word);
      if ((lo & 3) === 0) return -1;
      const pfn = (this.memory.load(table, word + 1) << 20) | (lo >>> 12);
      if (level === 1) return pfn;
      if (lo & DMA_PTE_LARGE) return pfn + page % levelPages(level);
      table = pfn;
    }
    return -1;
  }

  get radix(): Radix {
    return { format: FORMAT, root: this.pgd, rootPages: 1, levels: this.levels };
  }

  /** Every table, the top one first. */
  tables(): number[] {
    const found: number[] = [];
    this.#collect(this.pgd, this.levels, found);
    return found;
  }

  #collect(table: number, level: number, into: number[]): void {
    into.push(table);
    if (level === 1) return;
    for (let word = 0; word < 1024; word += 2) {
      const lo = this.memory.load(table, word);
      if ((lo & 3) === 0 || lo & DMA_PTE_LARGE) continue;
      this.#collect((this.memory.load(table, word + 1) << 20) | (lo >>> 12), level - 1, into);
    }
  }

  #freeSubtree(table: number, level: number): void {
    const found: number[] = [];
    this.#collect(table, level, found);
    for (const pfn of found) this.allocator.freePage(pfn);
  }
}
