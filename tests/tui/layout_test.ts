import assert from "node:assert/strict";
import fc from "fast-check";
import { center, columns, divide, fr, inset, rows, type Size } from "../../src/tui/mod.ts";

Deno.test("divide() serves fixed sizes first and shares the rest by weight", () => {
  assert.deepEqual(divide(20, [3, fr(1), fr(2), 2]), [3, 5, 10, 2]);
  assert.deepEqual(divide(21, [fr(), fr(), fr()], 1), [6, 7, 6]);
  assert.deepEqual(divide(10, [fr(1, 6), fr(1)]), [6, 4]);
  assert.deepEqual(divide(20, [fr(1, 6), fr(1)]), [10, 10]);
  assert.deepEqual(divide(20, [fr(1, 0, 3), fr(1)]), [3, 17]);
  assert.deepEqual(divide(4, [3, 3, fr()]), [3, 1, 0]);
  assert.deepEqual(divide(0, [3, fr()], 1), [0, 0]);
  assert.deepEqual(divide(-5, []), []);
});

Deno.test("divide() fills the total exactly and never exceeds it", () => {
  const size: fc.Arbitrary<Size> = fc.oneof(
    fc.nat(30),
    fc.record({ fr: fc.nat(5), min: fc.nat(10) }),
    fc.record({ fr: fc.nat(5), min: fc.nat(10), max: fc.nat(20) }),
  );
  fc.assert(
    fc.property(fc.nat(120), fc.array(size, { maxLength: 7 }), fc.nat(2), (total, sizes, gap) => {
      const lengths = divide(total, sizes, gap);
      const gaps = gap * Math.max(0, sizes.length - 1);
      const sum = lengths.reduce((a, b) => a + b, 0);
      assert.ok(lengths.every((length) => Number.isInteger(length) && length >= 0));
      assert.ok(sum <= Math.max(0, total - gaps));
      const elastic = sizes.some((s) => typeof s !== "number" && s.fr > 0 && s.max === undefined);
      if (elastic) assert.equal(sum, Math.max(0, total - gaps));
      sizes.forEach((s, i) => {
        if (typeof s !== "number" && s.max !== undefined) assert.ok(lengths[i]! <= s.max);
      });
    }),
    { numRuns: 3000 },
  );
});

Deno.test("rows() and columns() lay parts side by side, with gaps", () => {
  const area = { x: 2, y: 3, w: 10, h: 6 };
  assert.deepEqual(rows(area, [1, fr()], 1), [
    { x: 2, y: 3, w: 10, h: 1 },
    { x: 2, y: 5, w: 10, h: 4 },
  ]);
  assert.deepEqual(columns(area, [fr(), 4]), [
    { x: 2, y: 3, w: 6, h: 6 },
    { x: 8, y: 3, w: 4, h: 6 },
  ]);
});

Deno.test("inset() and center() never go below zero", () => {
  assert.deepEqual(inset({ x: 0, y: 0, w: 1, h: 5 }, 1), { x: 1, y: 1, w: 0, h: 3 });
  assert.deepEqual(center({ x: 0, y: 0, w: 10, h: 5 }, 4, 99), { x: 3, y: 0, w: 4, h: 5 });
});
