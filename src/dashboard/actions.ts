import { clampOffset, keepVisible } from "../tui/mod.ts";
import { TABBED } from "./layout.ts";
import {
  type Context,
  doing,
  just,
  type Model,
  PANE_IDS,
  type PaneId,
  type Question,
  say,
  SPEEDS,
  type Step,
} from "./model.ts";
import { paneOf } from "./panes/mod.ts";
import { chosenIndex } from "./panes/pane.ts";
import { chosenNode } from "./panes/trees.ts";
import { speedText } from "./words.ts";

export function focusOn(model: Model, id: PaneId): Model {
  return { ...model, focus: id, tab: TABBED.includes(id) ? id : model.tab };
}

export function nextPane(model: Model, by: number): Model {
  const at = PANE_IDS.indexOf(model.focus) + by + PANE_IDS.length;
  return focusOn(model, PANE_IDS[at % PANE_IDS.length]!);
}

export function setSpeed(model: Model, c: Context, speed: number): Model {
  const text = `speed ${speedText(SPEEDS[speed] ?? 1)}`;
  return say({ ...model, speed, fullSpeed: undefined, pace: 0 }, c.now, text);
}

/** Rows of the focused pane that can be chosen; undefined where it only scrolls. */
function rowsOf(model: Model, c: Context): readonly string[] | undefined {
  return paneOf(model.focus).rows?.(c.snapshot, model);
}

/** Moves the chosen row or the text of the focused pane by rows. */
export function moveBy(model: Model, c: Context, rows: number): Model {
  const all = rowsOf(model, c);
  if (all !== undefined) {
    return chooseRow(model, c, chosenIndex(all, model.chosen[model.focus]) + rows, all);
  }
  const shown = c.metrics.panes[model.focus];
  return shown === undefined ? model : scrollTo(model, c, shown.offset + rows);
}

/** Moves to a row; Infinity is the end. */
export function moveTo(model: Model, c: Context, row: number): Model {
  const all = rowsOf(model, c);
  return all === undefined ? scrollTo(model, c, row) : chooseRow(model, c, row, all);
}

/** Chooses a row, and scrolls so far that it is seen. */
export function chooseRow(
  model: Model,
  c: Context,
  wanted: number,
  all = rowsOf(model, c) ?? [],
): Model {
  if (all.length === 0) return model;
  const index = Math.max(0, Math.min(wanted, all.length - 1)), { focus } = model;
  const chosen = { ...model.chosen, [focus]: all[index]! };
  // Where a row has several lines, drawing sees to it that the chosen one is seen.
  const { offset, visible, total } = c.metrics.panes[focus] ?? { offset: 0, visible: 1, total: 0 };
  const top = total === all.length
    ? keepVisible(offset, index, visible, all.length)
    : index === 0
    ? 0
    : offset;
  return { ...model, chosen, scroll: { ...model.scroll, [focus]: { top, left: 0 } } };
}

export function scrollTo(model: Model, c: Context, wanted: number): Model {
  const shown = c.metrics.panes[model.focus];
  if (shown === undefined) return model;
  const last = Math.max(0, shown.total - shown.visible);
  const top = clampOffset(Math.min(wanted, last), shown.visible, shown.total);
  const { left } = model.scroll[model.focus];
  const scroll = { ...model.scroll, [model.focus]: { top, left } };
  const follow = model.focus === "events" ? top >= last : model.follow;
  return { ...model, scroll, follow };
}

/** Longest lines worth following to the right. */
const MAX_LEFT = 400;

export function scrollSideways(model: Model, columns: number): Model {
  const { top, left } = model.scroll[model.focus];
  const next = Math.max(0, Math.min(left + columns, MAX_LEFT));
  return { ...model, scroll: { ...model.scroll, [model.focus]: { top, left: next } } };
}

/** Opens or closes the chosen branch of a tree; undefined where there is none to be. */
export function toggleBranch(model: Model, c: Context, open: boolean): Model | undefined {
  const node = chosenNode(model, c.snapshot);
  if (node === undefined || node.state !== (open ? "closed" : "open")) return undefined;
  const toggled = new Set(model.toggled);
  if (!toggled.delete(node.key)) toggled.add(node.key);
  const chosen = { ...model.chosen, [model.focus]: node.key };
  return { ...model, toggled, chosen };
}

/** Opens a question on its harmless answer. */
export function ask(model: Model, question: Question): Model {
  return { ...model, overlay: { kind: "question", question, selected: 0 } };
}

export function quit(model: Model, c: Context): Step {
  const { update } = c.snapshot;
  if (update?.outcome !== "running") return doing(model, { type: "exit", code: 0 });
  return just(ask(model, {
    title: "Quit",
    text: `A live update runs (phase ${update.phase}).\nQuit and drop the machine?` +
      "\n\ny quit, n stay",
    buttons: [{ label: "Stay", cancel: true }, { label: "Quit", danger: true }],
    yes: { type: "exit", code: 0 },
    command: "quit",
  }));
}
