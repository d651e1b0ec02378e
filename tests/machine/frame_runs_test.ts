import assert from "node:assert/strict";
import fc from "fast-check";
import { FrameRuns } from "../../src/machine/frame_runs.ts";

const PAGES = 24;
const steps = fc.array(
  fc.record({
    page: fc.nat(PAGES - 1),
    // Mostly the frames that go on from each other; sometimes others.
    shift: fc.constantFrom(100, 100, 100, 101, 140),
    count: fc.integer({ min: 1, max: 8 }),
  }),
  { maxLength: 20 },
);

Deno.test("runs say what a list of pages says, whatever was put over whatever", () => {
  fc.assert(fc.property(steps, (list) => {
    const runs = new FrameRuns(), pages = new Array<number>(PAGES + 8).fill(-1);
    for (const { page, shift, count } of list) {
      runs.set(page, page + shift, count);
      for (let i = page; i < page + count; i++) pages[i] = i + shift;
    }
    pages.forEach((pfn, page) => assert.equal(runs.frameOf(page), pfn));
    assert.equal(runs.pages, pages.filter((pfn) => pfn >= 0).length);
    for (const pfn of pages.filter((p) => p >= 0)) {
      assert.equal(pages[runs.pageOf(pfn)], pfn);
    }
    assert.equal(runs.pageOf(7), -1);
    const { runs: all } = runs;
    all.forEach((run, i) => {
      const next = all[i + 1];
      assert.ok(next === undefined || run.page + run.count <= next.page);
      const goesOn = next?.page === run.page + run.count && next.pfn === run.pfn + run.count;
      assert.ok(!goesOn, "two runs that are one");
    });
    for (const [from, count] of [[0, PAGES], [3, 5]] as const) {
      const between = runs.between(from, count);
      const flat = between.flatMap((r) =>
        Array.from({ length: r.count }, (_, i) => r.pfn < 0 ? -1 : r.pfn + i)
      );
      assert.deepEqual(flat, pages.slice(from, from + count));
      assert.equal(between[0].page, from);
    }
  }));
});
