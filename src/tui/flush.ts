/**
 * The difference between what a grid holds and what the terminal shows, as one string of escape
 * sequences. Equal cells are skipped; a short run of equal cells between two changes is written
 * again when that is cheaper than moving the cursor.
 */

import { BLANK, CONTINUATION, type Grid } from "./grid.ts";
import { isPlain, isSettled } from "./width.ts";
import { Writer } from "./writer.ts";

export interface FlushOptions {
  /** Clear the terminal and write every cell. Implied after a resize. */
  readonly full?: boolean;
}

const SYNC_START = "\x1b[?2026h";
const SYNC_END = "\x1b[?2026l";
const CLEAR = "\x1b[m\x1b[2J";
const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";

/** A cursor move costs at least this many bytes. */
const MAX_GAP = 4;

const writer = new Writer();

/**
 * Returns what to write to the terminal, "" when nothing changed, and takes note that it has
 * been written. Expects automatic wrapping to be off (a session sees to it) and leaves the
 * terminal's attributes reset.
 */
export function flush(grid: Grid, options: FlushOptions = {}): string {
  writer.reset();
  writer.text(SYNC_START);
  const start = writer.length;
  if (options.full === true || grid.stale) {
    writer.text(CLEAR);
    grid.shownCells.fill(BLANK);
    grid.shownStyles.fill(0);
    grid.shownCursor = -1;
    grid.stale = false;
    writer.text(HIDE_CURSOR);
  }
  const pen = new Pen(grid);
  for (let y = 0; y < grid.rows; y++) scanRow(grid, pen, y);
  if (pen.style > 0) writer.text("\x1b[m");
  placeCursor(grid, writer.length > start);
  if (writer.length === start) return "";
  writer.text(SYNC_END);
  return writer.take();
}

/** Where the terminal's cursor is and which style it writes with; -1 when unknown. */
class Pen {
  x = -1;
  y = -1;
  style = -1;
  readonly grid: Grid;

  constructor(grid: Grid) {
    this.grid = grid;
  }

  select(style: number): void {
    if (style === this.style) return;
    writer.text(this.grid.table.sgr(style));
    this.style = style;
  }

  move(x: number, y: number): void {
    if (this.y === y && this.x === x) return;
    if (this.y === y && this.x >= 0 && this.x < x) {
      const gap = x - this.x;
      if (gap <= MAX_GAP && this.#canRepeat(x)) {
        const row = y * this.grid.cols;
        for (let i = this.x; i < x; i++) writer.code(this.grid.cells[row + i]!);
      } else if (gap === 1) {
        writer.text("\x1b[C");
      } else {
        writer.text("\x1b[");
        writer.int(gap);
        writer.text("C");
      }
    } else {
      writer.text("\x1b[");
      writer.int(y + 1);
      writer.text(";");
      writer.int(x + 1);
      writer.text("H");
    }
    this.x = x;
    this.y = y;
  }

  /** True when the cells up to `x` are plain and in the selected style. */
  #canRepeat(x: number): boolean {
    const { cells, styles, cols } = this.grid;
    const row = this.y * cols;
    for (let i = row + this.x; i < row + x; i++) {
      if (styles[i] !== this.style || !isPlain(cells[i]!)) return false;
    }
    return true;
  }
}

function scanRow(grid: Grid, pen: Pen, y: number): void {
  const { cols, cells, styles, shownCells, shownStyles } = grid;
  const row = y * cols;
  // Cells before this column are written even if unchanged: a neighbour may have spilled there.
  let force = 0;
  for (let x = 0; x < cols; x++) {
    let i = row + x;
    if (x >= force) {
      const end = row + cols;
      while (i < end && cells[i] === shownCells[i] && styles[i] === shownStyles[i]) i++;
      if (i === end) return;
      x = i - row;
    }
    const content = cells[i]!;
    const style = styles[i]!;
    shownCells[i] = content;
    shownStyles[i] = style;
    if (content === CONTINUATION) continue;
    const wide = x + 1 < cols && cells[i + 1] === CONTINUATION;
    pen.move(x, y);
    pen.select(style);
    if (content > 0 && isPlain(content)) {
      writer.code(content);
      // Changed cells that follow in the same style need their letters and nothing else.
      for (const end = row + cols; ++i < end;) {
        const next = cells[i]!;
        if (styles[i] !== style || !(next > 0 && isPlain(next))) break;
        if (next === shownCells[i] && style === shownStyles[i]) break;
        shownCells[i] = next;
        shownStyles[i] = style;
        writer.code(next);
      }
      pen.x = i - row;
      x = pen.x - 1;
    } else if (content > 0 && isSettled(content)) {
      writer.code(content);
      pen.x = x + 2;
    } else {
      force = x + writeDoubtful(grid, pen, content, wide ? 2 : 1);
    }
    if (wide) {
      shownCells[i + 1] = CONTINUATION;
      shownStyles[i + 1] = styles[i + 1]!;
      x++;
    }
    // At the right edge terminals disagree about where the cursor is.
    if (pen.x >= cols) pen.x = -1;
  }
}

/**
 * Writes content that some terminals take for wider or narrower than it is: its place is
 * blanked before, and the cursor is placed afresh after. Returns how many columns may have been
 * touched.
 */
function writeDoubtful(grid: Grid, pen: Pen, content: number, width: number): number {
  const { x, y } = pen;
  for (let n = 0; n < width; n++) writer.code(BLANK);
  pen.x = -1;
  pen.move(x, y);
  const text = grid.contentText(content);
  writer.text(text);
  pen.x = -1;
  return 2 * text.length;
}

function placeCursor(grid: Grid, moved: boolean): void {
  const { cursor, cols } = grid;
  const wanted = cursor === null ? -1 : cursor.y * cols + cursor.x;
  if (wanted === grid.shownCursor && (wanted < 0 || !moved)) return;
  if (cursor === null) {
    writer.text(HIDE_CURSOR);
  } else {
    writer.text("\x1b[");
    writer.int(cursor.y + 1);
    writer.text(";");
    writer.int(cursor.x + 1);
    writer.text("H");
    if (grid.shownCursor < 0) writer.text(SHOW_CURSOR);
  }
  grid.shownCursor = wanted;
}
