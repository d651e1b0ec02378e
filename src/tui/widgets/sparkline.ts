import type { Region } from "../region.ts";
import type { StyleLike } from "../style.ts";

export interface SparklineOptions {
  /** From oldest to newest; the newest is drawn at the right edge. NaN leaves a gap. */
  readonly values: ArrayLike<number>;
  /** The value of a full bar; default: the largest one shown. */
  readonly max?: number;
  readonly style?: StyleLike | ((value: number) => StyleLike);
}

/**
 * Draws one bar per column over the height of the region, in eighths of a cell. A value of 0 or
 * less is an empty column, and the smallest positive value is visible.
 */
export function sparkline(region: Region, options: SparklineOptions): void {
  const { values, style = "info" } = options;
  const { w, h } = region;
  const { levels } = region.glyphs;
  const steps = levels.length;
  const shown = Math.min(w, values.length);
  const first = values.length - shown;
  let max = options.max ?? 0;
  if (options.max === undefined) {
    for (let i = first; i < values.length; i++) if (values[i]! > max) max = values[i]!;
  }
  if (!(max > 0)) return;
  for (let i = 0; i < shown; i++) {
    const value = values[first + i]!;
    if (!(value > 0)) continue;
    const height = Math.max(1, Math.min(h * steps, Math.round(value / max * h * steps)));
    const id = region.table.resolve(typeof style === "function" ? style(value) : style);
    for (let row = 0; row < h && row * steps < height; row++) {
      const level = Math.min(steps, height - row * steps);
      region.set(w - shown + i, h - 1 - row, levels[level - 1]!.charCodeAt(0), id);
    }
  }
}
