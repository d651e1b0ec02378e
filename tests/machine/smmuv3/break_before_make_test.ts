import assert from "node:assert/strict";
import type { Bbml } from "../../../src/machine/smmuv3/capability.ts";
import * as q from "../../../src/uapi/smmuv3_queues.ts";
import {
  Bench,
  BLOCK,
  code,
  CONTIGUOUS,
  NG,
  NT,
  PAGE,
  S1_RW,
  S2_RW,
  SID,
  stage2Ste,
  TABLE,
} from "./bench.ts";

const CONFLICT = code(q.F_TLB_CONFLICT);
const LEVELS: Bbml[] = [0, 1, 2];
const OUT = 0x2000000n;

/** A stream under VMID 5 whose first GiB is mapped to 32 MiB and on, by pages or a block. */
class Scene extends Bench {
  readonly top: number;
  /** The level-2 table, and a level-3 one for its first entry. */
  readonly middle: number;
  readonly pages: number;

  constructor(bbml: Bbml) {
    super({ bbml });
    this.enable();
    this.top = this.attachStage2({ vmid: 5 });
    this.pages = this.frame();
    for (let i = 0; i < 512; i++) this.store(this.pages, i, OUT + BigInt(i << 12) | PAGE | S2_RW);
    this.middle = this.frame();
    this.store(this.top, 0, BigInt(this.middle) << 12n | TABLE);
  }

  byPages(): void {
    this.store(this.middle, 0, BigInt(this.pages) << 12n | TABLE);
  }

  byBlock(extra = 0n): void {
    this.store(this.middle, 0, OUT | BLOCK | S2_RW | extra);
  }

  flush(): void {
    this.tlbi(q.CMD_TLBI_S12_VMALL, 5);
  }
}

Deno.test("block to pages without a TLBI", async (t) => {
  for (const bbml of LEVELS) {
    await t.step(`level ${bbml}`, () => {
      const scene = new Scene(bbml);
      scene.byBlock();
      assert.equal(scene.dma(0x3000n), 0x2003);
      scene.byPages();
      assert.equal(scene.dma(0x3000n), bbml < 2 ? CONFLICT : 0x2003);
      assert.equal(scene.dma(0x7000n), bbml < 2 ? CONFLICT : 0x2007, "until it is flushed");
      scene.flush();
      assert.equal(scene.dma(0x3000n), 0x2003);
    });
  }
});

Deno.test("pages to a block without a TLBI", async (t) => {
  for (const bbml of LEVELS) {
    await t.step(`level ${bbml}`, () => {
      const scene = new Scene(bbml);
      scene.byPages();
      assert.equal(scene.dma(0x3000n), 0x2003);
      scene.byBlock();
      assert.equal(scene.dma(0x7000n), bbml < 2 ? CONFLICT : 0x2007);
      assert.equal(scene.dma(0x7000n), bbml < 2 ? CONFLICT : 0x2007, "until it is flushed");
      assert.equal(scene.dma(0x3000n), 0x2003, "what is cached as a page is found as a page");
      scene.tlbi(q.CMD_TLBI_S2_IPA, 5, 0, 0x3000n);
      assert.equal(scene.dma(0x7000n), 0x2007);
    });
  }
});

Deno.test("a conflict's record, of each stage", () => {
  const scene = new Scene(0);
  scene.byBlock();
  scene.dma(0x3000n);
  scene.byPages();
  scene.dma(0x3abcn, "read");
  const id = 0x20n | BigInt(SID) << 32n;
  assert.deepEqual(scene.record(), [id, 1n << 35n | 1n << 39n | 2n << 40n, 0x3abcn, 0x3000n]);

  const bench = new Bench().enable();
  const { table } = bench.attachStage1();
  bench.map(table, 0n, OUT | BLOCK | S1_RW, 2, 0);
  bench.dma(0x3000n);
  bench.map(table, 0n, 0n, 2, 0);
  bench.map(table, 0x3000n, OUT + 0x3000n | PAGE | S1_RW, 3, 0);
  assert.equal(bench.dma(0x3abcn), CONFLICT);
  assert.deepEqual(bench.record(), [id, 2n << 40n, 0x3abcn, 0n]);
});

Deno.test("break before make conflicts on no level, and DMA in the gap is lost", async (t) => {
  for (const bbml of LEVELS) {
    await t.step(`level ${bbml}`, () => {
      const scene = new Scene(bbml);
      scene.byBlock();
      scene.dma(0x3000n);
      scene.store(scene.middle, 0, 0n);
      assert.equal(scene.dma(0x3000n), 0x2003, "the cache goes on until the TLBI");
      scene.flush();
      assert.equal(scene.dma(0x3000n), code(q.F_TRANSLATION));
      scene.byPages();
      assert.equal(scene.dma(0x3000n), 0x2003);
    });
  }
});

Deno.test("nT, then a TLBI, then the pages: hitless on level 1, a conflict on level 0", () => {
  for (const bbml of LEVELS) {
    const scene = new Scene(bbml);
    scene.byBlock();
    scene.dma(0x3000n);
    scene.byBlock(NT);
    assert.equal(scene.dma(0x3000n), 0x2003);
    scene.flush();
    assert.equal(scene.dma(0x3000n), 0x2003, "a block with nT translates");
    const cached = [...scene.unit.tlb.entries()].length;
    assert.equal(cached, bbml === 1 ? 0 : 1);
    scene.byPages();
    assert.equal(scene.dma(0x3000n), bbml === 0 ? CONFLICT : 0x2003);
  }
});

Deno.test("on level 1 nT helps against pages too, until it is cleared", () => {
  const scene = new Scene(1);
  scene.byPages();
  scene.dma(0x3000n);
  scene.byBlock(NT);
  assert.equal(scene.dma(0x7000n), 0x2007);
  scene.byBlock();
  assert.equal(scene.dma(0x7000n), CONFLICT, "page 3 is still cached");
  scene.flush();
  assert.equal(scene.dma(0x7000n), 0x2007);
});

Deno.test("a plain block that was cached before nT was set still conflicts", () => {
  const scene = new Scene(1);
  scene.byBlock();
  scene.dma(0x3000n);
  scene.byBlock(NT);
  scene.byPages();
  assert.equal(scene.dma(0x3000n), CONFLICT);
});

Deno.test("setting or clearing the contiguous hint is a change of size, on level 1 too", () => {
  for (const bbml of LEVELS) {
    for (const first of [0n, CONTIGUOUS]) {
      const scene = new Scene(bbml);
      scene.byPages();
      const hint = (bits: bigint) => {
        for (let i = 0; i < 16; i++) {
          scene.store(scene.pages, i, OUT + BigInt(i << 12) | PAGE | S2_RW | bits);
        }
      };
      hint(first);
      assert.equal(scene.dma(0x3000n), 0x2003);
      hint(CONTIGUOUS ^ first);
      assert.equal(scene.dma(0x4000n), bbml < 2 ? CONFLICT : 0x2004);
      scene.flush();
      assert.equal(scene.dma(0x4000n), 0x2004);
    }
  }
});

Deno.test("1 GiB to 2 MiB, and back", () => {
  for (const back of [false, true]) {
    const scene = new Scene(0);
    const large = 0n | BLOCK | S2_RW;
    scene.byBlock();
    const table = BigInt(scene.middle) << 12n | TABLE;
    scene.store(scene.top, 0, back ? table : large);
    assert.equal(scene.dma(0x3000n), back ? 0x2003 : 3);
    scene.store(scene.top, 0, back ? large : table);
    assert.equal(scene.dma(back ? 0x40003000n - 0x200000n : 0x3000n), CONFLICT);
  }
});

Deno.test("exchanged tables under one VMID: equal sizes never conflict, others do", () => {
  for (const bbml of LEVELS) {
    for (const same of [true, false]) {
      const scene = new Scene(bbml);
      scene.byBlock();
      scene.dma(0x3000n);
      const ttb = BigInt(scene.frame(2)) << 12n, next = Number(ttb >> 12n);
      if (same) scene.map(next, 0n, OUT | BLOCK | S2_RW, 2);
      else for (const p of [3n, 7n]) scene.map(next, p << 12n, OUT + (p << 12n) | PAGE | S2_RW);
      scene.store(scene.streams, SID * 8 + 3, stage2Ste({ ttb })[3]);
      scene.cfgiSte();
      assert.equal(scene.dma(0x7000n), same || bbml === 2 ? 0x2007 : CONFLICT);
    }
  }
});

Deno.test("another frame of the same size is no conflict: the old one goes on", () => {
  const scene = new Scene(0);
  scene.byBlock();
  scene.dma(0x3000n);
  scene.store(scene.middle, 0, 0x3000000n | BLOCK | S2_RW);
  assert.equal(scene.dma(0x3000n), 0x2003);
  scene.flush();
  assert.equal(scene.dma(0x3000n), 0x3003);
});

Deno.test("other tags do not conflict; a VMID's global translations conflict with each ASID's", () => {
  const bench = new Bench().enable();
  const leaf = OUT | BLOCK | S1_RW, page = OUT + 0x3000n | PAGE | S1_RW;
  const first = bench.attachStage1({ asid: 1 }, 0x200).table;
  const second = bench.attachStage1({ asid: 2 }, 0x201).table;
  bench.map(first, 0n, leaf, 2, 0);
  bench.map(second, 0x3000n, page, 3, 0);
  assert.equal(bench.dma(0x3000n, "write", 0x200), 0x2003);
  assert.equal(bench.dma(0x3000n, "write", 0x201), 0x2003);
  bench.tlbi(q.CMD_TLBI_NSNH_ALL);
  bench.map(second, 0x3000n, page ^ NG, 3, 0);
  assert.equal(bench.dma(0x3000n, "write", 0x201), 0x2003);
  assert.equal(bench.dma(0x4000n, "write", 0x200), CONFLICT);
});
