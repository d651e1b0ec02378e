import assert from "node:assert/strict";
import fc from "fast-check";
import { Tlb, TLB_DENIED, TLB_MISS, type TlbEntry } from "../../../src/machine/amdvi/tlb.ts";

const READ = 1, WRITE = 2;

Deno.test("a translation answers for its page, its domain and its permission only", () => {
  // One slot: only the tags can tell entries apart.
  const tlb = new Tlb(1);
  tlb.fill(7, 0x12, 0x34567000, 0x99, 0, READ);
  assert.equal(tlb.lookup(7, 0x12, 0x34567abc, READ), 0x99);
  assert.equal(tlb.lookup(7, 0x12, 0x34567abc, WRITE), TLB_DENIED);
  assert.equal(tlb.lookup(8, 0x12, 0x34567abc, READ), TLB_MISS);
  assert.equal(tlb.lookup(7, 0x12, 0x34568000, READ), TLB_MISS);
  assert.equal(tlb.lookup(7, 0x13, 0x34567000, READ), TLB_MISS);
});

Deno.test("the highest page of 64 bits and the highest DomainID keep apart from all others", () => {
  const tlb = new Tlb(1);
  tlb.fill(0xffff, -1, -4096, 0x7fffffff, 0, READ | WRITE);
  assert.equal(tlb.lookup(0xffff, -1, -1, READ), 0x7fffffff);
  assert.equal(tlb.lookup(0xffff, 0x7fffffff, -1, READ), TLB_MISS);
  assert.deepEqual([...tlb.entries()].map((e) => e.page), [2 ** 52 - 1]);
});

Deno.test("an invalidation of pages removes what it touches and keeps all else", () => {
  const fills = fc.array(
    fc.record({
      page: fc.oneof(
        fc.nat(4096),
        fc.nat(2 ** 22),
        fc.integer({ min: 2 ** 52 - 9, max: 2 ** 52 - 1 }),
      ),
      domain: fc.constantFrom(0, 1, 0xffff),
      bits: fc.constantFrom(0, 0, 4, 9, 12, 18),
    }),
    { minLength: 1, maxLength: 50 },
  );
  fc.assert(
    fc.property(fills, fc.constantFrom(4, 64, 4096), fc.nat(), fc.nat(9), fc.nat(52), (
      list,
      entries,
      which,
      beside,
      log2,
    ) => {
      const tlb = new Tlb(entries);
      const hi = (page: number) => Math.floor(page / 2 ** 20) | 0;
      for (const f of list) {
        tlb.fill(f.domain, hi(f.page), f.page % 2 ** 20 << 12, f.page % 2 ** 30, f.bits, 3);
      }
      const before = [...tlb.entries()];
      const { page: near, domain } = list[which % list.length];
      const page = Math.min(near + beside, 2 ** 52 - 1);
      const size = 2 ** log2, first = Math.floor(page / size) * size;
      if (log2 === 0) tlb.invalidatePage(domain, hi(page), page % 2 ** 20 << 12);
      else tlb.invalidatePages(domain, first, size);
      const stays = (e: TlbEntry) =>
        e.domain !== domain || e.page >= first + size || e.page + e.size / 4096 <= first;
      assert.deepEqual([...tlb.entries()], before.filter(stays));
    }),
    { numRuns: 500 },
  );
});
