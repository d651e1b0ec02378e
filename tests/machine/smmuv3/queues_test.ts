import assert from "node:assert/strict";
import * as q from "../../../src/uapi/smmuv3_queues.ts";
import * as regs from "../../../src/uapi/smmuv3_regs.ts";
import { Bench, code, SID } from "./bench.ts";

const BAD = 0x7fn;

Deno.test("the command queue wraps, and CMDQ_CONS follows CMDQ_PROD", () => {
  const bench = new Bench();
  for (let i = 1; i <= 100; i++) {
    bench.sync();
    assert.equal(bench.unit.read32(regs.SMMU_CMDQ_CONS), i % 64);
    assert.equal(bench.unit.read32(regs.SMMU_CMDQ_PROD), i % 64);
  }
  assert.equal(bench.unit.commands.consumed, 100);
});

Deno.test("commands written while the queue is off are consumed once it is on", () => {
  const bench = new Bench();
  bench.unit.write32(regs.SMMU_CR0, 0);
  bench.command(BigInt(q.CMD_SYNC));
  assert.equal(bench.unit.read32(regs.SMMU_CMDQ_CONS), 0);
  bench.unit.write32(regs.SMMU_CR0, regs.CR0_CMDQEN);
  assert.equal(bench.unit.read32(regs.SMMU_CMDQ_CONS), 1);
});

Deno.test("an illegal command stops the queue until GERRORN acknowledges it", () => {
  const bench = new Bench();
  bench.sync();
  bench.command(BAD);
  bench.sync();
  assert.equal(bench.unit.read32(regs.SMMU_CMDQ_CONS), q.CERROR_ILL << 24 | 1);
  assert.equal(bench.unit.read32(regs.SMMU_GERROR), regs.GERROR_CMDQ_ERR);
  assert.equal(bench.errorInterrupts, 1);

  bench.unit.write32(regs.SMMU_GERRORN, regs.GERROR_CMDQ_ERR);
  assert.equal(bench.unit.read32(regs.SMMU_GERROR), 0, "it is still wrong, and active again");
  assert.equal(bench.errorInterrupts, 2);

  bench.store(bench.commandFrame, 2, BigInt(q.CMD_SYNC));
  bench.unit.write32(regs.SMMU_GERRORN, 0);
  assert.equal(bench.unit.read32(regs.SMMU_CMDQ_CONS), 3);
  assert.equal(bench.errorInterrupts, 2);
});

Deno.test("commands in no memory are CERROR_ABT", () => {
  const bench = new Bench();
  bench.unit.write32(regs.SMMU_CR0, 0);
  bench.write64(regs.SMMU_CMDQ_BASE, 0x4000000n | 5n);
  bench.unit.write32(regs.SMMU_CR0, regs.CR0_CMDQEN);
  bench.unit.write32(regs.SMMU_CMDQ_PROD, 1);
  assert.equal(bench.unit.read32(regs.SMMU_CMDQ_CONS), q.CERROR_ABT << 24);
  assert.equal(bench.unit.read32(regs.SMMU_GERROR), regs.GERROR_CMDQ_ERR);
});

Deno.test("commands for a stage that is not there are illegal", () => {
  const cases: [number, "stage1" | "stage2"][] = [
    [q.CMD_CFGI_CD, "stage1"],
    [q.CMD_CFGI_CD_ALL, "stage1"],
    [q.CMD_TLBI_NH_ALL, "stage1"],
    [q.CMD_TLBI_NH_ASID, "stage1"],
    [q.CMD_TLBI_NH_VA, "stage1"],
    [q.CMD_TLBI_NH_VAA, "stage1"],
    [q.CMD_TLBI_S12_VMALL, "stage2"],
    [q.CMD_TLBI_S2_IPA, "stage2"],
  ];
  for (const [opcode, stage] of cases) {
    const bench = new Bench({ [stage]: false });
    bench.command(BigInt(opcode));
    assert.equal(bench.unit.read32(regs.SMMU_CMDQ_CONS) >>> 24, q.CERROR_ILL);
    const whole = new Bench();
    whole.command(BigInt(opcode));
    assert.equal(whole.unit.read32(regs.SMMU_CMDQ_CONS), 1);
  }
});

Deno.test("SYNC completes, with an interrupt if it asks for one; signal 3 is illegal", () => {
  const bench = new Bench();
  bench.sync();
  bench.command(BigInt(q.CMD_SYNC | q.SYNC_CS_SEV << q.SYNC_CS_SHIFT));
  assert.equal(bench.syncInterrupts, 0);
  bench.command(BigInt(q.CMD_SYNC | q.SYNC_CS_IRQ << q.SYNC_CS_SHIFT));
  assert.equal(bench.syncInterrupts, 1);
  bench.command(BigInt(q.CMD_SYNC | 3 << q.SYNC_CS_SHIFT));
  assert.equal(bench.unit.read32(regs.SMMU_CMDQ_CONS) >>> 24, q.CERROR_ILL);
});

Deno.test("a full event queue loses records and toggles OVFLG once until acknowledged", () => {
  const bench = new Bench().enable();
  const prod = () => bench.unit.read32(regs.SMMU_EVENTQ_PROD);
  for (let i = 0; i < 32; i++) bench.dma(BigInt(i) << 12n);
  assert.equal(prod(), 32, "full, and nothing lost");
  bench.dma(0n);
  bench.dma(0n);
  assert.equal(prod(), 0x80000000 + 32);
  assert.equal(bench.unit.events.lost, 2);
  assert.equal(bench.unit.events.recorded, 32);

  bench.unit.write32(regs.SMMU_EVENTQ_CONS, 0x80000000 + 32);
  bench.dma(0n, "write", 0x444);
  assert.equal(prod(), 0x80000000 + 33);
  assert.equal(bench.record(0)[0], 4n | 0x444n << 32n, "the ring begins again");
  for (let i = 0; i < 32; i++) bench.dma(0n);
  assert.equal(prod(), 0, "full once more: OVFLG toggles back");
});

Deno.test("the event interrupt goes out when an empty queue gets a record, if IRQ_CTRL lets it", () => {
  const bench = new Bench().enable();
  bench.dma(0n);
  bench.dma(0n);
  assert.equal(bench.eventInterrupts, 1);
  bench.unit.write32(regs.SMMU_EVENTQ_CONS, 2);
  bench.dma(0n);
  assert.equal(bench.eventInterrupts, 2);
  bench.unit.write32(regs.SMMU_EVENTQ_CONS, 3);
  bench.unit.write32(regs.SMMU_IRQ_CTRL, 0);
  bench.dma(0n);
  assert.equal(bench.eventInterrupts, 2);
});

Deno.test("events while the queue is off are lost without a trace in the registers", () => {
  const bench = new Bench().enable();
  bench.unit.write32(regs.SMMU_CR0, regs.CR0_SMMUEN);
  assert.equal(bench.dma(0n), code(q.C_BAD_STE));
  assert.equal(bench.unit.read32(regs.SMMU_EVENTQ_PROD), 0);
  assert.equal(bench.unit.events.lost, 1);
});

Deno.test("an event queue in no memory is EVENTQ_ABT_ERR", () => {
  const bench = new Bench();
  bench.unit.write32(regs.SMMU_CR0, 0);
  bench.write64(regs.SMMU_EVENTQ_BASE, 0xa0000n);
  bench.unit.write32(regs.SMMU_CR0, regs.CR0_EVENTQEN | regs.CR0_SMMUEN);
  assert.equal(bench.dma(0n, "write", SID), code(q.C_BAD_STE));
  assert.equal(bench.unit.read32(regs.SMMU_GERROR), regs.GERROR_EVENTQ_ABT_ERR);
  assert.equal(bench.errorInterrupts, 1);
});
