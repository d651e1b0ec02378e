import { clampOffset, keepVisible } from "../tui/mod.ts";
import { TABBED } from "./layout.ts";
import {
  type Context,
  doing,
  just,
  type Model,
  PANE_IDS,
  type PaneId,
  type QuestionId,
  say,
  SPEEDS,
  type Step,
} from "./model.ts";
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
  return say({ ...model, speed, pace: 0 }, c.now, text);
}

/** Moves the selection or the text of the focused pane by rows. */
export function moveBy(model: Model, c: Context, rows: number): Model {
  const shown = c.metrics[model.focus];
  if (model.focus === "devices") return select(model, c, model.selected + rows);
  return shown === undefined ? model : scrollTo(model, c, shown.offset + rows);
}

/** Moves to a row; Infinity is the end. */
export function moveTo(model: Model, c: Context, row: number): Model {
  return model.focus === "devices" ? select(model, c, row) : scrollTo(model, c, row);
}

/** Selects a device, and scrolls so far that it is seen. */
export function select(model: Model, c: Context, wanted: number): Model {
  const total = c.snapshot.devices.length;
  const selected = Math.max(0, Math.min(wanted, total - 1));
  const { offset, visible } = c.metrics.devices ?? { offset: 0, visible: total };
  const top = keepVisible(offset, selected, visible, total);
  return { ...model, selected, scroll: { ...model.scroll, devices: { top, left: 0 } } };
}

function scrollTo(model: Model, c: Context, wanted: number): Model {
  const shown = c.metrics[model.focus];
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

/** Opens a question on its harmless answer. */
export function ask(model: Model, question: QuestionId): Model {
  return { ...model, overlay: { kind: "question", question, selected: 0 } };
}

export function quit(model: Model, c: Context): Step {
  if (c.snapshot.update?.outcome === "running") return just(ask(model, "quit"));
  return doing(model, { type: "exit", code: 0 });
}
