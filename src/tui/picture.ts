/** A screen as a picture: plain text, or SVG with the colours of the theme. */

import { type ColorDepth, colorHex, quantise } from "./color.ts";
import type { Grid } from "./grid.ts";
import { CONTINUATION } from "./grid.ts";
import type { Look } from "./theme.ts";

/** Rows of text, without the blanks at their ends; each ends with a line end. */
export function pictureText(grid: Grid): string {
  let text = "";
  for (let y = 0; y < grid.rows; y++) text += grid.rowText(y).trimEnd() + "\n";
  return text;
}

/** Size of a cell and of its letters in pixels. */
const WIDTH = 8.4;
const HEIGHT = 18;
const FONT = 14;
const BASE = 13.5;
const MARGIN = 8;

/** Colours of a terminal of which nothing is known but whether it is light. */
const PAPER = { dark: ["#16181d", "#d8dadf"], light: ["#ffffff", "#1b1d21"] } as const;

/** The same as a scalable picture that needs nothing but a monospaced font. */
export function pictureSvg(grid: Grid): string {
  const { theme } = grid.table;
  const [paper, ink] = PAPER[theme.background === "light" ? "light" : "dark"];
  const w = round(grid.cols * WIDTH + 2 * MARGIN), h = grid.rows * HEIGHT + 2 * MARGIN;
  const shapes: string[] = [], letters: string[] = [];
  for (let y = 0; y < grid.rows; y++) {
    for (const run of runsOf(grid, y)) {
      const look = colorsOf(grid.table.lookOf(run.style), theme.depth, paper, ink);
      const x = round(MARGIN + run.x * WIDTH), top = MARGIN + y * HEIGHT;
      const width = round(run.w * WIDTH);
      if (look.back !== paper) {
        shapes.push(
          `<rect x="${x}" y="${top}" width="${width}" height="${HEIGHT}" fill="${look.back}"/>`,
        );
      }
      // Blanks at the ends say nothing: a blank is one cell wide.
      const text = run.text.trim(), before = run.text.length - run.text.trimStart().length;
      if (text === "") continue;
      const left = round(MARGIN + (run.x + before) * WIDTH);
      const length = round((run.w - (run.text.length - text.length)) * WIDTH);
      letters.push(
        `<text x="${left}" y="${top + BASE}" textLength="${length}" fill="${look.front}"` +
          `${look.more}>${escape(text)}</text>`,
      );
    }
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" ` +
    `font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" ` +
    `font-size="${FONT}" xml:space="preserve">`,
    `<rect width="${w}" height="${h}" fill="${paper}"/>`,
    ...shapes,
    ...letters,
    "</svg>\n",
  ].join("\n");
}

interface Run {
  readonly x: number;
  readonly w: number;
  readonly text: string;
  readonly style: number;
}

/** Neighbouring cells of one style. */
function runsOf(grid: Grid, y: number): Run[] {
  const runs: Run[] = [];
  for (let x = 0; x < grid.cols;) {
    const from = x, style = grid.styles[y * grid.cols + x]!;
    let text = "";
    for (; x < grid.cols; x++) {
      const cell = y * grid.cols + x;
      if (grid.styles[cell] !== style && grid.cells[cell] !== CONTINUATION) break;
      text += grid.contentText(grid.cells[cell]!);
    }
    runs.push({ x: from, w: x - from, text, style });
  }
  return runs;
}

function colorsOf(look: Look, depth: ColorDepth, paper: string, ink: string) {
  const shown = (color: number | undefined, otherwise: string) =>
    color === undefined || depth === "none" ? otherwise : colorHex(quantise(color, depth));
  const [front, back] = [shown(look.fg, ink), shown(look.bg, paper)];
  const more = (look.bold ? ` font-weight="bold"` : "") +
    (look.italic ? ` font-style="italic"` : "") +
    (look.underline ? ` text-decoration="underline"` : "") + (look.dim ? ` opacity="0.6"` : "");
  return look.reverse ? { front: back, back: front, more } : { front, back, more };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
