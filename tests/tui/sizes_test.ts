/** Every widget at every size, and in places where it is not visible at all. */

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  box,
  dialog,
  footer,
  fr,
  gauge,
  Grid,
  list,
  phases,
  Region,
  scrollbar,
  sparkline,
  table,
  tree,
} from "../../src/tui/mod.ts";
import { pictureOf } from "./helpers.ts";

const LABEL = "日本 label";
const WIDGETS: Readonly<Record<string, (region: Region) => void>> = {
  box: (r) =>
    void box(box(r, { title: LABEL, number: 1, count: "3/17", focused: true }), { note: LABEL }),
  gauge: (r) => gauge(r, { label: LABEL, ratio: 0.4 }),
  phases: (r) =>
    phases(r, [{ label: LABEL, state: "done" }, { label: "b", state: "active", weight: 0 }, {
      label: "c",
      state: "failed",
    }]),
  sparkline: (r) => sparkline(r, { values: [1, NaN, 3, -1, Infinity, 5] }),
  scrollbar: (r) => scrollbar(r, { offset: 5, visible: r.h }, 100),
  footer: (r) => footer(r, { mode: LABEL, hints: [{ key: "q", label: LABEL }], message: LABEL }),
  dialog: (r) =>
    dialog(r, {
      title: LABEL,
      text: `${LABEL} a\nb`,
      buttons: [{ label: "No" }, { label: LABEL }],
    }),
  table: (r) =>
    void table(r, {
      columns: [{ title: LABEL, width: fr(1, 4) }, { title: "x", width: 9, align: "right" }],
      rows: 30,
      selected: 20,
      offset: -3,
      cell: (row, column) => ({ text: `${row}${LABEL}${column}`, style: "good" }),
    }),
  list: (r) => void list(r, { count: 30, line: () => LABEL, selected: 29, left: 1 }),
  tree: (r) =>
    void tree(r, {
      count: 9,
      line: (i) => ({ depth: i * 5, state: "open", label: LABEL, detail: LABEL }),
    }),
};

for (const [name, draw] of Object.entries(WIDGETS)) {
  Deno.test(`${name}() survives any size and place, and stays inside of its region`, () => {
    const coordinate = fc.integer({ min: -30, max: 30 });
    const size = fc.oneof(fc.constantFrom(0, 1, 2, 3), fc.nat(40));
    fc.assert(
      fc.property(coordinate, coordinate, size, size, fc.boolean(), (x, y, w, h, ascii) => {
        const grid = new Grid(20, 8);
        grid.ascii = ascii;
        grid.fill({ x: 0, y: 0, w: 20, h: 8 }, "dim", "·");
        draw(Region.of(grid, { x, y, w, h }));
        for (let row = 0; row < grid.rows; row++) {
          for (let column = 0; column < grid.cols; column++) {
            const inside = column >= x && column < x + w && row >= y && row < y + h;
            if (!inside) assert.equal(grid.cells[row * 20 + column], "·".charCodeAt(0));
          }
        }
      }),
      { numRuns: 300 },
    );
    draw(Region.of(new Grid(0, 0)));
  });
}

Deno.test("in ASCII mode widgets draw nothing but ASCII", () => {
  for (const [name, draw] of Object.entries(WIDGETS)) {
    const grid = new Grid(30, 8);
    grid.ascii = true;
    draw(Region.of(grid));
    const drawn = pictureOf(grid).join("").replace(/[日本]/g, "");
    assert.match(drawn, /^[\x20-\x7e]*$/, name);
  }
});
