import assert from "node:assert/strict";
import fc from "fast-check";
import type { VtdCapability } from "../../../src/machine/vtd/capability.ts";
import { explainTranslation } from "../../../src/machine/vtd/explain.ts";
import { indexAt, PS, SID } from "./bench.ts";
import { referenceWalk } from "./reference_walker.ts";
import { FL, FL_US, FL_W, ScalableBench } from "./scalable_bench.ts";

/** The first-level walk in plain 64-bit numbers, as the tables are described. */
function referenceFirst(
  bench: ScalableBench,
  capability: VtdCapability,
  top: number,
  levels: number,
  iova: bigint,
  write: boolean,
): number {
  const width = BigInt(9 * levels + 12);
  if (BigInt.asUintN(64, BigInt.asIntN(Number(width), iova)) !== iova) return -0x80;
  let table = BigInt(top), user = true, writable = true;
  for (let level = levels; level >= 1; level--) {
    const size = 4096n << BigInt(9 * (level - 1));
    if (!bench.memory.isRam(Number(table))) return level === levels ? -0x73 : -0x70;
    const entry = bench.load(Number(table), indexAt(iova, level));
    if ((entry & 1n) === 0n) return -0x71;
    const address = entry & 0xffffffffff000n;
    if (address >> BigInt(capability.hostWidth) !== 0n) return -0x72;
    user &&= (entry & FL_US) !== 0n;
    writable &&= (entry & FL_W) !== 0n;
    const large = level > 1 && (entry & PS) !== 0n;
    if (!large && level > 1) {
      table = address >> 12n;
      continue;
    }
    if (large && level > (capability.firstLevel1GiB ? 3 : 2)) return -0x72;
    // Below the page's size only bit 12 may be set, which is PAT in a large page.
    if (large && (address % size & ~0x1000n) !== 0n) return -0x72;
    if (!user) return -0x81;
    if (write && !writable) return -0x85;
    return Number((address - address % size + iova % size) >> 12n);
  }
  throw new Error("no leaf");
}

/** What scalable mode makes of the legacy walker's answer. */
function referenceSecond(
  bench: ScalableBench,
  top: number,
  levels: number,
  iova: bigint,
  write: boolean,
): number {
  if (iova >> BigInt(12 + 9 * levels) !== 0n) return -0x84;
  const { capability } = bench.unit;
  const { result, size } = referenceWalk(bench, capability, top, levels, iova, write);
  if (result === -7) return size === 4096n << BigInt(9 * (levels - 1)) ? -0x7b : -0x78;
  if (result === -12) return -0x7a;
  if (result >= 0) return result;
  const granted = grantedAt(bench, top, levels, iova, size);
  return granted === 0 ? -0x79 : write ? -0x85 : -0x86;
}

/** R and W, ANDed down to the level whose entries stand for `size` bytes. */
function grantedAt(
  bench: ScalableBench,
  top: number,
  levels: number,
  iova: bigint,
  size: bigint,
): number {
  let table = top, granted = 3;
  for (let level = levels; level >= 1; level--) {
    const entry = bench.load(table, indexAt(iova, level));
    granted &= Number(entry & 3n);
    if (size === 4096n << BigInt(9 * (level - 1))) break;
    table = Number(entry >> 12n & 0xffffffffffn);
  }
  return granted;
}

interface Mapping {
  iova: bigint;
  target: bigint;
  level: number;
  bits: bigint;
}

function addresses(width: number, first: boolean): fc.Arbitrary<bigint> {
  const last = (1n << BigInt(width)) - 1n;
  const crowded = fc.tuple(
    fc.constantFrom(0n, 0x40000000n, 0x7fc0000000n, last - 0x7fffffffn, last >> 1n),
    fc.nat(3),
    fc.nat(7),
  ).map(([base, region, page]) =>
    (base + BigInt(region) * 0x200000n + BigInt(page) * 4096n) & last
  );
  const canonical = crowded.map((a) => first ? BigInt.asUintN(64, BigInt.asIntN(width, a)) : a);
  return fc.oneof(
    { weight: 8, arbitrary: canonical },
    fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  )
    .map((a) => a & ~0xfffn);
}

const scene = fc.tuple(fc.boolean(), fc.integer({ min: 3, max: 5 })).chain(([first, any]) => {
  const levels = first ? Math.max(any, 4) : any;
  const width = 12 + 9 * levels;
  return fc.record({
    first: fc.constant(first),
    levels: fc.constant(levels),
    slade: fc.boolean(),
    firstLevel1GiB: fc.boolean(),
    mappings: fc.array(
      fc.record({
        iova: addresses(width, first),
        target: fc.bigInt({ min: 0n, max: (1n << 31n) - 1n }).map((pfn) => pfn << 12n),
        level: fc.constantFrom(1, 1, 1, 2, 2, 3),
        bits: first
          ? fc.constantFrom(7n, 7n, 7n, 5n, 3n, 6n, 0n)
          : fc.constantFrom(3n, 3n, 2n, 1n, 0n),
      }),
      { maxLength: 12 },
    ),
    flips: fc.array(fc.tuple(fc.nat(11), fc.nat(4), fc.nat(63)), { maxLength: 6 }),
    others: fc.array(addresses(width, first), { maxLength: 6 }),
  });
});

function build(bench: ScalableBench, top: number, levels: number, first: boolean, m: Mapping) {
  const span = 4096n << BigInt(9 * (m.level - 1));
  let table = top;
  for (let level = levels; level > m.level; level--) {
    const index = indexAt(m.iova, level);
    let entry = bench.load(table, index);
    if ((entry & PS) !== 0n || (entry !== 0n && (entry & 1n) === 0n)) return;
    if (entry === 0n) {
      entry = BigInt(bench.frame()) << 12n | (first ? FL : 3n);
      bench.store(table, index, entry);
    }
    table = Number(entry >> 12n & 0xffffffffffn);
  }
  const large = m.level > 1 ? PS : 0n;
  bench.store(table, indexAt(m.iova, m.level), m.target & ~(span - 1n) | m.bits | large);
}

/**
 * Flips a bit of the entry that the walk of a mapping's address meets at some level. A pointer is
 * never led to another table: there A and D bits could land in entries of another meaning.
 */
function flip(
  bench: ScalableBench,
  top: number,
  levels: number,
  m: Mapping,
  depth: number,
  bit: number,
) {
  let table = top;
  for (let level = levels; level >= 1; level--) {
    if (!bench.memory.isRam(table)) return;
    const index = indexAt(m.iova, level), entry = bench.load(table, index);
    if (levels - level === depth || level === 1) {
      if (bit >= 12 && bit < 26 && level !== m.level) return;
      bench.store(table, index, entry ^ 1n << BigInt(bit));
      return;
    }
    table = Number(entry >> 12n & 0xffffffffffn);
  }
}

Deno.test("over random tables both kinds of walk find what 64-bit arithmetic finds", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(scene, (s) => {
      const bench = new ScalableBench({ firstLevel1GiB: s.firstLevel1GiB });
      const fields = s.first
        ? { pgtt: 1, flpm: s.levels - 4 }
        : { aw: s.levels - 2, slade: s.slade };
      const top = bench.pasid(bench.device(), 9, fields);
      for (const m of s.mappings) build(bench, top, s.levels, s.first, m);
      for (const [which, depth, bit] of s.flips) {
        const m = s.mappings[which];
        if (m !== undefined) flip(bench, top, s.levels, m, depth, bit);
      }
      bench.enable();
      const visits = [...s.mappings.map((m) => m.iova), ...s.others];
      // Twice, so that the second time the IOTLB answers; A and D bits change no translation.
      for (const iova of [...visits, ...visits.map((a) => a ^ 0x1000n), ...visits]) {
        for (const kind of ["read", "write"] as const) {
          const write = kind === "write";
          const reference = s.first
            ? referenceFirst(bench, bench.unit.capability, top, s.levels, iova, write)
            : referenceSecond(bench, top, s.levels, iova, write);
          const expected = reference >> 8 === 0xfee ? -0x87 : reference;
          if (iova < 1n << 53n) {
            const last = explainTranslation(bench.unit, SID, Number(iova), write, 9).at(-1);
            assert.equal(last?.pfn ?? -(last?.reason ?? 0), expected);
          }
          assert.equal(bench.dmaPasid(9, iova, kind), expected);
          seen.add(`${s.levels}${s.first ? "F" : "S"} ${expected >= 0 ? "page" : expected}`);
        }
      }
    }),
    { numRuns: 400, seed: 7 },
  );
  for (const levels of ["4F", "5F"]) {
    for (const end of ["page", "-112", "-113", "-114", "-128", "-129", "-133"]) {
      assert.ok(seen.has(`${levels} ${end}`), `${levels} never led to ${end}`);
    }
  }
  for (const levels of ["3S", "4S", "5S"]) {
    for (const end of ["page", "-120", "-121", "-122", "-132", "-133", "-134"]) {
      assert.ok(seen.has(`${levels} ${end}`), `${levels} never led to ${end}`);
    }
  }
});
