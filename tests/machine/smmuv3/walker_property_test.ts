import assert from "node:assert/strict";
import fc from "fast-check";
import { explainSmmuTranslation } from "../../../src/machine/smmuv3/explain.ts";
import * as q from "../../../src/uapi/smmuv3_queues.ts";
import { Bench, code, contextDescriptor, indexAt, SID, stage1Ste, stage2Ste } from "./bench.ts";
import { type ReferenceRegime, referenceWalk } from "./reference_walker.ts";

interface Mapping {
  iova: bigint;
  level: number;
  leaf: bigint;
}

/** Input sizes with the level each begins at: stage 1 is told by T0SZ alone. */
const STAGE1: [bits: number, level: number][] = [
  [25, 2],
  [30, 2],
  [31, 1],
  [36, 1],
  [39, 1],
  [40, 0],
  [44, 0],
  [48, 0],
];
const STAGE2: [bits: number, level: number][] = [
  [25, 2],
  [32, 2],
  [34, 2],
  [31, 1],
  [39, 1],
  [42, 1],
  [40, 0],
  [42, 0],
];

const shape = fc.oneof(
  fc.constantFrom(...STAGE1).map(([bits, level]) => ({ stage2: false, bits, level })),
  fc.constantFrom(...STAGE2).map(([bits, level]) => ({ stage2: true, bits, level })),
);

/** Addresses that crowd together, so that mappings share tables and blocks get in the way. */
function addresses(width: number): fc.Arbitrary<bigint> {
  const last = (1n << BigInt(width)) - 1n;
  const crowded = fc.tuple(
    fc.constantFrom(0n, 0x40000000n, 0x7fc0000000n, last - 0x7fffffffn),
    fc.integer({ min: 0, max: 3 }),
    fc.integer({ min: 0, max: 0x3ffff }),
  ).map(([base, region, page]) => base + BigInt(region) * 0x200000n + BigInt(page & 31) * 4096n);
  return fc.oneof(
    { weight: 4, arbitrary: crowded },
    { weight: 2, arbitrary: fc.bigInt({ min: 0n, max: last }) },
  ).map((a) => a & last);
}

/** AP or S2AP, AF and nG in most of their combinations, mostly usable ones. */
const attributes = fc.constantFrom(
  0xcc0n,
  0xc40n,
  0xc40n,
  0x4c0n,
  0xc80n,
  0xc00n,
  0x8c0n,
  0xc40n | 1n << 52n,
  0xcc0n | 1n << 16n,
);

const scene = shape.chain((s) =>
  fc.record({
    shape: fc.constant(s),
    outputCode: fc.constantFrom(0, 1, 2, 3, 5),
    ignoresAccessFlag: fc.boolean(),
    mappings: fc.array(
      fc.record({
        iova: addresses(s.bits),
        level: fc.constantFrom(3, 3, 3, 2, 2, 1),
        leaf: fc.tuple(fc.bigInt({ min: 0n, max: (1n << 30n) - 1n }), attributes)
          .map(([pfn, bits]) => pfn << 12n | bits),
      }),
      { maxLength: 12 },
    ),
    flips: fc.array(fc.tuple(fc.nat(11), fc.nat(3), fc.nat(63)), { maxLength: 6 }),
    others: fc.array(fc.oneof(addresses(s.bits), addresses(48)), { maxLength: 6 }),
  })
);

type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never;

/** Bits 12 and up of a table's place: the first table may be many pages, or part of one. */
function firstTable(bench: Bench, s: Scene): bigint {
  const bytes = 8n << BigInt(s.shape.bits - (12 + 9 * (3 - s.shape.level)));
  const pages = Number((bytes + 4095n) / 4096n);
  const base = BigInt(bench.frame(pages)) << 12n;
  // A small table lies somewhere in its page.
  return bytes < 4096n ? base + bytes * 3n % 4096n / bytes * bytes : base;
}

/** Stores a descriptor at the place of a table whose first entry is at a byte address. */
function storeAt(bench: Bench, table: bigint, index: number, d: bigint): void {
  const at = table + BigInt(index) * 8n;
  bench.store(Number(at >> 12n), Number(at % 4096n / 8n), d);
}

function loadAt(bench: Bench, table: bigint, index: number): bigint {
  const at = table + BigInt(index) * 8n;
  return bench.load(Number(at >> 12n), Number(at % 4096n / 8n));
}

function map(bench: Bench, s: Scene, ttb: bigint, m: Mapping): void {
  let table = ttb;
  for (let level = s.shape.level;; level++) {
    const index = indexAt(m.iova, level, level === s.shape.level);
    const d = loadAt(bench, table, index);
    if (level === Math.max(m.level, s.shape.level)) {
      const inside = (1n << BigInt(12 + 9 * (3 - level))) - 1n;
      // nT is a bit of blocks only: in a page it is part of the address.
      const bits = m.leaf & 0xfffn | m.leaf & 1n << 52n;
      const leaf = m.leaf & 0xfffffffff000n & ~inside | bits | (level === 3 ? 3n : 1n);
      if (d === 0n) storeAt(bench, table, index, leaf);
      return;
    }
    if (d !== 0n && (d & 3n) !== 3n) return;
    if (d === 0n) storeAt(bench, table, index, BigInt(bench.frame()) << 12n | 3n);
    table = loadAt(bench, table, index) & 0xfffffffff000n;
  }
}

/** Flips a bit of the descriptor that an address meets at some depth. */
function flip(bench: Bench, s: Scene, ttb: bigint, iova: bigint, depth: number, bit: number): void {
  let table = ttb;
  for (let level = s.shape.level; level <= 3; level++) {
    const index = indexAt(iova, level, level === s.shape.level);
    if (!bench.memory.isRam(Number(table >> 12n))) return;
    const d = loadAt(bench, table, index);
    if (level - s.shape.level === depth || level === 3 || (d & 3n) !== 3n) {
      return storeAt(bench, table, index, d ^ 1n << BigInt(bit));
    }
    table = d & 0xfffffffff000n;
  }
}

/** Builds the tables and the entry that leads to them; what a reference walker needs of it. */
function build(bench: Bench, s: Scene): ReferenceRegime {
  const { stage2, bits, level } = s.shape;
  const ttb = firstTable(bench, s);
  for (const m of s.mappings) map(bench, s, ttb, m);
  for (const [which, depth, bit] of s.flips) {
    const m = s.mappings[which];
    if (m !== undefined) flip(bench, s, ttb, m.iova, depth, bit);
  }
  const t0sz = 64 - bits;
  const affd = s.ignoresAccessFlag;
  if (stage2) {
    const fields = { ttb, t0sz, sl0: 2 - level, ps: s.outputCode, flip: affd ? 1n << 53n : 0n };
    bench.storeSte(stage2Ste(fields));
  } else {
    const cd = bench.frame();
    const fields = { ttb, t0sz, ips: s.outputCode, flip: affd ? 1n << 35n : 0n };
    bench.storeContext(cd, contextDescriptor(fields));
    bench.storeSte(stage1Ste(BigInt(cd) << 12n));
  }
  return {
    stage2,
    ttb,
    inputBits: bits,
    outputBits: Math.min([32, 36, 40, 42, 44, 48][s.outputCode], 42),
    startLevel: level,
    ignoresAccessFlag: affd,
  };
}

Deno.test("over random tables the unit finds what 64-bit arithmetic finds, and explains it", () => {
  const seen = new Map<number, number>();
  fc.assert(
    fc.property(scene, (s) => {
      // One entry of TLB, flushed each time: every access walks.
      const bench = new Bench({ bbml: 2 }, 1);
      const regime = build(bench, s);
      bench.enable();
      for (const iova of [...s.mappings.map((m) => m.iova), ...s.others]) {
        for (const write of [false, true]) {
          let expected = referenceWalk(bench, regime, iova, write).result;
          if (regime.stage2 && iova >> 42n !== 0n) expected = code(q.F_ADDR_SIZE);
          bench.unit.tlb.invalidateAll();
          const got = bench.dma(iova, write ? "write" : "read");
          assert.equal(got, expected);
          seen.set(Math.min(got, 0), (seen.get(Math.min(got, 0)) ?? 0) + 1);
          const last = explainSmmuTranslation(bench.unit, SID, Number(iova), write).at(-1);
          assert.equal(last?.pfn ?? code(last?.reason ?? 0), got);
        }
      }
    }),
    { numRuns: 500 },
  );
  const events = [
    q.F_TRANSLATION,
    q.F_ADDR_SIZE,
    q.F_ACCESS,
    q.F_PERMISSION,
    q.F_WALK_EABT,
  ];
  for (const result of [0, ...events.map(code)]) {
    assert.ok((seen.get(result) ?? 0) > 0, `the tables never led to ${result}`);
  }
});

Deno.test("through the TLB every access still gets what unchanging tables say", () => {
  fc.assert(
    fc.property(scene, fc.constantFrom(1, 16, 1024), fc.constantFrom(0, 1, 2), (s, entries, b) => {
      const bench = new Bench({ bbml: b as 0 | 1 | 2 }, entries);
      const regime = build(bench, s);
      bench.enable();
      const visits = [...s.mappings.map((m) => m.iova), ...s.others];
      // A contiguous hint on one descriptor of 16 promises what these tables do not keep.
      const all = visits.flatMap((a) => [a, a ^ 0x1000n]);
      const hinted = all.some((a) => isHinted(bench, regime, a));
      if (hinted) return;
      for (const iova of [...all, ...visits]) {
        if (regime.stage2 && iova >> 42n !== 0n) continue;
        for (const write of [false, true]) {
          const { result } = referenceWalk(bench, regime, iova, write);
          assert.equal(bench.dma(iova, write ? "write" : "read"), result);
        }
      }
    }),
    { numRuns: 300 },
  );
});

/** True where some access of the page would find the contiguous hint. */
function isHinted(bench: Bench, regime: ReferenceRegime, iova: bigint): boolean {
  return [false, true].some((write) => {
    const { bytes } = referenceWalk(bench, regime, iova, write);
    return [0x10000n, 0x2000000n, 0x400000000n].includes(bytes);
  });
}
