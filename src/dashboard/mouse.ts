import type { MouseEvent } from "../tui/mod.ts";
import { chooseRow, focusOn, scrollTo } from "./actions.ts";
import { type Context, just, type Model, PANE_IDS, type PaneId, type Step } from "./model.ts";
import { paneOf } from "./panes/mod.ts";

/** Rows that a turn of the wheel moves by. */
const WHEEL = 3;

/** The pane under a cell of the screen. */
function paneAt(c: Context, x: number, y: number): PaneId | undefined {
  return PANE_IDS.find((id) => {
    const area = c.metrics.panes[id]?.area;
    return area !== undefined && x >= area.x && x < area.x + area.w && y >= area.y &&
      y < area.y + area.h;
  });
}

/**
 * A click takes the focus and chooses the row; a second one on the chosen row is Enter. The wheel
 * moves what is under it. What lies over the panes takes the wheel as arrows, and a click beside it
 * as Esc. `press`: what a key would do.
 */
export function onMouse(
  model: Model,
  event: MouseEvent,
  c: Context,
  press: (key: string) => Step,
): Step {
  const wheel = event.action === "wheel-up" ? -1 : event.action === "wheel-down" ? 1 : 0;
  if (model.prompt !== undefined) return just(model);
  if (model.overlay !== undefined) {
    return wheel === 0 ? just(model) : press(wheel < 0 ? "up" : "down");
  }
  const id = paneAt(c, event.x, event.y);
  if (id === undefined) return just(model);
  const drawn = c.metrics.panes[id]!;
  if (wheel !== 0) {
    const there = { ...model, focus: id };
    const moved = paneOf(id).rows === undefined
      ? scrollTo(there, c, drawn.offset + wheel * WHEEL)
      : chooseRow(there, c, rowChosen(there, c) + wheel * WHEEL);
    return just({ ...moved, focus: model.focus === id ? id : model.focus });
  }
  if (event.action !== "press" || event.button !== "left") return just(model);
  const focused = focusOn(model, id);
  const rows = paneOf(id).rows?.(c.snapshot, model);
  const row = drawn.offset + event.y - drawn.firstRow;
  // Where a row may have several lines, a click only takes the focus.
  if (rows === undefined || rows.length !== drawn.total || event.y < drawn.firstRow) {
    return just(focused);
  }
  if (row >= rows.length) return just(focused);
  const same = model.focus === id && rows[row] === model.chosen[id];
  return same ? press("enter") : just(chooseRow(focused, c, row, rows));
}

function rowChosen(model: Model, c: Context): number {
  const rows = paneOf(model.focus).rows?.(c.snapshot, model) ?? [];
  return Math.max(0, rows.indexOf(model.chosen[model.focus]));
}
