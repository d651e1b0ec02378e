/** The characters that widgets draw with, and their stand-ins where only ASCII can be shown. */

/** A border: horizontal, vertical, and the corners from top left, clockwise. */
export interface Lines {
  readonly h: string;
  readonly v: string;
  readonly corners: readonly [string, string, string, string];
}

export interface Glyphs {
  readonly light: Lines;
  readonly heavy: Lines;
  readonly full: string;
  readonly empty: string;
  readonly thumb: string;
  readonly track: string;
  readonly open: string;
  readonly closed: string;
  readonly leaf: string;
  readonly ellipsis: string;
  readonly separator: string;
  /** Marks of a phase: done, active, waiting, failed. */
  readonly phase: readonly [string, string, string, string];
  /** Bar heights from lowest to highest, "nothing" excluded. */
  readonly levels: readonly string[];
}

const UNICODE: Glyphs = {
  light: { h: "─", v: "│", corners: ["┌", "┐", "┘", "└"] },
  heavy: { h: "━", v: "┃", corners: ["┏", "┓", "┛", "┗"] },
  full: "█",
  empty: "░",
  thumb: "█",
  track: "│",
  open: "▾",
  closed: "▸",
  leaf: "·",
  ellipsis: "…",
  separator: "│",
  phase: ["■", "▶", "□", "×"],
  levels: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
};

const ASCII: Glyphs = {
  light: { h: "-", v: "|", corners: ["+", "+", "+", "+"] },
  heavy: { h: "=", v: "#", corners: ["#", "#", "#", "#"] },
  full: "#",
  empty: ".",
  thumb: "#",
  track: "|",
  open: "v",
  closed: ">",
  leaf: ".",
  ellipsis: "~",
  separator: "|",
  phase: ["x", ">", ".", "!"],
  levels: ["_", ".", ":", "-", "=", "+", "*", "#"],
};

export function glyphs(ascii: boolean): Glyphs {
  return ascii ? ASCII : UNICODE;
}
