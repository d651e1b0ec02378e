import assert from "node:assert/strict";
import { type ColorDepth, makeTheme, quantise, rgb, ROLES, StyleTable } from "../../src/tui/mod.ts";

Deno.test("StyleTable interns: the same look has the same id", () => {
  const table = new StyleTable();
  assert.equal(table.resolve("text"), 0);
  assert.equal(table.look({ bold: true, fg: 3 }), table.look({ fg: 3, bold: true }));
  assert.notEqual(table.look({ bold: true }), table.look({ dim: true }));
  assert.equal(table.resolve(table.resolve("bad")), table.resolve("bad"));
});

Deno.test("over() adds attributes, lets the upper colour win, and does not grow", () => {
  const table = new StyleTable(makeTheme({ depth: "16", background: "dark" }));
  const id = table.over("bad", "selection");
  assert.equal(table.sgr(id), "\x1b[0;1;7;91m");
  assert.equal(table.over(id, "selection"), id);
  const { size } = table;
  let style = id;
  for (let n = 0; n < 100; n++) style = table.over(table.over(style, "bad"), "selection");
  assert.ok(table.size <= size + 2);
  assert.equal(table.sgr(table.over("good", "bad")), "\x1b[0;1;91m");
});

Deno.test("a new theme changes what a style looks like, not its id", () => {
  const table = new StyleTable(makeTheme({ depth: "none" }));
  const good = table.resolve("good");
  assert.equal(table.sgr(good), "\x1b[m");
  table.theme = makeTheme({ depth: "16", background: "dark" });
  assert.equal(table.sgr(good), "\x1b[0;92m");
  table.theme = makeTheme({ depth: "256", background: "light" });
  assert.equal(table.sgr(good), "\x1b[0;38;5;28m");
  table.theme = makeTheme({ depth: "truecolor", background: "light" });
  assert.equal(table.sgr(good), "\x1b[0;38;2;14;112;36m");
});

Deno.test("themes never name black or white, and plain text is the terminal's default", () => {
  for (const depth of ["none", "16", "256", "truecolor"] as ColorDepth[]) {
    for (const background of ["dark", "light", "unknown"] as const) {
      for (const palette of ["standard", "colorblind"] as const) {
        const { looks } = makeTheme({ depth, background, palette });
        assert.deepEqual(looks.text, {});
        for (const role of ROLES) {
          for (const color of [looks[role].fg, looks[role].bg]) {
            if (color === undefined) continue;
            assert.notEqual(depth, "none");
            const extremes = [0, 7, 15, 16, 231, rgb(0, 0, 0), rgb(255, 255, 255)];
            assert.ok(!extremes.includes(color), `${role} ${depth} ${background}`);
          }
        }
      }
    }
  }
});

Deno.test("good, warn and bad differ without colour and in the colour-blind palette", () => {
  const plain = new StyleTable(makeTheme({ depth: "none" }));
  const ids = (["good", "warn", "bad", "selection", "dim"] as const).map((r) => plain.resolve(r));
  assert.equal(new Set(ids.map((id) => plain.sgr(id))).size, ids.length);
  const { looks } = makeTheme({ depth: "256", background: "dark", palette: "colorblind" });
  assert.equal(new Set([looks.good.fg, looks.warn.fg, looks.bad.fg]).size, 3);
});

Deno.test("quantise() finds a near colour at each depth", () => {
  assert.equal(quantise(rgb(255, 0, 0), "256"), 196);
  assert.equal(quantise(rgb(255, 0, 0), "16"), 9);
  assert.equal(quantise(rgb(1, 2, 3), "truecolor"), rgb(1, 2, 3));
  assert.equal(quantise(196, "16"), 9);
  assert.equal(quantise(3, "256"), 3);
  assert.equal(quantise(244, "16"), 8);
});
