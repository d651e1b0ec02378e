/** Rectangles in cells, and how to divide them. Sizes that do not fit shrink to zero, never below. */

export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

/**
 * The size of one part in cells: a fixed number, or a share of what is left. `fr` is the weight
 * of the share (0 or more), `min` and `max` bound it.
 */
export type Size = number | { readonly fr: number; readonly min?: number; readonly max?: number };

/** A share of what is left; `min` cells are set aside for it first. */
export function fr(weight = 1, min = 0, max = Infinity): Size {
  return { fr: weight, min, max };
}

function whole(value: number): number {
  return Number.isFinite(value)
    ? Math.max(0, Math.floor(value))
    : value === Infinity
    ? Infinity
    : 0;
}

/**
 * Lengths for `sizes` that, with `gap` cells between neighbours, never exceed `total`. Fixed
 * sizes and minima are served from first to last, then the rest is shared by weight.
 */
export function divide(total: number, sizes: readonly Size[], gap = 0): number[] {
  let left = whole(total) - whole(gap) * Math.max(0, sizes.length - 1);
  const lengths = sizes.map((size) => {
    const want = whole(
      typeof size === "number" ? size : Math.min(size.min ?? 0, size.max ?? Infinity),
    );
    const got = Math.max(0, Math.min(want, left));
    left -= got;
    return got;
  });
  share(Math.max(0, left), sizes, lengths);
  return lengths;
}

/** Shares `left` cells among the flexible parts, round by round as parts reach their maximum. */
function share(left: number, sizes: readonly Size[], lengths: number[]): void {
  const room = (i: number) => {
    const size = sizes[i]!;
    if (typeof size === "number" || !(size.fr > 0)) return 0;
    return whole(size.max ?? Infinity) - lengths[i]!;
  };
  const weight = (i: number) => (sizes[i] as { fr: number }).fr;
  const open = () => sizes.map((_, i) => i).filter((i) => room(i) > 0);
  for (let all = open(); left > 0 && all.length > 0; all = open()) {
    // Aim at equal totals per weight, so that a minimum counts as part of the share; a part
    // whose minimum is more than its share takes no part in this round.
    let taking = all;
    let each = 0;
    for (let size = -1; size !== taking.length;) {
      size = taking.length;
      const pool = left + taking.reduce((sum, i) => sum + lengths[i]!, 0);
      each = pool / taking.reduce((sum, i) => sum + weight(i), 0);
      taking = taking.filter((i) => each * weight(i) > lengths[i]!);
    }
    const full = taking.filter((i) => each * weight(i) >= lengths[i]! + room(i));
    if (full.length > 0) {
      for (const i of full) {
        const grow = Math.min(left, room(i));
        lengths[i]! += grow;
        left -= grow;
      }
      continue;
    }
    // Cumulative rounding: the parts add up exactly, and each is within one cell of its share.
    let sum = 0;
    let edge = 0;
    for (const i of taking) {
      sum += each * weight(i);
      const next = Math.round(sum);
      lengths[i] = next - edge;
      edge = next;
    }
    return;
  }
}

/** Divides from top to bottom. */
export function rows(area: Rect, sizes: readonly Size[], gap = 0): Rect[] {
  let y = area.y;
  return divide(area.h, sizes, gap).map((h) => {
    const part = { x: area.x, y, w: area.w, h };
    y += h + gap;
    return part;
  });
}

/** Divides from left to right. */
export function columns(area: Rect, sizes: readonly Size[], gap = 0): Rect[] {
  let x = area.x;
  return divide(area.w, sizes, gap).map((w) => {
    const part = { x, y: area.y, w, h: area.h };
    x += w + gap;
    return part;
  });
}

/** The rectangle without a margin of `dx` columns and `dy` rows on each side. */
export function inset(area: Rect, dx = 1, dy = dx): Rect {
  return {
    x: area.x + dx,
    y: area.y + dy,
    w: Math.max(0, area.w - 2 * dx),
    h: Math.max(0, area.h - 2 * dy),
  };
}

/** A rectangle of at most `w` x `h` in the middle of `area`. */
export function center(area: Rect, w: number, h: number): Rect {
  const width = Math.max(0, Math.min(w, area.w));
  const height = Math.max(0, Math.min(h, area.h));
  return {
    x: area.x + Math.floor((area.w - width) / 2),
    y: area.y + Math.floor((area.h - height) / 2),
    w: width,
    h: height,
  };
}

/** The part that two rectangles share; its size is 0 when they do not meet. */
export function intersect(a: Rect, b: Rect): Rect {
  const x = Math.max(a.x, b.x);
  const y = Math.max(a.y, b.y);
  return {
    x,
    y,
    w: Math.max(0, Math.min(a.x + a.w, b.x + b.w) - x),
    h: Math.max(0, Math.min(a.y + a.h, b.y + b.h) - y),
  };
}
