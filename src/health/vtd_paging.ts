import { PAGE_SIZE } from "../base/units.ts";
import type { Memory } from "../machine/memory.ts";
import { allHave, valuesInARow } from "../machine/rows.ts";
import type { VtdUnit } from "../machine/vtd/unit.ts";
import { holeEnd, type TreeShape } from "./same_tables.ts";
import {
  type Found,
  type FoundTable,
  type LeafVisitor,
  type TableSet,
  Walked,
} from "./translation.ts";

/** Page tables of a VT-d unit, of either kind, read word by word (FACTS 3.2). */
export interface Paging {
  /** Frame of the top table. */
  readonly root: number;
  /** Levels of table, 3 to 5. */
  readonly levels: number;
  /** Entries are those of the processor (first level), not the IOMMU's own (second level). */
  readonly first: boolean;
  /** Hardware notes a write in the leaf's dirty bit. */
  readonly noting: boolean;
  /** Second-level tables that every address in first-level ones goes through (nested). */
  readonly under?: Paging;
}

/** Second level: R, W; D. First level: P, RW, US; A, D. Both: PS. */
const READ_WRITE = 3, SL_DIRTY = 0x200, SNOOP = 0x800;
const PRESENT = 1, FL_WRITE = 2, USER = 4, FL_ACCESSED = 0x20, FL_DIRTY = 0x40;
const LARGE = 0x80;

/** Frame in bits 12-51 of an entry, given as two words. */
export function frameIn(lo: number, hi: number): number {
  return ((hi & 0xfffff) << 20) | (lo >>> 12);
}

/** The same of the entry at a word. */
export function pointer(memory: Memory, pfn: number, word: number): number {
  return frameIn(memory.load(pfn, word), memory.load(pfn, word + 1));
}

/** Bits of an entry's high word that are reserved up to bit `top` of it, by the host's width. */
export function reservedHigh(unit: VtdUnit, top: number): number {
  return (-1 << (unit.capability.hostWidth - 32)) & (top >= 31 ? -1 : (2 << top) - 1);
}

/**
 * Where the next entry is that has one of the bits, from index `at` of a chunk's words on; `end`: there
 * is none. `size`: words of an entry. By itself it is compiled well, in what walks the tables it is not.
 */
export function nextEntry(
  words: Uint32Array,
  at: number,
  end: number,
  bits: number,
  size = 2,
): number {
  // Four by four, as long as there are four that have none.
  const two = size + size, three = two + size;
  while (
    at + three < end &&
    ((words[at] | words[at + size] | words[at + two] | words[at + three]) & bits) === 0
  ) at += two + two;
  while (at < end && (words[at] & bits) === 0) at += size;
  return at;
}

/** Every table below and including the top one, as far as hardware would walk. */
export function collect(memory: Memory, unit: VtdUnit, paging: Paging, into: TableSet): void {
  if (paging.under !== undefined) return collectNested(memory, unit, paging, into);
  const present = paging.first ? PRESENT : READ_WRITE;
  collectBelow(
    { memory, present, reserved: reservedHigh(unit, 19), into },
    paging.root,
    paging.levels,
  );
}

interface Collecting {
  readonly memory: Memory;
  readonly present: number;
  readonly reserved: number;
  readonly into: TableSet;
}

function collectBelow(how: Collecting, table: number, level: number): void {
  const { memory, present, reserved, into } = how;
  if (table < 0 || !memory.isRam(table)) return;
  into.add(table);
  const words = memory.readable(table), base = memory.base(table);
  if (level === 1 || !into.first(table, level) || words === undefined) return;
  // Full of large pages: no table is below it.
  if (allHave(words, base, LARGE)) return;
  for (let at = base; (at = nextEntry(words, at, base + 1024, present)) < base + 1024; at += 2) {
    const lo = words[at] | 0, hi = words[at | 1] | 0;
    if ((lo & LARGE) !== 0 || (hi & reserved) !== 0) continue;
    collectBelow(how, frameIn(lo, hi), level - 1);
  }
}

/**
 * The frames that nested first-level tables lie in. They are a guest's, who may let one table stand
 * in several places.
 */
function collectNested(
  memory: Memory,
  unit: VtdUnit,
  paging: Paging,
  into: TableSet,
): void {
  const reserved = reservedHigh(unit, 19), seen = new Set<number>();
  const walk = (guest: number, level: number): void => {
    const table = frameOf(memory, unit, paging, guest), key = table * 8 + level;
    if (table < 0 || seen.has(key)) return;
    seen.add(key);
    if (!into.tables.has(table)) {
      into.add(table);
      into.guests.add(table);
    }
    for (let word = 0; level > 1 && word < 1024; word += 2) {
      const lo = memory.load(table, word);
      if ((lo & PRESENT) === 0 || (lo & LARGE) !== 0) continue;
      if ((memory.load(table, word + 1) & reserved) !== 0) continue;
      walk(pointer(memory, table, word), level - 1);
    }
  };
  walk(paging.root, paging.levels);
}

/** Frame in which a table lies that an entry or a pointer names; -1 where hardware cannot read it. */
function frameOf(memory: Memory, unit: VtdUnit, { under }: Paging, table: number): number {
  const found = under === undefined ? undefined : secondLevel(memory, unit, under, table);
  const pfn = under === undefined ? table : found?.read ? found.pfn : -1;
  return memory.isRam(pfn) ? pfn : -1;
}

/** Where the hole around a page ends. */
export function holeAround(memory: Memory, unit: VtdUnit, paging: Paging, page: number): number {
  // What second-level tables leave out of a first-level page may be a part of it.
  const nested = paging.under !== undefined && isCanonical(page, paging.levels);
  if (nested && firstLevel(memory, unit, paging, page) !== undefined) return page + 1;
  return holeEnd(memory, treeOf(memory, unit, paging), page);
}

/** Entries that lead to memory; see {@link UnitReader.eachLeaf}. */
export function eachLeaf(
  memory: Memory,
  unit: VtdUnit,
  paging: Paging,
  visit: LeafVisitor,
): void {
  const present = paging.first ? PRESENT : READ_WRITE, walked = new Walked();
  const { under } = paging;
  const through = under === undefined ? visit : throughSecond(memory, unit, under, visit);
  const walk = (pointed: number, level: number, base: number): void => {
    const table = frameOf(memory, unit, paging, pointed);
    if (table < 0 || !walked.first(table, level)) return;
    const words = memory.readable(table);
    if (words === undefined) return;
    const first = memory.base(table), end = first + 1024, span = 512 ** (level - 1);
    for (
      let at = first, n = 1;
      (at = nextEntry(words, at, end, present)) < end;
      at += 2 * n, n = 1
    ) {
      const i = (at - first) / 2, lo = words[at];
      const pfn = frameIn(lo, words[at + 1]);
      if (level > 1 && (lo & LARGE) === 0) {
        walk(pfn, level - 1, base + i * span);
        continue;
      }
      // What a guest's pages are made of is looked at page by page.
      if (under === undefined) n = valuesInARow(memory, table, i, span * PAGE_SIZE);
      through(base + i * span, pfn, n * span);
    }
  };
  walk(paging.root, paging.levels, 0);
}

/** Pages from one on that lie in its entry or in neighbours that say the same, frame after frame. */
export function run(memory: Memory, paging: Paging, page: number): number {
  const { root, levels, first, under } = paging;
  let table = root;
  for (let level = levels; under === undefined && memory.isRam(table); level--) {
    const span = 512 ** (level - 1), index = Math.floor(page / span) & 511;
    const lo = memory.load(table, index * 2);
    if ((lo & (first ? PRESENT : READ_WRITE)) === 0) return 1;
    if (level > 1 && (lo & LARGE) === 0) {
      table = pointer(memory, table, index * 2);
      continue;
    }
    return valuesInARow(memory, table, index, span * PAGE_SIZE) * span - page % span;
  }
  return 1;
}

/** Visits what a guest's pages are made of: parts that one second-level entry leads on. */
function throughSecond(
  memory: Memory,
  unit: VtdUnit,
  under: Paging,
  visit: LeafVisitor,
): LeafVisitor {
  return (page, guest, span) => {
    if (guest < 0) return;
    const first = guest - guest % span;
    for (let at = first; at < first + span;) {
      const found = secondLevel(memory, unit, under, at);
      const end = found === undefined
        ? holeEnd(memory, treeOf(memory, unit, under), at)
        : at + found.span - at % found.span;
      const part = Math.min(end, first + span) - at;
      if (found !== undefined) visit(page + at - first, found.pfn, part);
      at += part;
    }
  };
}

/** The tables as a tree to step over the holes of. */
function treeOf(memory: Memory, unit: VtdUnit, paging: Paging): TreeShape {
  const { root, levels, first } = paging;
  const present = first ? PRESENT : READ_WRITE;
  const leadsOn = (low: number) => (low & present) !== 0 && (low & LARGE) === 0;
  const shape = { root, levels, topEntries: 512, leadsOn };
  if (paging.under === undefined) return shape;
  return { ...shape, frameOf: (table) => frameOf(memory, unit, paging, table) };
}

/** What the tables say of a page; undefined where hardware would find no way. */
export function lookUpPage(
  memory: Memory,
  unit: VtdUnit,
  paging: Paging,
  page: number,
): Found | undefined {
  if (!paging.first) return secondLevel(memory, unit, paging, page);
  if (!isCanonical(page, paging.levels)) return undefined;
  const found = firstLevel(memory, unit, paging, page), { under } = paging;
  if (found === undefined || under === undefined) return found;
  const below = secondLevel(memory, unit, under, found.pfn);
  if (below === undefined) return undefined;
  return {
    pfn: below.pfn,
    read: below.read,
    write: found.write && below.write,
    span: Math.min(found.span, below.span),
    unwritten: found.unwritten === true || below.unwritten === true,
  };
}

function secondLevel(
  memory: Memory,
  unit: VtdUnit,
  { root, levels, noting }: Paging,
  page: number,
): Found | undefined {
  if (page >= 2 ** (Math.min(12 + 9 * levels, unit.capability.mgaw) - 12)) return undefined;
  const { superpages, snoopControl } = unit.capability, reserved = reservedHigh(unit, 19);
  let table = root, permission = READ_WRITE;
  for (let level = levels, span = 512 ** (levels - 1); memory.isRam(table); level--, span /= 512) {
    const word = (Math.floor(page / span) & 511) * 2;
    const lo = memory.load(table, word), hi = memory.load(table, word + 1);
    permission &= lo;
    if (permission === 0 || (hi & reserved) !== 0) return undefined;
    const pfn = frameIn(lo, hi);
    const large = level > 1 && (lo & LARGE) !== 0;
    if (level > 1 && !large) {
      table = pfn;
      continue;
    }
    if (large && (((superpages << 2) >>> level) & 1) === 0) return undefined;
    if (pfn % span !== 0 || (!snoopControl && (lo & SNOOP) !== 0)) return undefined;
    const [read, write] = [(permission & 1) !== 0, (permission & 2) !== 0];
    const found = { pfn: pfn + page % span, read, write, span };
    return noting ? { ...found, unwritten: (lo & SL_DIRTY) === 0 } : found;
  }
  return undefined;
}

/** The second-level table of level 1 for a page, with what the entries above it grant; undefined: none. */
export function lastTable(
  memory: Memory,
  unit: VtdUnit,
  { root, levels }: Paging,
  page: number,
): FoundTable | undefined {
  let table = root, permission = READ_WRITE;
  for (let level = levels; level > 1; level--) {
    if (!memory.isRam(table)) return undefined;
    const word = (Math.floor(page / 512 ** (level - 1)) & 511) * 2;
    const lo = memory.load(table, word);
    permission &= lo;
    if (permission === 0 || (lo & LARGE) !== 0) return undefined;
    if ((memory.load(table, word + 1) & reservedHigh(unit, 19)) !== 0) return undefined;
    table = pointer(memory, table, word);
  }
  return { table, read: (permission & 1) !== 0, write: (permission & 2) !== 0 };
}

function firstLevel(
  memory: Memory,
  unit: VtdUnit,
  { root, levels, under }: Paging,
  page: number,
): Found | undefined {
  let pointed = root, granted = FL_WRITE | USER;
  for (let level = levels;; level--) {
    const place = under === undefined ? undefined : secondLevel(memory, unit, under, pointed);
    const table = under === undefined ? pointed : place?.read ? place.pfn : -1;
    if (!memory.isRam(table)) return undefined;
    const span = 512 ** (level - 1);
    const word = (Math.floor(page / span) & 511) * 2;
    const lo = memory.load(table, word);
    if ((lo & PRESENT) === 0) return undefined;
    if ((memory.load(table, word + 1) & reservedHigh(unit, 19)) !== 0) return undefined;
    // Hardware notes each access, which takes the right to write where the table is a guest's.
    const fixed = place !== undefined && !place.write;
    if (fixed && (lo & FL_ACCESSED) === 0) return undefined;
    granted &= lo;
    const pfn = pointer(memory, table, word);
    const large = level > 1 && (lo & LARGE) !== 0;
    if (level > 1 && !large) {
      pointed = pfn;
      continue;
    }
    // Bit 12 of a large page is PAT, and no part of the address.
    const inside = pfn % span;
    const misplaced = large && inside > 1;
    const tooLarge = level > 3 || (level === 3 && !unit.capability.firstLevel1GiB);
    if (misplaced || tooLarge || (granted & USER) === 0) return undefined;
    const unwritten = (lo & FL_DIRTY) === 0;
    return {
      pfn: pfn - inside + page % span,
      read: true,
      write: (granted & FL_WRITE) !== 0 && !(fixed && unwritten),
      span,
      unwritten,
    };
  }
}

/** Bits 12-56 of a canonical address: with four levels those from bit 47 on are all alike. */
function isCanonical(page: number, levels: number): boolean {
  if (page >= 2 ** 45) return false;
  const upper = Math.floor(page / 2 ** 35);
  return levels === 5 || upper === 0 || upper === 1023;
}
