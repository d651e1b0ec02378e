import { type Memory, WIDE_UNIT } from "./memory.ts";

/**
 * 64-bit values of a frame, from `index` (0..511) on, of which each is `step` more than the one before:
 * at least 1. Only values below 2^51 and steps below 2^42 make a row.
 */
export function valuesInARow(memory: Memory, pfn: number, index: number, step: number): number {
  const words = memory.readableWide(pfn);
  if (words === undefined) return 1;
  const base = memory.wideBase(pfn), by = step * WIDE_UNIT, end = base + 512;
  let at = base + index, want = words[at];
  // Bits from 52 on would swallow what is added.
  if (!(want >= 0 && want < 2 ** 51 * WIDE_UNIT && step < 2 ** 42)) return 1;
  // Four by four, as long as there are four.
  const two = by + by, three = two + by, four = two + two;
  while (
    at + 4 < end && words[at + 1] === want + by && words[at + 2] === want + two &&
    words[at + 3] === want + three && words[at + 4] === want + four
  ) {
    at += 4;
    want += four;
  }
  while (++at < end && words[at] === (want += by));
  return at - base - index;
}

/** Writes `count` values from `index` on into a frame, each one more than the one before; below 2^32. */
export function writeRow(
  memory: Memory,
  pfn: number,
  index: number,
  first: number,
  count: number,
): void {
  const words = memory.writableWide(pfn), at = memory.wideBase(pfn) + index;
  let value = first * WIDE_UNIT;
  for (let i = at; i < at + count; i++, value += WIDE_UNIT) words[i] = value;
}
