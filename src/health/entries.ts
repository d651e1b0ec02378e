import { type Memory, WIDE_UNIT } from "../machine/memory.ts";

/**
 * Entries of one page of a table, from `index` on, that are the same but for their frames, which lie
 * side by side. `span`: pages an entry leads to.
 */
export function entriesInARow(memory: Memory, table: number, index: number, span: number): number {
  const words = memory.readableWide(table);
  if (words === undefined) return 1;
  const base = memory.wideBase(table), step = span * 4096 * WIDE_UNIT;
  let at = base + index, want = words[at];
  // Bits from 52 on would swallow what is added.
  if (!(want >= 0 && want < 2 ** 51 * WIDE_UNIT)) return 1;
  const end = base + 512;
  while (++at < end && words[at] === (want += step));
  return at - base - index;
}
