import { type Memory, WIDE_UNIT } from "../../../machine/memory.ts";
import { allHave, fillEmptyRow, fillRow } from "../../../machine/rows.ts";
import { FrameUse } from "../../mm/frames.ts";
import type { PageAllocator } from "../../mm/page_alloc.ts";
import { EEXIST, ENOMEM } from "../../../uapi/errno.ts";
import type { Radix, RadixFormat } from "../compare.ts";
import { resize, type Resized, type SizeChange } from "../resize.ts";

/** Bits of a second-level entry (FACTS 3.2). */
export const DMA_PTE_READ = 1;
export const DMA_PTE_WRITE = 2;
export const DMA_PTE_LARGE = 1 << 7;
const DMA_PTE_ACCESSED = 1 << 8;
const DMA_PTE_DIRTY = 1 << 9;

/** Present: it grants something. */
const MAPPED = DMA_PTE_READ | DMA_PTE_WRITE;

/** By level: what is between the entries of neighbouring pages. */
const ENTRY_STEP = [0, 2 ** 12 * WIDE_UNIT, 2 ** 21 * WIDE_UNIT, 2 ** 30 * WIDE_UNIT];
/** Second-level entries, for comparing tables. */
const FORMAT: RadixFormat = {
  present: DMA_PTE_READ | DMA_PTE_WRITE,
  permission: DMA_PTE_READ | DMA_PTE_WRITE,
  size: DMA_PTE_LARGE,
  high: 0xfffff,
  leadsOn: (low, level) => level > 1 && (low & DMA_PTE_LARGE) === 0,
  pointer: DMA_PTE_READ | DMA_PTE_WRITE,
  leafAt: (low, level) => (low & 0xfff & ~DMA_PTE_LARGE) | (level > 1 ? DMA_PTE_LARGE : 0),
  noted: DMA_PTE_ACCESSED | DMA_PTE_DIRTY,
};

/** Pages an entry of `level` spans: 1, 512, 512^2, … */
export function levelPages(level: number): number {
  return level <= 3 ? 1 << (9 * (level - 1)) : 512 ** (level - 1);
}

/** The lower part of a page number; both parts with all bits set. */
const LOW_PART = 0x3ffff;
const ALL = -1;

/** Index of a page in a table of `level`: `high` and `low` are its number in two parts of 18 bits. */
function indexOf(high: number, low: number, level: number): number {
  return (level > 2 ? high >>> (9 * (level - 3)) : low >>> (9 * (level - 1))) & 511;
}

/** The upper part of a page number: bits 18 and up, all that counts for levels 3 to 5. */
function highPart(page: number): number {
  return (page * 2 ** -18) | 0;
}

/** The lower part of a page number: bits 0 to 17. */
function lowPart(page: number): number {
  return page & LOW_PART;
}

/** True where a page is not the first one under an entry of `level` (2 and up). */
function isInside(high: number, low: number, level: number): boolean {
  return level === 2
    ? (low & 511) !== 0
    : (low & LOW_PART) !== 0 || (high & ((1 << (9 * (level - 3))) - 1)) !== 0;
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
  /** The table of single pages that was written last, and which 512 pages it is for. */
  #leafTable = -1;
  #leafHigh = -1;
  #leafLow = -1;
  /** The table that {@link #tableFor} found was made just then: nothing is mapped in it. */
  #isFresh = false;
  /** Entries stored so far. */
  written = 0;

  /** `levels`: agaw + 2. `superpages`: CAP.SLLPS bits, 1 = 2 MiB, 2 = 1 GiB. */
  constructor(
    readonly memory: Memory,
    readonly allocator: PageAllocator,
    readonly levels: number,
    public superpages: number,
    pgd: number,
  ) {
    this.pgd = pgd;
  }

  /**
   * Maps `count` frames from `pfn` at `page` with `prot` (DMA_PTE_READ | DMA_PTE_WRITE), in the
   * largest pages that fit, or `single` ones. ENOMEM and EEXIST leave what was mapped before the failure: the caller
   * unmaps the first {@link mapped} pages.
   */
  map(page: number, pfn: number, count: number, prot: number, single = false): number {
    if (count === 1) return this.#mapOne(page, pfn, prot);
    this.mapped = 0;
    while (count > 0) {
      const level = single || count < 512 ? 1 : this.#largestLevel(page, pfn, count);
      const high = highPart(page), low = lowPart(page);
      const table = this.#tableFor(high, low, level);
      if (table < 0) return table;
      const span = levelPages(level);
      const index = indexOf(high, low, level);
      // As many entries as this table still holds.
      const room = 512 - index;
      const entries = count >= room * span ? room : Math.floor(count / span);
      const filled = this.#fill(table, index, entries, pfn, level, prot);
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

  #mapOne(page: number, pfn: number, prot: number): number {
    this.mapped = 0;
    const low = lowPart(page);
    const table = this.#tableFor(highPart(page), low, 1);
    if (table < 0) return table;
    const words = this.memory.writable(table);
    const at = this.memory.base(table) | ((low & 511) << 1);
    if ((words[at] & MAPPED) !== 0) return -EEXIST;
    words[at | 1] = pfn >>> 20;
    words[at] = (pfn << 12) | prot;
    this.mapped = 1;
    this.written++;
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

  /** The table of `level` that covers a page, made where missing; -ENOMEM, -EEXIST. */
  #tableFor(high: number, low: number, level: number): number {
    this.#isFresh = false;
    if (level > 1) return this.#descend(high, low, level);
    // Mapping page after page stays in one table for 512 pages.
    if (this.#leafTable >= 0 && this.#leafLow === low >>> 9 && this.#leafHigh === high) {
      return this.#leafTable;
    }
    const table = this.#descend(high, low, 1);
    this.#leafTable = table;
    this.#leafHigh = high;
    this.#leafLow = low >>> 9;
    return table;
  }

  #descend(high: number, low: number, level: number): number {
    const memory = this.memory;
    let table = this.pgd;
    for (let at = this.levels; at > level; at--) {
      const word = indexOf(high, low, at) << 1;
      const entry = memory.load(table, word);
      if ((entry & MAPPED) === 0) {
        const next = this.allocator.allocPage(FrameUse.iommuTable);
        if (next < 0) return -ENOMEM;
        memory.store(table, word + 1, next >>> 20);
        memory.store(table, word, (next << 12) | DMA_PTE_READ | DMA_PTE_WRITE);
        this.written++;
        table = next;
        this.#isFresh = true;
      } else {
        if (entry & DMA_PTE_LARGE) return -EEXIST;
        table = (memory.load(table, word + 1) << 20) | (entry >>> 12);
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
    level: number,
    prot: number,
  ): number {
    const wide = this.memory.writableWide(table);
    const base = this.memory.wideBase(table), end = base + index + entries;
    const entry = (pfn * 4096 + (prot | (level > 1 ? DMA_PTE_LARGE : 0))) * WIDE_UNIT;
    const step = ENTRY_STEP[level];
    if (this.#isFresh) {
      fillRow(wide, base + index, end, entry, step);
      return entries;
    }
    let at = fillEmptyRow(wide, base + index, end, entry, step);
    while (at < end && this.#giveWay(table, at - base, level)) {
      at = fillEmptyRow(wide, at, end, entry + (at - base - index) * step, step);
    }
    return at - base - index;
  }

  /** Empties an entry that maps nothing, though it is not zero. False when it maps something. */
  #giveWay(table: number, index: number, level: number): boolean {
    const low = this.memory.load(table, index * 2);
    if ((low & MAPPED) !== 0) {
      // A superpage may take the place of a table that unmapping left empty.
      if (level === 1 || low & DMA_PTE_LARGE) return false;
      const below = (this.memory.load(table, index * 2 + 1) << 20) | (low >>> 12);
      if (!this.#isEmpty(below, level - 1)) return false;
      this.#freeSubtree(below, level - 1);
    }
    this.memory.store(table, index * 2, 0);
    this.memory.store(table, index * 2 + 1, 0);
    return true;
  }

  /** True when no leaf is left below a table of `level`. */
  #isEmpty(table: number, level: number): boolean {
    for (let word = 0; word < 1024; word += 2) {
      const lo = this.memory.load(table, word);
      if ((lo & MAPPED) === 0) continue;
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
    this.#leafTable = -1;
    const last = Math.min(page + count, levelPages(this.levels + 1)) - 1;
    if (last < page) return 0;
    const [high, highest] = [highPart(page), highPart(last)];
    return this.#clear(this.pgd, this.levels, high, lowPart(page), highest, lowPart(last), freed);
  }

  /**
   * Pages from (`high`, `low`) to the last one (`highest`, `lowest`), as far as they lie in a table of
   * `level` 2 and up: (0, 0) and (ALL, ALL) are its first and its last.
   */
  #clear(
    table: number,
    level: number,
    high: number,
    low: number,
    highest: number,
    lowest: number,
    freed: number[],
  ): number {
    const words = this.memory.writable(table), base = this.memory.base(table);
    const first = base | (indexOf(high, low, level) << 1);
    const last = base | (indexOf(highest, lowest, level) << 1);
    let leaves = 0, unmapped = 0;
    for (let at = first; at <= last; at += 2) {
      const entry = words[at] | 0;
      if ((entry & MAPPED) === 0) continue;
      let whole = true;
      if ((entry & DMA_PTE_LARGE) !== 0) leaves++;
      else {
        const next = (words[at | 1] << 20) | (entry >>> 12);
        const h = at === first ? high : 0, l = at === first ? low : 0;
        const hh = at === last ? highest : ALL, ll = at === last ? lowest : ALL;
        unmapped += level === 2
          ? this.#clearLeaves(next, l & 511, ll & 511)
          : this.#clear(next, level - 1, h, l, hh, ll, freed);
        whole = !isInside(h, l, level) && !isInside(~hh, ~ll, level);
        if (whole) freed.push(next);
      }
      if (whole) words[at] = words[at | 1] = 0;
    }
    return unmapped + leaves * levelPages(level);
  }

  /** Clears the entries from `first` to `last` of a table of single pages; how many were mapped. */
  #clearLeaves(table: number, first: number, last: number): number {
    const words = this.memory.writable(table), base = this.memory.base(table);
    const at = base | (first << 1), end = base + (last << 1) + 2;
    const unmapped = countMapped(words, at, end);
    this.memory.writableWide(table).fill(0, at >> 1, end >> 1);
    return unmapped;
  }

  /** Frame of `page`, -1 where nothing is mapped. */
  translate(page: number): number {
    const high = highPart(page), low = lowPart(page);
    let table = this.pgd;
    for (let level = this.levels; level >= 1; level--) {
      const word = indexOf(high, low, level) << 1;
      const lo = this.memory.load(table, word);
      if ((lo & MAPPED) === 0) return -1;
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

  /** Brings every page to the largest size there may be from now on; see {@link resize}. */
  limit(superpages: number, change: SizeChange): Resized | number {
    this.#leafTable = -1;
    const largest = superpages & 2 ? levelPages(3) : superpages & 1 ? levelPages(2) : 1;
    const done = resize(this.memory, this.allocator, this.radix, largest, change);
    if (typeof done !== "number") this.superpages = superpages;
    return done;
  }

  /** Every table, the top one first. */
  tables(): number[] {
    return this.#tablesBelow(this.pgd, this.levels);
  }

  #tablesBelow(table: number, level: number): number[] {
    const count = this.#collect(table, level, 0);
    const found = new Array<number>(count);
    for (let i = 0; i < count; i++) found[i] = collected[i];
    return found;
  }

  /** Puts a table and all below it into {@link collected}, from `count` on; how many are there then. */
  #collect(table: number, level: number, count: number): number {
    if (count + 513 > collected.length) collected = doubled(collected);
    const into = collected, words = this.memory.readable(table);
    into[count++] = table;
    if (level === 1 || words === undefined) return count;
    const base = this.memory.base(table);
    // Full of large pages: no table is below it.
    if (allHave(words, base, DMA_PTE_LARGE)) return count;
    for (let at = base; at < base + 1024; at += 2) {
      const entry = words[at] | 0;
      if ((entry & MAPPED) === 0 || (entry & DMA_PTE_LARGE) !== 0) continue;
      const next = (words[at | 1] << 20) | (entry >>> 12);
      if (level === 2) into[count++] = next;
      else count = this.#collect(next, level - 1, count);
    }
    return count;
  }

  #freeSubtree(table: number, level: number): void {
    this.#leafTable = -1;
    for (const pfn of this.#tablesBelow(table, level)) this.allocator.freePage(pfn);
  }
}

/** Table pages as they are found. */
let collected = new Int32Array(1024);

function doubled(list: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(list.length * 2);
  longer.set(list);
  return longer;
}

/** Entries between two words that map something. */
function countMapped(words: Uint32Array, at: number, end: number): number {
  // As a rule all of them do, with the same rights: that is soon seen.
  let common = MAPPED;
  for (let i = at; i < end; i += 2) common &= words[i];
  if (common !== 0) return (end - at) >> 1;
  let count = 0;
  for (let i = at; i < end; i += 2) if ((words[i] & MAPPED) !== 0) count++;
  return count;
}
