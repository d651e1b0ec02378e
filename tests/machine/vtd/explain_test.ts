import assert from "node:assert/strict";
import { explainTranslation } from "../../../src/machine/vtd/explain.ts";
import { Bench, PS, RW, SID } from "./bench.ts";

Deno.test("a translation is explained entry by entry, with the caches left alone", () => {
  const bench = new Bench();
  const top = bench.attach();
  bench.map(top, 0x40200000n, 0x2000000n | RW | PS, 2);
  bench.enable();
  const steps = explainTranslation(bench.unit, SID, 0x40345678, true);
  assert.deepEqual(steps.map((s) => [s.level, s.index, s.meaning]), [
    ["root", 3, "context table at 0x1002000"],
    ["context", 0, "domain 5, 48 bits, 4 levels at 0x1001000"],
    ["L4", 0, "read write, table at 0x1003000"],
    ["L3", 1, "read write, table at 0x1004000"],
    ["L2", 1, "read write, 2 MiB page at 0x2000000"],
  ]);
  assert.deepEqual(steps.map((s) => s.table), [
    bench.root * 4096,
    0x1002000,
    0x1001000,
    0x1003000,
    0x1004000,
  ]);
  assert.equal(steps[4].low, 0x2000083);
  assert.equal(steps[4].pfn, 0x2145);
  assert.equal(bench.unit.walks, 0);
  assert.deepEqual([...bench.unit.iotlb.entries(), ...bench.unit.contextCache.entries()], []);
});

Deno.test("the last step says why an address goes nowhere", () => {
  const bench = new Bench();
  const reasonOf = (iova: number, write = true) => {
    const last = explainTranslation(bench.unit, SID, iova, write).at(-1);
    return `${last?.level}: ${last?.meaning}`;
  };
  assert.equal(reasonOf(0), "unit: translation is off: the address is used as it stands");
  bench.enable();
  assert.equal(reasonOf(0), "root: fault 0x01: Present bit in root entry is clear");
  bench.contextTable(3);
  assert.equal(reasonOf(0), "context: fault 0x02: Present bit in context entry is clear");
  const top = bench.attach();
  assert.equal(reasonOf(0), "L4: fault 0x05: PTE Write access is not set");
  assert.equal(reasonOf(0, false), "L4: fault 0x06: PTE Read access is not set");
  assert.equal(reasonOf(2 ** 48), "context: fault 0x04: Access beyond MGAW");
  bench.map(top, 0n, 0xb0000n | RW, 2);
  assert.equal(reasonOf(0), "L1: fault 0x07: Next page table ptr is invalid");
  assert.equal(reasonOf(0xfee00000), "unit: an interrupt message: it goes to no memory");
  assert.match(reasonOf(0xfee00000, false), /^unit: fault 0x87: /);
  bench.attach({ tt: 2 });
  assert.equal(reasonOf(0x5000), "context: domain 5, 48 bits, pass-through");
});

Deno.test("what is explained is memory, not what a stale cache still answers", () => {
  const bench = new Bench();
  const top = bench.attach();
  bench.map(top, 0x5000n, 0x111000n | RW);
  bench.enable();
  bench.dma(0x5000n);
  bench.map(top, 0x5000n, 0x222000n | RW);
  assert.equal(bench.dma(0x5000n), 0x111);
  assert.equal(explainTranslation(bench.unit, SID, 0x5000).at(-1)?.pfn, 0x222);
});
