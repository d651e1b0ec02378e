/**
 * The screen as a grid of cells, held twice: what is being drawn, and what the terminal shows.
 * A cell is two numbers, its content and its style. Content is a code point, `CONTINUATION`
 * for the right half of a wide character, or a negative id of a cluster (a base with marks).
 * Everything drawn is clipped; text may be hostile, its control characters are replaced.
 */

import type { Rect } from "./layout.ts";
import { type Style, type StyleLike, StyleTable } from "./style.ts";
import { CellScanner, isPlain, textWidth } from "./width.ts";

/** Content of the right half of a wide character. */
export const CONTINUATION = 0;
export const BLANK = 0x20;

/** Distinct clusters kept; beyond it only the base is drawn. Bounds what hostile text can cost. */
const MAX_CLUSTERS = 4096;
/** UTF-16 units looked at per cell when text is not plain. Bounds the work for hostile text. */
const UNITS_PER_CELL = 8;

export class Grid {
  #cols = 0;
  #rows = 0;
  /** Content being drawn, row by row. */
  cells = new Int32Array(0);
  /** Style ids being drawn. */
  styles = new Int32Array(0);
  /** Content the terminal shows; maintained by `flush()`. */
  shownCells = new Int32Array(0);
  shownStyles = new Int32Array(0);
  /** True while nothing is known about what the terminal shows. */
  stale = true;
  /** Where to show the terminal's own cursor after the frame, or null to hide it. */
  cursor: { readonly x: number; readonly y: number } | null = null;
  /** What `flush()` last did about the cursor: -1 hidden, else the cell index. */
  shownCursor = -1;
  /** Widgets use ASCII instead of line drawing and block characters. */
  ascii = false;
  readonly table: StyleTable;
  readonly #scanner = new CellScanner();
  #clusters: string[] = [];
  readonly #clusterIds = new Map<string, number>();

  /** Sizes are in cells, 0 or more. Grids that share a style table can share style ids. */
  constructor(cols: number, rows: number, table: StyleTable = new StyleTable()) {
    this.table = table;
    this.resize(cols, rows);
  }

  get cols(): number {
    return this.#cols;
  }

  get rows(): number {
    return this.#rows;
  }

  /** Changes the size and blanks the grid. The next flush repaints in full. */
  resize(cols: number, rows: number): void {
    this.#cols = Math.max(0, Math.floor(cols));
    this.#rows = Math.max(0, Math.floor(rows));
    const size = this.#cols * this.#rows;
    this.cells = new Int32Array(size).fill(BLANK);
    this.styles = new Int32Array(size);
    this.shownCells = new Int32Array(size);
    this.shownStyles = new Int32Array(size);
    this.#clusters = [];
    this.#clusterIds.clear();
    this.cursor = null;
    this.stale = true;
  }

  /** Blanks every cell and hides the cursor. */
  clear(style: StyleLike = 0): void {
    this.cells.fill(BLANK);
    this.styles.fill(this.table.resolve(style));
    this.cursor = null;
  }

  /**
   * Writes text on one line, clipped to the grid and to `maxWidth` columns. Returns the columns
   * used, counted from `x`. A wide character of which only half is visible leaves a blank.
   */
  put(x: number, y: number, text: string, style: StyleLike = 0, maxWidth = Infinity): number {
    return this.putWithin(
      x,
      y,
      text,
      this.table.resolve(style),
      0,
      Math.min(this.#cols, x + maxWidth),
    );
  }

  /** `put()` clipped to columns `left` (inclusive) to `right` (exclusive). */
  putWithin(
    x: number,
    y: number,
    text: string,
    style: Style,
    left: number,
    right: number,
  ): number {
    x = Math.floor(x);
    y = Math.floor(y);
    left = Math.max(0, left);
    right = Math.min(this.#cols, Math.floor(right));
    // Written so that NaN is refused too.
    if (!(y >= 0 && y < this.#rows && left < right && x < right)) return 0;
    const row = y * this.#cols;
    const { cells, styles } = this;
    const length = text.length;
    // No UTF-16 unit takes more than two cells: nothing of this text can be visible.
    if (x + 2 * length <= left) return textWidth(text);
    let at = 0;
    let column = x;
    this.#split(row, Math.max(x, left));
    // What is left of the window is only looked at.
    const hidden = Math.min(length, Math.max(0, left - x)), end = Math.min(length, right - x);
    while (at < hidden && isPlain(text.charCodeAt(at))) at++;
    if (at === hidden) {
      for (let i = row + x + at; at < end; at++, i++) {
        const code = text.charCodeAt(at);
        if (!isPlain(code)) break;
        cells[i] = code;
        styles[i] = style;
      }
    }
    column += at;
    if (at < length && (column < right || !isPlain(text.charCodeAt(at)))) {
      // The last plain letter may be the base of a mark: take it again.
      const from = at > 0 ? at - 1 : 0;
      column = this.#putSlowly(column - (at - from), row, text, from, style, left, right);
    }
    this.#heal(row, Math.max(column, left));
    return column - x;
  }

  /** Sets cells of one row, from `x` on, to plain one-cell code points, clipped to the columns. */
  setRow(
    x: number,
    y: number,
    codes: Uint16Array,
    style: Style,
    left: number,
    right: number,
  ): void {
    const from = Math.max(x, left, 0), to = Math.min(x + codes.length, right, this.#cols);
    if (!(y >= 0 && y < this.#rows) || from >= to) return;
    const row = y * this.#cols, { cells, styles } = this;
    this.#split(row, from);
    for (let i = from; i < to; i++) {
      const code = codes[i - x]!;
      cells[row + i] = isPlain(code) ? code : BLANK;
      styles[row + i] = style;
    }
    this.#heal(row, to);
  }

  #putSlowly(
    column: number,
    row: number,
    text: string,
    from: number,
    style: Style,
    left: number,
    right: number,
  ): number {
    const { cells, styles } = this;
    const scanner = this.#scanner;
    scanner.start(text.slice(from, from + 64 + (right - column) * UNITS_PER_CELL));
    while (column < right && scanner.next()) {
      const { width } = scanner;
      const whole = column >= left && column + width <= right;
      const content = whole ? this.#content(scanner.code, scanner.marks) : BLANK;
      if (column >= left) {
        cells[row + column] = content;
        styles[row + column] = style;
      }
      if (width === 2 && column + 1 >= left && column + 1 < right) {
        cells[row + column + 1] = whole ? CONTINUATION : BLANK;
        styles[row + column + 1] = style;
      }
      column += width;
    }
    return Math.min(column, right);
  }

  /** Sets one cell. `code` must be a plain one-cell code point. */
  set(x: number, y: number, code: number, style: StyleLike): void {
    if (!(x >= 0 && x < this.#cols && y >= 0 && y < this.#rows)) return;
    const row = Math.floor(y) * this.#cols;
    const column = Math.floor(x);
    this.#split(row, column);
    this.cells[row + column] = isPlain(code) ? code : BLANK;
    this.styles[row + column] = this.table.resolve(style);
    this.#heal(row, column + 1);
  }

  /** Fills a rectangle with a plain one-cell character. */
  fill(area: Rect, style: StyleLike = 0, char = " "): void {
    const { x, y, right, bottom } = this.#within(area);
    this.fillWithin(x, y, right, bottom, this.table.resolve(style), char);
  }

  /** `fill()` from column `x` and row `y` (inclusive) to `right` and `bottom` (exclusive). */
  fillWithin(
    x: number,
    y: number,
    right: number,
    bottom: number,
    id: Style,
    char: string,
  ): void {
    const code = char.charCodeAt(0);
    const content = isPlain(code) ? code : BLANK;
    const { cells, styles } = this;
    x = Math.max(0, x);
    y = Math.max(0, y);
    right = Math.min(this.#cols, right);
    bottom = Math.min(this.#rows, bottom);
    if (x >= right) return;
    for (let row = y * this.#cols, end = bottom * this.#cols; row < end; row += this.#cols) {
      this.#split(row, x);
      if (right - x === 1) {
        cells[row + x] = content;
        styles[row + x] = id;
      } else {
        cells.fill(content, row + x, row + right);
        styles.fill(id, row + x, row + right);
      }
      this.#heal(row, right);
    }
  }

  /** Lays a style over what is already drawn in a rectangle; see `StyleTable.over`. */
  overlay(area: Rect, style: StyleLike): void {
    const { cells, styles, table } = this;
    const { x, y, right, bottom } = this.#within(area);
    let below = -1, laid = 0;
    for (let row = y * this.#cols, end = bottom * this.#cols; row < end; row += this.#cols) {
      for (let i = row + x; i < row + right; i++) {
        // The right half of a wide character has no style of its own.
        if (cells[i] === CONTINUATION && i > row + x) {
          styles[i] = styles[i - 1]!;
          continue;
        }
        if (styles[i] !== below) {
          below = styles[i]!;
          laid = table.over(below, style);
        }
        styles[i] = laid;
      }
    }
  }

  /** One row as text, trailing blanks included. For tests and for dumps of the screen. */
  rowText(y: number): string {
    let text = "";
    for (let x = 0; x < this.#cols; x++) text += this.contentText(this.cells[y * this.#cols + x]!);
    return text;
  }

  /** Text of a cell's content: "" for a continuation. */
  contentText(content: number): string {
    if (content < 0) return this.#clusters[-content - 1] ?? " ";
    return content === CONTINUATION ? "" : String.fromCodePoint(content);
  }

  #content(code: number, marks: string): number {
    if (marks === "") return code;
    const text = String.fromCodePoint(code) + marks;
    const known = this.#clusterIds.get(text);
    if (known !== undefined) return known;
    if (this.#clusters.length >= MAX_CLUSTERS) return code;
    const id = -this.#clusters.push(text);
    this.#clusterIds.set(text, id);
    return id;
  }

  /** The part of an area that is on the grid. */
  #within(area: Rect): { x: number; y: number; right: number; bottom: number } {
    return {
      x: Math.max(0, Math.floor(area.x)),
      y: Math.max(0, Math.floor(area.y)),
      right: Math.min(this.#cols, Math.floor(area.x + area.w)),
      bottom: Math.min(this.#rows, Math.floor(area.y + area.h)),
    };
  }

  /** Writing starts at `column`: a wide character that reaches into it loses its left half. */
  #split(row: number, column: number): void {
    if (column > 0 && column < this.#cols && this.cells[row + column] === CONTINUATION) {
      this.cells[row + column - 1] = BLANK;
      // The right half must not survive either, in case nothing gets written here.
      this.cells[row + column] = BLANK;
    }
  }

  /** Writing ended before `column`: a right half left alone there becomes a blank. */
  #heal(row: number, column: number): void {
    if (column < this.#cols && this.cells[row + column] === CONTINUATION) {
      this.cells[row + column] = BLANK;
    }
  }
}
