import assert from "node:assert/strict";
import fc from "fast-check";
import { liveTables, lookUp } from "../../src/health/tables.ts";
import { readVtd } from "../../src/health/vtd.ts";
import { DMA_MASTER_ABORT } from "../../src/machine/dma_port.ts";
import { DMA_INTERRUPT } from "../../src/machine/interrupt_range.ts";
import { GRANU_GLOBAL, VTD_FR_INTERRUPT_OUTPUT } from "../../src/uapi/vtd_regs.ts";
import { Bench, PS, R, RW, SID } from "../machine/vtd/bench.ts";

/** Frames that entries of a random scene point to, so that tables share, loop and overlap. */
const POOL = 6;
/** Indices that hold anything in each table; addresses are made of these. */
const INDICES = [0, 511];

interface Entry {
  table: number;
  index: number;
  target: number;
  bits: bigint;
}

const entry: fc.Arbitrary<Entry> = fc.record({
  table: fc.nat(POOL - 1),
  index: fc.constantFrom(...INDICES),
  target: fc.oneof(
    { weight: 9, arbitrary: fc.nat(POOL - 1) },
    { weight: 1, arbitrary: fc.constantFrom(-1, -2, -3, -4) },
  ),
  bits: fc.constantFrom(
    ...Array.from({ length: 16 }, () => RW),
    ...[R, 2n, 0n, RW | PS, RW | PS, RW | 0x800n, RW | 1n << 60n],
  ),
});

const context = fc.record({
  aw: fc.constantFrom(1, 1, 1, 2, 2, 2, 2, 3, 0),
  did: fc.constantFrom(5, 5, 5, 5, 5, 300),
  tt: fc.constantFrom(0, 0, 0, 0, 0, 0, 1, 2),
  reserved: fc.constantFrom(0n, 0n, 0n, 0n, 0n, 0x10n, 1n << 60n),
});

const scene = fc.record({
  superpages: fc.nat(3),
  snoopControl: fc.boolean(),
  passThrough: fc.boolean(),
  contexts: fc.array(context, { minLength: 1, maxLength: 3 }),
  rootReserved: fc.constantFrom(0n, 0n, 0n, 0n, 0n, 0n, 2n, 1n << 50n),
  entries: fc.array(entry, { minLength: 12, maxLength: 40 }),
  addresses: fc.array(
    fc.tuple(...[1, 2, 3, 4].map(() => fc.constantFrom(...INDICES)), fc.nat(15)),
    { minLength: 8, maxLength: 24 },
  ),
});
type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never;

/** Where an entry that leads to no table leads: beyond RAM, into the hole, up high, aligned RAM. */
const ELSEWHERE = [0x7000000n, 0xa0n, 0x1n << 38n, 0x2000n];

function build(s: Scene): { bench: Bench; pool: number[]; pages: number[] } {
  const { superpages, snoopControl, passThrough } = s;
  const bench = new Bench({ superpages, snoopControl, passThrough, domains: 256 });
  const pool = Array.from({ length: POOL }, () => bench.frame());
  s.contexts.forEach(({ aw, did, tt, reserved }, i) => {
    const low = BigInt(pool[i]) << 12n | BigInt(tt) << 2n | 1n | reserved;
    bench.storeContext(SID + i, low, BigInt(did) << 8n | BigInt(aw));
  });
  const bus = (SID >> 8) * 2;
  bench.store(bench.root, bus, bench.load(bench.root, bus) | s.rootReserved);
  for (const { table, index, target, bits } of s.entries) {
    const pfn = target >= 0 ? BigInt(pool[target]) : ELSEWHERE[-1 - target];
    bench.store(pool[table], index, pfn << 12n | bits);
  }
  bench.enable();
  const pages = s.addresses.map(([a, b, c, d, over]) =>
    d + c * 512 + b * 512 ** 2 + a * 512 ** 3 + (over === 15 ? 2 ** 36 : 0)
  );
  return { bench, pool, pages };
}

/** What hardware answers with nothing cached. */
function hardware(bench: Bench, sid: number, page: number, write: boolean): number {
  bench.flushContext(GRANU_GLOBAL);
  bench.flushIotlb(GRANU_GLOBAL);
  return bench.dma(BigInt(page) << 12n, write ? "write" : "read", sid);
}

/** What the judge makes of the same tables; -1: no way. */
function judged(bench: Bench, sid: number, page: number, write: boolean): number {
  const { memory, unit } = bench;
  const live = liveTables(memory, unit).contexts.find((c) => c.sid === sid);
  const found = live && lookUp(memory, unit, live, page);
  return found && (write ? found.write : found.read) ? found.pfn : -1;
}

Deno.test("over random tables the judge finds just what hardware finds", () => {
  let ways = 0, ends = 0;
  fc.assert(
    fc.property(scene, (s) => {
      const { bench, pages } = build(s);
      for (let i = 0; i < s.contexts.length; i++) {
        for (const page of pages) {
          for (const write of [false, true]) {
            const got = hardware(bench, SID + i, page, write);
            if (got === DMA_INTERRUPT || got === -VTD_FR_INTERRUPT_OUTPUT) continue;
            const expected = judged(bench, SID + i, page, write);
            if (got >= 0) ways++;
            else ends++;
            if (got === DMA_MASTER_ABORT) assert.ok(expected >= 2 ** 31, "past all memory");
            else assert.equal(Math.max(got, -1), expected, `page ${page}, write ${write}`);
          }
        }
      }
    }),
    { numRuns: 250 },
  );
  assert.ok(ways > 300 && ends > 300, `${ways} ways and ${ends} dead ends`);
});

Deno.test("a frame that is not on the list of tables may hold anything", () => {
  fc.assert(
    fc.property(scene, (s) => {
      const { bench, pool, pages } = build(s);
      const { tables } = liveTables(bench.memory, bench.unit);
      const all = () =>
        s.contexts.flatMap((_, i) => pages.map((page) => hardware(bench, SID + i, page, false)));
      const before = all();
      for (const pfn of pool.filter((p) => !tables.includes(p))) {
        bench.memory.fillFrames(pfn, 1, 0x2003);
      }
      assert.deepEqual(all(), before);
    }),
    { numRuns: 120 },
  );
});

Deno.test("every table is listed once, and one with two places is named", () => {
  const bench = new Bench();
  const top = bench.attach();
  bench.map(top, 0x1000n, 0x2000n << 12n | RW);
  bench.enable();
  const one = liveTables(bench.memory, bench.unit);
  assert.equal(one.tables.length, 6, "root, context, four levels");
  assert.equal(new Set(one.tables).size, 6);
  assert.deepEqual(one.doubled, []);
  bench.store(top, 9, bench.load(top, 0));
  const two = liveTables(bench.memory, bench.unit);
  assert.deepEqual(two.tables, one.tables);
  assert.deepEqual(two.doubled, [Number(bench.load(top, 0) >> 12n)]);
});

Deno.test("two devices in one domain do not make its tables two", () => {
  const bench = new Bench();
  const asr = bench.attach();
  bench.attach({ asr }, SID + 8);
  bench.map(asr, 0x1000n, 0x2000n << 12n | RW);
  bench.enable();
  const live = liveTables(bench.memory, bench.unit);
  assert.deepEqual(live.contexts.map((c) => [c.sid, c.root]), [[SID, asr], [SID + 8, asr]]);
  assert.deepEqual(live.doubled, []);
});

Deno.test("a superpage is found as far as it goes", () => {
  const bench = new Bench();
  const top = bench.attach();
  bench.map(top, 0x200000n, 0x2000n << 12n | RW | PS, 2);
  bench.enable();
  const [live] = liveTables(bench.memory, bench.unit).contexts;
  const at = (page: number) => lookUp(bench.memory, bench.unit, live, page);
  assert.deepEqual(at(512), { pfn: 0x2000, read: true, write: true, span: 512 });
  assert.equal(at(1023)?.pfn, 0x21ff);
  assert.equal(at(1024), undefined);
  assert.equal(at(511), undefined);
});

Deno.test("a unit with translation off has no tables in use", () => {
  const bench = new Bench();
  bench.map(bench.attach(), 0x1000n, 0x2000n << 12n | RW);
  bench.setRoot(bench.root);
  const nothing = { contexts: [], tables: [], guests: new Set(), doubled: [] };
  assert.deepEqual(liveTables(bench.memory, bench.unit), nothing);
  bench.enable();
  assert.equal(liveTables(bench.memory, bench.unit).contexts.length, 1);
  bench.setRoot(0x7000000);
  assert.deepEqual(liveTables(bench.memory, bench.unit), nothing, "a root beyond memory");
});

Deno.test("a pass-through context has no tables, and leads where it says", () => {
  const bench = new Bench();
  bench.attach({ asr: 0x1234, tt: 2 });
  bench.enable();
  const live = liveTables(bench.memory, bench.unit);
  assert.equal(live.tables.length, 2, "root and context table");
  assert.equal(live.contexts[0].root, -1);
  assert.equal(lookUp(bench.memory, bench.unit, live.contexts[0], 77)?.pfn, 77);
});

Deno.test("neighbours that say the same are seen at once, and no others with them", () => {
  const bench = new Bench();
  const top = bench.attach();
  const map = (page: number, pfn: number, bits = RW, level = 1) =>
    bench.map(top, BigInt(page) << 12n, BigInt(pfn) << 12n | bits, level);
  // Pages 500 to 520, on both sides of a table's end: a frame, a permission, a bit and a gap apart.
  for (let i = 0; i < 21; i++) map(500 + i, 0x2000 + i);
  map(504, 0x3000);
  map(506, 0x2006, R);
  map(508, 0x2008, RW | 1n << 62n);
  map(510, 0x200a, 0n);
  for (let i = 0; i < 3; i++) map(1024 + 512 * i, 0x4000 + 512 * i, RW | PS, 2);
  bench.enable();
  const reader = readVtd(bench.memory, bench.unit);
  const [context] = reader.live.contexts;
  const seen: number[][] = [];
  reader.eachLeaf(context!, (page, pfn, pages) => seen.push([page, pfn, pages]));
  assert.deepEqual(seen, [
    [500, 0x2000, 4],
    [504, 0x3000, 1],
    [505, 0x2005, 1],
    [506, 0x2006, 1],
    [507, 0x2007, 1],
    [508, 0x2008, 1],
    [509, 0x2009, 1],
    [511, 0x200b, 1],
    [512, 0x200c, 9],
    [1024, 0x4000, 3 * 512],
  ]);
  for (const [page, pfn, pages] of seen as [number, number, number][]) {
    for (const inside of [0, 1, pages - 1].filter((n) => n < pages)) {
      assert.equal(reader.run?.(context!, page + inside), pages - inside);
      assert.equal(reader.lookUp(context!, page + inside)?.pfn, pfn + inside);
    }
  }
});
