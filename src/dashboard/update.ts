import {
  clampOffset,
  dialogKey,
  editInput,
  inputOf,
  type KeyEvent,
  type UiEvent,
} from "../tui/mod.ts";
import { moveBy } from "./actions.ts";
import { keyText } from "./chrome.ts";
import { commandFor, commandKey, commandNamed } from "./commands/table.ts";
import {
  type Context,
  DEVICE_TABS,
  doing,
  type History,
  just,
  type Model,
  type Overlay,
  say,
  SLOW_MOTION,
  SPEEDS,
  type Step,
  type Travel,
} from "./model.ts";
import { onMouse } from "./mouse.ts";
import { choose, kernelRows } from "./overlays/kernel.ts";
import { helpRows } from "./overlays/help.ts";
import { showText } from "./overlays/text.ts";
import { copyOf } from "./panes/copy.ts";
import { paneOf } from "./panes/mod.ts";
import { doLine, onPrompt } from "./prompt.ts";
import { seconds, speedText, violatedCount } from "./words.ts";

/** What happens to the dashboard: the terminal's events, and news from what it drives. */
export type Happening =
  | UiEvent
  | {
    readonly type: "frame";
    /** Speed reached of late, as a multiple of wall time; 0 when not known. */
    readonly pace: number;
    readonly history: History;
    readonly travel: Travel | undefined;
  }
  /** Something that was done has answered. */
  | {
    readonly type: "answered";
    readonly text: string;
    readonly answer: string;
    readonly detail: string;
    readonly output: string;
  }
  /** Something outside of the platform was done, or could not be. */
  | { readonly type: "told"; readonly text: string; readonly bad: boolean };

/** One thing happened: what the model becomes, and what else is to be done. Pure. */
export function update(model: Model, event: Happening, c: Context): Step {
  switch (event.type) {
    case "key":
      return onKey(model, event, c);
    case "paste":
      return model.prompt === undefined ? just(model) : onPrompt(model, model.prompt, event, c);
    case "mouse":
      return onMouse(model, event, c, (key) => onKey(model, { type: "key", key }, c));
    case "frame": {
      const { pace, history, travel } = event;
      return just(announce(inMotion(expire({ ...model, pace, history, travel }, c), c), c));
    }
    case "answered":
      return just(answered(model, event, c));
    case "told":
      return just(say(model, c.now, event.text, event.bad ? "bad" : "good"));
    default:
      return just(model);
  }
}

function onKey(model: Model, event: KeyEvent, c: Context): Step {
  const { overlay, prompt } = model, { key } = event;
  const command = commandFor(key, model.focus);
  const quiet: Model = { ...model, message: undefined };
  if (command?.always === true) return runKey(quiet, command.id, c);
  if (prompt !== undefined) return onPrompt(quiet, prompt, event, c);
  if (overlay !== undefined) return onOverlay(quiet, overlay, event, c);
  const bound = model.bindings.get(commandKey(key));
  if (bound !== undefined) return bound === "" ? just(model) : doLine(bound, quiet, c);
  return command === undefined ? just(unbound(quiet, key, c)) : runKey(quiet, command.id, c);
}

/** A key that does nothing says so; where it does something, if it does in another pane. */
function unbound(model: Model, key: string, c: Context): Model {
  const elsewhere = commandFor(key)?.panes?.map((id) => paneOf(id).title).join(", ");
  const hint = elsewhere === undefined ? "? shows the keys" : `it works in ${elsewhere}`;
  return say(model, c.now, `${keyText(key)} does nothing here: ${hint}`, "dim");
}

function runKey(model: Model, id: string, c: Context): Step {
  const command = commandNamed(id);
  if (command === undefined) return just(model);
  const reason = command.disabled?.(c, model) ?? null;
  if (reason !== null) {
    return just(say(model, c.now, `${command.onBar ?? command.id}: ${reason}`, "warn"));
  }
  return command.run(model, c, {});
}

/** Keys of an overlay; vim's for up and down work in all of them that take no text. */
function onOverlay(model: Model, overlay: Overlay, event: KeyEvent, c: Context): Step {
  const closed: Model = { ...model, overlay: undefined };
  const { key } = event;
  switch (overlay.kind) {
    case "question":
      return onQuestion(model, overlay, key, c);
    case "help":
      return onHelp(model, overlay, event, c);
    case "kernel":
      return onKernel(model, overlay, event, c);
    case "device":
      return onDevice(model, overlay, key, c);
    case "text": {
      if (["esc", "q", "enter"].includes(key)) return just(closed);
      if (key === "y" || key === "c") return copied(model, c);
      const step = { left: -8, h: -8, right: 8, l: 8 }[key] ?? 0;
      const left = Math.max(0, overlay.left + step);
      return just({ ...model, overlay: { ...overlay, left, top: scrolled(overlay.top, key, c) } });
    }
  }
}

function copied(model: Model, c: Context): Step {
  const text = copyOf(model, c);
  return doing(say(model, c.now, `copied ${text.split("\n").length} lines`), {
    type: "copy",
    text,
  });
}

function onDevice(
  model: Model,
  overlay: Overlay & { readonly kind: "device" },
  key: string,
  c: Context,
): Step {
  const turn = { left: -1, h: -1, right: 1, l: 1, tab: 1, "shift-tab": -1 }[key];
  if (turn !== undefined) {
    const at = DEVICE_TABS.indexOf(overlay.tab) + turn + DEVICE_TABS.length;
    const tab = DEVICE_TABS[at % DEVICE_TABS.length]!;
    return just({ ...model, overlay: { ...overlay, tab, top: 0 } });
  }
  const page = Number(key);
  if (page >= 1 && page <= DEVICE_TABS.length) {
    return just({ ...model, overlay: { ...overlay, tab: DEVICE_TABS[page - 1]!, top: 0 } });
  }
  if (key === "t") {
    const prompt = { purpose: "iova", input: inputOf("0x"), recall: 0 } as const;
    return just({ ...model, overlay: { ...overlay, tab: "translation", top: 0 }, prompt });
  }
  if (key === "y" || key === "c") return copied(model, c);
  if (["esc", "q", "enter", "?"].includes(key)) return just({ ...model, overlay: undefined });
  if (commandKey(key) === "space") return just({ ...model, paused: !model.paused, pace: 0 });
  const rows = { up: -1, k: -1, down: 1, j: 1 }[key];
  if (rows !== undefined && overlay.tab === "overview") {
    return just(moveBy({ ...model, focus: "devices", iova: undefined }, c, rows));
  }
  return just({ ...model, overlay: { ...overlay, top: scrolled(overlay.top, key, c) } });
}

/** The first row of a scrolled overlay after a key. */
function scrolled(top: number, key: string, c: Context): number {
  const { offset, visible, total } = c.metrics.overlay ?? { offset: top, visible: 1, total: 1 };
  const steps: Readonly<Record<string, number>> = {
    up: -1,
    k: -1,
    down: 1,
    j: 1,
    pageup: -visible,
    "ctrl-b": -visible,
    pagedown: visible,
    "ctrl-f": visible,
    "ctrl-u": -Math.ceil(visible / 2),
    "ctrl-d": Math.ceil(visible / 2),
    home: -total,
    g: -total,
    end: total,
    G: total,
  };
  return clampOffset(offset + (steps[key] ?? 0), visible, total);
}

/** Where the chosen row of a list with a filter goes; undefined for keys that do not move it. */
function listKey(key: string, selected: number, total: number, page: number): number | undefined {
  const by = { up: -1, "ctrl-p": -1, down: 1, "ctrl-n": 1, pageup: -page, pagedown: page }[key];
  const to = key === "home"
    ? 0
    : key === "end"
    ? total - 1
    : by === undefined
    ? NaN
    : selected + by;
  return Number.isNaN(to) ? undefined : Math.max(0, Math.min(to, total - 1));
}

function onHelp(
  model: Model,
  overlay: Overlay & { readonly kind: "help" },
  event: KeyEvent,
  c: Context,
): Step {
  const closed: Model = { ...model, overlay: undefined };
  const rows = helpRows(overlay.input.text), { key } = event;
  if (key === "esc" || key === "f1") return just(closed);
  if (overlay.input.text === "" && (key === "?" || key === "q")) return just(closed);
  const selected = listKey(key, overlay.selected, rows.length, c.metrics.overlay?.visible ?? 10);
  if (selected !== undefined) return just({ ...model, overlay: { ...overlay, selected } });
  if (key === "enter") {
    const command = rows[Math.min(overlay.selected, rows.length - 1)];
    return command === undefined ? just(model) : runKey(closed, command.id, c);
  }
  const input = editInput(overlay.input, event);
  return just(input === null ? model : { ...model, overlay: { ...overlay, input, selected: 0 } });
}

function onKernel(
  model: Model,
  overlay: Overlay & { readonly kind: "kernel" },
  event: KeyEvent,
  c: Context,
): Step {
  const rows = kernelRows(overlay.input.text), { key } = event;
  if (key === "esc") return just({ ...model, overlay: undefined });
  const selected = listKey(key, overlay.selected, rows.length, c.metrics.overlay?.visible ?? 10);
  if (selected !== undefined) return just({ ...model, overlay: { ...overlay, selected } });
  if (commandKey(key) === "space") {
    const row = rows[Math.min(overlay.selected, rows.length - 1)];
    const image = row === undefined ? overlay.image : choose(overlay.image, row);
    return just({ ...model, overlay: { ...overlay, image } });
  }
  if (key === "enter") {
    const next = { ...model, overlay: undefined, image: overlay.image };
    return just(say(next, c.now, `the next kexec boots ${overlay.image} (k)`));
  }
  if (key === "ctrl-r") {
    const over = { ...model, overlay: undefined, image: overlay.image };
    return doLine(`restart ${overlay.image}`, over, c);
  }
  const input = editInput(overlay.input, event);
  return just(input === null ? model : { ...model, overlay: { ...overlay, input, selected: 0 } });
}

function onQuestion(
  model: Model,
  overlay: Overlay & { readonly kind: "question" },
  key: string,
  c: Context,
): Step {
  const { question } = overlay;
  const closed: Model = { ...model, overlay: undefined };
  const step = dialogKey(key, question.buttons, overlay.selected);
  const yes = key === "y" || key === "Y" ||
    (step !== null && "chosen" in step && step.chosen === 1);
  if (yes) {
    // The moment may have passed while the question stood.
    const reason = commandNamed(question.command)?.disabled?.(c, model) ?? null;
    if (reason !== null) return just(say(closed, c.now, `${question.title}: ${reason}`, "warn"));
    return doing(closed, question.yes);
  }
  if (key === "K" && question.command === "update") return runKey(closed, "kernel", c);
  if (key === "n" || key === "N" || (step !== null && "chosen" in step)) {
    return just(say(closed, c.now, "nothing was done"));
  }
  return step === null ? just(model) : just({ ...model, overlay: { ...overlay, ...step } });
}

function answered(
  model: Model,
  { text, answer, detail, output }: Happening & { readonly type: "answered" },
  c: Context,
): Model {
  if (answer !== "0") {
    return say(model, c.now, `${text}: ${answer}${detail === "" ? "" : ` (${detail})`}`, "bad");
  }
  const long = output.includes("\n") || output.length > 60 || text.startsWith("file.read");
  if (long && model.overlay === undefined) {
    const overlay = showText(text, output === "" ? "(empty)" : output, c.size.cols - 6);
    return { ...model, overlay };
  }
  return say(model, c.now, `${text}: ${output === "" ? "done" : output}`, "good");
}

function expire(model: Model, c: Context): Model {
  const over = model.message !== undefined && c.now >= model.message.until;
  return over ? { ...model, message: undefined } : model;
}

/** Slows time down when one kernel begins to give way to the next, and brings it back after that. */
function inMotion(model: Model, { snapshot: s }: Context): Model {
  const { speed, fullSpeed } = model;
  const changing = s.panicked === "" &&
    (s.update?.outcome === "running" ? !s.update.held : s.boot > 1 && !s.ready);
  if (changing === model.changing) return model;
  if (changing) {
    return model.settings.slowMotion && speed > SLOW_MOTION
      ? { ...model, changing, speed: SLOW_MOTION, fullSpeed: speed, pace: 0 }
      : { ...model, changing };
  }
  return { ...model, changing, speed: fullSpeed ?? speed, fullSpeed: undefined, pace: 0 };
}

/** What to know of the speed when an update begins. */
function paceOf({ paused, fullSpeed, speed }: Model): string {
  if (paused) return " (paused: Space runs it)";
  return fullSpeed === undefined ? "" : ` in slow motion, ${speedText(SPEEDS[speed] ?? 1)}`;
}

/** News that must not be missed: the end of an update, and above all a broken invariant. */
function announce(model: Model, c: Context): Model {
  const { snapshot: s } = c;
  const record = s.update;
  const outcome = record === undefined ? "" : `${s.updates.length} ${record.outcome}`;
  const violations = violatedCount(s);
  if (outcome === model.announced.outcome && violations === model.announced.violations) {
    return model;
  }

  const next: Model = { ...model, announced: { outcome, violations } };
  if (violations > model.announced.violations) {
    const newest = s.invariants.flatMap((i) => i.violations)
      .reduce((a, b) => a === undefined || b.time >= a.time ? b : a);
    const text = `VIOLATED ${newest.invariant}: ${newest.subject} at ${seconds(newest.time)}`;
    return say(next, c.now, text, "bad");
  }
  if (record === undefined || outcome === model.announced.outcome) return next;
  switch (record.outcome) {
    case "running":
      return say(
        next,
        c.now,
        `live update to ${record.image}${paceOf(model)}`,
      );
    case "done":
      return say(next, c.now, `live update done: boot ${s.boot}`, "good");
    default: {
      const style = record.outcome === "failed" ? "bad" : "warn";
      return say(next, c.now, `live update ${record.outcome}: ${record.reason}`, style);
    }
  }
}
