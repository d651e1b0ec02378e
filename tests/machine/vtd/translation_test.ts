import assert from "node:assert/strict";
import { DMA_MASTER_ABORT, Route } from "../../../src/machine/dma_port.ts";
import { DMA_INTERRUPT } from "../../../src/machine/interrupt_range.ts";
import { Bench, indexAt, PS, R, RW, SID } from "./bench.ts";

Deno.test("with translation off an address passes as it stands", () => {
  const bench = new Bench();
  assert.equal(bench.dma(0x7654321000n), 0x7654321);
  assert.equal(bench.unit.route, Route.untranslated);
  assert.equal(bench.dma(0x800_0000_0000n), DMA_MASTER_ABORT, "8 TiB does not wrap");
});

Deno.test("turning translation on and off opens and closes the window at once", () => {
  const bench = new Bench();
  bench.map(bench.attach(), 0x5000n, 0x1234000n | RW);
  bench.enable();
  assert.equal(bench.dma(0x5000n), 0x1234);
  assert.equal(bench.unit.route, Route.translated);
  bench.unit.write32(0x18, 0);
  assert.equal(bench.dma(0x5000n), 0x5);
  assert.equal(bench.unit.route, Route.untranslated);
});

Deno.test("a context entry for root 0x12345000, DID 5, 4 levels reads back as just that", () => {
  const bench = new Bench();
  bench.storeContext(SID, 0x0000000012345001n, 0x0000000000000502n);
  bench.enable();
  bench.dma(0n);
  assert.deepEqual([...bench.unit.contextCache.entries()], [
    { sid: SID, did: 5, tt: 0, aw: 2, fpd: false, asr: 0x12345, reason: 0 },
  ]);
});

Deno.test("a pass-through context entry with DID 1 lets addresses through", () => {
  const bench = new Bench();
  bench.storeContext(SID, 0x0000000000000009n, 0x0000000000000102n);
  bench.enable();
  assert.equal(bench.dma(0x2345678n), 0x2345);
  assert.equal(bench.unit.route, Route.passthrough);
  assert.deepEqual([...bench.unit.iotlb.entries()], []);
});

Deno.test("pass-through ignores whatever ASR holds", () => {
  const bench = new Bench();
  bench.storeContext(SID, 0xfedcba9876543009n, 0x502n);
  bench.enable();
  assert.equal(bench.dma(0x2345678n), 0x2345);
});

Deno.test("a root entry 0x1f001 points at the context table at 0x1f000", () => {
  const bench = new Bench();
  bench.store(bench.root, 3 * 2, 0x1f001n);
  bench.store(0x1f, 0, 0x0000000000000009n);
  bench.store(0x1f, 1, 0x0000000000000102n);
  bench.enable();
  assert.equal(bench.dma(0x1000n), 1);
});

Deno.test("0x7f12345678 is found at indexes 0, 508, 145, 325", () => {
  const bench = new Bench();
  const top = bench.attach();
  const [pdp, pd, pt] = [bench.frame(), bench.frame(), bench.frame()];
  const pointer = (pfn: number) => BigInt(pfn) << 12n | RW;
  bench.store(top, 0, pointer(pdp));
  bench.store(pdp, 508, pointer(pd));
  bench.store(pd, 145, pointer(pt));
  bench.store(pt, 325, 0x2abc003n);
  bench.enable();
  assert.equal(bench.dma(0x7f12345678n), 0x2abc);
});

Deno.test("0x8000000000 is the first address behind top-level entry 1", () => {
  const bench = new Bench();
  const top = bench.attach();
  bench.map(top, 0x8000000000n, 0x2abc003n);
  assert.equal(indexAt(0x8000000000n, 4), 1);
  assert.notEqual(bench.load(top, 1), 0n);
  bench.enable();
  assert.equal(bench.dma(0x8000000000n), 0x2abc);
});

Deno.test("a 4 KiB leaf 0xabcde803 leads to 0xabcde000, its SNP bit is no address", () => {
  const bench = new Bench();
  bench.map(bench.attach(), 0x1000n, 0xabcde803n);
  bench.enable();
  assert.equal(bench.dma(0x1fffn), 0xabcde);
});

Deno.test("a 2 MiB leaf 0x40000083 covers 512 pages with one IOTLB entry", () => {
  const bench = new Bench();
  bench.map(bench.attach(), 0x600000n, 0x40000083n, 2);
  bench.enable();
  assert.equal(bench.dma(0x601000n), 0x40001);
  assert.equal(bench.dma(0x7ff000n), 0x401ff);
  assert.equal(bench.unit.walks, 1);
  assert.deepEqual([...bench.unit.iotlb.entries()], [
    {
      did: 5,
      page: 0x600,
      pfn: 0x40000,
      size: 0x200000,
      read: true,
      write: true,
      writeWalks: false,
    },
  ]);
});

Deno.test("a 1 GiB leaf covers 262144 pages with one IOTLB entry", () => {
  const bench = new Bench();
  bench.map(bench.attach(), 0xc0000000n, 0x80000000n | RW | PS, 3);
  bench.enable();
  assert.equal(bench.dma(0xc0001000n), 0x80001);
  assert.equal(bench.dma(0xfffff000n), 0xbffff);
  assert.equal(bench.unit.walks, 1);
});

Deno.test("three and five levels work where SAGAW offers them", () => {
  const bench = new Bench({ sagaw: 0b1110, mgaw: 57 });
  bench.map(bench.attach({ aw: 1, did: 1 }, 0x100), 0x7f12345000n, 0x111003n, 1, 3);
  bench.map(bench.attach({ aw: 3, did: 2 }, 0x200), 0x1ff7f1234567000n, 0x222003n, 1, 5);
  bench.enable();
  assert.equal(bench.dma(0x7f12345000n, "write", 0x100), 0x111);
  assert.equal(bench.dma(0x1ff7f1234567000n, "write", 0x200), 0x222);
  assert.equal(bench.dma(0x1ff7f1234567000n, "write", 0x200), 0x222);
  assert.equal(bench.unit.walks, 2);
});

Deno.test("permissions are ANDed over the levels", () => {
  const bench = new Bench();
  const top = bench.attach();
  bench.map(top, 0x5000n, 0x1234000n | RW);
  bench.store(top, 0, (bench.load(top, 0) & ~RW) | R);
  bench.enable();
  assert.equal(bench.dma(0x5000n, "read"), 0x1234);
  assert.equal(bench.dma(0x5000n, "write"), -5);
  assert.deepEqual([...bench.unit.iotlb.entries()].map((e) => [e.read, e.write]), [[true, false]]);
});

Deno.test("a write into the interrupt range is an interrupt, translated or not", () => {
  const bench = new Bench();
  assert.equal(bench.dma(0xfee00000n), DMA_INTERRUPT);
  bench.enable();
  assert.equal(bench.dma(0xfee00000n), DMA_INTERRUPT);
  assert.equal(bench.dma(0xfeeffffcn), DMA_INTERRUPT);
  assert.equal(bench.unit.faults.recorded, 0);
  assert.equal(bench.dma(0xfef00000n), -1);
});
