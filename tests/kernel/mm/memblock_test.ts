import assert from "node:assert/strict";
import fc from "fast-check";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import { Memblock, RegionList } from "../../../src/kernel/mm/memblock.ts";

const K4 = PAGE_SIZE;

Deno.test("a region list holds the union of what was added: sorted, apart from each other", () => {
  const ranges = fc.array(fc.tuple(fc.nat(80), fc.nat(12)), { maxLength: 30 });
  fc.assert(fc.property(ranges, (list) => {
    const regions = new RegionList();
    const model = new Set<number>();
    for (const [start, length] of list) {
      regions.add(start, start + length);
      for (let i = 0; i < length; i++) model.add(start + i);
    }
    const points = regions.regions.flatMap((r) =>
      Array.from({ length: r.end - r.start }, (_, i) => r.start + i)
    );
    assert.deepEqual(points, [...model].sort((a, b) => a - b));
    regions.regions.forEach((r, i) => {
      assert.ok(i === 0 || regions.regions[i - 1].end < r.start, "touching regions are merged");
    });
    for (const [start, end] of [[3, 9], [0, 100], [40, 41]]) {
      const inside = Array.from({ length: end - start }, (_, i) => model.has(start + i));
      assert.equal(regions.overlaps(start, end), inside.includes(true));
      assert.equal(regions.contains(start, end), !inside.includes(false));
    }
  }));
});

const requests = fc.array(
  fc.record({
    pages: fc.integer({ min: 1, max: 40 }),
    align: fc.constantFrom(1, 1, 4, 16),
    reserve: fc.boolean(),
    at: fc.nat(250),
  }),
  { maxLength: 25 },
);

Deno.test("an allocation is memory, aligned, and meets no reservation and no other allocation", () => {
  fc.assert(fc.property(requests, (list) => {
    const memblock = new Memblock();
    memblock.memory.add(0, 100 * K4);
    memblock.memory.add(120 * K4, 256 * K4);
    const isMemory = (page: number) => page < 100 || (page >= 120 && page < 256);
    const taken = new Set<number>();
    for (const { pages, align, reserve, at } of list) {
      if (reserve) {
        memblock.reserve(at * K4, pages * K4);
        for (let i = 0; i < pages; i++) taken.add(at + i);
        continue;
      }
      const address = memblock.alloc(pages * K4, align * K4);
      const fits = (page: number) =>
        Array.from({ length: pages }, (_, i) => page + i).every((p) =>
          isMemory(p) && !taken.has(p)
        );
      // The model tries every aligned place from the top: the answer must be the highest that fits.
      let best = Math.floor((256 - pages) / align) * align;
      while (best >= 0 && !fits(best)) best -= align;
      assert.equal(address, best < 0 ? -1 : best * K4);
      for (let i = 0; address >= 0 && i < pages; i++) taken.add(best + i);
    }
    const free = [...memblock.free()].flatMap((r) =>
      Array.from({ length: (r.end - r.start) / K4 }, (_, i) => r.start / K4 + i)
    );
    const expected = Array.from({ length: 256 }, (_, p) => p)
      .filter((p) => isMemory(p) && !taken.has(p));
    assert.deepEqual(free, expected);
  }));
});

Deno.test("a limit keeps an allocation below it", () => {
  const memblock = new Memblock();
  memblock.memory.add(0, 64 * MiB);
  assert.equal(memblock.alloc(MiB, K4, 16 * MiB), 15 * MiB);
  assert.equal(memblock.alloc(16 * MiB, K4, 16 * MiB), -1);
});

Deno.test("until preserved ranges are reserved, everything comes from scratch", () => {
  // FACTS 6.1: memblock scratch-only mode.
  const memblock = new Memblock();
  memblock.memory.add(0, 64 * MiB);
  memblock.scratchOnly = { start: 8 * MiB, end: 12 * MiB };
  assert.equal(memblock.alloc(3 * MiB), 9 * MiB);
  assert.equal(memblock.alloc(2 * MiB), -1);
  memblock.scratchOnly = undefined;
  assert.equal(memblock.alloc(2 * MiB), 62 * MiB);
});
