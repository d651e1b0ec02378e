import { clampOffset, dialogKey, type UiEvent } from "../tui/mod.ts";
import { select } from "./actions.ts";
import { commandFor, commandKey } from "./commands.ts";
import { type Context, doing, just, type Model, type Overlay, say, type Step } from "./model.ts";
import { QUESTIONS } from "./questions.ts";
import { seconds, violatedCount } from "./words.ts";

/** What happens to the dashboard: the terminal's events, and the passing of a frame. */
export type Happening = UiEvent | {
  readonly type: "frame";
  /** Speed reached of late, as a multiple of wall time; 0 when not known. */
  readonly pace: number;
};

/** One thing happened: what the model becomes, and what else is to be done. Pure. */
export function update(model: Model, event: Happening, c: Context): Step {
  switch (event.type) {
    case "key":
      return onKey(model, event.key, c);
    case "frame":
      return just(announce(expire({ ...model, pace: event.pace }, c), c));
    default:
      return just(model);
  }
}

function onKey(model: Model, key: string, c: Context): Step {
  const command = commandFor(key);
  const { overlay } = model;
  if (overlay !== undefined && command?.always !== true) return onOverlay(model, overlay, key, c);
  if (command === undefined) return just(model);
  const quiet: Model = { ...model, message: undefined };
  const reason = command.disabled?.(c, model) ?? null;
  if (reason !== null) {
    return just(say(quiet, c.now, `${command.onBar ?? command.id}: ${reason}`, "warn"));
  }
  return command.run(quiet, c);
}

function onOverlay(model: Model, overlay: Overlay, key: string, c: Context): Step {
  const closed: Model = { ...model, overlay: undefined };
  if (overlay.kind === "question") return onQuestion(model, overlay, key, c);
  if (["esc", "q", "enter", "?"].includes(key)) return just(closed);
  if (commandKey(key) === "space") {
    return just({ ...model, paused: !model.paused, pace: 0 });
  }
  if (overlay.kind === "device" && (key === "up" || key === "down")) {
    return just(select(model, c, model.selected + (key === "up" ? -1 : 1)));
  }
  return just({ ...model, overlay: { ...overlay, top: scrolled(overlay.top, key, c) } });
}

/** The first row of a scrolled overlay after a key. */
function scrolled(top: number, key: string, c: Context): number {
  const { offset, visible, total } = c.metrics.overlay ?? { offset: top, visible: 1, total: 1 };
  const steps: Readonly<Record<string, number>> = {
    up: -1,
    down: 1,
    pageup: -visible,
    pagedown: visible,
    home: -total,
    g: -total,
    end: total,
    G: total,
  };
  return clampOffset(offset + (steps[key] ?? 0), visible, total);
}

function onQuestion(
  model: Model,
  overlay: Overlay & { readonly kind: "question" },
  key: string,
  c: Context,
): Step {
  const question = QUESTIONS[overlay.question];
  const closed: Model = { ...model, overlay: undefined };
  const step = dialogKey(key, question.buttons, overlay.selected);
  const yes = key === "y" || key === "Y" ||
    (step !== null && "chosen" in step && step.chosen === 1);
  if (yes) {
    // The moment may have passed while the question stood.
    const command = overlay.question === "kexec" ? commandFor("k") : undefined;
    const reason = command?.disabled?.(c, model) ?? null;
    if (reason !== null) return just(say(closed, c.now, `kexec: ${reason}`, "warn"));
    return doing(closed, question.effect(model));
  }
  if (key === "n" || key === "N" || (step !== null && "chosen" in step)) {
    return just(say(closed, c.now, "nothing was done"));
  }
  return step === null ? just(model) : just({ ...model, overlay: { ...overlay, ...step } });
}

function expire(model: Model, c: Context): Model {
  const over = model.message !== undefined && c.now >= model.message.until;
  return over ? { ...model, message: undefined } : model;
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
        `live update to ${record.image}${model.paused ? " (paused: Space runs it)" : ""}`,
      );
    case "done":
      return say(next, c.now, `live update done: boot ${s.boot}`, "good");
    default: {
      const style = record.outcome === "failed" ? "bad" : "warn";
      return say(next, c.now, `live update ${record.outcome}: ${record.reason}`, style);
    }
  }
}
