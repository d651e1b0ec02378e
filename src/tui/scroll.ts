/** Scroll positions. All numbers are rows: `total` in the content, `visible` on the screen. */

/** What a scrolling widget has shown; an app keeps `offset` for the next frame. */
export interface View {
  /** Index of the first row shown. */
  readonly offset: number;
  /** How many rows there was room for. */
  readonly visible: number;
}

/** The nearest offset that leaves no room unused at the end. */
export function clampOffset(offset: number, visible: number, total: number): number {
  const last = Math.max(0, total - Math.max(0, visible));
  return Number.isFinite(offset) ? Math.max(0, Math.min(Math.floor(offset), last)) : 0;
}

/** The offset nearest to `offset` that shows row `selected`; a negative row asks for nothing. */
export function keepVisible(
  offset: number,
  selected: number,
  visible: number,
  total: number,
): number {
  let wanted = offset;
  if (selected >= 0 && selected < total && visible > 0) {
    wanted = Math.min(selected, Math.max(offset, selected - visible + 1));
  }
  return clampOffset(wanted, visible, total);
}

/** Where a scrollbar of `length` cells has its thumb: first cell and number of cells. */
export function thumb(
  view: View,
  total: number,
  length: number,
): { readonly at: number; readonly size: number } {
  if (length <= 0 || total <= view.visible) return { at: 0, size: Math.max(0, length) };
  const size = Math.max(1, Math.min(length, Math.round(length * view.visible / total)));
  const travel = total - view.visible;
  const at = Math.round((length - size) * Math.min(1, view.offset / travel));
  return { at, size };
}
