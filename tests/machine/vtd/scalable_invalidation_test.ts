import assert from "node:assert/strict";
import { FailNth } from "../../../src/base/choice.ts";
import * as qi from "../../../src/uapi/vtd_queue.ts";
import * as regs from "../../../src/uapi/vtd_regs.ts";
import { RW, SID } from "./bench.ts";
import { desc, FL, ScalableBench } from "./scalable_bench.ts";

const { GRANU_GLOBAL, GRANU_DOMAIN, GRANU_DEVICE, GRANU_PAGE } = regs;

/**
 * Two devices, A with PASIDs 0 and 1, B with PASID 0. PASID 0 is second level (A: DID 5, B: 6),
 * A's PASID 1 is first level under DID 5. 0x5000 is mapped everywhere, and everything is cached.
 */
class Stage extends ScalableBench {
  readonly a = SID;
  readonly b = SID + 8;
  readonly directory = this.device(this.a);
  readonly tops = {
    a0: this.pasid(this.directory, 0),
    a1: this.pasid(this.directory, 1, { pgtt: 1 }),
    b0: this.simple({ did: 6 }, this.b),
  };

  constructor() {
    super();
    this.mapAll(0x111n);
    this.enable();
    this.startQueue();
    assert.deepEqual(this.all(), [0x111, 0x111, 0x111]);
  }

  mapAll(frame: bigint): void {
    this.map(this.tops.a0, 0x5000n, frame << 12n | RW);
    this.mapFirst(this.tops.a1, 0x5000n, frame << 12n | FL);
    this.map(this.tops.b0, 0x5000n, frame << 12n | RW);
  }

  /** Where 0x5000 leads: A, A with PASID 1, B. */
  all(): number[] {
    return [this.dma(0x5000n), this.dmaPasid(1, 0x5000n), this.dma(0x5000n, "write", this.b)];
  }

  /** What is cached: contexts by device, PASID entries, and IOTLB entries by tag. */
  cached(): string[] {
    const { scalableContextCache, pasidCache, iotlb } = this.unit;
    const name = (sid: number) => sid === this.a ? "a" : "b";
    return [
      ...[...scalableContextCache.entries()].map((e) => `context ${name(e.sid)}`),
      ...[...pasidCache.entries()].map((e) => `pasid ${name(e.sid)}${e.pasid}`).sort(),
      ...[...iotlb.entries()].map((e) => `iotlb ${e.did}${e.pasid === undefined ? "" : "/1"}`)
        .sort(),
    ];
  }

  /** What a descriptor removes. */
  removes(...descriptor: bigint[]): string[] {
    const before = this.cached();
    this.submit(descriptor);
    const left = this.cached();
    return before.filter((e) => !left.includes(e));
  }
}

const ALL = [
  "context a",
  "context b",
  "pasid a0",
  "pasid a1",
  "pasid b0",
  "iotlb 5",
  "iotlb 5/1",
  "iotlb 6",
];

Deno.test("each descriptor removes what it names and nothing else", async (t) => {
  const cases: [string, bigint[], string[]][] = [
    ["context, global", desc.context(GRANU_GLOBAL), ["context a", "context b"]],
    ["context, domain", desc.context(GRANU_DOMAIN, 9), ["context a", "context b"]],
    ["context, device", desc.context(GRANU_DEVICE, 9, SID), ["context a"]],
    ["context, another device", desc.context(GRANU_DEVICE, 5, SID + 1), []],
    ["context, device and its functions", desc.context(GRANU_DEVICE, 0, SID + 3, 3), ["context a"]],
    ["PASID, global", desc.pasidCache(qi.QI_PC_GLOBAL), ["pasid a0", "pasid a1", "pasid b0"]],
    ["PASID, domain", desc.pasidCache(qi.QI_PC_ALL_PASIDS, 5), ["pasid a0", "pasid a1"]],
    ["PASID, another domain", desc.pasidCache(qi.QI_PC_ALL_PASIDS, 7), []],
    ["PASID, one", desc.pasidCache(qi.QI_PC_PASID_SEL, 5, 0), ["pasid a0"]],
    ["PASID, one of another domain", desc.pasidCache(qi.QI_PC_PASID_SEL, 6, 1), []],
    ["IOTLB, global", desc.iotlb(GRANU_GLOBAL), ["iotlb 5", "iotlb 5/1", "iotlb 6"]],
    ["IOTLB, domain", desc.iotlb(GRANU_DOMAIN, 5), ["iotlb 5", "iotlb 5/1"]],
    ["IOTLB, page", desc.iotlb(GRANU_PAGE, 5, 0x5000n), ["iotlb 5"]],
    ["IOTLB, pages around", desc.iotlb(GRANU_PAGE, 6, 0n, 3), ["iotlb 6"]],
    ["IOTLB, another page", desc.iotlb(GRANU_PAGE, 5, 0x6000n), []],
    ["PASID IOTLB", desc.pasidIotlb(qi.QI_GRAN_NONG_PASID, 5, 1), ["iotlb 5/1"]],
    ["PASID IOTLB, another PASID", desc.pasidIotlb(qi.QI_GRAN_NONG_PASID, 5, 0), []],
    ["PASID IOTLB, another domain", desc.pasidIotlb(qi.QI_GRAN_NONG_PASID, 6, 1), []],
    ["PASID IOTLB, page", desc.pasidIotlb(qi.QI_GRAN_PSI_PASID, 5, 1, 0x5000n), ["iotlb 5/1"]],
    ["PASID IOTLB, pages", desc.pasidIotlb(qi.QI_GRAN_PSI_PASID, 5, 1, 0n, 18), ["iotlb 5/1"]],
    ["PASID IOTLB, another page", desc.pasidIotlb(qi.QI_GRAN_PSI_PASID, 5, 1, 0x4000n), []],
    ["device-TLB", [3n | BigInt(SID) << 32n, 0n], []],
    ["PASID device-TLB", [8n], []],
    ["interrupt entries", [4n], []],
  ];
  for (const [name, descriptor, expected] of cases) {
    await t.step(name, () => {
      const stage = new Stage();
      assert.deepEqual(stage.cached(), ALL);
      assert.deepEqual(stage.removes(...descriptor), expected);
      assert.equal(stage.unit.read32(regs.DMAR_FSTS_REG), 0);
    });
  }
});

Deno.test("changed leaves stay unseen until the IOTLB is flushed under their tag", () => {
  const stage = new Stage();
  stage.mapAll(0x222n);
  assert.deepEqual(stage.all(), [0x111, 0x111, 0x111]);
  stage.submit(desc.pasidIotlb(qi.QI_GRAN_PSI_PASID, 5, 1, 0x5000n));
  assert.deepEqual(stage.all(), [0x111, 0x222, 0x111]);
  stage.submit(desc.iotlb(GRANU_PAGE, 5, 0x5000n));
  assert.deepEqual(stage.all(), [0x222, 0x222, 0x111]);
  stage.submit(desc.iotlb(GRANU_DOMAIN, 6));
  assert.deepEqual(stage.all(), [0x222, 0x222, 0x222]);
});

Deno.test("a changed PASID entry stays unseen until the PASID cache is flushed", () => {
  const stage = new Stage();
  const top = stage.pasid(stage.directory, 0, { did: 9 });
  stage.map(top, 0x5000n, 0x333000n | RW);
  assert.equal(stage.dma(0x5000n), 0x111);
  stage.submit(desc.context(GRANU_DEVICE, 0, SID), desc.iotlb(GRANU_GLOBAL));
  assert.equal(stage.dma(0x5000n), 0x111, "walked through the old tables");
  stage.submit(desc.pasidCache(qi.QI_PC_PASID_SEL, 9, 0));
  assert.equal(stage.dma(0x5000n), 0x111, "flushed with the new DID");
  stage.submit(desc.pasidCache(qi.QI_PC_PASID_SEL, 5, 0));
  assert.equal(stage.dma(0x5000n), 0x333);
});

Deno.test("a cleared PASID entry goes on working until the PASID cache is flushed", () => {
  const stage = new Stage();
  stage.storePasid(stage.directory, 1);
  stage.submit(desc.iotlb(GRANU_GLOBAL));
  assert.equal(stage.dmaPasid(1, 0x5000n), 0x111);
  stage.submit(desc.pasidCache(qi.QI_PC_ALL_PASIDS, 5));
  assert.equal(stage.dmaPasid(1, 0x5000n), -0x59);
  assert.equal(stage.dma(0x5000n), 0x111);
});

Deno.test("a new PASID directory is found only once context AND PASID cache are flushed", () => {
  const stage = new Stage();
  const directory = stage.device(SID);
  stage.map(stage.pasid(directory, 0, { did: 9 }), 0x5000n, 0x444000n | RW);
  stage.submit(desc.pasidCache(qi.QI_PC_GLOBAL));
  assert.equal(stage.dma(0x5000n), 0x111, "the old directory");
  stage.submit(desc.context(GRANU_DEVICE, 0, SID));
  assert.equal(stage.dma(0x5000n), 0x111, "the old PASID entry");
  stage.submit(desc.pasidCache(qi.QI_PC_GLOBAL));
  assert.equal(stage.dma(0x5000n), 0x444);
});

Deno.test("a new root table needs all three caches flushed", () => {
  const stage = new Stage();
  stage.root = stage.frame();
  stage.map(stage.simple({ did: 9 }), 0x5000n, 0x555000n | RW);
  stage.setRoot(stage.root);
  assert.equal(stage.dma(0x5000n), 0x111);
  stage.submit(
    desc.context(GRANU_GLOBAL),
    desc.pasidCache(qi.QI_PC_GLOBAL),
    desc.iotlb(GRANU_GLOBAL),
  );
  assert.equal(stage.dma(0x5000n), 0x555);
});

Deno.test("a request without a PASID is one with RID_PASID", () => {
  const bench = new ScalableBench();
  const directory = bench.device(SID, 0n, 77n);
  bench.mapFirst(bench.pasid(directory, 77, { pgtt: 1 }), 0x5000n, 0x111000n | FL);
  bench.enable();
  assert.equal(bench.dma(0x5000n), 0x111);
  assert.equal(bench.dmaPasid(77, 0x5000n), 0x111);
  assert.equal(bench.unit.walks, 1);
  assert.equal(bench.dmaPasid(76, 0x5000n), -0x59);
  assert.deepEqual([...bench.unit.scalableContextCache.entries()].map((e) => e.ridPasid), [77]);
});

Deno.test("two first-level tables under one DID and different PASIDs do not mix", () => {
  const bench = new ScalableBench();
  const directory = bench.device();
  for (const pasid of [1, 2, 8191]) {
    const top = bench.pasid(directory, pasid, { pgtt: 1 });
    bench.mapFirst(top, 0x5000n, BigInt(0x100 + pasid) << 12n | FL);
  }
  bench.enable();
  for (const pasid of [1, 2, 8191, 1, 2, 8191]) {
    assert.equal(bench.dmaPasid(pasid, 0x5000n), 0x100 + pasid);
  }
  assert.equal(bench.unit.walks, 3);
});

Deno.test("two second-level tables under one DID do mix", () => {
  const bench = new ScalableBench();
  const directory = bench.device();
  bench.map(bench.pasid(directory, 1), 0x5000n, 0x111000n | RW);
  bench.map(bench.pasid(directory, 2), 0x5000n, 0x222000n | RW);
  bench.enable();
  assert.equal(bench.dmaPasid(1, 0x5000n), 0x111);
  assert.equal(bench.dmaPasid(2, 0x5000n), 0x111);
});

Deno.test("registers still invalidate while the queue is off", () => {
  const stage = new Stage();
  assert.equal(stage.flushContext(GRANU_GLOBAL), regs.GRANU_NONE);
  stage.command(0, regs.DMA_GCMD_QIE);
  assert.equal(stage.flushContext(GRANU_DEVICE, 0, SID), GRANU_DEVICE);
  assert.equal(stage.flushIotlb(GRANU_DOMAIN, 5), GRANU_DOMAIN);
  assert.deepEqual(stage.cached(), ALL.filter((e) => !/context a|iotlb 5/.test(e)));
});

Deno.test("a wait is done after what stands before it and before what stands behind it", () => {
  const stage = new Stage();
  stage.mapAll(0x222n);
  stage.submit(desc.iotlb(GRANU_DOMAIN, 5), desc.wait(0x2000000n, 1), [0n]);
  assert.equal(stage.memory.load(0x2000, 0), 1);
  assert.deepEqual(stage.all(), [0x222, 0x222, 0x111]);
});

Deno.test("in caching mode absence is remembered at each level", () => {
  const bench = new ScalableBench({ cachingMode: true }, new FailNth(0));
  bench.enable();
  bench.startQueue();
  assert.equal(bench.dma(0x5000n), -0x39);
  const directory = bench.device();
  assert.equal(bench.dma(0x5000n), -0x39);
  bench.submit(desc.context(GRANU_DEVICE, 0, SID));
  assert.equal(bench.dma(0x5000n), -0x51);
  const top = bench.pasid(directory, 0, { pgtt: 1 });
  assert.equal(bench.dma(0x5000n), -0x51);
  bench.submit(desc.pasidCache(qi.QI_PC_PASID_SEL, 5, 0));
  assert.equal(bench.dma(0x5000n), -0x71);
  bench.mapFirst(top, 0x5000n, 0x111000n | FL);
  assert.equal(bench.dma(0x5000n), -0x71);
  bench.submit(desc.pasidIotlb(qi.QI_GRAN_PSI_PASID, 5, 0, 0x5000n));
  assert.equal(bench.dma(0x5000n), 0x111);

  const other = bench.pasid(directory, 1);
  assert.equal(bench.dmaPasid(1, 0x6000n), -0x79);
  bench.map(other, 0x6000n, 0x222000n | RW);
  assert.equal(bench.dmaPasid(1, 0x6000n), -0x79);
  bench.submit(desc.iotlb(GRANU_PAGE, 5, 0x6000n));
  assert.equal(bench.dmaPasid(1, 0x6000n), 0x222);
});
