import assert from "node:assert/strict";
import { explainSmmuTranslation } from "../../../src/machine/smmuv3/explain.ts";
import * as regs from "../../../src/uapi/smmuv3_regs.ts";
import { Bench, BLOCK, CONTIGUOUS, PAGE, S1_RO, S1_RW, S2_RW, SID, stage1Ste } from "./bench.ts";

Deno.test("a translation is explained entry by entry, with the caches left alone", () => {
  const bench = new Bench();
  const { table, cd } = bench.attachStage1({ asid: 7 }, SID, 5);
  bench.map(table, 0x40200000n, 0x2000000n | BLOCK | S1_RO | CONTIGUOUS, 2, 0);
  bench.enable();
  const steps = explainSmmuTranslation(bench.unit, SID, 0x40345678);
  const hex = (n: number) => "0x" + n.toString(16);
  assert.deepEqual(steps.map((s) => [s.level, s.index, s.meaning]), [
    ["STE", SID, `stage 1, VMID 5, context descriptors at ${hex(cd * 4096)}`],
    ["CD", 0, `ASID 7, 48 bits, tables from level 0 at ${hex(table * 4096)}`],
    ["L0", 0, `table at ${hex((table + 2) * 4096)}`],
    ["L1", 1, `table at ${hex((table + 3) * 4096)}`],
    ["L2", 1, "read only, 2 MiB page at 0x2000000, one of 16"],
  ]);
  assert.equal(steps.at(-1)?.pfn, 0x2145);
  assert.equal(bench.unit.walks, 0);
  const { unit } = bench;
  const cached = [unit.tlb, unit.streamCache, unit.contextCache].flatMap((c) => [...c.entries()]);
  assert.deepEqual(cached, []);
});

Deno.test("the last step says why an address goes nowhere", () => {
  const bench = new Bench();
  const reasonOf = (iova: number, write = true) => {
    const last = explainSmmuTranslation(bench.unit, SID, iova, write).at(-1);
    return `${last?.level}: ${last?.meaning}`;
  };
  assert.equal(reasonOf(0), "unit: translation is off: the address is used as it stands");
  bench.unit.write32(regs.SMMU_GBPA, regs.GBPA_UPDATE | regs.GBPA_ABORT);
  assert.equal(reasonOf(0), "unit: fault 0xf1: unit disabled, GBPA says abort");
  bench.enable();
  assert.equal(reasonOf(0), "STE: fault 0x04: C_BAD_STE: invalid stream table entry");
  bench.storeSte([1n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
  assert.equal(reasonOf(0), "STE: fault 0xf0: stream table entry says abort");
  bench.storeSte([9n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
  assert.equal(reasonOf(0), "STE: bypass");
  assert.equal(reasonOf(2 ** 42), "STE: fault 0x11: F_ADDR_SIZE: address too large");
  bench.storeSte(stage1Ste(0xa0000n));
  assert.match(reasonOf(0), /^CD: fault 0x09: F_CD_FETCH/);
  bench.storeSte(stage1Ste(0x200000n));
  assert.match(reasonOf(0), /^CD: fault 0x0a: C_BAD_CD/);
  bench.storeSte(stage1Ste(0x200000n, 1));
  assert.match(reasonOf(0), /^STE: fault 0x06: F_STREAM_DISABLED/);
  const table = bench.attachStage2();
  assert.match(reasonOf(0), /^L1: fault 0x10: F_TRANSLATION/);
  assert.match(reasonOf(2 ** 41), /^STE: fault 0x10: F_TRANSLATION/);
  bench.map(table, 0n, 0x5000n | PAGE | S2_RW ^ 0x80n);
  assert.match(reasonOf(0), /^L3: fault 0x13: F_PERMISSION/);
  assert.equal(reasonOf(0, false), "L3: read only, 4 KiB page at 0x5000");
});

Deno.test("a 2-level stream table has a step of its own", () => {
  const bench = new Bench();
  const first = bench.frame(8), second = bench.frame(4);
  bench.store(first, 3, BigInt(second) << 12n | 9n);
  bench.store(second, 0, 9n);
  bench.write64(regs.SMMU_STRTAB_BASE, BigInt(first) << 12n);
  bench.unit.write32(regs.SMMU_STRTAB_BASE_CFG, 1 << 16 | 8 << 6 | 16);
  bench.enable();
  const words = (sid: number) =>
    explainSmmuTranslation(bench.unit, sid, 0).map((s) => `${s.level}: ${s.meaning}`);
  assert.deepEqual(words(0x300), ["L1STD: entries of 2^8 StreamIDs", "STE: bypass"]);
  assert.match(words(0x400)[0], /^L1STD: fault 0x02: C_BAD_STREAMID/);
});

Deno.test("what is explained is memory, not what a stale cache still answers", () => {
  const bench = new Bench().enable();
  const { table } = bench.attachStage1();
  bench.map(table, 0x5000n, 0x111000n | PAGE | S1_RW, 3, 0);
  bench.dma(0x5000n);
  bench.map(table, 0x5000n, 0x222000n | PAGE | S1_RW, 3, 0);
  assert.equal(bench.dma(0x5000n), 0x111);
  assert.equal(explainSmmuTranslation(bench.unit, SID, 0x5000).at(-1)?.pfn, 0x222);
});
