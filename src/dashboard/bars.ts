/** Counts as bars, one row high. */

export interface BarOptions {
  /** The count of a full bar. */
  readonly max: number;
  /** From the lowest to the highest; one UTF-16 unit each. */
  readonly levels: readonly string[];
  /** Columns that each bar takes. */
  readonly columns: number;
}

let units = new Uint16Array(1024);
/** The levels drawn with last, as units. */
let known: readonly string[] = [];
let codes = new Uint16Array(0);

/**
 * Bars of the counts from `start` to before `end`, as UTF-16 units that are good until the next call;
 * nothing is a blank, and where `end` is not behind `start` there are none. The highest stays below
 * the row above, so that rows stay apart.
 */
export function bars(
  counts: readonly number[],
  start: number,
  end: number,
  { max, levels, columns }: BarOptions,
): Uint16Array {
  const length = Math.max(0, end - start) * columns, top = levels.length - 1;
  if (length > units.length) units = new Uint16Array(2 * length);
  if (known !== levels) {
    known = levels;
    codes = Uint16Array.from(levels, (level) => level.charCodeAt(0));
  }
  const row = units, heights = codes;
  for (let at = 0, i = start; i < end; i++) {
    const count = counts[i]!;
    let unit = 0x20;
    if (count > 0) {
      const level = count < max ? Math.floor(count * top / max + 0.5) : top;
      unit = heights[level > 0 ? level - 1 : 0]!;
    }
    for (let n = 0; n < columns; n++) row[at++] = unit;
  }
  return units.subarray(0, length);
}

/** The highest of the counts from `start` to before `end`, at least 1. */
export function highest(counts: readonly number[], start: number, end: number): number {
  let max = 1;
  for (let i = start; i < end; i++) if (counts[i]! > max) max = counts[i]!;
  return max;
}
