import assert from "node:assert/strict";
import * as qi from "../../../src/uapi/vtd_queue.ts";
import { GRANU_PAGE } from "../../../src/uapi/vtd_regs.ts";
import { PS, R, RW } from "./bench.ts";
import { desc, FL, FL_A, FL_D, FL_P, FL_US, ScalableBench, SL_A, SL_D } from "./scalable_bench.ts";

/** Both kinds of table with 0x5000 mapped, and how to tell their A and D bits. */
const KINDS = {
  "first level": { pgtt: 1, a: FL_A, d: FL_D, leaf: 0x111000n | FL },
  "second level with SLADE": { pgtt: 2, slade: true, a: SL_A, d: SL_D, leaf: 0x111000n | RW },
};

for (const [name, kind] of Object.entries(KINDS)) {
  const made = (level = 1) => {
    const bench = new ScalableBench();
    const top = bench.simple(kind);
    const leaf = level === 1 ? kind.leaf : kind.leaf & 0xfffn | 0x40000000n | PS;
    if (kind.pgtt === 1) bench.mapFirst(top, 0x5000n, leaf, level);
    else bench.map(top, 0x5000n, leaf, level);
    bench.enable();
    bench.startQueue();
    /** By level from the leaf up: which of the two bits are set. */
    const bits = () => {
      let text = "";
      for (let l = level; l <= 4; l++) {
        const entry = bench.entryAt(top, 0x5000n, l);
        text += (entry & kind.a ? "A" : "-") + (entry & kind.d ? "D " : "- ");
      }
      return text.trim();
    };
    return { bench, top, bits };
  };

  Deno.test(`${name}: a read sets A on its way, a write D in the leaf too`, () => {
    const { bench, bits } = made();
    assert.equal(bits(), "-- -- -- --");
    assert.equal(bench.dma(0x5000n, "read"), 0x111);
    assert.equal(bits(), "A- A- A- A-");
    assert.equal(bench.dma(0x5000n, "read"), 0x111);
    assert.equal(bench.unit.walks, 1);
    assert.equal(bench.dma(0x5000n, "write"), 0x111);
    assert.equal(bits(), "AD A- A- A-");
    assert.equal(bench.unit.walks, 2, "the write had to walk to set D");
    bench.dma(0x5000n, "write");
    bench.dma(0x5000n, "read");
    assert.equal(bench.unit.walks, 2);
  });

  Deno.test(`${name}: the rest of each entry stays as it was`, () => {
    const { bench, top } = made();
    bench.dma(0x5000n, "write");
    assert.equal(bench.entryAt(top, 0x5000n, 1), kind.leaf | kind.a | kind.d);
  });

  Deno.test(`${name}: a superpage has its bits in its own entry`, () => {
    const { bench, bits } = made(2);
    assert.equal(bench.dma(0x5000n, "write"), 0x40005);
    assert.equal(bits(), "AD A- A-");
  });

  Deno.test(`${name}: D that software cleared comes back only after a flush`, () => {
    const { bench, top, bits } = made();
    bench.dma(0x5000n, "write");
    if (kind.pgtt === 1) bench.mapFirst(top, 0x5000n, kind.leaf);
    else bench.map(top, 0x5000n, kind.leaf);
    bench.dma(0x5000n, "write");
    assert.equal(bits(), "-- A- A- A-", "the cached entry knows that D was set");
    bench.submit(
      kind.pgtt === 1
        ? desc.pasidIotlb(qi.QI_GRAN_PSI_PASID, 5, 0, 0x5000n)
        : desc.iotlb(GRANU_PAGE, 5, 0x5000n),
    );
    bench.dma(0x5000n, "write");
    assert.equal(bits(), "AD A- A- A-");
  });

  Deno.test(`${name}: a read of a page that is dirty already caches the right to write`, () => {
    const { bench, top } = made();
    const dirty = kind.leaf | kind.d;
    if (kind.pgtt === 1) bench.mapFirst(top, 0x5000n, dirty);
    else bench.map(top, 0x5000n, dirty);
    bench.dma(0x5000n, "read");
    bench.dma(0x5000n, "write");
    assert.equal(bench.unit.walks, 1);
  });

  Deno.test(`${name}: a request that faults leaves no mark`, () => {
    const { bench, top, bits } = made();
    const readOnly = kind.pgtt === 1 ? 0x111000n | FL_P | FL_US : 0x111000n | R;
    if (kind.pgtt === 1) bench.mapFirst(top, 0x5000n, readOnly);
    else bench.map(top, 0x5000n, readOnly);
    assert.equal(bench.dma(0x5000n, "write"), -0x85);
    assert.equal(bits(), "-- -- -- --");
    bench.dma(0x5000n, "read");
    assert.equal(bench.dma(0x5000n, "write"), -0x85);
    assert.equal(bits(), "A- A- A- A-");
  });
}

Deno.test("without SLADE second-level tables are left alone", () => {
  const bench = new ScalableBench();
  const top = bench.simple();
  bench.map(top, 0x5000n, 0x111000n | RW);
  bench.enable();
  bench.dma(0x5000n, "read");
  bench.dma(0x5000n, "write");
  assert.equal(bench.unit.walks, 1);
  assert.equal(bench.entryAt(top, 0x5000n, 1), 0x111000n | RW);
});
