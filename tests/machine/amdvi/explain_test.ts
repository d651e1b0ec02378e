import assert from "node:assert/strict";
import { explainAmdviTranslation } from "../../../src/machine/amdvi/explain.ts";
import { Bench, IR, next, PR, RW, SID } from "./bench.ts";

Deno.test("a translation is explained entry by entry, with the caches left alone", () => {
  const bench = new Bench();
  const root = bench.attach();
  const table = bench.frame();
  bench.store(root, 0, BigInt(table) << 12n | next(2) | PR | RW);
  bench.store(table, 1, 0x2000000n | PR | IR);
  bench.enable();
  const steps = explainAmdviTranslation(bench.unit, SID, 0x345678);
  const hex = (pfn: number) => "0x" + (pfn * 4096).toString(16);
  assert.deepEqual(steps.map((s) => [s.level, s.index, s.meaning]), [
    ["DTE", SID, `domain 5, read write, 4 levels at ${hex(root)}`],
    ["L4", 0, `read write, table at ${hex(table)}`],
    ["L2", 1, "read only, 2 MiB page at 0x2000000"],
  ]);
  assert.equal(steps.at(-1)?.pfn, 0x2145);
  assert.equal(bench.unit.walks, 0);
  assert.deepEqual([...bench.unit.tlb.entries(), ...bench.unit.deviceCache.entries()], []);
});

Deno.test("the last step says why an address goes nowhere", () => {
  const bench = new Bench();
  const reasonOf = (iova: number, write = true) => {
    const last = explainAmdviTranslation(bench.unit, SID, iova, write).at(-1);
    return `${last?.level}: ${last?.meaning}`;
  };
  assert.equal(reasonOf(0), "unit: translation is off: the address is used as it stands");
  bench.enable();
  assert.equal(reasonOf(0), "DTE: not valid: the address is used as it stands");
  bench.attach({ mode: 7 });
  assert.match(reasonOf(0), /^DTE: fault 0x10: ILLEGAL_DEV_TABLE_ENTRY/);
  bench.attach({ flip0: 2n });
  assert.match(reasonOf(0), /^DTE: fault 0x25: /);
  bench.attach({ mode: 0, rights: IR });
  assert.equal(reasonOf(0, false), "DTE: domain 5, read only, no tables");
  assert.match(reasonOf(0), /^DTE: fault 0x21: /);
  const root = bench.attach();
  assert.match(reasonOf(0), /^L4: fault 0x20: /);
  assert.match(reasonOf(2 ** 48), /^DTE: fault 0x23: /);
  bench.map(root, 0n, 1n << 44n | PR | RW);
  assert.equal(reasonOf(0), "L1: page beyond all memory");
  assert.equal(reasonOf(0xfee00000), "unit: an interrupt message: it goes to no memory");
  assert.match(reasonOf(0xfee00000, false), /^DTE: fault 0x27: /);
});
