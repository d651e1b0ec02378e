/**
 * A window onto a grid: widgets draw in its own coordinates, starting at 0,0, and cannot draw
 * outside of it. A region may lie partly or wholly outside of its parent, or have no size.
 */

import { type Glyphs, glyphs } from "./glyphs.ts";
import type { Grid } from "./grid.ts";
import { intersect, type Rect } from "./layout.ts";
import type { StyleLike, StyleTable } from "./style.ts";

export class Region implements Rect {
  readonly grid: Grid;
  /** Position on the grid in cells; may be negative. */
  readonly x: number;
  readonly y: number;
  /** Size in cells as asked for, of which `clip` may show less. Never negative. */
  readonly w: number;
  readonly h: number;
  /** The visible part, in grid coordinates. */
  readonly clip: Rect;

  private constructor(grid: Grid, area: Rect, clip: Rect) {
    this.grid = grid;
    this.x = area.x;
    this.y = area.y;
    this.w = area.w;
    this.h = area.h;
    this.clip = clip;
  }

  /** The whole grid, or the part of it that `area` covers. */
  static of(grid: Grid, area: Rect = { x: 0, y: 0, w: grid.cols, h: grid.rows }): Region {
    const whole = { x: 0, y: 0, w: grid.cols, h: grid.rows };
    const sound = soundRect(area, 0, 0);
    return new Region(grid, sound, intersect(whole, sound));
  }

  /** The region's own area in its own coordinates: what layouts start from. */
  get area(): Rect {
    return { x: 0, y: 0, w: this.w, h: this.h };
  }

  get table(): StyleTable {
    return this.grid.table;
  }

  get glyphs(): Glyphs {
    return glyphs(this.grid.ascii);
  }

  /** A region inside of this one, `area` being in this one's coordinates. */
  sub(area: Rect): Region {
    const sound = soundRect(area, this.x, this.y);
    return new Region(this.grid, sound, intersect(this.clip, sound));
  }

  /** Writes text on one line; see `Grid.put`. Returns the columns used. */
  put(x: number, y: number, text: string, style: StyleLike = 0, maxWidth = Infinity): number {
    const { grid, clip } = this;
    const row = Math.floor(this.y + y);
    if (!(row >= clip.y && row < clip.y + clip.h)) return 0;
    const left = this.x + x;
    const right = Math.min(clip.x + clip.w, left + maxWidth);
    return grid.putWithin(left, row, text, grid.table.resolve(style), clip.x, right);
  }

  /** Sets one cell to a plain one-cell code point. */
  set(x: number, y: number, code: number, style: StyleLike = 0): void {
    const { clip } = this;
    const column = Math.floor(this.x + x);
    const row = Math.floor(this.y + y);
    if (column < clip.x || column >= clip.x + clip.w) return;
    if (row < clip.y || row >= clip.y + clip.h) return;
    this.grid.set(column, row, code, style);
  }

  /** Sets cells of one row, from `x` on, to plain one-cell code points. */
  setRow(x: number, y: number, codes: Uint16Array, style: StyleLike = 0): void {
    const { grid, clip } = this;
    const row = Math.floor(this.y + y);
    if (!(row >= clip.y && row < clip.y + clip.h)) return;
    const column = Math.floor(this.x + x);
    grid.setRow(column, row, codes, grid.table.resolve(style), clip.x, clip.x + clip.w);
  }

  /** Fills the region, or `area` of it, with a plain one-cell character. */
  fill(style: StyleLike = 0, char = " ", area?: Rect): void {
    const { clip, grid } = this;
    let { x, y } = clip, right = x + clip.w, bottom = y + clip.h;
    if (area !== undefined) {
      const left = this.x + wholeOf(area.x), top = this.y + wholeOf(area.y);
      x = Math.max(x, left);
      y = Math.max(y, top);
      right = Math.min(right, left + wholeOf(area.w));
      bottom = Math.min(bottom, top + wholeOf(area.h));
    }
    grid.fillWithin(x, y, right, bottom, grid.table.resolve(style), char);
  }

  /** Lays a style over what is drawn in the region, or in `area` of it. */
  overlay(style: StyleLike, area: Rect = this.area): void {
    this.grid.overlay(this.#visible(area), style);
  }

  /** Shows the terminal's cursor here after the frame, unless the place is clipped. */
  showCursor(x: number, y: number): void {
    const spot = this.#visible({ x, y, w: 1, h: 1 });
    if (spot.w === 1 && spot.h === 1) this.grid.cursor = { x: spot.x, y: spot.y };
  }

  #visible(area: Rect): Rect {
    const { clip } = this;
    const left = wholeOf(area.x) + this.x, top = wholeOf(area.y) + this.y;
    const x = Math.max(clip.x, left), y = Math.max(clip.y, top);
    const w = Math.min(clip.x + clip.w, left + Math.max(0, wholeOf(area.w))) - x;
    const h = Math.min(clip.y + clip.h, top + Math.max(0, wholeOf(area.h))) - y;
    return { x, y, w: Math.max(0, w), h: Math.max(0, h) };
  }
}

/** Whole numbers, no negative size, moved by dx, dy. */
function soundRect(area: Rect, dx: number, dy: number): Rect {
  return {
    x: wholeOf(area.x) + dx,
    y: wholeOf(area.y) + dy,
    w: Math.max(0, wholeOf(area.w)),
    h: Math.max(0, wholeOf(area.h)),
  };
}

function wholeOf(value: number): number {
  return Number.isFinite(value) ? Math.floor(value) : 0;
}
