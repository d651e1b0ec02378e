import type { Region } from "../region.ts";
import { clampOffset, keepVisible, type View } from "../scroll.ts";
import type { StyleLike } from "../style.ts";
import { scrollbar } from "./scrollbar.ts";

/** One line: text, text with a style, or pieces that follow each other. */
export type Line =
  | string
  | { readonly text: string; readonly style: StyleLike }
  | readonly { readonly text: string; readonly style: StyleLike }[];

export interface ListOptions {
  /** How many lines there are; only visible ones are asked for. */
  readonly count: number;
  readonly line: (index: number) => Line;
  /** First line shown last time, from the `View` returned. */
  readonly offset?: number;
  /** Show the end, whatever `offset` says. */
  readonly follow?: boolean;
  /** Columns scrolled to the right. */
  readonly left?: number;
  /** Line to mark and to keep visible; -1 (the default) for none. */
  readonly selected?: number;
  readonly focused?: boolean;
}

/** Draws lines of text and returns which of them are shown. */
export function list(region: Region, options: ListOptions): View {
  const { count, follow = false, left = 0, selected = -1, focused = true } = options;
  const visible = region.h;
  const offset = follow
    ? clampOffset(count, visible, count)
    : keepVisible(options.offset ?? 0, selected, visible, count);
  const view = { offset, visible };
  const barred = count > visible && region.w > 2;
  const page = region.sub({ x: 0, y: 0, w: region.w - (barred ? 1 : 0), h: region.h });
  for (let y = 0; y < visible && offset + y < count; y++) {
    const line = options.line(offset + y);
    // What does not fit is seen not to.
    if (putLine(page, -left, y, line) >= page.w && lengthOf(line) > page.w + left) {
      page.put(page.w - 1, y, region.glyphs.ellipsis, "dim");
    }
    if (offset + y === selected) {
      page.overlay(focused ? "selection" : "inactive", { x: 0, y, w: page.w, h: 1 });
    }
  }
  if (barred) scrollbar(region.sub({ x: region.w - 1, y: 0, w: 1, h: region.h }), view, count);
  return view;
}

/** In UTF-16 units: what it takes in cells is not worth a second look at every letter. */
function lengthOf(line: Line): number {
  if (typeof line === "string") return line.length;
  if ("text" in line) return line.text.length;
  let length = 0;
  for (const piece of line) length += piece.text.length;
  return length;
}

/** Writes one line; returns the column after it. */
export function putLine(region: Region, x: number, y: number, line: Line): number {
  if (typeof line === "string") return x + region.put(x, y, line);
  if ("text" in line) return x + region.put(x, y, line.text, line.style);
  for (const piece of line) x += region.put(x, y, piece.text, piece.style);
  return x;
}
