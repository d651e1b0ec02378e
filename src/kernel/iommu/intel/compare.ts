import { type Memory, WIDE_UNIT } from "../../../machine/memory.ts";
import { DMA_PTE_LARGE, DMA_PTE_READ, DMA_PTE_WRITE, levelPages } from "./pgtable.ts";

const RIGHTS = DMA_PTE_READ | DMA_PTE_WRITE;
/** Between the entries of two neighbouring pages. */
const STEP = 4096 * WIDE_UNIT;

/**
 * Pages that two second-level trees of `levels` levels do not translate alike: to other frames, or
 * with other rights. How large the pages are on either side makes no difference, nor do bits that
 * hardware ignores or sets itself. Both trees are a kernel's own: every table has been written.
 */
export function differingPages(memory: Memory, a: number, b: number, levels: number): number {
  if (a === b) return 0;
  if (levels === 1) return differingLeaves(memory, a, b);
  const words = memory.readable(a) as Uint32Array, others = memory.readable(b) as Uint32Array;
  const base = memory.base(a), otherBase = memory.base(b);
  let differing = 0;
  for (let word = 0; word < 1024; word += 2) {
    const low = words[base | word] | 0, other = others[otherBase | word] | 0;
    if (((low | other) & RIGHTS) === 0) continue;
    const pfn = target(low, words[base | word | 1]);
    const otherPfn = target(other, others[otherBase | word | 1]);
    if (isTable(low)) {
      differing += isTable(other)
        ? differingPages(memory, pfn, otherPfn, levels - 1)
        : differingFromRun(memory, pfn, levels - 1, otherPfn, other & RIGHTS);
    } else if (isTable(other)) {
      differing += differingFromRun(memory, otherPfn, levels - 1, pfn, low & RIGHTS);
    } else if (!isSame(low, pfn, otherPfn, other & RIGHTS)) differing += levelPages(levels);
  }
  return differing;
}

function isTable(low: number): boolean {
  return (low & RIGHTS) !== 0 && (low & DMA_PTE_LARGE) === 0;
}

function target(low: number, high: number): number {
  return ((high & 0xfffff) << 20) | (low >>> 12);
}

/** Whether an entry that leads to `pfn` means the same as frame `to` with `rights`, 0 for nothing. */
function isSame(low: number, pfn: number, to: number, rights: number): boolean {
  return (low & RIGHTS) === rights && (rights === 0 || pfn === to);
}

/** Two tables of single pages. */
function differingLeaves(memory: Memory, a: number, b: number): number {
  const one = memory.readableWide(a) as Float64Array;
  const two = memory.readableWide(b) as Float64Array;
  const base = memory.wideBase(a), otherBase = memory.wideBase(b);
  let differing = 0;
  for (let i = 0; i < 512; i += 4) {
    const at = base | i, to = otherBase | i;
    if (
      one[at] !== two[to] || one[at | 1] !== two[to | 1] || one[at | 2] !== two[to | 2] ||
      one[at | 3] !== two[to | 3]
    ) differing += differingByWord(memory, a, b, i, i + 4);
  }
  return differing;
}

/** The same entry by entry, by what they mean. */
function differingByWord(memory: Memory, a: number, b: number, from: number, to: number): number {
  let differing = 0;
  for (let word = from * 2; word < to * 2; word += 2) {
    const low = memory.load(a, word), other = memory.load(b, word);
    const pfn = target(low, memory.load(a, word + 1));
    const otherPfn = target(other, memory.load(b, word + 1));
    if (!isSame(low, pfn, otherPfn, other & RIGHTS)) differing++;
  }
  return differing;
}

/** A table against pages that lie in a row: to frames from `to` on, or nowhere (no `rights`). */
function differingFromRun(
  memory: Memory,
  table: number,
  level: number,
  to: number,
  rights: number,
): number {
  if (level === 1) return differingLeavesFromRun(memory, table, to, rights);
  const span = levelPages(level);
  let differing = 0;
  for (let word = 0; word < 1024; word += 2, to += span) {
    const low = memory.load(table, word), pfn = target(low, memory.load(table, word + 1));
    if (isTable(low)) differing += differingFromRun(memory, pfn, level - 1, to, rights);
    else if (!isSame(low, pfn, to, rights)) differing += span;
  }
  return differing;
}

function differingLeavesFromRun(
  memory: Memory,
  table: number,
  to: number,
  rights: number,
): number {
  const wide = memory.readableWide(table) as Float64Array;
  const base = memory.wideBase(table), end = base + 512;
  const first = rights === 0 ? 0 : (to * 4096 + rights) * WIDE_UNIT;
  const step = rights === 0 ? 0 : STEP;
  let differing = 0;
  for (let at = base;; at += 8) {
    at = sameUpTo(wide, at, end, first + (at - base) * step, step);
    if (at === end) return differing;
    for (let i = at - base; i < at - base + 8; i++) {
      const low = memory.load(table, i * 2), pfn = target(low, memory.load(table, i * 2 + 1));
      if (!isSame(low, pfn, to + i, rights)) differing++;
    }
  }
}

/** Where the first eight entries begin that do not lie in a row with those before; or `end`. */
function sameUpTo(wide: Float64Array, at: number, end: number, entry: number, step: number) {
  const two = step + step, three = two + step, four = two + two;
  const five = four + step, six = four + two, seven = four + three, eight = four + four;
  for (; at < end; at += 8, entry += eight) {
    if (
      wide[at] !== entry || wide[at + 1] !== entry + step || wide[at + 2] !== entry + two ||
      wide[at + 3] !== entry + three || wide[at + 4] !== entry + four ||
      wide[at + 5] !== entry + five || wide[at + 6] !== entry + six ||
      wide[at + 7] !== entry + seven
    ) break;
  }
  return at;
}
