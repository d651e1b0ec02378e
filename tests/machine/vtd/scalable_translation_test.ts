import assert from "node:assert/strict";
import { Route } from "../../../src/machine/dma_port.ts";
import { DEFAULT_CAPABILITY, SCALABLE_CAPABILITY } from "../../../src/machine/vtd/capability.ts";
import { explainTranslation } from "../../../src/machine/vtd/explain.ts";
import * as regs from "../../../src/uapi/vtd_regs.ts";
import { decodeScalable } from "../../../src/uapi/vtd_scalable.ts";
import { Bench, PS, RW, SID } from "./bench.ts";
import { FL, FL_P, FL_US, ScalableBench } from "./scalable_bench.ts";

/** 256 TiB: the first address that five levels have and four have not. */
const BEYOND_FOUR = 1n << 48n;

function capabilityOf(bench: Bench) {
  const read = (at: number) => bench.unit.read32(at);
  const { DMAR_CAP_REG: cap, DMAR_ECAP_REG: ecap } = regs;
  return {
    ...decodeScalable(read(cap + 4), read(ecap), read(ecap + 4)),
    queue: regs.decodeEcap(read(ecap)).queuedInvalidation,
    fiveLevelFirst: regs.decodeCap(read(cap), read(cap + 4)).fiveLevelFirst,
    sagaw: regs.decodeCap(read(cap), read(cap + 4)).sagaw,
  };
}

Deno.test("CAP and ECAP say what the unit was configured with", () => {
  assert.deepEqual(capabilityOf(new ScalableBench()), {
    scalable: true,
    pasidBits: 20,
    firstLevel: true,
    secondLevel: true,
    slads: true,
    nested: true,
    ridPasid: true,
    firstLevel1GiB: true,
    pageRequests: true,
    queue: true,
    fiveLevelFirst: true,
    sagaw: 0b1110,
  });
  assert.deepEqual(capabilityOf(new Bench()), {
    scalable: false,
    pasidBits: 0,
    firstLevel: false,
    secondLevel: false,
    slads: false,
    nested: false,
    ridPasid: false,
    firstLevel1GiB: false,
    pageRequests: false,
    queue: false,
    fiveLevelFirst: false,
    sagaw: 0b0110,
  });
  const small = new ScalableBench({ pasidBits: 8, firstLevel1GiB: false, slads: false });
  assert.equal(capabilityOf(small).pasidBits, 8);
  assert.equal(DEFAULT_CAPABILITY.scalable, false);
  assert.equal(SCALABLE_CAPABILITY.scalable, true);
});

Deno.test("second level: five levels reach the first address at 256 TiB, four do not", () => {
  const bench = new ScalableBench();
  const directory = bench.device();
  bench.map(bench.pasid(directory, 3, { aw: 3, did: 3 }), BEYOND_FOUR, 0x111000n | RW, 1, 5);
  bench.map(bench.pasid(directory, 4, { aw: 2, did: 4 }), 0n, 0x222000n | RW);
  bench.enable();
  assert.equal(bench.dmaPasid(3, BEYOND_FOUR), 0x111);
  assert.equal(bench.dmaPasid(3, BEYOND_FOUR), 0x111);
  assert.equal(bench.dmaPasid(3, 0n), -0x79, "not wrapped");
  assert.equal(bench.dmaPasid(4, BEYOND_FOUR), -0x84);
  assert.equal(bench.dmaPasid(4, 0n), 0x222);
});

Deno.test("second level in legacy mode: the same address, by SAGAW bit 3", () => {
  const bench = new Bench({ sagaw: 0b1110, mgaw: 57 });
  bench.map(bench.attach({ aw: 3 }), BEYOND_FOUR, 0x111000n | RW, 1, 5);
  bench.enable();
  assert.equal(bench.dma(BEYOND_FOUR), 0x111);
  assert.equal(bench.dma(0n), -5);
});

Deno.test("first level: five levels reach the first address at 256 TiB, four do not", () => {
  const bench = new ScalableBench();
  const directory = bench.device();
  const five = bench.pasid(directory, 3, { pgtt: 1, flpm: 1 });
  const four = bench.pasid(directory, 4, { pgtt: 1 });
  bench.mapFirst(five, BEYOND_FOUR, 0x111000n | FL, 1, 5);
  bench.mapFirst(four, 0n, 0x222000n | FL);
  bench.enable();
  assert.equal(bench.dmaPasid(3, BEYOND_FOUR), 0x111);
  assert.equal(bench.dmaPasid(3, 0n), -0x71, "not wrapped");
  assert.equal(bench.dmaPasid(4, BEYOND_FOUR), -0x80);
  assert.equal(bench.dmaPasid(4, 0n), 0x222);
});

Deno.test("first level: the upper half of the address space is as good as the lower", () => {
  const bench = new ScalableBench();
  const directory = bench.device();
  const high4 = (1n << 64n) - (1n << 47n), high5 = (1n << 64n) - (1n << 56n);
  bench.mapFirst(bench.pasid(directory, 3, { pgtt: 1, flpm: 1 }), high5, 0x111000n | FL, 1, 5);
  bench.mapFirst(bench.pasid(directory, 4, { pgtt: 1 }), high4, 0x222000n | FL);
  bench.enable();
  for (let i = 0; i < 2; i++) {
    assert.equal(bench.dmaPasid(3, high5), 0x111);
    assert.equal(bench.dmaPasid(4, high4), 0x222);
    assert.equal(bench.dmaPasid(4, high5), -0x80);
  }
  assert.equal(bench.unit.walks, 2);
});

Deno.test("first level: large pages, whose bit 12 is PAT and whose XD does not matter", () => {
  const bench = new ScalableBench();
  const top = bench.simple({ pgtt: 1 });
  bench.mapFirst(top, 0x600000n, 1n << 63n | 0x40001000n | FL | PS, 2);
  bench.mapFirst(top, 0xc0000000n, 0x80001000n | FL | PS, 3);
  bench.enable();
  assert.equal(bench.dma(0x601000n), 0x40001);
  assert.equal(bench.dma(0x7ff000n), 0x401ff);
  assert.equal(bench.dma(0xc0001000n), 0x80001);
  assert.equal(bench.unit.walks, 2);
  const entries = [...bench.unit.iotlb.entries()].map((e) => `${e.pasid} ${e.size}`);
  assert.deepEqual(entries.sort(), [`0 ${0x40000000}`, `0 ${0x200000}`]);
});

Deno.test("first level: rights are those of all levels together", () => {
  const bench = new ScalableBench();
  const top = bench.simple({ pgtt: 1 });
  bench.mapFirst(top, 0x5000n, 0x111000n | FL);
  bench.store(top, 0, bench.load(top, 0) & ~2n);
  bench.enable();
  assert.equal(bench.dma(0x5000n, "read"), 0x111);
  assert.equal(bench.dma(0x5000n, "write"), -0x85);
  bench.store(top, 0, bench.load(top, 0) & ~4n);
  assert.equal(bench.dma(0x5000n, "read"), 0x111, "cached");
  bench.flushIotlb(regs.GRANU_GLOBAL);
  assert.equal(bench.dma(0x5000n, "read"), -0x81);
});

Deno.test("pass-through under a PASID takes the address as it stands", () => {
  const bench = new ScalableBench();
  bench.simple({ pgtt: 4 });
  bench.enable();
  assert.equal(bench.dma(0x2345678n), 0x2345);
  assert.equal(bench.unit.route, Route.passthrough);
  assert.equal(bench.dmaPasid(0, 0x7ffffffffffn), 0x7fffffff);
  assert.deepEqual([...bench.unit.iotlb.entries()], []);
});

Deno.test("the largest PASID has its entry at the end of 32 pages of directory", () => {
  const bench = new ScalableBench();
  const directory = 0x2000;
  bench.device(SID, 0n, 0n, 7n, directory);
  bench.mapFirst(bench.pasid(directory, 0xfffff, { pgtt: 1 }), 0x5000n, 0x111000n | FL);
  bench.enable();
  assert.notEqual(bench.load(directory + 31, 511), 0n);
  assert.equal(bench.dmaPasid(0xfffff, 0x5000n), 0x111);
  assert.deepEqual([...bench.unit.iotlb.entries()].map((e) => e.pasid), [0xfffff]);
  assert.equal(bench.dmaPasid(0xffffe, 0x5000n), -0x59);
});

Deno.test("a PASID entry that was pushed out of its cache is read again", () => {
  const bench = new ScalableBench();
  const directory = bench.device();
  const tops = [1, 1025].map((pasid) => bench.pasid(directory, pasid, { pgtt: 1 }));
  tops.forEach((top, i) => bench.mapFirst(top, 0x5000n, BigInt(0x111 + i) << 12n | FL));
  bench.enable();
  for (let i = 0; i < 3; i++) {
    assert.equal(bench.dmaPasid(1, 0x5000n), 0x111);
    assert.equal(bench.dmaPasid(1025, 0x5000n), 0x112);
  }
});

Deno.test("a translation by PASID is explained entry by entry, and leaves nothing behind", () => {
  const bench = new ScalableBench();
  const directory = bench.device(SID, 0n, 70n);
  const top = bench.pasid(directory, 70, { pgtt: 1 });
  bench.mapFirst(top, 0x40200000n, 0x2000000n | FL_P | FL_US | PS, 2);
  bench.map(bench.pasid(directory, 1, { slade: true }), 0x5000n, 0x111000n | RW);
  bench.enable();
  const told = (iova: number, write: boolean, pasid?: number) =>
    explainTranslation(bench.unit, SID, iova, write, pasid)
      .map((s) => `${s.level}[${s.index}]: ${s.meaning.replaceAll(/0x1\w{6}/g, "…")}`);
  assert.deepEqual(told(0x40345678, false), [
    "root[6]: context table at …",
    "context[0]: PASID 70 (RID_PASID), directory of 13 bits at …",
    "directory[1]: PASID table at …",
    "pasid[6]: domain 5, first level, 4 levels at …",
    "L4[0]: read write, table at …",
    "L3[1]: read write, table at …",
    "L2[1]: read only, 2 MiB page at 0x2000000",
  ]);
  assert.deepEqual(told(0x5000, true, 1), [
    "root[6]: context table at …",
    "context[0]: PASID 1, directory of 13 bits at …",
    "directory[0]: PASID table at …",
    "pasid[1]: domain 5, second level, 4 levels with A/D at …",
    "L4[0]: read write, table at …",
    "L3[0]: read write, table at …",
    "L2[0]: read write, table at …",
    "L1[5]: read write, 4 KiB page at 0x111000",
  ]);
  assert.equal(explainTranslation(bench.unit, SID, 0x40345678).at(-1)?.pfn, 0x2145);
  assert.equal(bench.entryAt(top, 0x40200000n, 2), 0x2000000n | FL_P | FL_US | PS, "no A bit");
  assert.equal(bench.unit.walks, 0);
  assert.deepEqual([...bench.unit.pasidCache.entries()], []);
});
