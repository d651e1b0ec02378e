// Escape sequences are what these tests are about.
// deno-lint-ignore-file no-control-regex

import assert from "node:assert/strict";
import fc from "fast-check";
import { flush, Grid, Region } from "../../src/tui/mod.ts";
import { colourful, PIECES, SOME_ROLES } from "./helpers.ts";
import { Screen } from "./xterm.ts";

/** The alternate screen with automatic wrap off, as a session sets it up. */
const SET_UP = "\x1b[?1049h\x1b[?7l";

type Op =
  | { kind: "put"; x: number; y: number; text: string; style: number; max: number }
  | { kind: "fill"; x: number; y: number; w: number; h: number; style: number }
  | { kind: "overlay"; x: number; y: number; w: number; h: number; style: number }
  | { kind: "sub"; x: number; y: number; w: number; h: number; text: string; style: number }
  | { kind: "clear" };

const at = fc.integer({ min: -4, max: 24 });
const size = fc.integer({ min: 0, max: 12 });
const style = fc.integer({ min: 0, max: SOME_ROLES.length - 1 });
const text = fc.array(fc.constantFrom(...PIECES), { minLength: 1, maxLength: 6 })
  .map((parts) => parts.join(""));
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("put" as const),
      x: at,
      y: fc.integer({ min: -1, max: 6 }),
      text,
      style,
      max: fc.integer({ min: 0, max: 30 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("fill" as const),
      x: at,
      y: at,
      w: size,
      h: size,
      style,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("overlay" as const),
      x: at,
      y: at,
      w: size,
      h: size,
      style,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("sub" as const),
      x: at,
      y: at,
      w: size,
      h: size,
      text,
      style,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("clear" as const) }) },
);
const frame = fc.record({
  ops: fc.array(op, { maxLength: 8 }),
  resize: fc.option(
    fc.record({ cols: fc.integer({ min: 2, max: 22 }), rows: fc.integer({ min: 1, max: 6 }) }),
    { freq: 6 },
  ),
});

type Frame = typeof frame extends fc.Arbitrary<infer T> ? T : never;

const table = colourful();

function apply(grid: Grid, op: Op): void {
  if (op.kind === "clear") return grid.clear();
  const role = SOME_ROLES[op.style]!;
  if (op.kind === "put") grid.put(op.x, op.y, op.text, role, op.max);
  else if (op.kind === "fill") grid.fill(op, role, "·");
  else if (op.kind === "overlay") grid.overlay(op, role);
  else {
    const region = Region.of(grid).sub(op);
    region.put(-1, 0, op.text, role);
    region.put(op.w - 2, 1, op.text, role);
  }
}

/** Draws the frames by differences on one screen and the last one afresh on another. */
async function agrees(
  frames: readonly Frame[],
  byDifference: Screen,
  byRepaint: Screen,
): Promise<void> {
  byDifference.resize(20, 5);
  byDifference.reset();
  const grid = new Grid(20, 5, table);
  let output = SET_UP;
  for (const { ops, resize } of frames) {
    if (resize !== null) {
      await byDifference.write(output);
      output = "";
      byDifference.resize(resize.cols, resize.rows);
      grid.resize(resize.cols, resize.rows);
    }
    for (const op of ops) apply(grid, op);
    output += flush(grid);
  }
  byRepaint.resize(grid.cols, grid.rows);
  byRepaint.reset();
  await Promise.all([
    byDifference.write(output),
    byRepaint.write(SET_UP + flush(grid, { full: true })),
  ]);
  assert.deepEqual(byDifference.dump(), byRepaint.dump());
}

Deno.test("flush() shows the same by differences as by a full repaint", async () => {
  // The emulator answers after a timer: cases side by side share the wait.
  const screens = Array.from({ length: 20 }, () => [new Screen(20, 5), new Screen(20, 5)] as const);
  const sequence = fc.array(frame, { minLength: 2, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(sequence, { minLength: screens.length, maxLength: screens.length }),
      async (cases) => {
        await Promise.all(cases.map((frames, i) => agrees(frames, ...screens[i]!)));
      },
    ),
    { numRuns: 50, seed: 7 },
  );
});

Deno.test("flush() repairs what a character spills over its neighbours", async () => {
  // The emulator takes these for wider than one cell (or two), and so covers what follows.
  for (const odd of ["x\u08d3", "\u1112\ud7b0", "x\u{1e8d0}"]) {
    const ops: Op[][] = [
      [{ kind: "put", x: 0, y: 0, text: `ab${odd}cdef`, style: 0, max: 20 }],
      [{ kind: "overlay", x: 2, y: 0, w: 1, h: 1, style: 5 }],
    ];
    const frames = ops.map((ops) => ({ ops, resize: null }));
    const screen = new Screen(20, 5);
    await agrees(frames, screen, new Screen(20, 5));
    assert.match(screen.text()[0]!, /cdef *$/);
  }
});

Deno.test("flush() shows settled text exactly as the grid holds it", async () => {
  const pieces = PIECES.filter((piece) => /^[a-zA-Z ─▁▂▃█é日本語한국ｆｕ]+$/u.test(piece));
  const screens = Array.from({ length: 10 }, () => new Screen(20, 5));
  const words = fc.array(fc.constantFrom(...pieces), { maxLength: 12 });
  const page = fc.array(words, { minLength: 5, maxLength: 5 });
  const compare = async (lines: readonly string[][], screen: Screen) => {
    const grid = new Grid(20, 5);
    lines.forEach((parts, y) => grid.put(y, y, parts.join("")));
    await screen.write(SET_UP + flush(grid));
    const want = lines.map((_, y) => grid.rowText(y).trimEnd());
    assert.deepEqual(screen.text().map((line) => line.trimEnd()), want);
  };
  await fc.assert(
    fc.asyncProperty(fc.array(page, { minLength: 10, maxLength: 10 }), async (pages) => {
      await Promise.all(pages.map((lines, i) => compare(lines, screens[i]!)));
    }),
    { numRuns: 20, seed: 7 },
  );
});

Deno.test("flush() returns an empty string when nothing changed", () => {
  const grid = new Grid(10, 2);
  grid.put(0, 0, "one", "good");
  assert.notEqual(flush(grid), "");
  assert.equal(flush(grid), "");
  grid.clear();
  grid.put(0, 0, "one", "good");
  assert.equal(flush(grid), "");
  assert.notEqual(flush(grid, { full: true }), "");
});

Deno.test("flush() wraps a frame in synchronized output and moves no further than needed", () => {
  const grid = new Grid(20, 2);
  flush(grid);
  grid.put(1, 1, "abc");
  assert.equal(flush(grid), "\x1b[?2026h\x1b[2;2H\x1b[mabc\x1b[?2026l");
  // A gap of up to four cells is written again; a longer one is jumped over.
  grid.put(0, 1, "X");
  grid.put(8, 1, "Y");
  grid.put(19, 1, "Z");
  assert.equal(flush(grid), "\x1b[?2026h\x1b[2;1H\x1b[mX\x1b[7CY\x1b[10CZ\x1b[?2026l");
  grid.put(0, 1, "V");
  grid.put(3, 1, "W");
  assert.equal(flush(grid), "\x1b[?2026h\x1b[2;1H\x1b[mVabW\x1b[?2026l");
});

Deno.test("flush() places the terminal's cursor, and again after every change", () => {
  const grid = new Grid(10, 2);
  flush(grid);
  grid.cursor = { x: 3, y: 1 };
  assert.equal(flush(grid), "\x1b[?2026h\x1b[2;4H\x1b[?25h\x1b[?2026l");
  assert.equal(flush(grid), "");
  grid.put(0, 0, "a");
  assert.equal(flush(grid), "\x1b[?2026h\x1b[1;1H\x1b[ma\x1b[2;4H\x1b[?2026l");
  grid.clear();
  assert.match(flush(grid), /\x1b\[\?25l/);
});

Deno.test("flush() sends no colour at depth none", () => {
  const grid = new Grid(40, SOME_ROLES.length);
  SOME_ROLES.forEach((role, y) => grid.put(0, y, role, role));
  const codes = [...flush(grid).matchAll(/\x1b\[([0-9;]*)m/g)].flatMap((m) => m[1]!.split(";"));
  assert.deepEqual([...new Set(codes)].filter((code) => !/^[0-7]?$/.test(code)), []);
});

Deno.test("flush() draws a dashboard of 200x50 in well under a millisecond", () => {
  const grid = new Grid(200, 50, colourful());
  const draw = (n: number) => {
    grid.clear();
    for (let y = 0; y < 50; y++) {
      for (let x = 0; x < 8; x++) grid.put(x * 14, y, String((n * 7 + x * y) % 99991), "good", 13);
      grid.put(115, y, "▁▂▃▄▅▆▇█".repeat(5).slice(n % 8), "info");
    }
    return flush(grid).length;
  };
  for (let n = 0; n < 300; n++) draw(n);
  const times = Array.from({ length: 200 }, (_, n) => {
    const start = performance.now();
    draw(n);
    return performance.now() - start;
  }).sort((a, b) => a - b);
  // The goal is 0.3 ms; the bound leaves room for a busy machine.
  assert.ok(times[100]! < 2, `median ${times[100]} ms`);
});
