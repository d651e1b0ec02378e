import assert from "node:assert/strict";
import * as regs from "../../../src/uapi/vtd_regs.ts";
import { Bench, PS, R, RW, SID, W } from "./bench.ts";

/** The one fault that is recorded, as its reason. */
function reasonOf(bench: Bench): number[] {
  return [...bench.unit.faults.pending()].map((f) => f.reason);
}

Deno.test("a write by 03:00.0 to 0xdeadb123 without W records the words of reason 5", () => {
  const bench = new Bench();
  bench.map(bench.attach(), 0xdeadb000n, 0x1234000n | R);
  bench.enable();
  assert.equal(bench.dma(0xdeadb123n, "write"), -5);
  assert.deepEqual(bench.record(0), [0x00000000deadb000n, 0x8000000500000300n]);
});

Deno.test("a read without R records the words of reason 6", () => {
  const bench = new Bench();
  bench.map(bench.attach(), 0xdeadb000n, 0x1234000n | W);
  bench.enable();
  assert.equal(bench.dma(0xdeadb123n, "read"), -6);
  assert.deepEqual(bench.record(0), [0x00000000deadb000n, 0xc000000600000300n]);
  assert.equal(bench.dma(0xdeadb123n, "write"), 0x1234, "write-only pages exist");
});

Deno.test("each reason comes from tables that deserve it", async (t) => {
  const cases: [string, number, (bench: Bench) => void][] = [
    ["1: the bus has no root entry", 1, () => {}],
    ["2: the device has no context entry", 2, (b) => b.contextTable(3)],
    ["3: a translation type that needs device-TLBs", 3, (b) => b.attach({ tt: 1 })],
    ["3: a translation type that does not exist", 3, (b) => b.attach({ tt: 3 })],
    ["3: an address width the unit lacks", 3, (b) => b.attach({ aw: 3 })],
    ["3: pass-through with less than the largest width", 3, (b) => b.attach({ tt: 2, aw: 1 })],
    ["5: nothing mapped", 5, (b) => b.attach()],
    ["7: the top-level table lies in a hole", 7, (b) => b.attach({ asr: 0xa0 })],
    ["7: the top-level table lies beyond RAM", 7, (b) => b.attach({ asr: 0x1000000 })],
    ["7: a lower table lies in a hole", 7, (b) => b.map(b.attach(), 0n, 0xb0000n | RW, 2)],
    ["8: the root table lies in a hole", 8, (b) => b.root = 0xa0],
    ["9: the context table lies in a hole", 9, (b) => b.store(b.root, 6, 0xa0001n)],
    ["A: reserved bits below the root entry's address", 0xa, (b) => b.store(b.root, 6, 0x200003n)],
    ["A: reserved bits above the host's width", 0xa, (b) => b.store(b.root, 6, 1n << 43n | 1n)],
    ["A: the root entry's upper half is not zero", 0xa, (b) => {
      b.contextTable(3);
      b.store(b.root, 7, 1n);
    }],
    ["B: reserved bits in the first word", 0xb, (b) => b.storeContext(SID, 0x200011n, 0x502n)],
    ["B: ASR above the host's width", 0xb, (b) => b.storeContext(SID, 1n << 43n | 1n, 0x502n)],
    ["B: reserved bits beside the DID", 0xb, (b) => b.storeContext(SID, 0x200001n, 0x1000502n)],
    ["B: reserved bits in the last word", 0xb, (b) => b.storeContext(SID, 1n, 1n << 32n | 2n)],
    ["C: address bits above the host's width", 0xc, (b) => b.map(b.attach(), 0n, 1n << 43n | RW)],
    [
      "C: a 2 MiB page that is not aligned",
      0xc,
      (b) => b.map(b.attach(), 0n, 0x1000n | RW | PS, 2),
    ],
    [
      "C: a 1 GiB page that is not aligned",
      0xc,
      (b) => b.map(b.attach(), 0n, 0x200000n | RW | PS, 3),
    ],
    ["C: a page of 512 GiB", 0xc, (b) => b.map(b.attach(), 0n, RW | PS, 4)],
    ["E: a page in the interrupt range", 0xe, (b) => b.map(b.attach(), 0n, 0xfee00000n | RW)],
  ];
  for (const [name, reason, prepare] of cases) {
    await t.step(name, () => {
      const bench = new Bench();
      prepare(bench);
      bench.enable();
      assert.equal(bench.dma(0n), -reason);
      assert.deepEqual(reasonOf(bench), [reason]);
    });
  }
});

Deno.test("a DID beyond ND is a reserved bit of the context entry", () => {
  const bench = new Bench({ domains: 256 });
  bench.attach({ did: 256 }, 0x100);
  bench.map(bench.attach({ did: 255 }, 0x200), 0n, 0x1000n | RW);
  bench.enable();
  assert.equal(bench.dma(0n, "write", 0x100), -0xb);
  assert.equal(bench.dma(0n, "write", 0x200), 1);
});

Deno.test("superpages and SNP are reserved bits where the unit does not know them", () => {
  const bench = new Bench({ superpages: 0b01, snoopControl: false });
  const top = bench.attach();
  bench.map(top, 0n, 0x40000000n | RW | PS, 3);
  bench.map(top, 0x40000000n, 0x40000000n | RW | PS, 2);
  bench.map(top, 0x80000000n, 0x1000n | RW | 0x800n);
  bench.map(top, 0x80001000n, 0x1000n | RW | PS);
  bench.enable();
  assert.equal(bench.dma(0n), -0xc);
  assert.equal(bench.dma(0x40000000n), 0x40000);
  assert.equal(bench.dma(0x80000000n), -0xc);
  assert.equal(bench.dma(0x80001000n), 1, "at level 1 bit 7 means nothing");
});

Deno.test("an address outside the tables' width faults with 4 and never wraps", () => {
  const bench = new Bench({ sagaw: 0b1110, mgaw: 57, faultRecords: 16 });
  for (const [sid, aw, width] of [[0x100, 1, 39n], [0x200, 2, 48n], [0x300, 3, 57n]] as const) {
    bench.map(bench.attach({ aw, did: aw }, sid), 0n, 0x1000n | RW, 1, aw + 2);
    bench.enable();
    assert.equal(bench.dma(0n, "write", sid), 1);
    assert.equal(bench.dma(1n << width, "write", sid), -4);
    assert.equal(bench.dma(1n << 63n, "write", sid), -4);
    assert.equal(bench.dma((1n << width) - 1n, "write", sid), -5);
  }
});

Deno.test("MGAW cuts what a wider table could translate, and pass-through with it", () => {
  const bench = new Bench({ mgaw: 42 });
  bench.attach({}, 0x100);
  bench.attach({ tt: 2 }, 0x200);
  bench.enable();
  assert.equal(bench.dma(1n << 42n, "write", 0x100), -4);
  assert.equal(bench.dma(1n << 42n, "write", 0x200), -4);
  assert.equal(bench.dma((1n << 42n) - 1n, "write", 0x200), 0x3fffffff);
});

Deno.test("pass-through is an invalid context where ECAP.PT is off", () => {
  const bench = new Bench({ passThrough: false });
  bench.attach({ tt: 2 });
  bench.enable();
  assert.equal(bench.dma(0n), -3);
});

Deno.test("reserved bits of an entry that is not present do not matter", () => {
  const bench = new Bench();
  bench.map(bench.attach(), 0n, 1n << 45n);
  bench.enable();
  assert.equal(bench.dma(0n), -5);
});

Deno.test("reading from the interrupt range is a fault of its own", () => {
  const bench = new Bench();
  bench.enable();
  assert.equal(bench.dma(0xfee00000n, "read"), -0x87);
  assert.deepEqual(reasonOf(bench), [0x87]);
});

Deno.test("FPD keeps the faults of a context entry quiet, present or not", () => {
  const bench = new Bench();
  bench.attach({ fpd: true });
  bench.storeContext(SID + 1, 2n, 0n);
  bench.enable();
  assert.equal(bench.dma(0x1000n), -5);
  assert.equal(bench.dma(0x1000n, "write", SID + 1), -2);
  assert.equal(bench.unit.faults.suppressed, 2);
  assert.equal(bench.unit.read32(regs.DMAR_FSTS_REG), 0);
  assert.equal(bench.dma(0x1000n, "write", 0x400), -1, "the bus has no root entry");
  assert.equal(bench.unit.faults.recorded, 1);
});

Deno.test("records fill as a ring, and PFO drops what finds no room", () => {
  const bench = new Bench({ faultRecords: 2 });
  const fsts = () => bench.unit.read32(regs.DMAR_FSTS_REG);
  bench.enable();
  for (const sid of [0x100, 0x200, 0x300]) bench.dma(0n, "write", sid);
  assert.equal(fsts(), regs.DMA_FSTS_PFO | regs.DMA_FSTS_PPF);
  assert.deepEqual([...bench.unit.faults.pending()].map((f) => f.sid), [0x100, 0x200]);

  bench.clearRecord(0);
  bench.dma(0n, "write", 0x400);
  assert.equal(bench.unit.faults.lost, 2, "nothing is recorded while PFO is set");

  bench.unit.write32(regs.DMAR_FSTS_REG, regs.DMA_FSTS_PFO);
  bench.dma(0n, "write", 0x500);
  assert.deepEqual([...bench.unit.faults.pending()].map((f) => f.sid), [0x500, 0x200]);
  assert.equal(fsts(), regs.DMA_FSTS_PPF, "FRI is still the first of this round");

  bench.clearRecord(0);
  bench.clearRecord(1);
  assert.equal(fsts(), 0);
  bench.dma(0n, "write", 0x600);
  assert.equal(fsts(), regs.DMA_FSTS_PPF | 1 << regs.DMA_FSTS_FRI_SHIFT);
});

Deno.test("only the F bit of a record can be written, and only by a 1", () => {
  const bench = new Bench();
  bench.enable();
  bench.dma(0n);
  const before = bench.record(0);
  for (const o of [0, 4, 8]) bench.unit.write32(bench.recordAt(0) + o, 0xffffffff);
  bench.unit.write32(bench.recordAt(0) + 12, 0x7fffffff);
  assert.deepEqual(bench.record(0), before);
  bench.clearRecord(0);
  assert.deepEqual(bench.record(0), [before[0], before[1] & ~(1n << 63n)]);
});

Deno.test("a fault interrupt goes out once until all is serviced", () => {
  const bench = new Bench();
  bench.enable();
  bench.unit.write32(regs.DMAR_FECTL_REG, 0);
  bench.dma(0n);
  bench.dma(0n);
  assert.equal(bench.interrupts, 1);
  bench.clearRecord(0);
  bench.clearRecord(1);
  bench.dma(0n);
  assert.equal(bench.interrupts, 2);
});

Deno.test("a masked fault interrupt waits in IP until it is let out", () => {
  const bench = new Bench();
  const fectl = () => bench.unit.read32(regs.DMAR_FECTL_REG) | 0;
  bench.enable();
  assert.equal(fectl(), regs.DMA_FECTL_IM, "masked after power-on");
  bench.dma(0n);
  assert.equal(bench.interrupts, 0);
  assert.equal(fectl(), regs.DMA_FECTL_IM | regs.DMA_FECTL_IP);
  bench.unit.write32(regs.DMAR_FECTL_REG, 0);
  assert.equal(bench.interrupts, 1);
  assert.equal(fectl(), 0);
});

Deno.test("servicing a masked fault makes its interrupt go away", () => {
  const bench = new Bench();
  bench.enable();
  bench.dma(0n);
  bench.clearRecord(0);
  bench.unit.write32(regs.DMAR_FECTL_REG, 0);
  assert.equal(bench.interrupts, 0);
});

Deno.test("fault reasons have the log's texts", () => {
  assert.equal(regs.faultReasonText(5), "PTE Write access is not set");
  assert.equal(regs.faultReasonText(1), "Present bit in root entry is clear");
  assert.equal(regs.faultReasonText(0x60), "Unknown");
});
