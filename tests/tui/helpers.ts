/** Helpers for tests of the terminal toolkit. */

import assert from "node:assert/strict";
import {
  Grid,
  makeTheme,
  Region,
  type Role,
  ROLES,
  StyleTable,
  textWidth,
} from "../../src/tui/mod.ts";

/** Draws on a grid of its own and compares the picture, one string per row. */
export function shows(
  picture: readonly string[],
  draw: (region: Region) => void,
  setup: (grid: Grid) => void = () => {},
): Grid {
  const cols = Math.max(0, ...picture.map(textWidth));
  const grid = new Grid(cols, picture.length);
  setup(grid);
  draw(Region.of(grid));
  assert.deepEqual(
    pictureOf(grid),
    picture.map((line) => line + " ".repeat(cols - textWidth(line))),
  );
  return grid;
}

/** All rows of a grid as text. */
export function pictureOf(grid: Grid): string[] {
  return Array.from({ length: grid.rows }, (_, y) => grid.rowText(y));
}

/** Compares the styles of a grid with letters: each row of `picture` names roles by `legend`. */
export function paints(
  grid: Grid,
  legend: Readonly<Record<string, Role | number>>,
  picture: readonly string[],
): void {
  const letters = new Map(
    Object.entries(legend).map(([letter, style]) => [grid.table.resolve(style), letter]),
  );
  const rows = Array.from(
    { length: grid.rows },
    (_, y) =>
      Array.from({ length: grid.cols }, (_, x) => {
        const style = grid.styles[y * grid.cols + x]!;
        return letters.get(style) ?? (style === 0 ? " " : "?");
      }).join(""),
  );
  assert.deepEqual(rows, picture.map((line) => line.padEnd(grid.cols)));
}

/** A style table with many distinct looks. */
export function colourful(): StyleTable {
  return new StyleTable(makeTheme({ depth: "truecolor", background: "dark" }));
}

export const SOME_ROLES: readonly Role[] = ROLES;

/** Pieces of text that are hard on a terminal, and some that are not. */
export const PIECES: readonly string[] = [
  "a",
  "Z",
  " ",
  "hello",
  "────",
  "▁▂▃█",
  "é",
  "e\u0301",
  "o\u0308\u0323",
  "x\u20dd",
  "日",
  "本語",
  "한국",
  "\u1112\u1161\u11ab",
  "ｆｕ",
  "😀",
  "👨\u200d👩\u200d👧",
  "👍🏽",
  "🇩🇪",
  "❤\ufe0f",
  "1\ufe0f\u20e3",
  "क्षि",
  "שלום",
  "\u200b",
  "\u202eabc",
  "\t",
  "\x1b[31m",
  "\x07",
  "\x9b",
  "\u0301",
  "\ud800",
  "\udc00",
  "\u{2b820}",
  "\u00ad",
  "\u2028",
  "ﷺ",
  "\u{1f9ff}",
  "⌚",
  "\u{e0041}",
  "\u1112\ud7b0",
  "x\u08d3",
];
