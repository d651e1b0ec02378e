import assert from "node:assert/strict";
import fc from "fast-check";
import { CONTINUATION, Grid, Region } from "../../src/tui/mod.ts";
import { paints, pictureOf, PIECES, shows } from "./helpers.ts";

Deno.test("put() writes text and returns the columns used", () => {
  shows(["  abc   ", "        "], (r) => assert.equal(r.put(2, 0, "abc"), 3));
  shows(["日本x  "], (r) => assert.equal(r.put(0, 0, "日本x"), 5));
});

Deno.test("put() clips at every edge", () => {
  shows(["cd", "ab"], (r) => {
    assert.equal(r.put(-2, 0, "abcdef"), 4);
    r.put(0, 1, "abcdef");
    r.put(0, -1, "above");
    r.put(0, 2, "below");
    r.put(5, 0, "right");
    assert.equal(r.put(-9, 0, "left"), 4);
  });
  shows(["ab  "], (r) => assert.equal(r.put(0, 0, "abcdef", 0, 2), 2));
});

Deno.test("put() leaves a blank where half of a wide character would be cut off", () => {
  shows(["ab "], (r) => void r.put(0, 0, "ab日"));
  shows([" b "], (r) => void r.put(-1, 0, "日b"));
});

Deno.test("put() repairs wide characters it overwrites by half", () => {
  const grid = new Grid(6, 1);
  grid.put(0, 0, "日本語");
  grid.put(1, 0, "x");
  assert.deepEqual(pictureOf(grid), [" x本語"]);
  grid.put(4, 0, "yy");
  grid.put(2, 0, "z");
  assert.deepEqual(pictureOf(grid), [" xz yy"]);
});

Deno.test("put() joins a combining mark to the letter before it, also at the right edge", () => {
  shows(["aq\u0323"], (r) => void r.put(0, 0, "aq\u0323zz"), (grid) => grid.resize(2, 1));
  const grid = new Grid(4, 1);
  grid.put(0, 0, "caf\u0065\u0301");
  assert.deepEqual(pictureOf(grid), ["café"]);
});

Deno.test("put() keeps the number of clusters bounded", () => {
  const grid = new Grid(4, 1);
  for (let n = 0; n < 9000; n++) grid.put(0, 0, String.fromCodePoint(0x4e00 + n) + "\u0323");
  assert.equal(grid.contentText(-4097), " ");
  assert.equal(grid.rowText(0).codePointAt(0), 0x4e00 + 8999);
});

Deno.test("setRow() is clipped, shows nothing that a terminal could obey, and cuts wide ones whole", () => {
  const codes = Uint16Array.from("ab\x1bd日", (c) => c.charCodeAt(0));
  shows(["ab d ", "     "], (r) => r.setRow(0, 0, codes));
  shows(["b d  "], (r) => r.setRow(-1, 0, codes));
  shows(["   ab"], (r) => r.setRow(3, 0, codes));
  shows(["  "], (r) => r.setRow(0, 7, codes));
  const grid = new Grid(6, 1);
  grid.put(0, 0, "日本語");
  Region.of(grid).setRow(1, 0, codes.subarray(0, 2));
  assert.deepEqual(pictureOf(grid), [" ab 語"]);
});

Deno.test("fill() and overlay() are clipped, and an overlay keeps what is below", () => {
  const grid = shows(["....", ".ab."], (r) => {
    r.fill("dim", ".", { x: -5, y: -5, w: 50, h: 50 });
    r.put(1, 1, "ab", "bad");
    r.overlay("selection", { x: 2, y: 1, w: 9, h: 9 });
  });
  paints(grid, {
    d: "dim",
    b: "bad",
    B: grid.table.over("bad", "selection"),
    D: grid.table.over("dim", "selection"),
  }, [
    "dddd",
    "dbBD",
  ]);
});

Deno.test("a region draws in its own coordinates and nowhere else", () => {
  shows(["    ", " bc ", "    "], (r) => {
    const inner = r.sub({ x: 1, y: 1, w: 2, h: 1 });
    inner.put(-1, 0, "abcd");
    inner.put(0, 1, "no");
    inner.put(0, -1, "no");
    inner.sub({ x: 5, y: 5, w: 10, h: 10 }).fill("bad", "!");
    inner.sub({ x: -5, y: -5, w: 4, h: 4 }).fill("bad", "!");
  });
});

Deno.test("showCursor() shows the cursor only where the region is visible", () => {
  const grid = new Grid(5, 5);
  const region = Region.of(grid).sub({ x: 2, y: 2, w: 2, h: 2 });
  region.showCursor(2, 0);
  assert.equal(grid.cursor, null);
  region.showCursor(1, 1);
  assert.deepEqual(grid.cursor, { x: 3, y: 3 });
});

Deno.test("any drawing leaves every wide character whole", () => {
  const number = fc.oneof(
    fc.integer({ min: -12, max: 12 }),
    fc.constantFrom(NaN, Infinity, -Infinity, 1.5),
  );
  const text = fc.array(fc.constantFrom(...PIECES)).map((parts) => parts.join(""));
  const step = fc.record({
    x: number,
    y: number,
    w: number,
    h: number,
    text,
    region: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.nat(9), fc.nat(3), fc.array(step, { maxLength: 12 }), (cols, rows, steps) => {
      const grid = new Grid(cols, rows);
      for (const { x, y, w, h, text, region } of steps) {
        if (region) Region.of(grid).sub({ x, y, w, h }).put(x, y, text, "good", w);
        else grid.put(x, y, text, "bad", w);
        grid.fill({ x: y, y: x, w, h }, "dim");
      }
      for (let i = 0; i < grid.cells.length; i++) {
        if (grid.cells[i] !== CONTINUATION) continue;
        assert.ok(i % cols > 0, "a right half in the first column");
        assert.notEqual(grid.cells[i - 1], CONTINUATION);
        assert.equal(grid.styles[i - 1], grid.styles[i]);
      }
    }),
    { numRuns: 1000 },
  );
});
