import assert from "node:assert/strict";
import type { VtdCapability } from "../../../src/machine/vtd/capability.ts";
import { explainTranslation } from "../../../src/machine/vtd/explain.ts";
import * as regs from "../../../src/uapi/vtd_regs.ts";
import { PS, R, RW, SID, W } from "./bench.ts";
import { FL, FL_P, FL_US, FL_W, ScalableBench } from "./scalable_bench.ts";

interface Case {
  reason: number;
  name: string;
  prepare: (b: ScalableBench) => void;
  capability?: Partial<VtdCapability>;
  /** 0xdeadb123 by a write without a PASID unless said. */
  iova?: bigint;
  kind?: "read" | "write";
  pasid?: number;
}

const IOVA = 0xdeadb123n;
/** A root entry's low half for 03:00.0, and its context entry's and PASID 0's places. */
const HALF = SID >> 7;
const entry = (...words: bigint[]) => (b: ScalableBench) => b.storePasid(b.device(), 0, ...words);
const first = (leaf: bigint, level = 1) => (b: ScalableBench) =>
  b.mapFirst(b.simple({ pgtt: 1 }), IOVA, leaf, level);
const second = (leaf: bigint, level = 1) => (b: ScalableBench) =>
  b.map(b.simple(), IOVA, leaf, level);

const CASES: Case[] = [
  { reason: 0x38, name: "the root table lies in a hole", prepare: (b) => b.root = 0xa0 },
  { reason: 0x39, name: "the half of the root entry is not present", prepare: () => {} },
  { reason: 0x3a, name: "root, bits 1-11", prepare: (b) => b.store(b.root, HALF, 0x200003n) },
  {
    reason: 0x3a,
    name: "root, above the host's width",
    prepare: (b) => b.store(b.root, HALF, 1n << 43n | 1n),
  },
  {
    reason: 0x40,
    name: "context table in a hole",
    prepare: (b) => b.store(b.root, HALF, 0xa0001n),
  },
  { reason: 0x41, name: "no context entry", prepare: (b) => b.contextTable(HALF) },
  { reason: 0x42, name: "context, bits 5-8", prepare: (b) => b.device(SID, 0x20n) },
  {
    reason: 0x42,
    name: "DTE without device-TLBs",
    capability: { pageRequests: false },
    prepare: (b) => b.device(SID, 4n),
  },
  {
    reason: 0x42,
    name: "PRE without page requests",
    capability: { pageRequests: false },
    prepare: (b) => b.device(SID, 0x10n),
  },
  { reason: 0x42, name: "context, beside RID_PASID", prepare: (b) => b.device(SID, 0n, 1n << 20n) },
  {
    reason: 0x42,
    name: "context, last word",
    prepare: (b) => b.storeScalable(SID, 0x200001n, 0n, 0n, 1n << 32n),
  },
  {
    reason: 0x42,
    name: "directory above the host's width",
    prepare: (b) => b.storeScalable(SID, 1n << 43n | 1n),
  },
  {
    reason: 0x42,
    name: "PASIDE where requests carry none",
    prepare: (b) => b.device(),
    capability: { pasidBits: 0 },
  },
  {
    reason: 0x43,
    name: "a directory for more PASIDs than the unit has",
    prepare: (b) => b.device(SID, 0n, 0n, 3n),
    capability: { pasidBits: 15 },
  },
  {
    reason: 0x45,
    name: "a PASID where PASIDE is clear",
    prepare: (b) => b.storeScalable(SID, 0x200001n),
    pasid: 7,
  },
  {
    reason: 0x46,
    name: "a PASID beyond the directory",
    prepare: (b) => b.device(),
    pasid: 1 << 13,
  },
  {
    reason: 0x46,
    name: "a PASID beyond the unit",
    prepare: (b) => b.device(),
    capability: { pasidBits: 10 },
    pasid: 1 << 10,
  },
  {
    reason: 0x48,
    name: "RID_PASID beyond the directory",
    prepare: (b) => b.device(SID, 0n, 1n << 13n),
  },
  {
    reason: 0x50,
    name: "directory in a hole",
    prepare: (b) => b.device(SID, 0n, 0n, 0n, 0xa0),
  },
  {
    reason: 0x50,
    name: "second page of a directory in a hole",
    prepare: (b) => b.device(SID, 0n, 0n, 3n, 0x9f),
    pasid: 1 << 15,
  },
  { reason: 0x51, name: "no directory entry", prepare: (b) => b.device() },
  { reason: 0x52, name: "directory, bits 2-11", prepare: (b) => b.store(b.device(), 0, 0x200005n) },
  {
    reason: 0x52,
    name: "directory, above the host's width",
    prepare: (b) => b.store(b.device(), 0, 1n << 50n | 1n),
  },
  { reason: 0x58, name: "PASID table in a hole", prepare: (b) => b.store(b.device(), 0, 0xa0001n) },
  { reason: 0x59, name: "no PASID entry", prepare: entry(0n) },
  { reason: 0x59, name: "no PASID entry for 9", prepare: entry(1n), pasid: 9 },
  { reason: 0x5a, name: "PASID entry, bit 5", prepare: entry(0x2000a9n) },
  { reason: 0x5a, name: "PASID entry, bits 10-11", prepare: entry(0x200489n) },
  { reason: 0x5a, name: "PASID entry, word 3", prepare: entry(0x200089n, 5n, 0n, 1n) },
  {
    reason: 0x5a,
    name: "PASID entry, word 7",
    prepare: entry(0x200089n, 5n, 0n, 0n, 0n, 0n, 0n, 1n),
  },
  {
    reason: 0x5a,
    name: "second-level table above the host's width",
    prepare: entry(1n << 43n | 0x89n),
  },
  {
    reason: 0x5a,
    name: "first-level table above the host's width",
    prepare: entry(0x41n, 5n, 1n << 43n),
  },
  { reason: 0x5a, name: "SRE without supervisor requests", prepare: entry(0x41n, 5n, 0x200001n) },
  { reason: 0x5a, name: "EAFE", prepare: entry(0x41n, 5n, 0x200080n) },
  {
    reason: 0x5a,
    name: "SLADE without SLADS",
    prepare: (b) => b.simple({ slade: true }),
    capability: { slads: false },
  },
  {
    reason: 0x5a,
    name: "a DID beyond ND",
    prepare: (b) => b.simple({ did: 256 }),
    capability: { domains: 256 },
  },
  { reason: 0x5b, name: "PGTT 0", prepare: (b) => b.simple({ pgtt: 0 }) },
  {
    reason: 0x5b,
    name: "nested without NEST",
    prepare: (b) => b.simple({ pgtt: 3 }),
    capability: { nested: false },
  },
  {
    reason: 0x5b,
    name: "nested, an AW that is not in SAGAW",
    prepare: (b) => b.simple({ pgtt: 3, aw: 4 }),
  },
  { reason: 0x5b, name: "nested, FLPM 2", prepare: (b) => b.simple({ pgtt: 3, flpm: 2 }) },
  { reason: 0x5b, name: "PGTT 5", prepare: (b) => b.simple({ pgtt: 5 }) },
  { reason: 0x5b, name: "an AW that is not in SAGAW", prepare: (b) => b.simple({ aw: 4 }) },
  { reason: 0x5b, name: "FLPM 2", prepare: (b) => b.simple({ pgtt: 1, flpm: 2 }) },
  {
    reason: 0x5b,
    name: "FLPM 1 without FL5LP",
    prepare: (b) => b.simple({ pgtt: 1, flpm: 1 }),
    capability: { fiveLevelFirst: false },
  },
  {
    reason: 0x5b,
    name: "first level without FLTS",
    prepare: (b) => b.simple({ pgtt: 1 }),
    capability: { firstLevel: false },
  },
  {
    reason: 0x5b,
    name: "second level without SLTS",
    prepare: (b) => b.simple(),
    capability: { secondLevel: false },
  },
  {
    reason: 0x5b,
    name: "pass-through without PT",
    prepare: (b) => b.simple({ pgtt: 4 }),
    capability: { passThrough: false },
  },
  {
    reason: 0x73,
    name: "top-level table in a hole",
    prepare: (b) => b.simple({ pgtt: 1, top: 0xa0 }),
  },
  { reason: 0x70, name: "lower table in a hole", prepare: first(0xa0000n | FL, 2) },
  { reason: 0x71, name: "nothing mapped", prepare: (b) => b.simple({ pgtt: 1 }) },
  { reason: 0x71, name: "P clear, the rest set", prepare: first(0x1234000n | FL_W | FL_US) },
  { reason: 0x72, name: "leaf above the host's width", prepare: first(1n << 43n | FL) },
  { reason: 0x72, name: "2 MiB page not aligned", prepare: first(0x2000n | FL | PS, 2) },
  { reason: 0x72, name: "1 GiB page not aligned", prepare: first(0x200000n | FL | PS, 3) },
  { reason: 0x72, name: "a page of 512 GiB", prepare: first(FL | PS, 4) },
  {
    reason: 0x72,
    name: "1 GiB page without FL1GP",
    prepare: first(FL | PS, 3),
    capability: { firstLevel1GiB: false },
  },
  { reason: 0x7b, name: "top-level table in a hole", prepare: (b) => b.simple({ top: 0xa0 }) },
  { reason: 0x78, name: "lower table in a hole", prepare: second(0xa0000n | RW, 2) },
  { reason: 0x79, name: "nothing mapped", prepare: (b) => b.simple() },
  { reason: 0x7a, name: "leaf above the host's width", prepare: second(1n << 43n | RW) },
  { reason: 0x7a, name: "2 MiB page not aligned", prepare: second(0x1000n | RW | PS, 2) },
  {
    reason: 0x80,
    name: "bits above bit 47 differ from it",
    prepare: (b) => b.simple({ pgtt: 1 }),
    iova: 1n << 47n | 0x123n,
  },
  {
    reason: 0x80,
    name: "bits above bit 56 differ from it",
    prepare: (b) => b.simple({ pgtt: 1, flpm: 1 }),
    iova: 1n << 56n | 0x123n,
  },
  { reason: 0x81, name: "US clear in the leaf", prepare: first(0x1234000n | FL_P | FL_W) },
  {
    reason: 0x83,
    name: "pass-through beyond the host's width",
    prepare: (b) => b.simple({ pgtt: 4 }),
    iova: 1n << 43n | 0x123n,
  },
  { reason: 0x84, name: "beyond AW", prepare: (b) => b.simple(), iova: 1n << 48n | 0x123n },
  {
    reason: 0x84,
    name: "beyond MGAW",
    prepare: (b) => b.simple(),
    iova: 1n << 42n | 0x123n,
    capability: { mgaw: 42 },
  },
  { reason: 0x85, name: "first level, RW clear", prepare: first(0x1234000n | FL_P | FL_US) },
  { reason: 0x85, name: "second level, W clear", prepare: second(0x1234000n | R) },
  { reason: 0x86, name: "second level, R clear", prepare: second(0x1234000n | W), kind: "read" },
  { reason: 0x87, name: "first level into the interrupt range", prepare: first(0xfee00000n | FL) },
  {
    reason: 0x87,
    name: "second level into the interrupt range",
    prepare: second(0xfee00000n | RW),
  },
  {
    reason: 0x87,
    name: "a read in the interrupt range",
    prepare: (b) => b.simple(),
    iova: 0xfee00123n,
    kind: "read",
  },
  {
    reason: 0x87,
    name: "pass-through of a PASID's address in the interrupt range",
    prepare: (b) => b.simple({ pgtt: 4 }),
    iova: 0xfee00123n,
    pasid: 0,
  },
];

/** The 128 bits that FACTS 3.5 prescribes. */
function expectedRecord(c: Case): [bigint, bigint] {
  const iova = c.iova ?? IOVA;
  let high = BigInt(SID) | BigInt(c.reason) << 32n | 1n << 63n;
  if (c.kind === "read") high |= 1n << 62n;
  if (c.pasid !== undefined) high |= 1n << 31n | BigInt(c.pasid) << 40n;
  return [iova & ~0xfffn, high];
}

Deno.test("each reason comes from tables that deserve it, and fills its record", async (t) => {
  for (const c of CASES) {
    await t.step(`${c.reason.toString(16)}: ${c.name}`, () => {
      const bench = new ScalableBench(c.capability);
      c.prepare(bench);
      bench.enable();
      const iova = c.iova ?? IOVA;
      const request = () =>
        c.pasid === undefined ? bench.dma(iova, c.kind) : bench.dmaPasid(c.pasid, iova, c.kind);
      assert.equal(request(), -c.reason);
      assert.deepEqual(bench.record(0), expectedRecord(c));
      assert.equal([...bench.unit.faults.pending()][0].pasid, c.pasid ?? -1);
      assert.equal(request(), -c.reason, "and again, from whatever is cached by now");
      if (iova >= 1n << 53n) return;
      const steps = explainTranslation(
        bench.unit,
        SID,
        Number(iova),
        c.kind !== "read",
        c.pasid,
      );
      assert.equal(steps.at(-1)?.reason, c.reason);
      assert.equal(steps.at(-1)?.pfn, undefined);
      assert.notEqual(regs.faultReasonText(c.reason), "Unknown");
    });
  }
});

Deno.test("FPD keeps faults quiet from the level on where it was read", () => {
  const levels: [string, (b: ScalableBench) => void, number][] = [
    ["context", (b) => b.pasid(b.device(SID, 2n), 0), -0x79],
    ["context, not present", (b) => b.storeScalable(SID, 2n), -0x41],
    ["directory", (b) => {
      const directory = b.device();
      b.pasid(directory, 0);
      b.store(directory, 0, b.load(directory, 0) | 2n);
    }, -0x79],
    ["directory, not present", (b) => b.store(b.device(), 0, 2n), -0x51],
    ["directory, for its table", (b) => b.store(b.device(), 0, 0xa0003n), -0x58],
    ["PASID entry", (b) => b.simple({ fpd: true }), -0x79],
    ["PASID entry, not present", (b) => b.storePasid(b.device(), 0, 2n), -0x59],
    ["PASID entry, first level", (b) => b.simple({ pgtt: 1, fpd: true }), -0x71],
  ];
  for (const [name, prepare, code] of levels) {
    const bench = new ScalableBench();
    prepare(bench);
    bench.enable();
    assert.equal(bench.dma(0x5000n), code, name);
    assert.equal(bench.dma(0x5000n), code, name);
    assert.equal(bench.unit.faults.suppressed, 2, name);
    assert.equal(bench.unit.faults.recorded, 0, name);
  }
  const bench = new ScalableBench();
  const directory = bench.device();
  bench.pasid(directory, 0, { fpd: true });
  bench.pasid(directory, 1);
  bench.enable();
  bench.dmaPasid(0, 0x5000n);
  bench.dmaPasid(1, 0x5000n);
  assert.deepEqual([...bench.unit.faults.pending()].map((f) => f.pasid), [1]);
});
