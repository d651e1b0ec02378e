import assert from "node:assert/strict";
import { Route } from "../../../src/machine/dma_port.ts";
import * as q from "../../../src/uapi/smmuv3_queues.ts";
import * as regs from "../../../src/uapi/smmuv3_regs.ts";
import { Bench, code, PAGE, S1_RW, SID, stage1Ste } from "./bench.ts";

const BYPASS = [9n, 0n, 0n, 0n, 0n, 0n, 0n, 0n];
const ABORT = [1n, 0n, 0n, 0n, 0n, 0n, 0n, 0n];

Deno.test("while the unit is disabled GBPA.ABORT decides", () => {
  const bench = new Bench();
  assert.equal(bench.dma(0x5678n), 5);
  assert.equal(bench.unit.route, Route.untranslated);
  bench.unit.write32(regs.SMMU_GBPA, regs.GBPA_ABORT);
  assert.equal(bench.dma(0x5678n), 5, "a write without UPDATE changes nothing");
  bench.unit.write32(regs.SMMU_GBPA, regs.GBPA_UPDATE | regs.GBPA_ABORT);
  assert.equal(bench.unit.read32(regs.SMMU_GBPA), regs.GBPA_ABORT);
  assert.equal(bench.dma(0x5678n), code(q.SMMU_GLOBAL_ABORT));
  assert.deepEqual(bench.events(), []);
  assert.equal(new Bench({ abortAtReset: true }).dma(0n), code(q.SMMU_GLOBAL_ABORT));
});

Deno.test("bypass passes through, abort and the reserved Configs end without an event", () => {
  const bench = new Bench();
  bench.storeSte(BYPASS, 0x100);
  bench.storeSte(ABORT, 0x200);
  bench.storeSte([3n, 0n, 0n, 0n, 0n, 0n, 0n, 0n], 0x201);
  bench.enable();
  assert.equal(bench.dma(0x5678n, "write", 0x100), 5);
  assert.equal(bench.unit.route, Route.passthrough);
  assert.equal(bench.dma(0n, "write", 0x200), code(q.SMMU_STE_ABORT));
  assert.equal(bench.dma(0n, "write", 0x201), code(q.SMMU_STE_ABORT));
  assert.deepEqual(bench.events(), []);
  assert.equal(bench.dma(1n << 42n, "write", 0x100), code(q.F_ADDR_SIZE));
  assert.equal(bench.record()[1], 2n << 40n);
});

Deno.test("S1DSS decides over requests without a SubstreamID", () => {
  const bench = new Bench().enable();
  const first = bench.attachStage1({ asid: 1 });
  const contexts = BigInt(first.cd) << 12n;
  bench.map(first.table, 0n, 0x5000n | PAGE | S1_RW, 3, 0);
  const behaviour = (dss: number) => {
    bench.storeSte(stage1Ste(contexts, 3, dss));
    bench.cfgiSte();
    return bench.dma(0n);
  };
  assert.equal(behaviour(0), code(q.F_STREAM_DISABLED));
  assert.equal(bench.dmaSubstream(0, 0n), 5);
  assert.equal(behaviour(1), 0);
  assert.equal(bench.unit.route, Route.passthrough);
  assert.equal(bench.dmaSubstream(0, 0n), 5);
  assert.equal(behaviour(2), 5);
  assert.equal(bench.unit.route, Route.translated);
});

Deno.test("each SubstreamID has a descriptor of its own", () => {
  const bench = new Bench();
  const cds = bench.frame();
  for (let ssid = 0; ssid < 4; ssid++) {
    const { table, cd } = bench.attachStage1({ asid: 10 + ssid });
    bench.map(table, 0n, BigInt(0x100 + ssid) << 12n | PAGE | S1_RW, 3, 0);
    for (let i = 0; i < 8; i++) bench.store(cds, ssid * 8 + i, bench.load(cd, i));
  }
  bench.storeSte(stage1Ste(BigInt(cds) << 12n, 2, 0));
  bench.enable();
  for (let ssid = 0; ssid < 4; ssid++) assert.equal(bench.dmaSubstream(ssid, 0n), 0x100 + ssid);
  const cached = [...bench.unit.contextCache.entries()].map((e) => [e.ssid, e.asid]);
  assert.deepEqual(cached, [[0, 10], [1, 11], [2, 12], [3, 13]]);
});

/** A 2-level table: bypass for the buses asked for, with a second level of 2^(span-1). */
function twoLevel(split: number, spans: Record<number, number>): Bench {
  const bench = new Bench();
  const first = bench.frame(8);
  for (const [index, span] of Object.entries(spans)) {
    const second = bench.frame(16);
    for (let i = 0; i < 1 << (span - 1); i++) bench.store(second, i * 8, 9n);
    bench.store(first, Number(index), BigInt(second) << 12n | BigInt(span));
  }
  bench.write64(regs.SMMU_STRTAB_BASE, BigInt(first) << 12n);
  bench.unit.write32(regs.SMMU_STRTAB_BASE_CFG, 1 << 16 | split << 6 | 16);
  return bench.enable();
}

Deno.test("a 2-level table with split 8 has a second level for each bus", () => {
  const bench = twoLevel(8, { 3: 9, 5: 4 });
  assert.equal(bench.dma(0x1000n, "write", 0x300), 1);
  assert.equal(bench.dma(0x1000n, "write", 0x3ff), 1);
  assert.equal(bench.dma(0x1000n, "write", 0x400), code(q.C_BAD_STREAMID), "span 0");
  assert.equal(bench.dma(0x1000n, "write", 0x507), 1);
  assert.equal(bench.dma(0x1000n, "write", 0x508), code(q.C_BAD_STREAMID), "beyond the span");
  assert.equal(bench.record(0)[0], 2n | 0x400n << 32n);
});

Deno.test("splits of 6 and 10, and the reserved ones, which mean 6", () => {
  for (const [split, index, sid] of [[6, 12, 0x33f], [7, 12, 0x300], [10, 1, 0x7ff]]) {
    const bench = twoLevel(split, { [index]: split === 10 ? 11 : 7 });
    assert.equal(bench.dma(0x1000n, "write", sid), 1, `split ${split}`);
  }
});

Deno.test("a span that does not fit the split is no second level", () => {
  const bench = twoLevel(8, { 3: 9 });
  const first = Number(bench.unit.streams.low >>> 12);
  bench.store(first, 3, bench.load(first, 3) & ~31n | 10n);
  assert.equal(bench.dma(0n), code(q.C_BAD_STREAMID));
  bench.store(first, 3, 0xa0000n | 9n);
  assert.equal(bench.dma(0n), code(q.F_STE_FETCH));
  assert.equal(bench.record(1)[3], 0xa0000n);
});

Deno.test("a reserved format is no table, and a first level may lie outside memory", () => {
  const bench = new Bench();
  bench.unit.write32(regs.SMMU_STRTAB_BASE_CFG, 2 << 16 | 16);
  bench.enable();
  assert.equal(bench.dma(0n), code(q.C_BAD_STREAMID));
  bench.disable();
  bench.write64(regs.SMMU_STRTAB_BASE, 0x4000000n);
  bench.unit.write32(regs.SMMU_STRTAB_BASE_CFG, 1 << 16 | 8 << 6 | 16);
  bench.enable();
  assert.equal(bench.dma(0n), code(q.F_STE_FETCH));
  assert.deepEqual(bench.record(1), [3n | 0x300n << 32n, 0n, 0n, 0x4000018n]);
});

Deno.test("first-level descriptors are read afresh; entries are not", () => {
  const bench = twoLevel(8, { 3: 9 });
  const first = Number(bench.unit.streams.low >>> 12);
  const { config } = bench.unit.streams;
  assert.equal(config >>> 16, 1);
  bench.dma(0n);
  bench.store(first, 3, 0n);
  assert.equal(bench.dma(0n), 0, "the entry is cached");
  assert.equal(bench.dma(0n, "write", SID + 1), code(q.C_BAD_STREAMID));
  bench.cfgiSte();
  assert.equal(bench.dma(0n), code(q.C_BAD_STREAMID));
});
