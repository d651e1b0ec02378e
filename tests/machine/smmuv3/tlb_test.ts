import assert from "node:assert/strict";
import fc from "fast-check";
import {
  Scope,
  sizeClass,
  Tlb,
  TLB_DENIED,
  TLB_MISS,
  type TlbEntry,
} from "../../../src/machine/smmuv3/tlb.ts";
import {
  invalidateAsid,
  invalidateIpa,
  invalidateVa,
  invalidateVaAllAsids,
  invalidateVmid,
} from "../../../src/machine/smmuv3/tlb_invalidation.ts";

const RW = 3, READ = 1, WRITE = 2;

Deno.test("a translation answers for its page, tag, stage and permission only", () => {
  const tlb = new Tlb(64);
  tlb.fill(Scope.asid, 0x70005, 0x12, 0x34567000, 0x99, 1, READ);
  const lookup = (scope: Scope, tag: number, hi: number, lo: number, need = READ) =>
    tlb.lookup(scope, tag, hi, lo, need);
  assert.equal(lookup(Scope.asid, 0x70005, 0x12, 0x34567abc), 0x99);
  assert.equal(lookup(Scope.asid, 0x70005, 0x12, 0x34567abc, WRITE), TLB_DENIED);
  assert.equal(lookup(Scope.asid, 0x80005, 0x12, 0x34567000), TLB_MISS, "ASID");
  assert.equal(lookup(Scope.asid, 0x70006, 0x12, 0x34567000), TLB_MISS, "VMID");
  assert.equal(lookup(Scope.stage2, 0x70005, 0x12, 0x34567000), TLB_MISS, "stage");
  assert.equal(lookup(Scope.asid, 0x70005, 0x12, 0x34568000), TLB_MISS, "page");
  assert.equal(lookup(Scope.asid, 0x70005, 0x13, 0x34567000), TLB_MISS, "page");
});

Deno.test("the highest page and the highest tag keep apart from all others", () => {
  const tlb = new Tlb(1);
  tlb.fill(Scope.asid, -1, 0xffff, -4096, 0x3fffffff, 1, RW);
  assert.equal(tlb.lookup(Scope.asid, -1, 0xffff, -1, READ), 0x3fffffff);
  assert.deepEqual([...tlb.entries()].map((e) => [e.page, e.vmid, e.asid]), [
    [2 ** 36 - 1, 0xffff, 0xffff],
  ]);
});

Deno.test("classes are the sizes of leaves, alone or by sixteen", () => {
  const tlb = new Tlb(1024);
  let tag = 1;
  for (let level = 3; level >= 1; level--) {
    for (const contiguous of [false, true]) {
      tlb.fill(Scope.stage2, tag++, 0, 0, 0, sizeClass(level, contiguous), RW);
    }
  }
  const sizes = [...tlb.entries()].sort((a, b) => a.vmid - b.vmid).map((e) => e.size);
  assert.deepEqual(sizes, [4096, 65536, 2 ** 21, 2 ** 25, 2 ** 30, 2 ** 34]);
});

const fills = fc.array(
  fc.record({
    page: fc.oneof(
      fc.integer({ min: 0, max: 4096 }),
      fc.integer({ min: 0, max: 2 ** 24 }),
      fc.integer({ min: 2 ** 36 - 2 ** 23, max: 2 ** 36 - 1 }),
    ),
    scope: fc.constantFrom(Scope.asid, Scope.asid, Scope.global, Scope.stage2),
    vmid: fc.constantFrom(0, 1, 0xffff),
    asid: fc.constantFrom(0, 1, 0xffff),
    size: fc.constantFrom(1, 1, 1, 2, 3, 4, 5, 6),
  }),
  { minLength: 1, maxLength: 60 },
);

const hiOf = (page: number) => Math.floor(page / 2 ** 20);

function filled(list: typeof fills extends fc.Arbitrary<infer T> ? T : never, entries: number) {
  const tlb = new Tlb(entries);
  for (const f of list) {
    const tag = f.scope === Scope.asid ? f.asid << 16 | f.vmid : f.vmid;
    tlb.fill(f.scope, tag, hiOf(f.page), f.page << 12, f.page % 2 ** 30, f.size, RW);
  }
  return tlb;
}

Deno.test("each invalidation removes what it names, and keeps all else", () => {
  fc.assert(
    fc.property(
      fills,
      fc.constantFrom(4, 64, 4096),
      fc.nat(),
      fc.constantFrom(1, 1, 2, 3, 16, 512, 2 ** 18, 2 ** 36),
      fc.nat(40),
      fc.constantFrom("asid", "vmid", "stage1", "va", "vaa", "ipa"),
      (list, entries, which, pages, beside, kind) => {
        const tlb = filled(list, entries);
        const before = [...tlb.entries()];
        const { page: near, vmid, asid } = list[which % list.length];
        const page = Math.min(near + beside, 2 ** 36 - 1);
        const hi = hiOf(page), lo = page << 12, tag = asid << 16 | vmid;
        const touched = (e: TlbEntry) => e.page < page + pages && e.page + e.size / 4096 > page;
        const gone: Record<typeof kind, (e: TlbEntry) => boolean> = {
          asid: (e) => e.scope === Scope.asid && e.vmid === vmid && e.asid === asid,
          vmid: (e) => e.vmid === vmid,
          stage1: (e) => e.scope !== Scope.stage2 && e.vmid === vmid,
          va: (e) =>
            e.scope !== Scope.stage2 && e.vmid === vmid && touched(e) &&
            (e.scope === Scope.global || e.asid === asid),
          vaa: (e) => e.scope !== Scope.stage2 && e.vmid === vmid && touched(e),
          ipa: (e) => e.scope === Scope.stage2 && e.vmid === vmid && touched(e),
        };
        const run: Record<typeof kind, () => void> = {
          asid: () => invalidateAsid(tlb, tag),
          vmid: () => invalidateVmid(tlb, vmid, true),
          stage1: () => invalidateVmid(tlb, vmid, false),
          va: () => invalidateVa(tlb, tag, hi, lo, pages),
          vaa: () => invalidateVaAllAsids(tlb, vmid, hi, lo, pages),
          ipa: () => invalidateIpa(tlb, vmid, hi, lo, pages),
        };
        run[kind]();
        assert.deepEqual([...tlb.entries()], before.filter((e) => !gone[kind](e)));
      },
    ),
    { numRuns: 1000 },
  );
});
