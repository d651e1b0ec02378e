import type { Snapshot } from "../platform/snapshot.ts";
import { footer, type Hint, type Region, type StyleLike, textWidth } from "../tui/mod.ts";
import { type Command, COMMANDS } from "./commands.ts";
import { type Context, type Model, SPEEDS } from "./model.ts";
import { kernelState, seconds, speedText, violatedCount } from "./words.ts";

interface Piece {
  readonly text: string;
  readonly style: StyleLike;
  /** Pieces with a higher number go first when there is no room. */
  readonly priority: number;
}

/** Cells between two pieces of the header. */
const GAP = 2;

/** The first line: what runs, since when, how fast, and whether everything holds. */
export function header(region: Region, s: Snapshot, model: Model): void {
  const { table, w } = region;
  region.fill("bar", " ", { x: 0, y: 0, w, h: 1 });
  const on = (style: StyleLike) => table.over(style, "bar");
  const verdict = verdictPiece(s, w < 60);
  const room = w - textWidth(verdict.text) - 2;
  const pieces = fit(headerPieces(s, model, w < 60), room);
  let x = 1;
  for (const { text, style } of pieces) x += region.put(x, 0, text, on(style), room - x) + GAP;
  const at = Math.max(0, w - textWidth(verdict.text) - 1);
  region.put(at, 0, verdict.text, on(verdict.style));
}

/** The whole screen where there is room for one line only. */
export function oneLine(region: Region, s: Snapshot, model: Model): void {
  const verdict = verdictPiece(s, true);
  const pieces = fit([verdict, ...headerPieces(s, model, true)], region.w + GAP);
  let x = 0;
  for (const { text, style } of pieces) x += region.put(x, 0, text, style) + GAP;
}

function headerPieces(s: Snapshot, model: Model, terse: boolean): Piece[] {
  const speed = SPEEDS[model.speed] ?? 1;
  // Where the machine cannot keep up, the speed that is kept is shown as well.
  const lags = !model.paused && model.pace > 0 && model.pace < 0.9 * speed;
  const pace = lags
    ? ` (${model.pace < 9.95 ? model.pace.toFixed(1) : Math.round(model.pace)}x)`
    : "";
  return [
    { text: "hitless", style: "title", priority: 6 },
    ...(model.title === "" ? [] : [{ text: model.title, style: "text", priority: 8 } as const]),
    ...kernelPieces(s),
    { text: `${terse ? "" : "t "}${seconds(s.time)}`, style: "text", priority: 2 },
    {
      text: `${terse ? "" : "speed "}${speedText(speed)}${terse ? "" : pace}`,
      style: "text",
      priority: 4,
    },
    model.paused
      ? { text: "PAUSED", style: "warn", priority: 1 }
      : { text: "RUNNING", style: "good", priority: 3 },
  ];
}

function kernelPieces(s: Snapshot): Piece[] {
  const image: Piece = { text: `kernel ${s.image} ${s.version}`, style: "text", priority: 7 };
  switch (kernelState(s)) {
    case "up":
      return [image, { text: `boot ${s.boot}`, style: "title", priority: 1 }];
    case "none":
      return [{ text: "NO KERNEL", style: "bad", priority: 1 }];
    case "booting":
      return [image, { text: `boot ${s.boot} STARTS`, style: "accent", priority: 1 }];
  }
}

function verdictPiece(s: Snapshot, terse: boolean): Piece {
  const bad = violatedCount(s);
  const prefix = terse ? "" : "verdict ";
  return bad > 0
    ? { text: `${prefix}VIOLATED ${bad}`, style: "bad", priority: 0 }
    : { text: `${prefix}holds`, style: "good", priority: 0 };
}

/** Leaves out what matters least until the rest fits. */
function fit(pieces: readonly Piece[], width: number): readonly Piece[] {
  let kept = pieces;
  while (kept.length > 1 && kept.reduce((sum, p) => sum + textWidth(p.text) + GAP, 0) > width) {
    const victim = kept.reduce((worst, p) => p.priority >= worst.priority ? p : worst);
    kept = kept.filter((p) => p !== victim);
  }
  return kept;
}

/** The last line: what the keys do now, and a message. */
export function statusLine(region: Region, model: Model, c: Context): void {
  const { message } = model;
  footer(region, {
    hints: hints(model, c),
    ...(message === undefined ? {} : { message: `${message.text} `, messageStyle: message.style }),
  });
}

/** Commands that cannot be done now are left out here; help lists them with the reason. */
function hints(model: Model, c: Context): Hint[] {
  const doable = (command: Command) => (command.disabled?.(c, model) ?? null) === null;
  return COMMANDS.filter((command) => command.onBar !== undefined && doable(command))
    .map((command) => ({ key: keyText(command.keys[0]!), label: command.onBar! }));
}

/** A key as a person reads it. */
export function keyText(key: string): string {
  const names: Readonly<Record<string, string>> = {
    enter: "Enter",
    tab: "Tab",
    esc: "Esc",
    space: "Space",
    pageup: "PgUp",
    pagedown: "PgDn",
    home: "Home",
    end: "End",
    up: "Up",
    down: "Down",
    left: "Left",
    right: "Right",
    "shift-tab": "Shift-Tab",
    "ctrl-c": "Ctrl-C",
    "ctrl-l": "Ctrl-L",
    "ctrl-z": "Ctrl-Z",
    f1: "F1",
  };
  return names[key] ?? key;
}
