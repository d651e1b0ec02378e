import { type Memory, WIDE_UNIT } from "../../machine/memory.ts";
import { differingBits } from "../../machine/rows.ts";

/** What of an entry matters, in the format of one kind of page table. */
export interface RadixFormat {
  /** Any of these bits of the low word: the entry leads somewhere. */
  readonly present: number;
  /** Bits of the low word that a leaf must have the same, beside its address: permissions. */
  readonly permission: number;
  /** The bit by which, above the last level, a leaf is told from a pointer. */
  readonly size: number;
  /** Bits of the high word that are address. */
  readonly high: number;
  /** An entry of this low word leads to a table. `level`: 1 for entries of 4 KiB pages. */
  leadsOn(low: number, level: number): boolean;
  /** Low bits of an entry that leads to a table. */
  readonly pointer: number;
  /** Low bits of a leaf, as they are at another level. */
  leafAt(low: number, level: number): number;
  /** Low bits that hardware sets in a leaf: accessed, dirty. */
  readonly noted: number;
}

/** One radix tree in memory. */
export interface Radix {
  readonly format: RadixFormat;
  /** Frame of the top table. */
  readonly root: number;
  /** Pages of the top table, side by side. */
  readonly rootPages: number;
  readonly levels: number;
}

/** In what two trees differ first. */
export type Difference =
  | "address"
  | "permission"
  | "page size"
  | "not mapped any more"
  | "not mapped before"
  | "table pointer"
  | "number of levels";

export interface Comparison {
  /** Undefined: every IOVA leads to the same place, with the same size and permissions. */
  readonly difference: Difference | undefined;
  /** First page that differs, -1: none. */
  readonly page: number;
  /** Leaf entries that were looked at, pairs. */
  readonly leaves: number;
  /** Entries that lead to tables, pairs. */
  readonly pointers: number;
}

/**
 * Compares an old tree with a new one, leaf by leaf (seed lines 2641-2648): address, size and
 * permission. Where a table lies does not matter, nor do accessed and dirty bits. `owned`: a table of
 * the old tree may be read: it is one that was handed over. `sizesCount`: false where only what an
 * IOVA leads to has to be the same, be it in small pages here and in a large one there.
 */
export function compareRadix(
  memory: Memory,
  old: Radix,
  fresh: Radix,
  owned: (pfn: number) => boolean,
  sizesCount = true,
): Comparison {
  const comparer = new Comparer(memory, old.format, owned, sizesCount);
  if (old.levels !== fresh.levels || old.rootPages !== fresh.rootPages) {
    return { difference: "number of levels", page: 0, leaves: 0, pointers: 0 };
  }
  for (let i = 0; i < old.rootPages && comparer.page < 0; i++) {
    const first = i * 512 * 512 ** (old.levels - 1);
    comparer.tables(old.root + i, fresh.root + i, old.levels, first);
  }
  const { difference, page, leaves, pointers } = comparer;
  return { difference, page, leaves, pointers };
}

/** Low bits of an entry that are no address: what kind of entry it is, they say alone. */
const BESIDE = 0xfff;
/** A table that was never written to. */
const NOTHING = new Uint32Array(1024);

class Comparer {
  difference: Difference | undefined;
  page = -1;
  leaves = 0;
  pointers = 0;
  readonly #memory: Memory;
  readonly #format: RadixFormat;
  readonly #owned: (pfn: number) => boolean;
  readonly #sizesCount: boolean;

  constructor(
    memory: Memory,
    format: RadixFormat,
    owned: (pfn: number) => boolean,
    sizesCount: boolean,
  ) {
    this.#memory = memory;
    this.#format = format;
    this.#owned = owned;
    this.#sizesCount = sizesCount;
  }

  #differ(difference: Difference, page: number): false {
    this.difference = difference;
    this.page = page;
    return false;
  }

  /** Compares two tables of a level; `first`: page of their first entry. False at a difference. */
  tables(old: number, fresh: number, level: number, first: number): boolean {
    if (!this.#mayRead(old)) return this.#differ("table pointer", first);
    return level === 1 ? this.#leaves(old, fresh, first) : this.#upper(old, fresh, level, first);
  }

  /** A table of the old tree can be followed. */
  #mayRead(old: number): boolean {
    return this.#memory.isRam(old) && this.#owned(old);
  }

  /** The loop that counts: nothing is called, nothing is made. */
  #leaves(old: number, fresh: number, first: number): boolean {
    const a = this.#memory.readable(old), b = this.#memory.readable(fresh);
    if (a === undefined || b === undefined) return a === b || this.#differ("table pointer", first);
    const { present, permission, high } = this.#format;
    if (isSameTable(this.#memory, old, fresh)) {
      this.leaves += countPresent(a, this.#memory.base(old), present);
      return true;
    }
    const low = -4096 | permission | present;
    let i = this.#memory.base(old), j = this.#memory.base(fresh), leaves = 0;
    for (let index = 0; index < 512; index++, i += 2, j += 2) {
      const x = a[i], y = b[j];
      if (((x | y) & present) === 0) continue;
      leaves++;
      if ((((x ^ y) & low) | ((a[i + 1] ^ b[j + 1]) & high)) === 0) continue;
      this.leaves += leaves;
      return this.#name(x, y, first + index);
    }
    this.leaves += leaves;
    return true;
  }

  #upper(old: number, fresh: number, level: number, first: number): boolean {
    if (this.#areLeaves(old, level) && isSameTable(this.#memory, old, fresh)) {
      this.leaves += 512;
      return true;
    }
    const memory = this.#memory, { present } = this.#format, span = 512 ** (level - 1);
    const a = memory.readable(old) ?? NOTHING, b = memory.readable(fresh) ?? NOTHING;
    const base = a === NOTHING ? 0 : memory.base(old),
      other = b === NOTHING ? 0 : memory.base(fresh);
    for (let word = 0, page = first; word < 1024; word += 2, page += span) {
      if (((a[base | word] | b[other | word]) & present) === 0) continue;
      if (!this.#pair(old, fresh, word, level, page)) return false;
    }
    return true;
  }

  /** Every entry of a table is a leaf, as what they have beside their addresses says at once. */
  #areLeaves(table: number, level: number): boolean {
    const words = this.#memory.readable(table);
    if (words === undefined) return false;
    const base = this.#memory.base(table), low = words[base];
    if ((low & this.#format.present) === 0 || this.#format.leadsOn(low, level)) return false;
    return (differingBits(words, base) & BESIDE) === 0;
  }

  /** Compares the entries at a word of two tables of level 2 and up. */
  #pair(old: number, fresh: number, word: number, level: number, page: number): boolean {
    const memory = this.#memory, format = this.#format;
    const x = memory.load(old, word), y = memory.load(fresh, word);
    if ((x & y & format.present) === 0 && !this.#emptyBeside(x, y, old, fresh, word, level)) {
      return this.#name(x, y, page);
    }
    if (((x & format.present) === 0) || ((y & format.present) === 0)) return true;
    const xHigh = memory.load(old, word + 1) & format.high;
    const yHigh = memory.load(fresh, word + 1) & format.high;
    const xLeads = format.leadsOn(x, level), yLeads = format.leadsOn(y, level);
    if (xLeads || yLeads) {
      this.pointers++;
      const below = xHigh << 20 | x >>> 12, beside = yHigh << 20 | y >>> 12;
      if (xLeads && yLeads) return this.tables(below, beside, level - 1, page);
      if (this.#sizesCount) return this.#differ("page size", page);
      if (!xLeads) return this.#split(beside, below, x, level - 1, page, false);
      if (!this.#mayRead(below)) return this.#differ("table pointer", page);
      return this.#split(below, beside, y, level - 1, page, true);
    }
    this.leaves++;
    const differs = (x ^ y) & (-4096 | format.permission | format.present);
    return (differs === 0 && xHigh === yHigh) || this.#name(x, y, page);
  }

  /**
   * Compares a table of a level with the large page the other tree has there: the page of frame `pfn`
   * and what permits its entry, of low word `large`. `old`: the table is of the old tree.
   */
  #split(
    table: number,
    pfn: number,
    large: number,
    level: number,
    first: number,
    old: boolean,
  ): boolean {
    const memory = this.#memory, { present, permission, high } = this.#format;
    const bits = present | permission, span = 512 ** (level - 1);
    // As a rule they are so many frames in a row: then the first one stands for all.
    const entries = level === 1 && isRun(memory, table) ? 1 : 512;
    for (let index = 0; index < entries; index++) {
      const low = memory.load(table, index * 2), top = memory.load(table, index * 2 + 1) & high;
      const leadsTo = top << 20 | low >>> 12, wanted = pfn + index * span;
      const page = first + index * span;
      if ((low & present) !== 0 && this.#format.leadsOn(low, level)) {
        this.pointers++;
        if (old && !this.#mayRead(leadsTo)) return this.#differ("table pointer", page);
        if (!this.#split(leadsTo, wanted, large, level - 1, page, old)) return false;
        continue;
      }
      this.leaves++;
      if (leadsTo === wanted && ((low ^ large) & bits) === 0) continue;
      const beside = wanted << 12 | large & bits;
      return old ? this.#name(low, beside, page) : this.#name(beside, low, page);
    }
    if (entries === 1) this.leaves += 511;
    return true;
  }

  /** One side leads to a table without a leaf, as unmapping leaves them, the other to nothing. */
  #emptyBeside(
    x: number,
    y: number,
    old: number,
    fresh: number,
    word: number,
    level: number,
  ): boolean {
    const here = (x & this.#format.present) !== 0;
    return this.#isEmpty(here ? old : fresh, here ? x : y, word, level, here);
  }

  #isEmpty(table: number, low: number, word: number, level: number, old: boolean): boolean {
    const memory = this.#memory, format = this.#format;
    if (!format.leadsOn(low, level)) return false;
    const below = (memory.load(table, word + 1) & format.high) << 20 | low >>> 12;
    if (!memory.isRam(below) || (old && !this.#owned(below))) return false;
    for (let at = 0; at < 1024; at += 2) {
      const entry = memory.load(below, at);
      if ((entry & format.present) === 0) continue;
      if (level === 2 || !this.#isEmpty(below, entry, at, level - 1, old)) return false;
    }
    return true;
  }

  /** Says what is different about two entries of the same place. */
  #name(old: number, fresh: number, page: number): false {
    const { present, permission } = this.#format;
    if ((fresh & present) === 0) return this.#differ("not mapped any more", page);
    if ((old & present) === 0) return this.#differ("not mapped before", page);
    const moved = ((old ^ fresh) & -4096) !== 0;
    const bits = permission | present;
    return this.#differ(
      !moved && ((old ^ fresh) & bits) !== 0 ? "permission" : "address",
      page,
    );
  }
}

/** True where two tables are the same bit by bit; false where that cannot be told so quickly. */
function isSameTable(memory: Memory, a: number, b: number): boolean {
  const one = memory.readableWide(a), two = memory.readableWide(b);
  if (one === undefined || two === undefined) return false;
  const base = memory.wideBase(a), other = memory.wideBase(b);
  for (let i = 0; i < 512; i += 8) {
    const at = base + i, to = other + i;
    if (
      one[at] !== two[to] || one[at + 1] !== two[to + 1] || one[at + 2] !== two[to + 2] ||
      one[at + 3] !== two[to + 3] || one[at + 4] !== two[to + 4] || one[at + 5] !== two[to + 5] ||
      one[at + 6] !== two[to + 6] || one[at + 7] !== two[to + 7]
    ) return false;
  }
  return true;
}

/** True where a table's entries are the same but for their addresses, which are those of 512 frames in a row. */
function isRun(memory: Memory, table: number): boolean {
  const words = memory.readableWide(table);
  if (words === undefined) return false;
  const base = memory.wideBase(table), end = base + 512, page = 4096 * WIDE_UNIT;
  let want = words[base];
  // A value beyond 52 bits would swallow what is added to it.
  if (!(want >= 0 && want < 2 ** 52 * WIDE_UNIT - 512 * page)) return false;
  for (let at = base; at < end; at += 8, want += 8 * page) {
    if (
      words[at] !== want || words[at + 1] !== want + page || words[at + 2] !== want + 2 * page ||
      words[at + 3] !== want + 3 * page || words[at + 4] !== want + 4 * page ||
      words[at + 5] !== want + 5 * page || words[at + 6] !== want + 6 * page ||
      words[at + 7] !== want + 7 * page
    ) return false;
  }
  return true;
}

/** Entries of a table, from word `base` on, that lead somewhere. */
function countPresent(words: Uint32Array, base: number, present: number): number {
  // As a rule all of them do, in the same way: that is soon seen.
  let common = present;
  for (let at = base; at < base + 1024; at += 2) common &= words[at];
  if (common !== 0) return 512;
  let count = 0;
  for (let at = base; at < base + 1024; at += 2) if ((words[at] & present) !== 0) count++;
  return count;
}
