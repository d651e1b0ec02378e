/**
 * Themes: what each role looks like at a colour depth, on a dark, light or unknown background,
 * in one of two palettes. Widgets and apps name roles only, so that a theme can be exchanged
 * while the app runs, and so that no meaning hangs on one particular colour.
 */

import { type Color, type ColorDepth, rgb } from "./color.ts";

/** Everything an app can call a piece of text. `s1`..`s6` are for series without a meaning. */
export const ROLES = [
  "text",
  "dim",
  "title",
  "border",
  "focus",
  "good",
  "bad",
  "warn",
  "info",
  "accent",
  "selection",
  "inactive",
  "bar",
  "key",
  "match",
  "s1",
  "s2",
  "s3",
  "s4",
  "s5",
  "s6",
] as const;
export type Role = (typeof ROLES)[number];

/** How text looks. An absent colour is the terminal's default; an absent attribute is off. */
export interface Look {
  readonly fg?: Color;
  readonly bg?: Color;
  readonly bold?: boolean;
  readonly dim?: boolean;
  readonly underline?: boolean;
  readonly reverse?: boolean;
  readonly italic?: boolean;
}

export type Background = "dark" | "light" | "unknown";
export type PaletteName = "standard" | "colorblind";

export interface Theme {
  readonly depth: ColorDepth;
  readonly background: Background;
  readonly looks: Readonly<Record<Role, Look>>;
}

export interface ThemeOptions {
  readonly depth: ColorDepth;
  /** Default "unknown": middle tones that can be read on both. */
  readonly background?: Background;
  /** Default "standard". "colorblind" tells good from bad by blue and orange. */
  readonly palette?: PaletteName;
}

/** One hue: [16-colour index, 256-colour index, 24-bit] for each background. */
type Tone = readonly [number, number, Color];
type Hue = Readonly<Record<Background, Tone>>;

function hue(dark: Tone, light: Tone, unknown: Tone): Hue {
  return { dark, light, unknown };
}

const red = hue([9, 203, rgb(255, 99, 92)], [1, 124, rgb(170, 16, 16)], [1, 160, rgb(214, 45, 40)]);
const green = hue([10, 114, rgb(126, 211, 122)], [2, 28, rgb(14, 112, 36)], [
  2,
  70,
  rgb(78, 154, 6),
]);
const yellow = hue([11, 221, rgb(245, 204, 82)], [3, 94, rgb(133, 84, 0)], [
  3,
  136,
  rgb(176, 128, 0),
]);
const blue = hue([12, 75, rgb(98, 168, 255)], [4, 25, rgb(0, 80, 170)], [4, 33, rgb(30, 125, 220)]);
const magenta = hue([13, 176, rgb(214, 138, 220)], [5, 90, rgb(128, 20, 130)], [
  5,
  133,
  rgb(170, 80, 175),
]);
const cyan = hue([14, 80, rgb(84, 208, 213)], [6, 30, rgb(0, 112, 120)], [
  6,
  37,
  rgb(30, 150, 155),
]);
const orange = hue([11, 208, rgb(255, 150, 50)], [1, 130, rgb(170, 75, 0)], [
  3,
  166,
  rgb(208, 98, 20),
]);
const sky = hue([14, 117, rgb(120, 200, 245)], [6, 31, rgb(0, 108, 160)], [
  6,
  38,
  rgb(40, 145, 200),
]);

type Hues = Readonly<Record<"good" | "bad" | "warn" | "info" | "accent", Hue>>;
const PALETTES: Readonly<Record<PaletteName, Hues>> = {
  standard: { good: green, bad: red, warn: yellow, info: cyan, accent: blue },
  colorblind: { good: blue, bad: orange, warn: magenta, info: sky, accent: cyan },
};
const SERIES: readonly Hue[] = [blue, orange, sky, magenta, yellow, green];

/** Without colour a role must still be told apart where it matters: by weight or reversal. */
const MONOCHROME: Readonly<Partial<Record<Role, Look>>> = {
  dim: { dim: true },
  border: { dim: true },
  bad: { bold: true, reverse: true },
  warn: { bold: true, underline: true },
  accent: { underline: true },
  match: { bold: true, underline: true },
};

const ATTRIBUTES: Readonly<Partial<Record<Role, Look>>> = {
  title: { bold: true },
  focus: { bold: true },
  bad: { bold: true },
  selection: { reverse: true },
  inactive: { bold: true },
  bar: { reverse: true },
  key: { bold: true },
  match: { underline: true },
};

/** Background tints [256-colour index, 24-bit] for a known background; reversal otherwise. */
const TINTS = {
  dark: {
    bar: [236, rgb(46, 49, 54)],
    inactive: [238, rgb(62, 66, 72)],
    selection: [24, rgb(32, 66, 108)],
  },
  light: {
    bar: [254, rgb(228, 230, 233)],
    inactive: [252, rgb(208, 212, 217)],
    selection: [153, rgb(186, 214, 250)],
  },
} as const;

/** Makes the theme for a terminal. At depth "none" it holds no colour at all. */
export function makeTheme(options: ThemeOptions): Theme {
  const { depth, background = "unknown", palette = "standard" } = options;
  const looks = Object.fromEntries(ROLES.map((role) => [role, ATTRIBUTES[role] ?? {}])) as Record<
    Role,
    Look
  >;
  if (depth === "none") return { depth, background, looks: { ...looks, ...MONOCHROME } };

  const column = depth === "16" ? 0 : depth === "256" ? 1 : 2;
  const paint = (role: Role, from: Hue) => {
    looks[role] = { ...looks[role], fg: from[background][column] };
  };
  const hues = PALETTES[palette];
  for (const role of ["good", "bad", "warn", "info", "accent"] as const) paint(role, hues[role]);
  paint("focus", hues.accent);
  paint("key", hues.accent);
  paint("match", hues.warn);
  SERIES.forEach((from, index) => paint(`s${index + 1}` as Role, from));

  // In many 16-colour schemes "bright black" is invisible; the attribute is the safer grey.
  const grey: Look = depth === "16" ? { dim: true } : { fg: background === "light" ? 242 : 245 };
  looks.dim = grey;
  looks.border = grey;
  if (depth !== "16" && background !== "unknown") {
    const tint = TINTS[background];
    looks.bar = { bg: tint.bar[depth === "256" ? 0 : 1] };
    looks.inactive = { bg: tint.inactive[depth === "256" ? 0 : 1], bold: true };
    looks.selection = { bg: tint.selection[depth === "256" ? 0 : 1], bold: true };
  }
  return { depth, background, looks };
}
