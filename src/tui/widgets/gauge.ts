import { columns, divide, fr } from "../layout.ts";
import type { Region } from "../region.ts";
import type { StyleLike } from "../style.ts";
import { putFitted } from "../text.ts";
import type { Role } from "../theme.ts";

export interface GaugeOptions {
  /** 0..1; values outside are clipped, NaN is 0. */
  readonly ratio: number;
  /** Shown on the second row when there is one, else before the bar. */
  readonly label?: string;
  readonly style?: StyleLike;
}

function clip(ratio: number): number {
  return ratio > 0 ? Math.min(1, ratio) : 0;
}

function bar(region: Region, x: number, y: number, w: number, ratio: number, style: StyleLike) {
  const width = Math.max(0, w);
  // Full only when it is: a bar that looks finished at 99 % would be a lie.
  const filled = clip(ratio) === 1 ? width : Math.floor(clip(ratio) * width);
  region.fill(style, region.glyphs.full, { x, y, w: filled, h: 1 });
  region.fill("dim", region.glyphs.empty, { x: x + filled, y, w: width - filled, h: 1 });
}

/** Draws a progress bar with its percentage. */
export function gauge(region: Region, options: GaugeOptions): void {
  const { ratio, label = "", style = "good" } = options;
  const percent = `${Math.floor(clip(ratio) * 100)}%`;
  if (region.h >= 2) {
    bar(region, 0, 0, region.w, ratio, style);
    putFitted(region, 0, 1, label === "" ? percent : `${label} ${percent}`, region.w);
    return;
  }
  const [name, middle, end] = columns(region.area, [
    label === "" ? 0 : Math.min(Math.floor(region.w / 2), label.length + 1),
    fr(1),
    5,
  ]);
  putFitted(region, 0, 0, label, name!.w - 1);
  bar(region, middle!.x, 0, middle!.w, ratio, style);
  putFitted(region, end!.x, 0, percent, end!.w, "text", "right");
}

export interface Phase {
  readonly label: string;
  /** Share of the width relative to the others; default 1. */
  readonly weight?: number;
  readonly state: "done" | "active" | "waiting" | "failed";
  /** Progress within an active phase, 0..1; default 0. */
  readonly ratio?: number;
}

const PHASE_STYLE: Readonly<Record<Phase["state"], Role>> = {
  done: "good",
  active: "accent",
  waiting: "dim",
  failed: "bad",
};
const PHASE_MARK = { done: 0, active: 1, waiting: 2, failed: 3 } as const;

/**
 * Draws the phases of a process side by side: a bar for each and, with two rows or more, a mark
 * and its label below. The state of a phase can be told without colour by its mark.
 */
export function phases(region: Region, list: readonly Phase[]): void {
  const { glyphs } = region;
  const gap = region.w >= list.length * 3 ? 1 : 0;
  const widths = divide(
    region.w,
    list.map((phase) => fr(Math.max(0.1, phase.weight ?? 1), 1)),
    gap,
  );
  let x = 0;
  list.forEach((phase, i) => {
    const w = widths[i]!;
    const style = PHASE_STYLE[phase.state];
    const ratio = phase.state === "waiting" ? 0 : phase.state === "active" ? phase.ratio ?? 0 : 1;
    bar(region, x, 0, w, ratio, style);
    if (region.h >= 2) {
      putFitted(region, x, 1, `${glyphs.phase[PHASE_MARK[phase.state]]} ${phase.label}`, w, style);
    }
    x += w + gap;
  });
}
