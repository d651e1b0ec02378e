import assert from "node:assert/strict";
import { SeededChooser } from "../../../src/base/choice.ts";
import { GiB, MiB } from "../../../src/base/units.ts";
import { compareRadix } from "../../../src/kernel/iommu/compare.ts";
import { DmarPageTable } from "../../../src/kernel/iommu/intel/pgtable.ts";
import { Stage2Table } from "../../../src/kernel/iommu/arm/pgtable.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import { PageAllocator } from "../../../src/kernel/mm/page_alloc.ts";
import { Memory } from "../../../src/machine/memory.ts";

const RAM = 64 * MiB;

function world(ram = RAM) {
  const memory = new Memory([{ start: 0, size: ram }]);
  const pages = new PageAllocator(memory, new SeededChooser(1));
  pages.donate({ start: 0, end: ram });
  const owned = (pfn: number) => pages.useOf(pfn) === FrameUse.iommuTable;
  return { memory, pages, owned };
}

/** Both kinds of tables: how one is made, and the levels of 4 KiB leaves from the top. */
const KINDS = {
  "VT-d second level": ({ memory, pages }: ReturnType<typeof world>) =>
    new DmarPageTable(memory, pages, 4, 3, pages.allocPage(FrameUse.iommuTable)),
  "SMMUv3 stage 2": ({ memory, pages }: ReturnType<typeof world>) => {
    const root = pages.allocRange(8, 8, FrameUse.iommuTable);
    return new Stage2Table(memory, pages, root, 8, () => {}, false);
  },
};

for (const [kind, make] of Object.entries(KINDS)) {
  Deno.test(`${kind}: equal trees compare equal wherever their tables lie, and every leaf was seen`, () => {
    const w = world();
    const old = make(w);
    old.map(0x10, 0x4000, 1000, 3);
    old.map(1 << 18, 1 << 18, 512 * 3, 1);
    w.pages.allocPage(FrameUse.kernel);
    const fresh = make(w);
    fresh.map(1 << 18, 1 << 18, 512 * 3, 1);
    // Made and unmade on the way: an empty table is no difference.
    fresh.map(512 * 7, 0x9000, 5, 3);
    fresh.unmap(512 * 7, 5, []);
    fresh.map(0x10, 0x4000, 1000, 3);
    const { difference, page, leaves } = compareRadix(
      w.memory,
      old.radix,
      fresh.radix,
      w.owned,
    );
    assert.deepEqual([difference, page, leaves], [undefined, -1, 1000 + 3]);
  });

  Deno.test(`${kind}: among hundreds of large pages the one that is otherwise is found`, () => {
    const SIZE = 512, PAGES = 300, AT = 217;
    const cases: [string, pfn: number, prot: number, difference: string | undefined][] = [
      ["the same", AT * SIZE, 3, undefined],
      ["elsewhere", 400 * SIZE, 3, "address"],
      ["elsewhere, beyond 4 GiB", (1 << 20) + AT * SIZE, 3, "address"],
      ["read-only", AT * SIZE, 1, "permission"],
      ["missing", -1, 3, "not mapped before"],
    ];
    for (const [what, pfn, prot, wanted] of cases) {
      const w = world();
      const old = make(w), fresh = make(w);
      fresh.map(SIZE, 0, PAGES * SIZE, 3);
      old.map(SIZE, 0, AT * SIZE, 3);
      if (pfn >= 0) old.map(SIZE + AT * SIZE, pfn, SIZE, prot);
      old.map(SIZE + (AT + 1) * SIZE, (AT + 1) * SIZE, (PAGES - AT - 1) * SIZE, 3);
      const found = compareRadix(w.memory, old.radix, fresh.radix, w.owned);
      const page = wanted === undefined ? -1 : SIZE + AT * SIZE;
      const leaves = wanted === undefined ? PAGES : pfn < 0 ? AT : AT + 1;
      assert.deepEqual([found.difference, found.page, found.leaves], [wanted, page, leaves], what);
    }
  });

  Deno.test(`${kind}: the first page that differs is named, and how`, () => {
    const at = 512 * 5 + 7;
    const cases: [string, (t: ReturnType<typeof make>) => void, string | undefined, number][] = [
      ["address", (t) => t.map(at, 0x801, 1, 3), "address", at],
      ["permission", (t) => t.map(at, 0x800, 1, 1), "permission", at],
      ["gone", () => {}, "not mapped any more", at],
      [
        "more",
        (t) => (t.map(at, 0x800, 1, 3), t.map(at + 90, 0x1, 1, 3)),
        "not mapped before",
        at + 90,
      ],
      ["same", (t) => t.map(at, 0x800, 1, 3), undefined, -1],
    ];
    for (const [name, change, want, where] of cases) {
      const w = world();
      const old = make(w), fresh = make(w);
      for (const t of [old, fresh]) t.map(0, 0x1000, 600, 3);
      old.map(at, 0x800, 1, 3);
      change(fresh);
      // A neighbour, so that the tables are there on both sides.
      for (const t of [old, fresh]) t.map(at + 100, 0x900, 1, 3);
      const { difference, page } = compareRadix(w.memory, old.radix, fresh.radix, w.owned);
      assert.deepEqual([difference, page], [want, where], name);
    }
  });

  Deno.test(`${kind}: the same translation in another page size is another tree`, () => {
    const w = world();
    const old = make(w), fresh = make(w);
    old.map(512 * 4, 512 * 4, 512, 3);
    for (let i = 0; i < 512; i++) fresh.map(512 * 4 + i, 512 * 4 + i, 1, 3);
    const { difference, page } = compareRadix(w.memory, old.radix, fresh.radix, w.owned);
    assert.deepEqual([difference, page], ["page size", 512 * 4]);
  });

  Deno.test(`${kind}: where sizes do not count, small pages are compared with the large one beside them`, () => {
    const large = 512 * 512, small = large + 512 * 4 + 7;
    type Table = ReturnType<typeof make>;
    /** Single pages, but for one: where frame, permission or the page itself may be another's. */
    const singles = (t: Table, count: number, frame = small, prot = 3) => {
      for (let page = large; page < large + count; page++) {
        if (page !== small) t.map(page, page, 1, 3);
        else if (prot !== 0) t.map(page, frame, 1, prot);
      }
    };
    const cases: [string, number, (t: Table) => void, string | undefined, number][] = [
      ["2 MiB, the same", 8 * 512, (t) => singles(t, 8 * 512), undefined, -1],
      ["2 MiB, a frame", 8 * 512, (t) => singles(t, 8 * 512, 0x77), "address", small],
      ["2 MiB, may not write", 8 * 512, (t) => singles(t, 8 * 512, small, 1), "permission", small],
      ["2 MiB, a hole", 8 * 512, (t) => singles(t, 8 * 512, small, 0), "not mapped", small],
      ["1 GiB, the same", large, (t) => singles(t, large), undefined, -1],
      ["1 GiB, a frame", large, (t) => singles(t, large, 0x77), "address", small],
    ];
    for (const [name, pages, other, want, where] of cases) {
      for (const isOld of [true, false]) {
        const w = world();
        const old = make(w), fresh = make(w);
        (isOld ? fresh : old).map(large, large, pages, 3);
        other(isOld ? old : fresh);
        const found = compareRadix(w.memory, old.radix, fresh.radix, w.owned, false);
        assert.deepEqual(
          [found.difference?.replace(/ (any more|before)$/, ""), found.page],
          [want, where],
          `${name}, small ones ${isOld ? "before" : "now"}`,
        );
        if (want === undefined) assert.equal(found.leaves, pages, name);
      }
    }
  });

  Deno.test(`${kind}: a pointer to what was not handed over is not followed`, () => {
    const w = world();
    const old = make(w), fresh = make(w);
    for (const t of [old, fresh]) t.map(512 * 4, 0x800, 3, 3);
    const stolen = old.tables().at(-1) as number;
    w.pages.mark(stolen, 1, FrameUse.kernel);
    const { difference, page } = compareRadix(w.memory, old.radix, fresh.radix, w.owned);
    assert.deepEqual([difference, page], ["table pointer", 512 * 4]);
  });
}

Deno.test("accessed and dirty bits, and snooping, are no difference", () => {
  const w = world();
  const old = KINDS["VT-d second level"](w), fresh = KINDS["VT-d second level"](w);
  old.map(0, 0x800, 20, 3);
  fresh.map(0, 0x800, 20, 3);
  const leaf = old.tables().at(-1) as number;
  for (let i = 0; i < 20; i++) w.memory.store(leaf, i * 2, w.memory.load(leaf, i * 2) | 0xb00);
  assert.equal(compareRadix(w.memory, old.radix, fresh.radix, w.owned).difference, undefined);
});

Deno.test("bits that are no difference are none beside a large page, and hide no other", () => {
  const w = world();
  const old = KINDS["VT-d second level"](w), fresh = KINDS["VT-d second level"](w);
  for (let page = 0; page < 512; page++) old.map(page, page, 1, 3);
  fresh.map(0, 0, 512, 3);
  const compare = () => {
    const { difference, page } = compareRadix(w.memory, old.radix, fresh.radix, w.owned, false);
    return [difference, page];
  };
  const leaf = old.tables().at(-1) as number;
  const change = (index: number, word: number, bits: number) =>
    w.memory.store(leaf, index * 2 + word, w.memory.load(leaf, index * 2 + word) | bits);
  change(9, 0, 0x300);
  assert.deepEqual(compare(), [undefined, -1], "accessed and dirty in one");
  for (let i = 0; i < 512; i++) change(i, 1, 1 << 30);
  assert.deepEqual(compare(), [undefined, -1], "an ignored bit beyond the address in all");
  // As one number such entries look all the same.
  for (let i = 0; i < 512; i++) w.memory.store(leaf, i * 2, 3);
  assert.deepEqual(compare(), ["address", 1]);
});

Deno.test("beside a large page too, a pointer to what was not handed over is not followed", () => {
  const w = world();
  const old = KINDS["VT-d second level"](w), fresh = KINDS["VT-d second level"](w);
  for (let page = 0; page < 512; page++) old.map(page, page, 1, 3);
  fresh.map(0, 0, 512, 3);
  w.pages.mark(old.tables().at(-1) as number, 1, FrameUse.kernel);
  const { difference, page } = compareRadix(w.memory, old.radix, fresh.radix, w.owned, false);
  assert.deepEqual([difference, page], ["table pointer", 0]);
});

Deno.test("a million leaves compare in a moment", () => {
  const w = world(256 * MiB);
  const old = KINDS["VT-d second level"](w), fresh = KINDS["VT-d second level"](w);
  const pages = 4 * GiB / 4096;
  for (const t of [old, fresh]) {
    // Frames that descend make no superpages.
    for (let page = 0; page < pages; page += 512) {
      for (let i = 0; i < 512; i += 2) t.map(page + i, page + 510 - i, 2, 3);
    }
  }
  const { difference, leaves } = compareRadix(w.memory, old.radix, fresh.radix, w.owned);
  assert.deepEqual([difference, leaves], [undefined, pages]);
});
