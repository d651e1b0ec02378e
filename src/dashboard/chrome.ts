import { footer, type Hint, type Region, type StyleLike, textWidth } from "../tui/mod.ts";
import { BAR, commandNamed } from "./commands/table.ts";
import { type Context, type Model, type Scene, SPEEDS } from "./model.ts";
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
export function header(region: Region, s: Scene, model: Model): void {
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
export function oneLine(region: Region, s: Scene, model: Model): void {
  const verdict = verdictPiece(s, true);
  const pieces = fit([verdict, ...headerPieces(s, model, true)], region.w + GAP);
  let x = 0;
  for (const { text, style } of pieces) x += region.put(x, 0, text, style) + GAP;
}

function headerPieces(s: Scene, model: Model, terse: boolean): Piece[] {
  const speed = SPEEDS[model.speed] ?? 1;
  // Where the machine cannot keep up, the speed that is kept is shown as well.
  const lags = !model.paused && model.pace > 0 && model.pace < 0.9 * speed;
  const pace = lags ? ` (${digits(model.pace)}x)` : "";
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
    ...state(model),
    ...(s.armed.length === 0
      ? []
      : [{ text: `${s.armed.length} FAULT ARMED`, style: "warn", priority: 2 } as const]),
  ];
}

/** Two digits that count. */
function digits(pace: number): string {
  return pace < 0.995 ? pace.toFixed(2) : pace < 9.95 ? pace.toFixed(1) : `${Math.round(pace)}`;
}

/** Whether time runs, and whether this is the past. */
function state({ paused, travel, history }: Model): Piece[] {
  if (travel !== undefined) {
    const percent = Math.floor(100 * travel.ratio);
    return [{ text: `GOING TO ${travel.to}: ${percent}%`, style: "accent", priority: 0 }];
  }
  const ahead = history.ahead.length;
  return [
    paused
      ? { text: "PAUSED", style: "warn", priority: 1 }
      : { text: "RUNNING", style: "good", priority: 3 },
    ...(ahead === 0
      ? []
      : [{ text: `PAST (${ahead} ahead)`, style: "accent", priority: 2 } as const]),
  ];
}

function kernelPieces(s: Scene): Piece[] {
  const image: Piece = { text: `kernel ${s.image} ${s.version}`, style: "text", priority: 7 };
  switch (kernelState(s)) {
    case "up":
      return [image, { text: `boot ${s.boot}`, style: "title", priority: 1 }];
    case "none":
      return [{ text: "NO KERNEL", style: "bad", priority: 1 }];
    case "booting":
      return [image, { text: `boot ${s.boot} STARTS`, style: "accent", priority: 1 }];
    case "dead":
      return [image, { text: `boot ${s.boot} PANIC`, style: "bad", priority: 1 }];
  }
}

function verdictPiece(s: Scene, terse: boolean): Piece {
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
  return BAR.flatMap((id) => {
    const command = commandNamed(id);
    if (command?.onBar === undefined || command.keys.length === 0) return [];
    if (command.panes !== undefined && !command.panes.includes(model.focus)) return [];
    if ((command.disabled?.(c, model) ?? null) !== null) return [];
    return [{ key: keyText(command.keys[0]!), label: command.onBar }];
  });
}

const KEY_NAMES: Readonly<Record<string, string>> = {
  esc: "Esc",
  pageup: "PgUp",
  pagedown: "PgDn",
  delete: "Del",
};

const keyTexts = new Map<string, string>();

/** A key as a person reads it: `Ctrl-C`, `Shift-Tab`, `PgDn`, `F1`. */
export function keyText(key: string): string {
  let text = keyTexts.get(key);
  if (text === undefined) keyTexts.set(key, text = spell(key));
  return text;
}

function spell(key: string): string {
  const m = /^((?:(?:ctrl|alt|shift)-)*)(.+)$/.exec(key);
  if (m === null) return key;
  const capital = (word: string) => word[0]!.toUpperCase() + word.slice(1);
  const modifiers = m[1]!.split("-").filter((w) => w !== "").map((w) => `${capital(w)}-`).join("");
  const name = m[2]!;
  const plain = name.length === 1 && modifiers === "";
  return modifiers + (plain ? name : KEY_NAMES[name] ?? capital(name));
}
