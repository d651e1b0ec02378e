import assert from "node:assert/strict";
import * as qi from "../../../src/uapi/vtd_queue.ts";
import * as regs from "../../../src/uapi/vtd_regs.ts";
import { Bench, RW, SID } from "./bench.ts";
import { desc, ScalableBench } from "./scalable_bench.ts";

const STATUS = 0x2000;
const status = (b: Bench) => b.memory.load(STATUS, 0);
const fsts = (b: Bench) => b.unit.read32(regs.DMAR_FSTS_REG);

function started(wide = true): ScalableBench {
  const bench = new ScalableBench();
  bench.startQueue(wide);
  return bench;
}

Deno.test("QIE shows as QIES and is a level, as TE is", () => {
  const bench = started();
  assert.equal(bench.unit.read32(regs.DMAR_GSTS_REG), regs.DMA_GSTS_QIES);
  bench.unit.write32(regs.DMAR_GCMD_REG, regs.DMA_GCMD_TE);
  assert.equal(bench.unit.read32(regs.DMAR_GSTS_REG) | 0, regs.DMA_GSTS_TES);
});

Deno.test("a unit without ECAP.QI has neither the bit nor the registers", () => {
  const { unit } = new Bench();
  unit.write32(qi.DMAR_IQA_REG, 0x5000);
  unit.write32(qi.DMAR_IECTL_REG, 0);
  for (let at = qi.DMAR_IQH_REG; at <= qi.DMAR_IEUADDR_REG; at += 4) {
    assert.equal(unit.read32(at), 0);
  }
});

for (const [name, wide, size] of [["32-byte", true, 32], ["16-byte", false, 16]] as const) {
  Deno.test(`${name} descriptors are done when the tail is written, and the head follows`, () => {
    const bench = started(wide);
    bench.submit(desc.wait(BigInt(STATUS) << 12n, 7), desc.wait(BigInt(STATUS) << 12n | 8n, 8));
    assert.equal(bench.memory.load(STATUS, 0), 7);
    assert.equal(bench.memory.load(STATUS, 2), 8);
    assert.equal(bench.head, 2 * size);
  });

  Deno.test(`${name} descriptors go round the ring`, () => {
    const bench = started(wide);
    for (let i = 1; i <= 700; i++) {
      bench.submit(desc.wait(BigInt(STATUS) << 12n, i));
      assert.equal(status(bench), i);
    }
    assert.equal(bench.head, 700 * size % 4096);
    assert.equal(bench.unit.invalidationQueue?.done, 700);
  });
}

Deno.test("nothing is done before QIE, and what waits is done with it", () => {
  const bench = new ScalableBench();
  bench.unit.write32(qi.DMAR_IQA_REG, bench.queueFrame << 12 | qi.DMA_IQA_DW);
  bench.submit(desc.wait(BigInt(STATUS) << 12n, 7));
  assert.equal(status(bench), 0);
  bench.command(regs.DMA_GCMD_QIE);
  assert.equal(status(bench), 7);
});

Deno.test("IQA counts as it stood when QIE was set", () => {
  const bench = started();
  bench.unit.write32(qi.DMAR_IQA_REG, 0x123000 | 3);
  assert.equal(bench.unit.read32(qi.DMAR_IQA_REG), 0x123003);
  bench.submit(desc.wait(BigInt(STATUS) << 12n, 7));
  assert.equal(status(bench), 7);
  bench.command(0, regs.DMA_GCMD_QIE);
  assert.equal(bench.head, 0, "off takes the head back");
});

Deno.test("QS gives the ring more pages", () => {
  const bench = new ScalableBench();
  const first = 0x3000;
  bench.unit.write32(qi.DMAR_IQA_REG, first << 12 | 1);
  bench.command(regs.DMA_GCMD_QIE);
  bench.unit.write32(qi.DMAR_IQT_REG, 0);
  for (let i = 0; i < 512; i++) bench.store(first + (i >> 8), (i & 255) * 2, 4n);
  bench.store(first + 1, 255 * 2, desc.wait(0n, 9)[0]);
  bench.store(first + 1, 255 * 2 + 1, BigInt(STATUS) << 12n);
  bench.unit.write32(qi.DMAR_IQT_REG, 511 * 16);
  assert.equal(status(bench), 0);
  bench.unit.write32(qi.DMAR_IQT_REG, 0);
  assert.equal(status(bench), 9);
  assert.equal(bench.head, 0);
});

Deno.test("a status write to where no memory is goes nowhere, and is no error", () => {
  const bench = started();
  bench.submit(desc.wait(0xa0000n, 7), desc.wait(1n << 50n, 7), desc.wait(4n, 7, 0));
  assert.equal(fsts(bench), 0);
  assert.equal(bench.head, 96);
  assert.equal(bench.memory.isWritten(0xa0), false);
});

Deno.test("a WAIT with the interrupt flag sets IWC, and interrupts once until it is cleared", () => {
  const bench = started();
  let sent = 0;
  bench.unit.onQueueInterrupt = () => sent++;
  const wait = desc.wait(0n, 0, qi.QI_IWD_INTERRUPT);
  const ics = () => bench.unit.read32(qi.DMAR_ICS_REG);
  bench.submit(wait);
  assert.equal(ics(), qi.DMA_ICS_IWC);
  assert.equal(sent, 0, "masked after power-on");
  assert.equal(bench.unit.read32(qi.DMAR_IECTL_REG) | 0, qi.DMA_IECTL_IM | qi.DMA_IECTL_IP);
  bench.unit.write32(qi.DMAR_IECTL_REG, 0);
  assert.equal(sent, 1);
  bench.submit(wait);
  assert.equal(sent, 1);
  bench.unit.write32(qi.DMAR_ICS_REG, qi.DMA_ICS_IWC);
  assert.equal(ics(), 0);
  bench.submit(wait);
  assert.equal(sent, 2);
  bench.unit.write32(qi.DMAR_IEADDR_REG, 0xfee00018);
  bench.unit.write32(qi.DMAR_IEDATA_REG, 0x4021);
  assert.equal(bench.unit.read32(qi.DMAR_IEADDR_REG), 0xfee00018);
  assert.equal(bench.unit.read32(qi.DMAR_IEDATA_REG), 0x4021);
});

Deno.test("device-TLB and interrupt entry cache descriptors are accepted", () => {
  const bench = started();
  bench.submit([3n | BigInt(SID) << 32n, 0x7ffff001n], [4n], [8n | BigInt(SID) << 16n, 0x1000n]);
  assert.equal(bench.head, 96);
  assert.equal(fsts(bench), 0);
});

Deno.test("what cannot be carried out sets IQE and stays at the head", async (t) => {
  const wrong: [string, bigint[]][] = [
    ["type 0", [0n]],
    ["type 10", [10n]],
    ["page group response, reserved word", [9n, 1n << 32n]],
    ["a type with its upper bits set", [0x201n]],
    ["reserved words of a 32-byte descriptor", [4n, 0n, 1n, 0n]],
    ["context cache, granularity 0", desc.context(0)],
    ["context cache, reserved bits", [1n | 1n << 4n | 1n << 6n]],
    ["context cache, reserved bits beside FM", [1n | 1n << 4n | 1n << 50n]],
    ["IOTLB, granularity 0", desc.iotlb(0)],
    ["IOTLB, AM beyond MAMV", desc.iotlb(3, 5, 0n, 19)],
    ["IOTLB, reserved bits", [2n | 1n << 4n, 0x80n]],
    ["IOTLB, reserved word", [2n | 1n << 4n | 1n << 32n]],
    ["WAIT, reserved bits", [5n | 1n << 8n]],
    ["WAIT, an address that is not aligned", desc.wait(2n, 1)],
    ["PASID IOTLB, granularity 1", desc.pasidIotlb(1, 5, 0)],
    ["PASID IOTLB, AM beyond MAMV", desc.pasidIotlb(3, 5, 0, 0n, 19)],
    ["PASID IOTLB, a PASID of more than 20 bits", [6n | 2n << 4n | 1n << 52n]],
    ["PASID cache, granularity 2", desc.pasidCache(2)],
    ["PASID cache, reserved bits", [7n | 3n << 4n | 1n << 6n]],
  ];
  for (const [name, words] of wrong) {
    await t.step(name, () => {
      const bench = started();
      bench.submit([4n], words, desc.wait(BigInt(STATUS) << 12n, 7));
      assert.equal(fsts(bench), qi.DMA_FSTS_IQE);
      assert.equal(bench.head, 32);
      assert.equal(status(bench), 0);
    });
  }
});

Deno.test("types 6 to 8 are invalid where there is no scalable mode", () => {
  for (const words of [desc.pasidIotlb(2, 5, 0), desc.pasidCache(3), [8n]]) {
    const bench = new ScalableBench({ scalable: false });
    bench.startQueue(false);
    bench.submit(words);
    assert.equal(fsts(bench), qi.DMA_FSTS_IQE);
  }
});

Deno.test("type 9 is invalid where there are no page requests", () => {
  const bench = new ScalableBench({ pageRequests: false });
  bench.startQueue(true);
  bench.submit([9n]);
  assert.equal(fsts(bench), qi.DMA_FSTS_IQE);
});

Deno.test("after IQE the queue waits until it is cleared, then goes on from the head", () => {
  const bench = started();
  const wait = (n: number) => desc.wait(BigInt(STATUS) << 12n, n);
  bench.submit(wait(1), [0n], wait(3));
  bench.submit(wait(4));
  assert.equal(status(bench), 1);
  bench.unit.write32(regs.DMAR_FSTS_REG, qi.DMA_FSTS_IQE);
  assert.equal(fsts(bench), qi.DMA_FSTS_IQE, "the same descriptor again");
  bench.store(bench.queueFrame, 4, 4n);
  bench.unit.write32(regs.DMAR_FSTS_REG, qi.DMA_FSTS_IQE);
  assert.equal(fsts(bench), 0);
  assert.equal(status(bench), 4);
  assert.equal(bench.head, 128);
});

Deno.test("IQE sends the fault interrupt, once", () => {
  const bench = started();
  bench.unit.write32(regs.DMAR_FECTL_REG, 0);
  bench.submit([0n]);
  assert.equal(bench.interrupts, 1);
  bench.submit([4n]);
  assert.equal(bench.interrupts, 1);
});

Deno.test("a tail outside the ring or off a boundary, and a queue in a hole, are errors", () => {
  const tail = started();
  tail.unit.write32(qi.DMAR_IQT_REG, 4096);
  assert.equal(fsts(tail), qi.DMA_FSTS_IQE);
  const odd = started();
  odd.unit.write32(qi.DMAR_IQT_REG, 16);
  assert.equal(fsts(odd), qi.DMA_FSTS_IQE);
  const hole = new ScalableBench();
  hole.unit.write32(qi.DMAR_IQA_REG, 0xa0000);
  hole.command(regs.DMA_GCMD_QIE);
  hole.unit.write32(qi.DMAR_IQT_REG, 16);
  assert.equal(fsts(hole), qi.DMA_FSTS_IQE);
});

Deno.test("scalable mode takes 32-byte descriptors only", () => {
  const bench = new ScalableBench();
  bench.startQueue(false);
  bench.submit([4n]);
  assert.equal(bench.head, 16);
  bench.setRoot(bench.root);
  bench.submit([4n]);
  assert.equal(fsts(bench), qi.DMA_FSTS_IQE);
});

Deno.test("in legacy mode the queue invalidates what the registers did", () => {
  const bench = new Bench({ queuedInvalidation: true });
  const frame = bench.frame();
  bench.map(bench.attach(), 0x5000n, 0x111000n | RW);
  bench.enable();
  bench.dma(0x5000n);
  bench.unit.write32(qi.DMAR_IQA_REG, frame << 12 | qi.DMA_IQA_DW);
  assert.equal(bench.unit.read32(qi.DMAR_IQA_REG), frame << 12, "no DW without SMTS");
  bench.unit.write32(regs.DMAR_GCMD_REG, regs.DMA_GCMD_TE | regs.DMA_GCMD_QIE);
  assert.equal(bench.flushIotlb(regs.GRANU_GLOBAL), regs.GRANU_NONE, "registers are refused");
  assert.equal(bench.flushContext(regs.GRANU_GLOBAL), regs.GRANU_NONE);
  const left = () => [
    [...bench.unit.contextCache.entries()].length,
    [...bench.unit.iotlb.entries()].length,
  ];
  let tail = 0;
  const submit = (words: bigint[]) => {
    bench.store(frame, tail / 8, words[0]);
    bench.store(frame, tail / 8 + 1, words[1] ?? 0n);
    bench.unit.write32(qi.DMAR_IQT_REG, tail += 16);
  };
  submit(desc.context(3, 5, SID + 1));
  submit(desc.context(3, 6, SID));
  submit(desc.iotlb(3, 5, 0x6000n));
  submit(desc.iotlb(2, 6));
  assert.deepEqual(left(), [1, 1]);
  submit(desc.context(3, 5, SID));
  assert.deepEqual(left(), [0, 1]);
  submit(desc.iotlb(3, 5, 0x4000n, 1));
  assert.deepEqual(left(), [0, 0]);
  bench.unit.write32(regs.DMAR_GCMD_REG, regs.DMA_GCMD_TE);
  assert.equal(bench.flushIotlb(regs.GRANU_GLOBAL), regs.GRANU_GLOBAL, "and taken again");
});
