import assert from "node:assert/strict";
import fc from "fast-check";
import {
  ACCESS_WRITE_WALKS,
  Iotlb,
  IOTLB_DENIED,
  IOTLB_MISS,
  type IotlbEntry,
} from "../../../src/machine/vtd/iotlb.ts";

const READ = 1, WRITE = 2, RW = 3;

Deno.test("an entry with a PASID answers for that PASID only, and none for it", () => {
  const iotlb = new Iotlb(1);
  iotlb.fillPasid(0x12, 0x34567000, 7, 0xfffff, 0x99, 1, READ);
  assert.equal(iotlb.lookupPasid(0x12, 0x34567abc, 7, 0xfffff, READ), 0x99);
  assert.equal(iotlb.lookupPasid(0x12, 0x34567abc, 7, 0xfffff, WRITE), IOTLB_DENIED);
  assert.equal(iotlb.granted, READ);
  assert.equal(iotlb.lookupPasid(0x12, 0x34567abc, 7, 0x7ffff, READ), IOTLB_MISS);
  assert.equal(iotlb.lookupPasid(0x12, 0x34567abc, 8, 0xfffff, READ), IOTLB_MISS);
  assert.equal(iotlb.lookup(0x12, 0x34567abc, 7, READ), IOTLB_MISS);
  iotlb.fill(0x12, 0x34567000, 7, 0x88, 1, RW);
  assert.equal(iotlb.lookupPasid(0x12, 0x34567abc, 7, 0, READ), IOTLB_MISS);
});

Deno.test("a right to write whose D is not set yet is a miss for writes", () => {
  const iotlb = new Iotlb(64);
  iotlb.fill(0, 0x5000, 7, 0x99, 1, READ | ACCESS_WRITE_WALKS);
  assert.equal(iotlb.lookup(0, 0x5000, 7, READ), 0x99);
  assert.equal(iotlb.lookup(0, 0x5000, 7, WRITE), IOTLB_MISS);
  iotlb.fill(0, 0x5000, 7, 0x99, 1, RW);
  assert.equal(iotlb.lookup(0, 0x5000, 7, WRITE), 0x99);
});

interface Fill {
  page: number;
  did: number;
  pasid: number | undefined;
  level: number;
}

const fills = fc.array(
  fc.record<Fill>({
    page: fc.oneof(
      fc.integer({ min: 0, max: 2048 }),
      fc.integer({ min: 2 ** 44, max: 2 ** 45 - 1 }),
    ),
    did: fc.constantFrom(0, 1, 0xffff),
    pasid: fc.constantFrom(undefined, undefined, 0, 1, 0xfffff),
    level: fc.constantFrom(1, 1, 2, 3),
  }),
  { minLength: 1, maxLength: 60 },
);

function filled(list: Fill[], entries: number): Iotlb {
  const iotlb = new Iotlb(entries);
  for (const f of list) {
    const hi = Math.floor(f.page / 2 ** 20), lo = f.page << 12, pfn = f.page % 2 ** 30;
    if (f.pasid === undefined) iotlb.fill(hi, lo, f.did, pfn, f.level, RW);
    else iotlb.fillPasid(hi, lo, f.did, f.pasid, pfn, f.level, RW);
  }
  return iotlb;
}

function touches(e: IotlbEntry, page: number, am: number): boolean {
  const first = Math.floor(page / 2 ** am) * 2 ** am;
  return e.page < first + 2 ** am && e.page + e.size / 4096 > first;
}

Deno.test("each invalidation removes what has its tag and keeps all else", () => {
  fc.assert(
    fc.property(
      fills,
      fc.constantFrom(4, 64, 4096),
      fc.nat(),
      fc.integer({ min: 0, max: 50 }),
      fc.constantFrom("pages", "pasid pages", "pasid", "domain"),
      (list, entries, which, am, kind) => {
        const iotlb = filled(list, entries);
        const before = [...iotlb.entries()];
        const { page, did, pasid = 1 } = list[which % list.length];
        const hi = Math.floor(page / 2 ** 20), lo = page << 12;
        let goes: (e: IotlbEntry) => boolean;
        if (kind === "pages") {
          iotlb.invalidatePages(did, hi, lo, am);
          goes = (e) => e.pasid === undefined && touches(e, page, am);
        } else if (kind === "pasid pages") {
          // The bits above bit 56 of an address say nothing more.
          iotlb.invalidatePasidPages(did, pasid, hi | -1 << 25, lo, am);
          goes = (e) => e.pasid === pasid && touches(e, page, am);
        } else if (kind === "pasid") {
          iotlb.invalidatePasid(did, pasid);
          goes = (e) => e.pasid === pasid;
        } else {
          iotlb.invalidateDomain(did);
          goes = () => true;
        }
        const expected = before.filter((e) => e.did !== did || !goes(e));
        assert.deepEqual([...iotlb.entries()], expected);
      },
    ),
    { numRuns: 1000 },
  );
});
