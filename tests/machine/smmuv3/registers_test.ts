import assert from "node:assert/strict";
import * as regs from "../../../src/uapi/smmuv3_regs.ts";
import { Bench } from "./bench.ts";

Deno.test("the IDR registers say what the unit was configured with", () => {
  const { unit } = new Bench({ bbml: 2, substreamBits: 10, outputBits: 40, stage1: false });
  const idr0 = unit.read32(regs.SMMU_IDR0);
  assert.equal(idr0 & (regs.IDR0_S1P | regs.IDR0_S2P), regs.IDR0_S2P);
  assert.ok((idr0 & regs.IDR0_VMID16) !== 0 && (idr0 & regs.IDR0_ST_LEVEL_2) !== 0);
  assert.equal(unit.read32(regs.SMMU_IDR1), 8 << 21 | 7 << 16 | 10 << 6 | 16);
  const idr3 = unit.read32(regs.SMMU_IDR3);
  assert.equal(idr3 >>> regs.IDR3_BBML_SHIFT & regs.IDR3_BBML_MASK, 2);
  assert.equal(idr3 & regs.IDR3_RIL, regs.IDR3_RIL);
  const oas = unit.read32(regs.SMMU_IDR5) & regs.IDR5_OAS_MASK;
  assert.equal(regs.SMMU_ADDRESS_BITS[oas], 40);
  assert.equal(unit.read32(regs.SMMU_AIDR), 2);
});

Deno.test("each BBML is told as it is", () => {
  for (const bbml of [0, 1, 2] as const) {
    const { unit } = new Bench({ bbml });
    assert.equal(unit.read32(regs.SMMU_IDR3) >>> 11 & 3, bbml);
  }
});

Deno.test("CR0ACK and IRQ_CTRLACK follow at once, without the bits of features that are not there", () => {
  const { unit } = new Bench();
  unit.write32(regs.SMMU_CR0, 0xffffffff);
  assert.equal(unit.read32(regs.SMMU_CR0ACK), 0b1101);
  unit.write32(regs.SMMU_IRQ_CTRL, 0xffffffff);
  assert.equal(unit.read32(regs.SMMU_IRQ_CTRLACK), 0b101);
});

Deno.test("what places a table or a queue stays while that is in use", () => {
  const bench = new Bench().enable();
  const places = [regs.SMMU_STRTAB_BASE, regs.SMMU_CMDQ_BASE, regs.SMMU_EVENTQ_BASE];
  const before = places.map((r) => bench.unit.read32(r));
  for (const r of places) bench.write64(r, 0x12345000n);
  bench.unit.write32(regs.SMMU_STRTAB_BASE_CFG, 3);
  assert.deepEqual(places.map((r) => bench.unit.read32(r)), before);
  assert.equal(bench.unit.read32(regs.SMMU_STRTAB_BASE_CFG), 16);
  bench.unit.write32(regs.SMMU_CR0, 0);
  for (const r of places) bench.write64(r, 0x112345000n);
  for (const r of places) assert.equal(bench.unit.read32(r + 4), 1);
});

Deno.test("while they are off the queues' pointers are software's, and other offsets read 0", () => {
  const bench = new Bench();
  bench.unit.write32(regs.SMMU_CMDQ_CONS, 7);
  assert.equal(bench.unit.read32(regs.SMMU_CMDQ_CONS), 0, "in use");
  bench.unit.write32(regs.SMMU_CR0, 0);
  bench.unit.write32(regs.SMMU_CMDQ_CONS, 7);
  bench.unit.write32(regs.SMMU_EVENTQ_PROD, 9);
  bench.unit.write32(regs.SMMU_CR1, 0xd75);
  assert.equal(bench.unit.read32(regs.SMMU_CMDQ_CONS), 7);
  assert.equal(bench.unit.read32(regs.SMMU_PAGE1 + regs.SMMU_EVENTQ_PROD), 9);
  assert.equal(bench.unit.read32(regs.SMMU_CR1), 0xd75);
  assert.equal(bench.unit.read32(regs.SMMU_IDR2), 0);
});

Deno.test("EVENTQ_PROD and EVENTQ_CONS are the same registers on both pages", () => {
  const bench = new Bench().enable();
  bench.dma(0n);
  const page1 = regs.SMMU_PAGE1;
  assert.equal(bench.unit.read32(page1 + regs.SMMU_EVENTQ_PROD), 1);
  assert.equal(bench.unit.read32(regs.SMMU_EVENTQ_PROD), 1);
  bench.unit.write32(page1 + regs.SMMU_EVENTQ_CONS, 1);
  assert.equal(bench.unit.read32(regs.SMMU_EVENTQ_CONS), 1);
});

Deno.test("register writes leave their mark in the event hash", () => {
  const one = new Bench(), two = new Bench();
  assert.equal(one.hash.digest(), two.hash.digest());
  one.unit.write32(regs.SMMU_CR2, 2);
  two.unit.write32(regs.SMMU_CR2, 3);
  assert.notEqual(one.hash.digest(), two.hash.digest());
});

Deno.test("so do events, recorded or lost", () => {
  const one = new Bench().enable(), two = new Bench().enable();
  one.dma(0x1000n);
  two.dma(0x1000n, "write", 0x301);
  assert.notEqual(one.hash.digest(), two.hash.digest());
});
