/** Which requests a unit looks at by which tables, if at all. */
import assert from "node:assert/strict";
import { DMA_MASTER_ABORT } from "../../../src/machine/dma_port.ts";
import { explainTranslation } from "../../../src/machine/vtd/explain.ts";
import * as regs from "../../../src/uapi/vtd_regs.ts";
import { Bench, RW, SID } from "./bench.ts";
import { ScalableBench } from "./scalable_bench.ts";

Deno.test("the other half of a root entry belongs to devfn 0x80 and up", () => {
  const bench = new ScalableBench();
  bench.map(bench.simple({}, 0x380), 0x5000n, 0x111000n | RW);
  bench.enable();
  assert.equal(bench.dma(0x5000n, "write", 0x300), -0x39);
  assert.equal(bench.dma(0x5000n, "write", 0x380), 0x111);
  assert.equal(bench.load(bench.root, 6), 0n);
  assert.notEqual(bench.load(bench.root, 7), 0n);
});

Deno.test("a write without a PASID in the interrupt range is an interrupt, with one it is not", () => {
  const bench = new ScalableBench();
  bench.map(bench.simple(), 0xfee00000n, 0x111000n | RW);
  bench.enable();
  assert.equal(bench.dma(0xfee00000n), -1002);
  assert.equal(bench.dmaPasid(0, 0xfee00000n), 0x111);
});

Deno.test("a request with a PASID in legacy mode is refused with 31", () => {
  const bench = new Bench();
  bench.attach();
  bench.enable();
  assert.equal(bench.unit.translatePasid(SID, 0xabcde, 0, 0x5000, true), -0x31);
  assert.deepEqual(bench.record(0), [0x5000n, 0x8abcde3180000300n]);
  const steps = explainTranslation(bench.unit, SID, 0x5000, true, 0xabcde);
  assert.equal(steps.at(-1)?.reason, 0x31);
});

Deno.test("a table mode that the unit lacks blocks everything with 30", () => {
  for (const mode of [2 << 10, 3 << 10]) {
    const bench = new ScalableBench();
    bench.simple({ pgtt: 4 });
    bench.setRoot(bench.root, mode);
    bench.command(regs.DMA_GCMD_TE);
    assert.equal(bench.dma(0x5000n), -0x30);
    assert.equal(bench.dmaPasid(3, 0x5000n), -0x30);
    assert.deepEqual(bench.record(0), [0x5000n, 0x8000003000000300n]);
    assert.deepEqual(bench.record(1), [0x5000n, 0x8000033080000300n]);
    assert.equal(explainTranslation(bench.unit, SID, 0x5000).at(-1)?.reason, 0x30);
  }
});

Deno.test("with translation off a request without a PASID passes, one with a PASID does not", () => {
  const bench = new ScalableBench();
  assert.equal(bench.dma(0x5000n), 5);
  assert.equal(bench.dmaPasid(3, 0x5000n), DMA_MASTER_ABORT);
  assert.equal(bench.unit.faults.recorded, 0);
});

Deno.test("RTADDR keeps the table mode, and only SRTP makes it count", () => {
  const bench = new ScalableBench();
  bench.setRoot(bench.root, 0);
  bench.command(regs.DMA_GCMD_TE);
  assert.equal(bench.dma(0x5000n), -1, "legacy tables");
  bench.unit.write32(regs.DMAR_RTADDR_REG, bench.root << 12 | 0x400);
  assert.equal(bench.unit.read32(regs.DMAR_RTADDR_REG), bench.root << 12 | 0x400);
  assert.equal(bench.dma(0x5000n), -1);
  bench.command(regs.DMA_GCMD_SRTP);
  assert.equal(bench.dma(0x5000n), -0x39);
});
