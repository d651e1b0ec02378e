import assert from "node:assert/strict";
import { bars } from "../../src/dashboard/bars.ts";

const LEVELS = ["1", "2", "3", "4", "5", "6", "7", "8"];
const text = (counts: number[], start: number, end: number, columns = 1) =>
  String.fromCharCode(...bars(counts, start, end, { max: 4, levels: LEVELS, columns }));

Deno.test("counts are bars of their height; nothing is a blank, little is seen", () => {
  assert.equal(text([0, 0.001, 1, 2, 4, 9], 0, 6), " 12477");
  assert.equal(text([4, 0, 2], 1, 3, 3), "   444");
});

Deno.test("a device that has no history yet has no bars, whatever was drawn before", () => {
  assert.equal(text([4, 4, 4], 0, 3), "777");
  assert.equal(text([], 0, -1), "");
  assert.equal(text([4], 0, 0), "");
});
