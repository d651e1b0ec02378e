import assert from "node:assert/strict";
import fc from "fast-check";
import {
  Iotlb,
  IOTLB_DENIED,
  IOTLB_MISS,
  type IotlbEntry,
} from "../../../src/machine/vtd/iotlb.ts";

const RW = 3, READ = 1, WRITE = 2;

Deno.test("a translation answers for its page, its domain and its permission only", () => {
  const iotlb = new Iotlb(64);
  iotlb.fill(0x12, 0x34567000, 7, 0x99, 1, READ);
  assert.equal(iotlb.lookup(0x12, 0x34567abc, 7, READ), 0x99);
  assert.equal(iotlb.lookup(0x12, 0x34567abc, 7, WRITE), IOTLB_DENIED);
  assert.equal(iotlb.lookup(0x12, 0x34567abc, 8, READ), IOTLB_MISS);
  assert.equal(iotlb.lookup(0x12, 0x34568000, 7, READ), IOTLB_MISS);
  assert.equal(iotlb.lookup(0x13, 0x34567000, 7, READ), IOTLB_MISS);
});

Deno.test("the highest page of 57 bits and the highest DID keep apart from all others", () => {
  const iotlb = new Iotlb(1);
  iotlb.fill(0x1ffffff, 0xfffff000 | 0, 0xffff, 0x7fffffff, 1, RW);
  assert.equal(iotlb.lookup(0x1ffffff, -1, 0xffff, READ), 0x7fffffff);
  assert.equal(iotlb.lookup(0x0ffffff, -1, 0xffff, READ), IOTLB_MISS);
  assert.deepEqual([...iotlb.entries()].map((e) => e.page), [2 ** 45 - 1]);
});

Deno.test("pages of one stream do not push each other out", () => {
  const iotlb = new Iotlb(256);
  for (let page = 0; page < 256; page++) iotlb.fill(0, page << 12, 3, page, 1, RW);
  assert.equal([...iotlb.entries()].length, 256);
});

const fills = fc.array(
  fc.record({
    page: fc.oneof(
      fc.integer({ min: 0, max: 2048 }),
      fc.integer({ min: 0, max: 2 ** 20 }),
      fc.integer({ min: 2 ** 44, max: 2 ** 45 - 1 }),
    ),
    did: fc.constantFrom(0, 1, 2, 0xffff),
    level: fc.constantFrom(1, 1, 2, 3),
  }),
  { minLength: 1, maxLength: 60 },
);

function survives(e: IotlbEntry, did: number, page: number, am: number): boolean {
  const first = Math.floor(page / 2 ** am) * 2 ** am;
  return e.did !== did || e.page >= first + 2 ** am || e.page + e.size / 4096 <= first;
}

Deno.test("a page-selective flush removes what it touches and keeps all else", () => {
  fc.assert(
    fc.property(
      fills,
      fc.constantFrom(4, 64, 4096),
      fc.nat(),
      fc.integer({ min: 0, max: 50 }),
      fc.nat(3),
      (list, entries, which, am, beside) => {
        const iotlb = new Iotlb(entries);
        for (const f of list) {
          const pfn = f.page % 2 ** 30;
          iotlb.fill(Math.floor(f.page / 2 ** 20), f.page << 12, f.did, pfn, f.level, RW);
        }
        const before = [...iotlb.entries()];
        const { page: near, did } = list[which % list.length];
        const page = Math.min(near + beside, 2 ** 45 - 1);
        iotlb.invalidatePages(did, Math.floor(page / 2 ** 20), page << 12, am);
        const expected = before.filter((e) => survives(e, did, page, am));
        assert.deepEqual([...iotlb.entries()], expected);
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("domain and global flushes remove just that", () => {
  fc.assert(fc.property(fills, fc.constantFrom(0, 1, 2, 0xffff), (list, did) => {
    const iotlb = new Iotlb(64);
    for (const f of list) {
      iotlb.fill(Math.floor(f.page / 2 ** 20), f.page << 12, f.did, 0, f.level, RW);
    }
    const before = [...iotlb.entries()];
    iotlb.invalidateDomain(did);
    assert.deepEqual([...iotlb.entries()], before.filter((e) => e.did !== did));
    iotlb.invalidateAll();
    assert.deepEqual([...iotlb.entries()], []);
  }));
});
