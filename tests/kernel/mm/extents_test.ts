import assert from "node:assert/strict";
import fc from "fast-check";
import { Extents } from "../../../src/kernel/mm/extents.ts";

const FRAMES = 400;

/** The ranges there are, by what a list of all frames says. */
function rangesOf(free: readonly boolean[]): number[][] {
  const ranges: number[][] = [];
  for (let start = free.indexOf(true); start >= 0; start = free.indexOf(true, start)) {
    const next = free.indexOf(false, start), end = next < 0 ? free.length : next;
    ranges.push([start, end]);
    start = end;
  }
  return ranges;
}

Deno.test("free ranges are joined and taken apart as a list of all frames has it", () => {
  const step = fc.record({
    add: fc.boolean(),
    pfn: fc.nat(FRAMES - 1),
    count: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 300 }), (steps) => {
      const extents = new Extents(), free = new Array<boolean>(FRAMES).fill(false);
      for (const { add, pfn, count } of steps) {
        const frames = Array.from({ length: Math.min(count, FRAMES - pfn) }, (_, i) => pfn + i);
        if (add) {
          // Only what is in none of the ranges can be added.
          if (frames.some((frame) => free[frame])) continue;
          extents.add(pfn, frames.length);
        } else {
          const i = rangesOf(free).findIndex(([start, end]) =>
            pfn >= start && pfn + frames.length <= end
          );
          if (i < 0) continue;
          extents.carve(i, pfn, frames.length);
        }
        for (const frame of frames) free[frame] = add;
        const ranges = rangesOf(free);
        assert.deepEqual(
          Array.from({ length: extents.length }, (_, i) => [extents.start(i), extents.end(i)]),
          ranges,
        );
        assert.equal(extents.last, ranges.at(-1)?.[1] ?? 0);
      }
      for (let pfn = 0; pfn < FRAMES; pfn++) assert.equal(extents.has(pfn), free[pfn]);
    }),
    { numRuns: 20 },
  );
});

Deno.test("there may be more ranges than there was room for at first", () => {
  const extents = new Extents();
  for (let i = 599; i >= 0; i--) extents.add(i * 3, 1);
  assert.equal(extents.length, 600);
  for (let i = 0; i < 600; i++) {
    assert.deepEqual([extents.start(i), extents.end(i)], [i * 3, i * 3 + 1]);
  }
  for (let i = 0; i < 599; i++) extents.add(i * 3 + 1, 2);
  assert.deepEqual([extents.length, extents.start(0), extents.last], [1, 0, 1798]);
});
