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
  fillRow(words, at, at + count, first * WIDE_UNIT, WIDE_UNIT);
}

/**
 * Writes 64-bit values from index `at` of a chunk up to `end`: `value`, then one by one `step` more, both as
 * {@link Memory.writableWide} has them.
 */
export function fillRow(
  wide: Float64Array,
  at: number,
  end: number,
  value: number,
  step: number,
): void {
  // Four at a time: an addition has to wait for the one before it.
  const two = step + step, three = two + step, four = two + two;
  for (; at + 4 <= end; at += 4, value += four) {
    wide[at] = value;
    wide[at + 1] = value + step;
    wide[at + 2] = value + two;
    wide[at + 3] = value + three;
  }
  for (; at < end; at++, value += step) wide[at] = value;
}

/** The same up to the first place that does not hold zero; where it stopped. */
export function fillEmptyRow(
  wide: Float64Array,
  at: number,
  end: number,
  value: number,
  step: number,
): number {
  const two = step + step, three = two + step, four = two + two;
  for (; at + 4 <= end; at += 4, value += four) {
    if (wide[at] !== 0 || wide[at + 1] !== 0 || wide[at + 2] !== 0 || wide[at + 3] !== 0) break;
    wide[at] = value;
    wide[at + 1] = value + step;
    wide[at + 2] = value + two;
    wide[at + 3] = value + three;
  }
  for (; at < end && wide[at] === 0; at++, value += step) wide[at] = value;
  return at;
}

/** Bits in which the low words of a frame's 512 values differ; `base`: index of its first word in `words`. */
export function differingBits(words: Uint32Array, base: number): number {
  const first = words[base];
  let bits = 0;
  for (let at = base; at < base + 1024; at += 8) {
    bits |= (words[at] ^ first) | (words[at + 2] ^ first) | (words[at + 4] ^ first) |
      (words[at + 6] ^ first);
  }
  return bits;
}

/** The low words of all 512 values of a frame have one bit. As a rule the first one tells that they have not. */
export function allHave(words: Uint32Array, base: number, bit: number): boolean {
  return (words[base] & bit) !== 0 && (differingBits(words, base) & bit) === 0;
}
