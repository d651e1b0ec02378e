import assert from "node:assert/strict";
import fc from "fast-check";
import { DEFAULT_CAPABILITY } from "../../../src/machine/vtd/capability.ts";
import { explainTranslation } from "../../../src/machine/vtd/explain.ts";
import { ACCESS_READ, ACCESS_WRITE, Walker } from "../../../src/machine/vtd/walker.ts";
import { Bench, indexAt, PS, SID } from "./bench.ts";
import { referenceWalk } from "./reference_walker.ts";

interface Mapping {
  iova: bigint;
  target: bigint;
  level: number;
  bits: bigint;
}

/** Addresses that crowd together, so that mappings share tables and superpages get in the way. */
function addresses(width: number): fc.Arbitrary<bigint> {
  const last = (1n << BigInt(width)) - 1n;
  const crowded = fc.tuple(
    fc.constantFrom(0n, 0x40000000n, 0x7fc0000000n, last - 0x7fffffffn),
    fc.integer({ min: 0, max: 3 }),
    fc.integer({ min: 0, max: 0x3ffff }),
  ).map(([base, region, page]) => base + BigInt(region) * 0x200000n + BigInt(page & 7) * 4096n);
  return fc.oneof({ weight: 4, arbitrary: crowded }, fc.bigInt({ min: 0n, max: last }))
    .map((a) => a & last);
}

function mappings(width: number): fc.Arbitrary<Mapping[]> {
  return fc.array(
    fc.record({
      iova: addresses(width),
      target: fc.bigInt({ min: 0n, max: (1n << 31n) - 1n }).map((pfn) => pfn << 12n),
      level: fc.constantFrom(1, 1, 1, 2, 2, 3),
      bits: fc.constantFrom(0n, 1n, 2n, 3n, 3n, 3n, 0x803n),
    }),
    { maxLength: 12 },
  );
}

/** Whole tables: mappings, then single bits flipped in entries on the way of some address. */
const scene = fc.integer({ min: 3, max: 5 }).chain((levels) => {
  const width = 12 + 9 * levels;
  return fc.record({
    levels: fc.constant(levels),
    superpages: fc.integer({ min: 0, max: 3 }),
    snoopControl: fc.boolean(),
    mappings: mappings(width),
    flips: fc.array(fc.tuple(fc.nat(11), fc.nat(4), fc.nat(63)), { maxLength: 6 }),
    others: fc.array(addresses(width), { maxLength: 6 }),
  });
});

function build(bench: Bench, s: { levels: number; mappings: Mapping[] }): number {
  const top = bench.attach({ aw: s.levels - 2 });
  for (const m of s.mappings) {
    const span = 4096n << BigInt(9 * (m.level - 1));
    let table = top;
    let level = s.levels;
    for (; level > m.level; level--) {
      const entry = bench.load(table, indexAt(m.iova, level));
      if ((entry & PS) !== 0n) break;
      table = bench.table(table, level, m.iova, level - 1);
    }
    if (level > m.level) continue; // already inside a superpage
    const large = m.level > 1 ? PS : 0n;
    bench.store(table, indexAt(m.iova, m.level), m.target & ~(span - 1n) | m.bits | large);
  }
  return top;
}

/** Flips a bit of the entry that the walk of a mapping's address meets at some level. */
function flip(bench: Bench, top: number, levels: number, iova: bigint, depth: number, bit: number) {
  let table = top;
  // What leads to the tables stays as it is, even where an earlier flip has made it one of them.
  const above = [bench.root, bench.contextTable(SID >> 8)];
  for (let level = levels; level >= 1; level--) {
    if (!bench.memory.isRam(table) || above.includes(table)) return;
    const index = indexAt(iova, level);
    const entry = bench.load(table, index);
    if (levels - level === depth || level === 1) {
      bench.store(table, index, entry ^ 1n << BigInt(bit));
      return;
    }
    table = Number(entry >> 12n & 0xffffffffffn);
  }
}

Deno.test("over random tables the walker finds what 64-bit arithmetic finds", () => {
  const seen = new Map<number, number>();
  fc.assert(
    fc.property(scene, (s) => {
      const capability = {
        ...DEFAULT_CAPABILITY,
        sagaw: 0b1110,
        mgaw: 57,
        superpages: s.superpages,
        snoopControl: s.snoopControl,
      };
      const bench = new Bench(capability);
      const top = build(bench, s);
      for (const [which, depth, bit] of s.flips) {
        const m = s.mappings[which];
        if (m !== undefined) flip(bench, top, s.levels, m.iova, depth, bit);
      }
      const walker = new Walker(bench.memory, capability);
      bench.enable();
      for (const iova of [...s.mappings.map((m) => m.iova), ...s.others]) {
        for (const write of [false, true]) {
          const expected = referenceWalk(bench, capability, top, s.levels, iova, write);
          const hi = Number(iova >> 32n), lo = Number(iova & 0xffffffffn) | 0;
          const need = write ? ACCESS_WRITE : ACCESS_READ;
          const got = walker.walk(top, s.levels, hi, lo, need);
          assert.equal(got, expected.result);
          seen.set(Math.min(got, 0), (seen.get(Math.min(got, 0)) ?? 0) + 1);
          assert.equal(4096n << BigInt(9 * (walker.level - 1)), expected.size);
          if (iova >= 1n << 53n || iova >> 20n === 0xfeen || got >> 8 === 0xfee) continue;
          const last = explainTranslation(bench.unit, SID, Number(iova), write).at(-1);
          assert.equal(last?.pfn ?? -(last?.reason ?? 0), got);
        }
      }
    }),
    { numRuns: 300 },
  );
  for (const code of [0, -5, -6, -7, -12]) {
    assert.ok((seen.get(code) ?? 0) > 0, `the tables never led to ${code}`);
  }
});

Deno.test("through the IOTLB every access still gets what the tables say", () => {
  fc.assert(
    fc.property(scene, fc.constantFrom(1, 16, 1024), (s, entries) => {
      const bench = new Bench({ sagaw: 0b1110, mgaw: 57 }, undefined, entries);
      const { capability } = bench.unit;
      const top = build(bench, s);
      bench.enable();
      const visits = [...s.mappings.map((m) => m.iova), ...s.others];
      for (const iova of [...visits, ...visits.map((a) => a ^ 0x1000n), ...visits]) {
        if (iova >> 20n === 0xfeen) continue;
        for (const kind of ["read", "write"] as const) {
          const { result } = referenceWalk(
            bench,
            capability,
            top,
            s.levels,
            iova,
            kind === "write",
          );
          if (result >> 8 !== 0xfee) assert.equal(bench.dma(iova, kind), result);
        }
      }
    }),
    { numRuns: 200 },
  );
});
