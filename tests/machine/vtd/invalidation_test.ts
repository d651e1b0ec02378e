import assert from "node:assert/strict";
import { FailNth } from "../../../src/base/choice.ts";
import * as regs from "../../../src/uapi/vtd_regs.ts";
import { Bench, PS, R, RW, SID } from "./bench.ts";

/** A device with 0x5000 mapped to frame 0x111, already in the caches, then remapped to 0x222. */
function remapped(bench = new Bench()): Bench {
  const top = bench.attach();
  bench.map(top, 0x5000n, 0x111000n | RW);
  bench.enable();
  assert.equal(bench.dma(0x5000n), 0x111);
  bench.map(top, 0x5000n, 0x222000n | RW);
  return bench;
}

Deno.test("a changed page-table entry stays unseen until its own DID is flushed", () => {
  const bench = remapped();
  assert.equal(bench.dma(0x5000n), 0x111);
  assert.equal(bench.flushIotlb(regs.GRANU_DOMAIN, 6), regs.GRANU_DOMAIN);
  assert.equal(bench.dma(0x5000n), 0x111, "the wrong DID helps nothing");
  bench.flushContext(regs.GRANU_GLOBAL);
  assert.equal(bench.dma(0x5000n), 0x111, "the context cache is another cache");
  assert.equal(bench.flushIotlb(regs.GRANU_DOMAIN, 5), regs.GRANU_DOMAIN);
  assert.equal(bench.dma(0x5000n), 0x222);
});

Deno.test("a global IOTLB flush forgets every domain", () => {
  const bench = remapped();
  assert.equal(bench.flushIotlb(regs.GRANU_GLOBAL), regs.GRANU_GLOBAL);
  assert.equal(bench.dma(0x5000n), 0x222);
});

Deno.test("an unmapped page keeps working from the IOTLB until it is flushed", () => {
  const bench = remapped();
  const asr = [...bench.unit.contextCache.entries()][0].asr;
  bench.map(asr, 0x5000n, 0n);
  assert.equal(bench.dma(0x5000n), 0x111);
  bench.flushIotlb(regs.GRANU_PAGE, 5, 0x5000n);
  assert.equal(bench.dma(0x5000n), -5);
});

Deno.test("a page-selective flush reaches 2^AM pages and no further", () => {
  const bench = new Bench();
  const top = bench.attach();
  for (let page = 0n; page < 16n; page++) {
    bench.map(top, page << 12n, 0x100000n + (page << 12n) | RW);
  }
  bench.enable();
  for (let page = 0n; page < 16n; page++) bench.dma(page << 12n);
  const cached = () => [...bench.unit.iotlb.entries()].map((e) => e.page).sort((a, b) => a - b);
  assert.equal(bench.flushIotlb(regs.GRANU_PAGE, 4, 0x5000n, 2), regs.GRANU_PAGE);
  assert.equal(cached().length, 16, "the wrong DID");
  bench.flushIotlb(regs.GRANU_PAGE, 5, 0x5000n, 2);
  assert.deepEqual(cached(), [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15]);
  bench.flushIotlb(regs.GRANU_PAGE, 5, 0x9000n);
  assert.deepEqual(cached(), [0, 1, 2, 3, 8, 10, 11, 12, 13, 14, 15]);
});

Deno.test("a page-selective flush anywhere in a superpage forgets all of it", () => {
  const bench = new Bench();
  bench.map(bench.attach(), 0x200000n, 0x40000000n | RW | PS, 2);
  bench.enable();
  bench.dma(0x200000n);
  bench.flushIotlb(regs.GRANU_PAGE, 5, 0x400000n);
  assert.equal([...bench.unit.iotlb.entries()].length, 1);
  bench.flushIotlb(regs.GRANU_PAGE, 5, 0x3ff000n);
  assert.equal([...bench.unit.iotlb.entries()].length, 0);
});

Deno.test("an AM beyond MAMV is refused: IAIG reads 0 and nothing is flushed", () => {
  const bench = remapped(new Bench({ maxAddressMask: 9 }));
  assert.equal(bench.flushIotlb(regs.GRANU_PAGE, 5, 0n, 10), regs.GRANU_NONE);
  assert.equal(bench.dma(0x5000n), 0x111);
  assert.equal(bench.flushIotlb(regs.GRANU_PAGE, 5, 0n, 9), regs.GRANU_PAGE);
  assert.equal(bench.dma(0x5000n), 0x222);
});

Deno.test("without PSI a page-selective flush is done on the whole domain, and says so", () => {
  const bench = remapped(new Bench({ pageSelective: false }));
  assert.equal(bench.flushIotlb(regs.GRANU_PAGE, 5, 0x7000000n), regs.GRANU_DOMAIN);
  assert.equal(bench.dma(0x5000n), 0x222);
});

Deno.test("IVT and ICC read 0 once the write is done, and without them nothing happens", () => {
  const bench = remapped();
  const iotlb = 0x100 + regs.DMAR_IOTLB_REG + 4;
  bench.unit.write32(iotlb, regs.GRANU_GLOBAL << regs.DMA_TLB_IIRG_SHIFT_HI);
  assert.equal(bench.dma(0x5000n), 0x111);
  bench.flushIotlb(regs.GRANU_GLOBAL);
  assert.equal(bench.unit.read32(iotlb) & regs.DMA_TLB_IVT_HI, 0);
  bench.flushContext(regs.GRANU_GLOBAL);
  assert.equal(bench.unit.read32(regs.DMAR_CCMD_REG + 4) & regs.DMA_CCMD_ICC_HI, 0);
});

Deno.test("a new context entry stays unseen until the device is flushed with the OLD did", () => {
  const bench = remapped();
  const other = bench.attach({ did: 9 });
  bench.map(other, 0x5000n, 0x333000n | RW);
  assert.equal(bench.dma(0x5000n), 0x111);
  assert.equal(bench.flushContext(regs.GRANU_DEVICE, 9, SID), regs.GRANU_DEVICE);
  assert.equal(bench.dma(0x5000n), 0x111, "flushed with the new DID");
  bench.flushContext(regs.GRANU_DEVICE, 5, SID + 1);
  assert.equal(bench.dma(0x5000n), 0x111, "flushed another device");
  bench.flushContext(regs.GRANU_DEVICE, 5, SID);
  assert.equal(bench.dma(0x5000n), 0x333);
});

Deno.test("new tables under the same DID mix with the old ones until the IOTLB is flushed", () => {
  const bench = remapped();
  const other = bench.attach({ did: 5 });
  bench.map(other, 0x5000n, 0x333000n | RW);
  bench.map(other, 0x6000n, 0x444000n | RW);
  bench.map(other, 0x206000n, 0x555000n | RW);
  bench.flushContext(regs.GRANU_DEVICE, 5, SID);
  assert.equal(bench.dma(0x206000n), 0x555, "walked through the new tables");
  assert.equal(bench.dma(0x5000n), 0x111, "answered by the old translation");
  assert.equal(bench.dma(0x6000n), -5, "walked from the old last table");
  bench.flushIotlb(regs.GRANU_DOMAIN, 5);
  assert.equal(bench.dma(0x5000n), 0x333);
  assert.equal(bench.dma(0x6000n), 0x444);
});

/** Pages 5 and 6 mapped, 5 used; then an entry leads to another table, with page 6 elsewhere in it. */
function relinked(bench = new Bench()): Bench {
  const top = bench.attach();
  bench.map(top, 0x5000n, 0x111000n | RW);
  bench.map(top, 0x6000n, 0x222000n | RW);
  bench.enable();
  assert.equal(bench.dma(0x5000n), 0x111);
  const table = bench.frame();
  bench.store(table, 6, 0x333000n | RW);
  bench.map(top, 0n, BigInt(table) << 12n | RW, 2);
  return bench;
}

const { GRANU_DEVICE, GRANU_DOMAIN, GRANU_GLOBAL, GRANU_PAGE } = regs;
const DROPS: [name: string, flush: (bench: Bench) => void, drops: boolean][] = [
  ["nothing", () => {}, false],
  ["the context cache", (bench) => bench.flushContext(GRANU_DEVICE, 5, SID), false],
  ["everything", (bench) => bench.flushIotlb(GRANU_GLOBAL), true],
  ["the domain", (bench) => bench.flushIotlb(GRANU_DOMAIN, 5), true],
  ["the domain, with IH", (bench) => bench.flushIotlb(GRANU_DOMAIN, 5, 0n, regs.DMA_IVA_IH), true],
  ["another domain", (bench) => bench.flushIotlb(GRANU_DOMAIN, 6), false],
  ["a page below the entry", (bench) => bench.flushIotlb(GRANU_PAGE, 5, 0x1ff000n), true],
  ["it with IH", (bench) => bench.flushIotlb(GRANU_PAGE, 5, 0x6000n, regs.DMA_IVA_IH), false],
  ["a page of another domain", (bench) => bench.flushIotlb(GRANU_PAGE, 6, 0x6000n), false],
  ["the page behind", (bench) => bench.flushIotlb(GRANU_PAGE, 5, 0x200000n), false],
  ["4 MiB around the entry", (bench) => bench.flushIotlb(GRANU_PAGE, 5, 0x200000n, 10), true],
  ["the 4 MiB behind", (bench) => bench.flushIotlb(GRANU_PAGE, 5, 0x400000n, 10), false],
  ["2^45 pages", (bench) => bench.flushIotlb(GRANU_PAGE, 5, 0n, 45), true],
];

Deno.test("an entry that leads to another table is seen once it is flushed, or a page below it", async (t) => {
  for (const [name, flush, drops] of DROPS) {
    await t.step(`flushed: ${name}`, () => {
      const bench = relinked(new Bench({ maxAddressMask: 63 }));
      flush(bench);
      assert.equal(bench.dma(0x6000n), drops ? 0x333 : 0x222);
      assert.equal([...bench.unit.pagingCache.entries()].length, 1);
    });
  }
});

Deno.test("without PSI the whole domain is flushed, with IH or without", () => {
  const bench = relinked(new Bench({ pageSelective: false }));
  bench.flushIotlb(regs.GRANU_PAGE, 5, 0x7000000n, regs.DMA_IVA_IH);
  assert.equal(bench.dma(0x6000n), 0x333);
});

Deno.test("what the entries above grant stays as it was with the table they lead to", () => {
  const bench = new Bench(), top = bench.attach();
  bench.map(top, 0x5000n, 0x111000n | RW);
  bench.map(top, 0x6000n, 0x222000n | RW);
  const table = bench.table(top, 4, 0n, 1);
  bench.map(top, 0n, BigInt(table) << 12n | R, 2);
  bench.enable();
  assert.deepEqual([bench.dma(0x5000n, "read"), bench.dma(0x5000n)], [0x111, -5]);
  bench.map(top, 0n, BigInt(table) << 12n | RW, 2);
  assert.deepEqual([bench.dma(0x6000n, "read"), bench.dma(0x6000n)], [0x222, -5]);
  bench.flushIotlb(regs.GRANU_PAGE, 5, 0x6000n);
  assert.equal(bench.dma(0x6000n), 0x222);
});

Deno.test("a large page leads to no table, and the next walk begins at the top", () => {
  const bench = new Bench(), top = bench.attach();
  bench.map(top, 0x200000n, 0x40000000n | RW | PS, 2);
  bench.enable();
  assert.equal(bench.dma(0x2ff000n), 0x400ff);
  assert.deepEqual([...bench.unit.pagingCache.entries()], []);
});

Deno.test("a last table that is no RAM any more is refused as any table is", () => {
  const bench = new Bench();
  const top = bench.attach();
  bench.map(top, 0x5000n, 0x111000n | RW);
  bench.enable();
  bench.unit.pagingCache.fill(0, 0x5000, 5, 0x90000, 3);
  assert.equal(bench.dma(0x5000n), -7);
});

Deno.test("a domain-selective context flush finds all devices of its DID", () => {
  const bench = new Bench();
  for (const [sid, did] of [[0x100, 5], [0x208, 5], [0x210, 6]]) {
    bench.attach({ did }, sid);
    bench.enable();
    bench.dma(0n, "write", sid);
  }
  assert.equal(bench.flushContext(regs.GRANU_DOMAIN, 5), regs.GRANU_DOMAIN);
  assert.deepEqual([...bench.unit.contextCache.entries()].map((e) => e.sid), [0x210]);
});

Deno.test("FM lets a device-selective flush ignore function bits from the top down", () => {
  const functions = (fm: number, sid: number) => {
    const bench = new Bench();
    for (let fn = 0; fn < 8; fn++) bench.attach({}, SID + fn);
    bench.enable();
    for (let fn = 0; fn < 8; fn++) bench.dma(0n, "write", SID + fn);
    bench.flushContext(regs.GRANU_DEVICE, 5, sid, fm);
    return [...bench.unit.contextCache.entries()].map((e) => e.sid - SID);
  };
  assert.deepEqual(functions(0, SID + 2), [0, 1, 3, 4, 5, 6, 7]);
  assert.deepEqual(functions(1, SID + 2), [0, 1, 3, 4, 5, 7]);
  assert.deepEqual(functions(2, SID + 1), [0, 2, 4, 6]);
  assert.deepEqual(functions(3, SID + 5), []);
});

Deno.test("a new root table answers for devices whose context is not cached, and only those", () => {
  const bench = new Bench();
  bench.map(bench.attach({}, 0x100), 0x5000n, 0x111000n | RW);
  bench.enable();
  assert.equal(bench.dma(0x5000n, "write", 0x100), 0x111);
  bench.root = bench.frame();
  bench.map(bench.attach({ did: 7 }, 0x100), 0x5000n, 0x222000n | RW);
  bench.map(bench.attach({ did: 7 }, 0x108), 0x5000n, 0x333000n | RW);
  bench.setRoot(bench.root);
  assert.equal(bench.dma(0x5000n, "write", 0x108), 0x333);
  assert.equal(bench.dma(0x5000n, "write", 0x100), 0x111);
  bench.flushContext(regs.GRANU_GLOBAL);
  bench.flushIotlb(regs.GRANU_GLOBAL);
  assert.equal(bench.dma(0x5000n, "write", 0x100), 0x222);
});

Deno.test("without caching mode what was absent is found as soon as it is there", () => {
  const bench = new Bench();
  bench.enable();
  assert.equal(bench.dma(0x5000n), -1);
  const top = bench.attach();
  assert.equal(bench.dma(0x5000n), -5);
  bench.map(top, 0x5000n, 0x111000n | RW);
  assert.equal(bench.dma(0x5000n), 0x111);
});

Deno.test("in caching mode absence is remembered: contexts under DID 0, pages under theirs", () => {
  const bench = new Bench({ cachingMode: true }, new FailNth(0));
  bench.enable();
  assert.equal(bench.dma(0x5000n), -1);
  const top = bench.attach();
  assert.equal(bench.dma(0x5000n), -1);
  bench.flushContext(regs.GRANU_DEVICE, 5, SID);
  assert.equal(bench.dma(0x5000n), -1);
  bench.flushContext(regs.GRANU_DEVICE, 0, SID);
  assert.equal(bench.dma(0x5000n), -5);
  bench.map(top, 0x5000n, 0x111000n | RW);
  assert.equal(bench.dma(0x5000n), -5);
  bench.flushIotlb(regs.GRANU_PAGE, 5, 0x5000n);
  assert.equal(bench.dma(0x5000n), 0x111);
});

Deno.test("in caching mode the hardware may also forget at once", () => {
  const bench = new Bench({ cachingMode: true }, { pick: (_, bound) => bound });
  bench.enable();
  assert.equal(bench.dma(0x5000n), -1);
  bench.map(bench.attach(), 0x5000n, 0x111000n | RW);
  assert.equal(bench.dma(0x5000n), 0x111);
});
