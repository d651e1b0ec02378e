import assert from "node:assert/strict";
import * as q from "../../../src/uapi/smmuv3_queues.ts";
import {
  Bench,
  code,
  contextDescriptor,
  PAGE,
  S1_RW,
  S2_RW,
  SID,
  stage1Ste,
  stage2Ste,
} from "./bench.ts";

/**
 * What the hardware sees while an entry of eight qwords is changed store by store (FACTS 4.2).
 * After each store the entry is read afresh (CFGI and SYNC) and two pages are touched: 0x5000 all
 * the time, so that it is cached, and one that was not touched before.
 */
const BYPASS = [9n, 0n, 0n, 0n, 0n, 0n, 0n, 0n];
const BAD_STE = code(q.C_BAD_STE), BAD_CD = code(q.C_BAD_CD);

interface Domain {
  ste: bigint[];
  /** Frame that 0x5000 and 0x10000 to 0x1ffff lead to. */
  frame: number;
}

function stage2(bench: Bench, vmid: number, frame: number): Domain {
  const ttb = BigInt(bench.frame(2)) << 12n;
  fill(bench, Number(ttb >> 12n), 1, frame, S2_RW);
  return { ste: stage2Ste({ vmid, ttb }), frame };
}

function stage1(bench: Bench, vmid: number, asid: number, frame: number) {
  const table = bench.frame(), cd = bench.frame();
  fill(bench, table, 0, frame, S1_RW);
  const descriptor = contextDescriptor({ asid, ttb: BigInt(table) << 12n });
  bench.storeContext(cd, descriptor);
  return { ste: stage1Ste(BigInt(cd) << 12n, 0, 0, vmid), frame, cd, descriptor };
}

function fill(bench: Bench, table: number, from: number, frame: number, leaf: bigint): void {
  const to = BigInt(frame) << 12n | PAGE | leaf;
  bench.map(table, 0x5000n, to, 3, from);
  for (let page = 0x10n; page < 0x20n; page++) bench.map(table, page << 12n, to, 3, from);
}

/** Stores the named qwords in their order; what each step makes of the two pages. */
function update(bench: Bench, target: bigint[], order: number[]): [number, number][] {
  let fresh = 0x10n + BigInt(bench.unit.walks);
  return order.map((qword) => {
    bench.store(bench.streams, SID * 8 + qword, target[qword]);
    bench.cfgiSte();
    return [bench.dma(0x5000n), bench.dma(fresh++ << 12n)];
  });
}

function start(ste: bigint[], bench: Bench): void {
  bench.storeSte(ste);
  bench.enable();
  bench.cfgiSte();
  bench.dma(0x5000n);
}

Deno.test("bypass to stage 1: the rest first, then word 0: every request finds one or the other", () => {
  const bench = new Bench();
  const next = stage1(bench, 0, 7, 0x222);
  start(BYPASS, bench);
  const seen = update(bench, next.ste, [1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(seen.map(([cached]) => cached), [5, 5, 5, 5, 5, 5, 5]);
  assert.deepEqual(update(bench, next.ste, [0]), [[0x222, 0x222]]);
});

Deno.test("bypass to stage 2 in the order of the words is a gap of bad entries", () => {
  const bench = new Bench();
  const next = stage2(bench, 5, 0x222);
  start(BYPASS, bench);
  const seen = update(bench, next.ste, [0, 1, 2, 3]).map(([cached]) => cached);
  assert.deepEqual(seen.slice(0, 2), [BAD_STE, BAD_STE], "word 2 says neither AA64 nor a size");
  assert.equal(seen[2], code(q.F_TRANSLATION), "word 3 leads nowhere yet");
  assert.equal(seen[3], 0x222);
});

Deno.test("stage 1 to bypass: word 0 alone, and the rest after it", () => {
  const bench = new Bench();
  start(stage1(bench, 0, 7, 0x111).ste, bench);
  for (const [cached] of update(bench, BYPASS, [0, 1, 2, 3])) assert.equal(cached, 5);
});

Deno.test("stage 2 to stage 2 of the same VMID: one store, and old and new mix until a TLBI", () => {
  const bench = new Bench();
  start(stage2(bench, 5, 0x111).ste, bench);
  const next = stage2(bench, 5, 0x222);
  assert.deepEqual(update(bench, next.ste, [3]), [[0x111, 0x222]]);
  bench.tlbi(q.CMD_TLBI_S12_VMALL, 5);
  assert.equal(bench.dma(0x5000n), 0x222);
});

Deno.test("equal tables under the same VMID: nobody can tell when they were exchanged", () => {
  const bench = new Bench();
  start(stage2(bench, 5, 0x111).ste, bench);
  const next = stage2(bench, 5, 0x111);
  assert.deepEqual(update(bench, next.ste, [3]), [[0x111, 0x111]]);
});

Deno.test("another VMID, word 2 first: the old tables' translations get the new tag", () => {
  const bench = new Bench();
  start(stage2(bench, 5, 0x111).ste, bench);
  const next = stage2(bench, 6, 0x222);
  const seen = update(bench, next.ste, [2, 3]);
  assert.deepEqual(seen, [[0x111, 0x111], [0x111, 0x222]], "0x5000 is cached under VMID 6");
  bench.tlbi(q.CMD_TLBI_S12_VMALL, 5);
  assert.equal(bench.dma(0x5000n), 0x111, "flushing the old VMID does not reach it");
  bench.tlbi(q.CMD_TLBI_S12_VMALL, 6);
  assert.equal(bench.dma(0x5000n), 0x222);
});

Deno.test("another VMID, word 3 first: the new tables' translations get the old tag", () => {
  const bench = new Bench();
  const old = stage2(bench, 5, 0x111);
  bench.storeSte(old.ste, SID + 1);
  start(old.ste, bench);
  const next = stage2(bench, 6, 0x222);
  const neighbour: number[] = [];
  for (const qword of [3, 2]) {
    update(bench, next.ste, [qword]);
    bench.dma(0x12000n);
    neighbour.push(bench.dma(0x12000n, "write", SID + 1));
  }
  assert.deepEqual(neighbour, [0x222, 0x222], "a device left in the old domain follows");
  bench.tlbi(q.CMD_TLBI_S12_VMALL, 5);
  assert.equal(bench.dma(0x12000n, "write", SID + 1), 0x111);
});

Deno.test("another VMID through V = 0: requests in the gap are C_BAD_STE, and nothing mixes", () => {
  const bench = new Bench();
  const old = stage2(bench, 5, 0x111);
  start(old.ste, bench);
  const next = stage2(bench, 6, 0x222);
  const gap = update(bench, [old.ste[0] & ~1n, ...next.ste.slice(1)], [0, 1, 2, 3, 4, 5, 6, 7]);
  for (const pair of gap) assert.deepEqual(pair, [BAD_STE, BAD_STE]);
  assert.deepEqual(update(bench, next.ste, [0]), [[0x222, 0x222]]);
  assert.deepEqual(new Set(bench.events()), new Set([q.C_BAD_STE]));
});

Deno.test("stage 1 to stage 2 with the VMID kept: words 2 and 3 are not looked at before word 0", () => {
  const bench = new Bench();
  start(stage1(bench, 5, 7, 0x111).ste, bench);
  const next = stage2(bench, 5, 0x222);
  for (const pair of update(bench, next.ste, [2, 3])) assert.deepEqual(pair, [0x111, 0x111]);
  assert.deepEqual(update(bench, next.ste, [0]), [[0x222, 0x222]]);
});

Deno.test("stage 1 to stage 2, VMID changed: stage 1 runs under a VMID that is not its own", () => {
  const bench = new Bench();
  start(stage1(bench, 5, 7, 0x111).ste, bench);
  const next = stage2(bench, 6, 0x222);
  update(bench, next.ste, [2]);
  const vmids = [...bench.unit.tlb.entries()].map((e) => e.vmid);
  assert.deepEqual(new Set(vmids), new Set([5, 6]));
});

Deno.test("a second table of CDs: S1ContextPtr is in word 0, so one store exchanges all", () => {
  const bench = new Bench();
  start(stage1(bench, 5, 7, 0x111).ste, bench);
  const next = stage1(bench, 5, 8, 0x222);
  assert.deepEqual(update(bench, next.ste, [0]), [[0x222, 0x222]], "another ASID: no mixing");
});

Deno.test("a CD in place: TTB0 alone is one store; with the ASID it is two, and they mix", () => {
  const bench = new Bench();
  const old = stage1(bench, 5, 7, 0x111);
  start(old.ste, bench);
  const table = bench.frame();
  fill(bench, table, 0, 0x222, S1_RW);
  bench.store(old.cd, 1, BigInt(table) << 12n);
  bench.cfgiCd();
  assert.deepEqual([bench.dma(0x5000n), bench.dma(0x10000n)], [0x111, 0x222]);

  bench.tlbi(q.CMD_TLBI_NH_ASID, 5, 7);
  bench.store(old.cd, 0, contextDescriptor({ asid: 8 })[0]);
  bench.cfgiCd();
  bench.dma(0x5000n);
  bench.store(old.cd, 1, old.descriptor[1]);
  bench.cfgiCd();
  assert.equal(bench.dma(0x5000n), 0x222, "the first table's translation under the new ASID");
  assert.equal(bench.dma(0x11000n), 0x111);
});

Deno.test("a CD through V = 0 is a gap of C_BAD_CD", () => {
  const bench = new Bench();
  const old = stage1(bench, 5, 7, 0x111);
  start(old.ste, bench);
  bench.store(old.cd, 0, old.descriptor[0] & ~(1n << 31n));
  bench.cfgiCd();
  assert.equal(bench.dma(0x5000n), BAD_CD);
  bench.store(old.cd, 0, old.descriptor[0]);
  assert.equal(bench.dma(0x5000n), BAD_CD, "cached until the next CFGI_CD");
  bench.cfgiCd();
  assert.equal(bench.dma(0x5000n), 0x111);
});

Deno.test("stores without CFGI are seen by nobody who is cached, and by all others at once", () => {
  const bench = new Bench();
  const old = stage2(bench, 5, 0x111);
  start(old.ste, bench);
  bench.storeSte(BYPASS);
  assert.equal(bench.dma(0x5000n), 0x111);
  bench.storeSte(BYPASS, SID + 1);
  assert.equal(bench.dma(0x5000n, "write", SID + 1), 5);
});
