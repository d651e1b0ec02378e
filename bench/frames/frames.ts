/** What both sides of the frames have in common. */

import type { Benchmark } from "../ours/side.ts";

/** Frames of one round, and rounds before the first: it takes some until all code is compiled. */
export const FRAMES = 400;
export const WARM_UP = 15;
export const COLS = 200;
export const ROWS = 50;
/** Devices of the machine that is shown, and of the large one that is scrolled. */
export const DEVICES = 40;
export const MANY_DEVICES = 5000;

/** How much of a frame changes, as a share of its cells. */
export interface Change {
  readonly least: number;
  readonly most: number;
}

export const A_TENTH: Change = { least: 0.085, most: 0.115 };
export const A_CLOCK: Change = { least: 0, most: 0.01 };
export const ALL_ROWS: Change = { least: 0.1, most: 0.6 };

/** Throws where a side does not do what the comparison is about. */
export function mustChange(cells: number, frames: number, { least, most }: Change): void {
  const share = cells / frames / (COLS * ROWS);
  if (share < least || share > most) {
    throw new Error(`${(share * 100).toFixed(1)} % of the cells change in a frame`);
  }
}

/** A benchmark that is prepared when it runs first: most are not asked for. */
export function lazily(prepare: () => Benchmark): Benchmark {
  let benchmark: Benchmark | undefined;
  return () => (benchmark ??= prepare())();
}

/** Numbers that look random, the same in every run: 0 to below `below`. */
export function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}
