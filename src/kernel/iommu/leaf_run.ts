import type { Frames } from "../../machine/frame_runs.ts";
import type { Memory } from "../../machine/memory.ts";
import type { Radix } from "./compare.ts";

/**
 * Frames behind a page and what follows, as many of `count` as one table shows to lie side by side.
 * `pfn` -1: the page is not mapped.
 */
export function leafRun(
  memory: Memory,
  { format, root, levels }: Radix,
  page: number,
  count: number,
): Frames {
  let table = root;
  for (let level = levels; level >= 1; level--) {
    const span = 512 ** (level - 1), index = Math.floor(page / span);
    // A top table of several pages goes on in the next; below there are 512 entries to each.
    const at = level === levels ? index : index % 512;
    const pfn = table + (at >> 9), word = (at & 511) << 1;
    const low = memory.load(pfn, word);
    if ((low & format.present) === 0) break;
    const target = targetOf(memory, format.high, pfn, word);
    if (format.leadsOn(low, level)) {
      table = target;
      continue;
    }
    if (level > 1) {
      const inside = page % span;
      return { pfn: target + inside, count: Math.min(count, span - inside) };
    }
    let n = 1;
    const most = Math.min(count, 512 - (at & 511));
    while (n < most && goesOn(memory, format, pfn, word + 2 * n, target + n)) n++;
    return { pfn: target, count: n };
  }
  return { pfn: -1, count: 1 };
}

function goesOn(
  memory: Memory,
  { present, high }: Radix["format"],
  table: number,
  word: number,
  target: number,
): boolean {
  return (memory.load(table, word) & present) !== 0 &&
    targetOf(memory, high, table, word) === target;
}

function targetOf(memory: Memory, high: number, table: number, word: number): number {
  return ((memory.load(table, word + 1) & high) << 20) | (memory.load(table, word) >>> 12);
}
