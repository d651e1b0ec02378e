import { divide, type Size } from "../layout.ts";
import type { Region } from "../region.ts";
import { keepVisible, type View } from "../scroll.ts";
import type { StyleLike } from "../style.ts";
import { type Align, putFitted } from "../text.ts";
import { scrollbar } from "./scrollbar.ts";

export interface Column {
  readonly title: string;
  /** Columns of cells, fixed or a share; `fr(1, 8)` is flexible from 8 on. */
  readonly width: Size;
  readonly align?: Align;
  /** Which columns go first when there is no room: those with the highest number. Default 0. */
  readonly priority?: number;
}

/**
 * Text of a cell, with a style of its own where it needs one; or plain one-cell code points, which
 * are drawn before the next cell is asked for.
 */
export type Cell =
  | string
  | { readonly text: string; readonly style: StyleLike }
  | { readonly codes: Uint16Array; readonly style: StyleLike };

export interface TableOptions {
  readonly columns: readonly Column[];
  /** How many rows there are; only visible ones are asked for. */
  readonly rows: number;
  readonly cell: (row: number, column: number) => Cell;
  /** Row to mark and to keep visible; -1 (the default) for none. */
  readonly selected?: number;
  /** First row shown last time, from the `View` returned. */
  readonly offset?: number;
  /** Whether the selection is shown as active. Default true. */
  readonly focused?: boolean;
  /** Show column titles. Default true. */
  readonly header?: boolean;
  /** Cells between columns. Default 1. */
  readonly gap?: number;
  /** Shown when there are no rows. */
  readonly empty?: string;
}

interface Placed {
  readonly column: Column;
  readonly index: number;
  readonly x: number;
  readonly w: number;
}

/** Draws a table and returns which rows are shown. */
export function table(region: Region, options: TableOptions): View {
  const { rows, selected = -1, focused = true, header = true, gap = 1 } = options;
  const top = header ? 1 : 0;
  const visible = Math.max(0, region.h - top);
  const offset = keepVisible(options.offset ?? 0, selected, visible, rows);
  const view = { offset, visible };
  const barred = rows > visible && region.w > 2;
  const width = region.w - (barred ? 1 : 0);
  const placed = place(options.columns, width, gap);

  if (header) {
    for (const { column, x, w } of placed) {
      putFitted(region, x, 0, column.title, w, "title", column.align);
    }
  }
  if (rows === 0 && options.empty !== undefined) {
    putFitted(region, 0, top, options.empty, width, "dim");
  }
  for (let y = top; y < region.h && offset + y - top < rows; y++) {
    const row = offset + y - top;
    for (const { column, index, x, w } of placed) {
      const cell = options.cell(row, index);
      if (typeof cell === "string") putFitted(region, x, y, cell, w, 0, column.align);
      else if ("codes" in cell) region.setRow(x, y, cell.codes.subarray(0, w), cell.style);
      else putFitted(region, x, y, cell.text, w, cell.style, column.align);
    }
    if (row === selected) {
      region.overlay(focused ? "selection" : "inactive", { x: 0, y, w: width, h: 1 });
    }
  }
  if (barred) scrollbar(region.sub({ x: width, y: top, w: 1, h: visible }), view, rows);
  return view;
}

/** Chooses the columns that fit and gives each its place. */
function place(columns: readonly Column[], width: number, gap: number): Placed[] {
  let kept = columns.map((column, index) => ({ column, index }));
  const least = (size: Size) => typeof size === "number" ? size : Math.max(1, size.min ?? 0);
  const need = () =>
    kept.reduce((sum, { column }) => sum + least(column.width) + gap, 0) - (kept.length ? gap : 0);
  while (kept.length > 1 && need() > width) {
    // Of equal priorities the rightmost goes first.
    const victim = kept.reduce((worst, next) =>
      (next.column.priority ?? 0) >= (worst.column.priority ?? 0) ? next : worst
    );
    kept = kept.filter((entry) => entry !== victim);
  }
  const widths = divide(width, kept.map(({ column }) => column.width), gap);
  let x = 0;
  return kept.map((entry, i) => {
    const placed = { ...entry, x, w: widths[i]! };
    x += widths[i]! + gap;
    return placed;
  });
}
