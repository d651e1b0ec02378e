import assert from "node:assert/strict";
import { Route } from "../../../src/machine/dma_port.ts";
import * as q from "../../../src/uapi/smmuv3_queues.ts";
import * as regs from "../../../src/uapi/smmuv3_regs.ts";
import { Bench, BLOCK, code, CONTIGUOUS, PAGE, S1_RW, S2_RO, S2_RW, stage1Ste } from "./bench.ts";

Deno.test("pages and blocks of both stages lead to their frames", () => {
  const bench = new Bench().enable();
  const second = bench.attachStage2({}, 0x100);
  const { table: first } = bench.attachStage1({}, 0x200);
  const places: [number, number, bigint, number][] = [
    [0x100, second, S2_RW, 1],
    [0x200, first, S1_RW, 0],
  ];
  for (const [sid, table, bits, from] of places) {
    bench.map(table, 0x5000n, 0x111000n | PAGE | bits, 3, from);
    bench.map(table, 0x40200000n, 0x2000000n | BLOCK | bits, 2, from);
    bench.map(table, 0x80000000n, 0x40000000n | BLOCK | bits, 1, from);
    assert.equal(bench.dma(0x5fffn, "write", sid), 0x111);
    assert.equal(bench.dma(0x40345678n, "read", sid), 0x2145);
    assert.equal(bench.dma(0x80345678n, "read", sid), 0x40345);
    assert.equal(bench.unit.route, Route.translated);
  }
});

Deno.test("a contiguous run is one translation, as the one descriptor read promises", () => {
  const bench = new Bench().enable();
  const table = bench.attachStage2();
  bench.map(table, 0x23000n, 0x113000n | PAGE | S2_RW | CONTIGUOUS);
  assert.equal(bench.dma(0x23000n), 0x113);
  const [entry] = bench.unit.tlb.entries();
  assert.deepEqual([entry.page, entry.pfn, entry.size], [0x20, 0x110, 0x10000]);
  assert.equal(bench.dma(0x2f000n), 0x11f, "though its own descriptor is empty");
});

Deno.test("what a table takes away is cached with the page", () => {
  const bench = new Bench().enable();
  const { table } = bench.attachStage1();
  bench.map(table, 0x5000n, 0x111000n | PAGE | S1_RW, 3, 0);
  bench.store(table, 0, bench.load(table, 0) | 1n << 62n);
  assert.equal(bench.dma(0x5000n, "read"), 0x111);
  assert.equal(bench.dma(0x5000n, "write"), code(q.F_PERMISSION));
  assert.equal(bench.unit.walks, 1);
});

Deno.test("a denial from the TLB is recorded as one from the tables", () => {
  const bench = new Bench().enable();
  const table = bench.attachStage2();
  bench.map(table, 0x5000n, 0x111000n | PAGE | S2_RO);
  assert.equal(bench.dma(0x5000n, "write"), code(q.F_PERMISSION));
  const walked = bench.record(0);
  bench.dma(0x5000n, "read");
  assert.equal(bench.dma(0x5000n, "write"), code(q.F_PERMISSION));
  assert.deepEqual(bench.record(1), walked);
});

Deno.test("faults are never cached: what becomes valid is found at once", () => {
  const bench = new Bench().enable();
  const table = bench.attachStage2();
  assert.equal(bench.dma(0x5000n), code(q.F_TRANSLATION));
  bench.map(table, 0x5000n, 0x111000n | PAGE | S2_RW);
  assert.equal(bench.dma(0x5000n), 0x111);
});

Deno.test("addresses of tables are taken as multiples of the tables' sizes", () => {
  const bench = new Bench();
  // Level 1 of 40 bits: 1024 descriptors, two pages side by side.
  const table = bench.attachStage2({}, 0x100);
  bench.map(table, 0x8000000000n, 0x111000n | PAGE | S2_RW);
  bench.store(bench.streams, 0x100 * 8 + 3, BigInt(table) << 12n | 0x1ff0n);
  // Level 1 of 36 bits: 64 descriptors of 8 bytes.
  const small = bench.attachStage1({ t0sz: 28 }, 0x200);
  bench.map(small.table, 0x5000n, 0x222000n | PAGE | S1_RW, 3, 1);
  bench.store(small.cd, 1, BigInt(small.table) << 12n | 0x1f0n);
  // Four context descriptors: 256 bytes.
  const contexts = BigInt(small.cd) << 12n;
  bench.storeSte(stage1Ste(contexts | 0xc0n, 2, 2), 0x201);
  bench.write64(regs.SMMU_STRTAB_BASE, BigInt(bench.streams + 1) << 12n);
  bench.enable();
  assert.equal(bench.dma(0x8000000000n, "write", 0x100), 0x111);
  assert.equal(bench.dma(0x5000n, "write", 0x200), 0x222);
  assert.equal(bench.dma(0x5000n, "write", 0x201), 0x222);
});
