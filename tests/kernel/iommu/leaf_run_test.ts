import assert from "node:assert/strict";
import fc from "fast-check";
import { SeededChooser } from "../../../src/base/choice.ts";
import { MiB } from "../../../src/base/units.ts";
import { Stage2Table } from "../../../src/kernel/iommu/arm/pgtable.ts";
import { DmarPageTable } from "../../../src/kernel/iommu/intel/pgtable.ts";
import { leafRun } from "../../../src/kernel/iommu/leaf_run.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import { PageAllocator } from "../../../src/kernel/mm/page_alloc.ts";
import { Memory } from "../../../src/machine/memory.ts";

const RAM = 16 * MiB, PAGES = 3 * 512;

function tables() {
  const memory = new Memory([{ start: 0, size: RAM }]);
  const pages = new PageAllocator(memory, new SeededChooser(1));
  pages.donate({ start: 0, end: RAM });
  const root = pages.allocRange(8, 8, FrameUse.iommuTable);
  return {
    memory,
    all: [
      new DmarPageTable(memory, pages, 4, 3, pages.allocPage(FrameUse.iommuTable)),
      new Stage2Table(memory, pages, root, 8, () => {}, false),
    ],
  };
}

const pieces = fc.array(
  fc.record({
    page: fc.oneof(fc.nat(PAGES), fc.constantFrom(0, 512, 1024)),
    count: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(512, 600)),
    shift: fc.constantFrom(0x4000, 0x4000, 0x8001),
  }),
  { maxLength: 6 },
);

Deno.test("runs of leaves, one after the other, are what is behind each page", () => {
  fc.assert(
    fc.property(
      pieces,
      fc.nat(PAGES - 1),
      fc.integer({ min: 1, max: PAGES }),
      (list, from, most) => {
        const { memory, all } = tables();
        for (const table of all) {
          // What meets something that is mapped is refused: that piece is then not there.
          for (const { page, count, shift } of list) table.map(page, page + shift, count, 3);
          const end = Math.min(PAGES, from + most);
          for (let page = from; page < end;) {
            const run = leafRun(memory, table.radix, page, end - page);
            assert.ok(run.count >= 1 && run.count <= end - page);
            for (let i = 0; i < run.count; i++) {
              const expected = run.pfn < 0 ? -1 : run.pfn + i;
              assert.equal(table.translate(page + i), expected, `page ${page + i}`);
            }
            page += run.count;
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});
