import assert from "node:assert/strict";
import fc from "fast-check";
import { explainAmdviTranslation } from "../../../src/machine/amdvi/explain.ts";
import * as q from "../../../src/uapi/amdvi_queues.ts";
import { Bench, code, indexAt, IR, IW, next, PR, RW, SID } from "./bench.ts";
import { referenceWalk } from "./reference_walker.ts";

interface Mapping {
  iova: bigint;
  level: number;
  pfn: bigint;
  rights: bigint;
  /** 0 = the level's own size; else log2 of how much larger, by NextLevel 7. */
  larger: number;
  /** Leave out the levels between the first and this one, where the address allows it. */
  skip: boolean;
}

/** Addresses that crowd together, so that mappings share tables and large pages get in the way. */
function addresses(width: number): fc.Arbitrary<bigint> {
  const last = (1n << BigInt(width)) - 1n;
  const crowded = fc.tuple(
    fc.constantFrom(0n, 0x40000000n, 0x7fc0000000n, last - 0x7fffffffn),
    fc.integer({ min: 0, max: 3 }),
    fc.integer({ min: 0, max: 63 }),
  ).map(([base, region, page]) => base + BigInt(region) * 0x200000n + BigInt(page) * 4096n);
  return fc.oneof({ weight: 4, arbitrary: crowded }, fc.bigInt({ min: 0n, max: last }))
    .map((a) => a & last);
}

const scene = fc.integer({ min: 1, max: 6 }).chain((mode) => {
  const width = Math.min(12 + 9 * mode, 64);
  return fc.record({
    mode: fc.constant(mode),
    mappings: fc.array(
      fc.record({
        iova: addresses(width),
        level: fc.constantFrom(1, 1, 1, 2, 2, 3, 4).map((l) => Math.min(l, mode)),
        pfn: fc.bigInt({ min: 0n, max: (1n << 31n) - 1n }),
        rights: fc.constantFrom(RW, RW, RW, IR, IW, 0n),
        larger: fc.constantFrom(0, 0, 0, 1, 4, 8),
        skip: fc.boolean(),
      }),
      { maxLength: 12 },
    ),
    flips: fc.array(fc.tuple(fc.nat(11), fc.nat(5), fc.nat(63)), { maxLength: 6 }),
    others: fc.array(fc.oneof(addresses(width), addresses(64)), { maxLength: 6 }),
  });
});

type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never;

function leafOf(m: Mapping): bigint {
  const bits = BigInt(9 * (m.level - 1) + m.larger);
  const base = m.pfn >> bits << bits;
  if (m.larger === 0) return base << 12n | PR | m.rights;
  return (base | (1n << bits - 1n) - 1n) << 12n | next(7) | PR | m.rights;
}

function map(bench: Bench, root: number, mode: number, m: Mapping): void {
  let table = root;
  for (let level = mode; level > m.level;) {
    const index = indexAt(m.iova, level);
    const entry = bench.load(table, index);
    const to = Number(entry >> 9n & 7n);
    if (entry !== 0n && (to === 0 || to === 7 || to < m.level)) return;
    if (entry === 0n) {
      const between = (1n << BigInt(3 + 9 * level)) - (1n << BigInt(12 + 9 * m.level));
      const lower = m.skip && (m.iova & between) === 0n ? m.level : level - 1;
      bench.store(table, index, BigInt(bench.frame()) << 12n | next(lower) | PR | RW);
    }
    const now = bench.load(table, index);
    table = Number(now >> 12n & 0xffffffffffn);
    level = Number(now >> 9n & 7n);
  }
  bench.store(table, indexAt(m.iova, m.level), leafOf(m));
}

/** Flips a bit of the entry that an address meets at some depth. */
function flip(bench: Bench, root: number, s: Scene, iova: bigint, depth: number, bit: number) {
  let table = root;
  for (let level = s.mode, at = 0;; at++) {
    if (!bench.memory.isRam(table)) return;
    const index = indexAt(iova, level);
    const entry = bench.load(table, index);
    const to = Number(entry >> 9n & 7n);
    if (at === depth || to === 0 || to >= level) {
      return bench.store(table, index, entry ^ 1n << BigInt(bit));
    }
    table = Number(entry >> 12n & 0xffffffffffn);
    level = to;
  }
}

function build(bench: Bench, s: Scene): number {
  const root = bench.attach({ mode: s.mode });
  for (const m of s.mappings) map(bench, root, s.mode, m);
  for (const [which, depth, bit] of s.flips) {
    const m = s.mappings[which];
    if (m !== undefined) flip(bench, root, s, m.iova, depth, bit);
  }
  return root;
}

Deno.test("over random tables the unit finds what 64-bit arithmetic finds, and explains it", () => {
  const seen = new Set<number>();
  fc.assert(
    fc.property(scene, (s) => {
      const bench = new Bench({}, 1);
      const root = build(bench, s);
      bench.enable();
      for (const iova of [...s.mappings.map((m) => m.iova), ...s.others]) {
        if (iova >> 20n === 0xfeen) continue;
        for (const write of [false, true]) {
          const expected = referenceWalk(bench, BigInt(root) << 12n, s.mode, iova, write).result;
          bench.unit.tlb.invalidateAll();
          const got = bench.dma(iova, write ? "write" : "read");
          assert.equal(got, expected);
          seen.add(Math.min(got, 0));
          if (iova >= 1n << 53n || got === -1001) continue;
          const last = explainAmdviTranslation(bench.unit, SID, Number(iova), write).at(-1);
          assert.equal(last?.pfn ?? code(last?.reason ?? 0), got);
        }
      }
    }),
    { numRuns: 500 },
  );
  const faults = [
    q.FAULT_NOT_PRESENT,
    q.FAULT_PERMISSION,
    q.FAULT_RESERVED,
    q.FAULT_BEYOND_TABLES,
    q.FAULT_PAGE_TABLE_MEMORY,
  ];
  for (const result of [0, ...faults.map(code)]) {
    assert.ok(seen.has(result), `the tables never led to ${result}`);
  }
});

Deno.test("through the TLB every access still gets what unchanging tables say", () => {
  fc.assert(
    fc.property(scene, fc.constantFrom(1, 16, 1024), (s, entries) => {
      // A page of NextLevel 7 has to be repeated in all its entries, which these tables do not.
      const bench = new Bench({}, entries);
      const root = build(bench, s);
      bench.enable();
      const walk = (iova: bigint, write: boolean) =>
        referenceWalk(bench, BigInt(root) << 12n, s.mode, iova, write);
      const visits = [...s.mappings.map((m) => m.iova), ...s.others];
      const all = visits.flatMap((a) => [a, a ^ 0x1000n]);
      const own = [0n, 4096n, 1n << 21n, 1n << 30n, 1n << 39n];
      if (all.some((a) => [false, true].some((w) => !own.includes(walk(a, w).bytes)))) return;
      for (const iova of [...all, ...visits]) {
        if (iova >> 20n === 0xfeen) continue;
        for (const write of [false, true]) {
          assert.equal(bench.dma(iova, write ? "write" : "read"), walk(iova, write).result);
        }
      }
    }),
    { numRuns: 300 },
  );
});
