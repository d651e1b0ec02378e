import assert from "node:assert/strict";
import fc from "fast-check";
import type { Look } from "../../src/health/checks.ts";
import { iotlbFresh } from "../../src/health/iotlb.ts";
import type { UnitReader } from "../../src/health/translation.ts";
import { readVtd } from "../../src/health/vtd.ts";
import { DMA_MASTER_ABORT } from "../../src/machine/dma_port.ts";
import { DMA_INTERRUPT } from "../../src/machine/interrupt_range.ts";
import { DMA_RTADDR_TTM_MASK } from "../../src/uapi/vtd_scalable.ts";
import { PS, RW, SID } from "../machine/vtd/bench.ts";
import { desc, FL, FL_D, ScalableBench, SL_D } from "../machine/vtd/scalable_bench.ts";

/** Frames that page-table entries of a random scene point to: tables share, loop and overlap. */
const POOL = 5;
/** Indices that hold anything in each table; addresses are made of these. */
const INDICES = [0, 511];
/** PASIDs that a scene has entries for: two tables, and one beyond a small directory. */
const PASIDS = [0, 1, 63, 64, 5000, 9000];
const INTERRUPT = -0x87;

/** One value as a rule, now and then another. */
function mostly<T>(rule: T, ...others: T[]): fc.Arbitrary<T> {
  const rest = { weight: 1, arbitrary: fc.constantFrom(...others) };
  return fc.oneof({ weight: 14, arbitrary: fc.constant(rule) }, rest);
}

const entry = fc.record({
  table: fc.nat(POOL - 1),
  index: fc.constantFrom(...INDICES),
  target: fc.oneof({ weight: 9, arbitrary: fc.nat(POOL - 1) }, fc.constantFrom(-1, -2, -3)),
  bits: fc.constantFrom(
    ...Array.from({ length: 12 }, () => FL),
    ...[RW, RW | SL_D, 5n, 0n, 2n, FL | PS, FL | PS, RW | 0x800n, FL | 1n << 60n, FL | 1n << 50n],
  ),
});

/** Where an entry that leads to no table leads: beyond RAM, into the hole, aligned RAM. */
const ELSEWHERE = [0x7000000n, 0xa0n, 0x2000n];

const pasid = fc.record({
  device: fc.nat(1),
  pasid: fc.constantFrom(...PASIDS),
  top: fc.nat(POOL - 1),
  pgtt: fc.constantFrom(1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 4, 0),
  did: fc.constantFrom<number>(5, 5, 5, 6, 6, 6, 300),
  aw: fc.constantFrom(1, 2, 2, 3, 0),
  flpm: fc.constantFrom(0, 0, 1, 2),
  slade: fc.boolean(),
  /** Nested: what second-level tables of its own let be done with the pool; 0: those are the pool. */
  under: fc.constantFrom(3n, 3n, 1n, 0n),
  spoil: mostly(0n, 0x20n, 1n << 55n, -1n),
});

const device = fc.record({
  ridPasid: fc.constantFrom(0n, 0n, 0n, 1n, 64n, 9000n),
  pdts: mostly(0n, 1n, 7n),
  paside: mostly(true, false),
  spoil: mostly(0n, 4n, 0x20n, 1n << 52n),
});

const scene = fc.record({
  capability: fc.record({
    superpages: fc.nat(3),
    snoopControl: fc.boolean(),
    passThrough: fc.boolean(),
    slads: mostly(true, false),
    fiveLevelFirst: fc.boolean(),
    firstLevel1GiB: fc.boolean(),
    pasidBits: mostly(20, 14, 10),
  }),
  devices: fc.tuple(device, device),
  pasids: fc.array(pasid, { minLength: 4, maxLength: 8 }),
  /** Where each table leads unless `entries` says otherwise. */
  next: fc.array(fc.nat(POOL - 1), { minLength: 2 * POOL, maxLength: 2 * POOL }),
  entries: fc.array(entry, { maxLength: 8 }),
  rootSpoil: mostly(0n, 2n, 1n << 50n),
  addresses: fc.array(
    fc.tuple(...[1, 2, 3, 4].map(() => fc.constantFrom(...INDICES)), fc.nat(15)),
    { minLength: 6, maxLength: 16 },
  ),
});
type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never;

/** The second one is in the other half of its bus. */
const SIDS = [SID, SID | 0x80];

/** Second-level tables that lead each of these frames to itself. */
function alike(bench: ScalableBench, frames: number[], rights: bigint): number {
  const top = bench.frame();
  for (const pfn of frames) bench.map(top, BigInt(pfn) << 12n, BigInt(pfn) << 12n | rights);
  return top;
}

function build(s: Scene): { bench: ScalableBench; pool: number[]; pages: number[] } {
  const bench = new ScalableBench({ ...s.capability, domains: 256 });
  const pool = Array.from({ length: POOL }, () => bench.frame());
  const directories = s.devices.map(({ ridPasid, pdts, paside, spoil }, i) => {
    const frame = bench.frame();
    bench.frame();
    const low = BigInt(frame) << 12n | pdts << 9n | (paside ? 8n : 0n) | 1n;
    bench.storeScalable(SIDS[i], low | spoil, ridPasid, 0n, 0n);
    return frame;
  });
  for (const { device, pasid: n, top, spoil, under, ...fields } of s.pasids) {
    const own = fields.pgtt === 3 && under !== 0n && fields.aw === 2;
    const second = own ? alike(bench, pool, under) : pool[top];
    bench.pasid(directories[device], n, { ...fields, top: second, guestTop: pool[top] });
    const table = bench.pasidTable(directories[device], n), at = (n & 63) * 8;
    if (spoil < 0n) bench.store(table, at + 5, 1n);
    else bench.store(table, at, bench.load(table, at) | spoil);
  }
  const half = bench.rootHalf(SID);
  bench.store(bench.root, half, bench.load(bench.root, half) | s.rootSpoil);
  s.next.forEach((target, i) => {
    bench.store(pool[i >> 1], INDICES[i & 1], BigInt(pool[target]) << 12n | FL);
  });
  for (const { table, index, target, bits } of s.entries) {
    const pfn = target >= 0 ? BigInt(pool[target]) : ELSEWHERE[-1 - target];
    bench.store(pool[table], index, pfn << 12n | bits);
  }
  bench.enable();
  bench.startQueue();
  const pages = s.addresses.map(([a, b, c, d, over]) =>
    d + c * 512 + b * 512 ** 2 + a * 512 ** 3 + (over === 15 ? 2 ** 36 : 0)
  );
  return { bench, pool, pages };
}

/** A request: the address's page, as first-level tables take it, made canonical or not. */
interface Request {
  sid: number;
  pasid: number | undefined;
  page: number;
  write: boolean;
}

function forget(bench: ScalableBench): void {
  bench.submit(desc.context(1), desc.pasidCache(3), desc.iotlb(1));
}

/** What hardware answers with nothing cached. */
function hardware(bench: ScalableBench, { sid, pasid, page, write }: Request): number {
  forget(bench);
  const kind = write ? "write" : "read", iova = BigInt(page) << 12n;
  return pasid === undefined
    ? bench.dma(iova, kind, sid)
    : bench.dmaPasid(pasid, BigInt.asUintN(64, BigInt.asIntN(57, iova)), kind, sid);
}

/** What the judge makes of the same tables; -1: no way. */
function judged(reader: UnitReader, { sid, pasid, page, write }: Request): number {
  const context = reader.live.contexts.find((c) => c.sid === sid && c.pasid === pasid);
  const found = context && reader.lookUp(context, page);
  return found && (write ? found.write : found.read) ? found.pfn : -1;
}

function* requestsOf(pages: number[]): Generator<Request> {
  for (const sid of SIDS) {
    for (const pasid of [undefined, ...PASIDS]) {
      for (const page of pages) {
        for (const write of [false, true]) yield { sid, pasid, page, write };
      }
    }
  }
}

Deno.test("over random scalable tables the judge finds just what hardware finds", () => {
  let ways = 0, ends = 0;
  fc.assert(
    fc.property(scene, (s) => {
      const { bench, pages } = build(s);
      for (const request of requestsOf(pages)) {
        const got = hardware(bench, request);
        if (got === DMA_INTERRUPT || got === INTERRUPT) continue;
        const expected = judged(readVtd(bench.memory, bench.unit), request);
        if (got >= 0) ways++;
        else ends++;
        if (got === DMA_MASTER_ABORT) assert.ok(expected >= 2 ** 31, "past all memory");
        else assert.equal(Math.max(got, -1), expected, JSON.stringify(request));
      }
    }),
    { numRuns: 60 },
  );
  assert.ok(ways > 300 && ends > 300, `${ways} ways and ${ends} dead ends`);
});

Deno.test("a frame that is not on the list of scalable tables may hold anything", () => {
  fc.assert(
    fc.property(scene, (s) => {
      const { bench, pool, pages } = build(s);
      const { tables } = readVtd(bench.memory, bench.unit).live;
      const all = () => [...requestsOf(pages)].map((r) => hardware(bench, r));
      // A bits that one request sets in a table let another in that may only read there.
      all();
      const before = all();
      for (const pfn of pool.filter((p) => !tables.includes(p))) {
        bench.memory.fillFrames(pfn, 1, 0x2007);
      }
      assert.deepEqual(all(), before);
    }),
    { numRuns: 40 },
  );
});

/** What health holds against the IOTLB. */
function stale(reader: UnitReader): string[] {
  const look: Look = {
    findings: [],
    premises: new Set(),
    nameOf: (sid) => sid.toString(16),
    strangerOf: () => undefined,
  };
  iotlbFresh(reader, look);
  return look.findings.map((f) => f.detail);
}

Deno.test("what was just cached is fresh, under every tag and whether writes are noted or not", () => {
  let cached = 0;
  fc.assert(
    fc.property(scene, (s) => {
      // One domain id for two tables is a mistake of its own.
      const distinct = s.pasids.map((p, i) => ({ ...p, did: 10 + i }));
      const { bench, pages } = build({ ...s, pasids: distinct });
      forget(bench);
      for (const { sid, pasid, page, write } of requestsOf(pages)) {
        const iova = BigInt(page) << 12n, kind = write ? "write" : "read";
        if (pasid === undefined) bench.dma(iova, kind, sid);
        else bench.dmaPasid(pasid, BigInt.asUintN(64, BigInt.asIntN(57, iova)), kind, sid);
      }
      const reader = readVtd(bench.memory, bench.unit);
      cached += [...reader.cachedTranslations()].length;
      assert.deepEqual(stale(reader), []);
    }),
    { numRuns: 100 },
  );
  assert.ok(cached > 100, `${cached} cached`);
});

Deno.test("a first-level translation belongs to its PASID, a second-level one to its DID alone", () => {
  const bench = new ScalableBench();
  const directory = bench.device();
  for (const n of [7, 8]) {
    const top = bench.pasid(directory, n, { pgtt: 1, did: 4 });
    bench.mapFirst(top, 0x1000n, 0x2000n << 12n | FL | FL_D);
  }
  bench.map(bench.pasid(directory, 9, { did: 6 }), 0x1000n, 0x3000n << 12n | RW);
  bench.enable();
  for (const n of [7, 9]) assert.ok(bench.dmaPasid(n, 0x1000n) > 0);
  const reader = readVtd(bench.memory, bench.unit);
  assert.deepEqual(
    [...reader.cachedTranslations()].map((e) => [e.did, e.tag]).sort(),
    [[4, 7], [6, undefined]],
  );
  assert.deepEqual(
    reader.live.contexts.map((c) => [c.pasid, c.did, c.tag]),
    [[7, 4, 7], [8, 4, 8], [9, 6, undefined]],
  );
});

Deno.test("root, both context tables, every page of a directory and its tables are listed", () => {
  const bench = new ScalableBench();
  const directory = bench.frame();
  for (let i = 1; i < 4; i++) assert.equal(bench.frame(), directory + i);
  bench.device(SID, 0n, 0n, 4n, directory);
  const tops = [0, 40000].map((n) => bench.pasid(directory, n, { did: 5 + n % 7 }));
  const other = bench.device(SID | 0x80);
  bench.enable();
  const { tables, doubled } = readVtd(bench.memory, bench.unit).live;
  const expected = [
    bench.root,
    ...[SID, SID | 0x80].map((sid) => bench.contextTable(bench.rootHalf(sid))),
    ...[0, 1, 2, 3].map((i) => directory + i),
    ...[0, 40000].map((n) => bench.pasidTable(directory, n)),
    ...tops,
    other,
  ];
  assert.deepEqual([...tables].sort(), expected.sort());
  assert.deepEqual(doubled, []);
});

Deno.test("a table mode the unit lacks has no tables in use", () => {
  const bench = new ScalableBench();
  bench.simple();
  bench.setRoot(bench.root, DMA_RTADDR_TTM_MASK);
  bench.command(1 << 31);
  const reader = readVtd(bench.memory, bench.unit);
  assert.deepEqual([reader.translates, reader.live.tables, reader.live.contexts], [true, [], []]);
  assert.ok(bench.dma(0x1000n) < 0);
});
