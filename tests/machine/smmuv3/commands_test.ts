import assert from "node:assert/strict";
import { Kind } from "../../../src/machine/smmuv3/regime.ts";
import { Scope } from "../../../src/machine/smmuv3/tlb.ts";
import * as q from "../../../src/uapi/smmuv3_queues.ts";
import { Bench, BLOCK, code, NG, PAGE, S1_RO, S1_RW, S2_RW, SID, stage2Ste } from "./bench.ts";

const NO_TABLES = { startLevel: 0, inputBits: 0 };

/**
 * Streams with 0x5000 mapped to frame 0x111 and cached, then remapped to 0x222, all through one
 * VMID 5: two of stage 2 and, each with an ASID of its own, two of stage 1; and one of VMID 6.
 */
function remapped(): Bench {
  const bench = new Bench().enable();
  const tables = [
    bench.attachStage2({ vmid: 5 }, 0x100),
    bench.attachStage2({ vmid: 6 }, 0x101),
    bench.attachStage1({ asid: 1 }, 0x200, 5).table,
    bench.attachStage1({ asid: 2 }, 0x201, 5).table,
    bench.attachStage1({ asid: 1 }, 0x202, 6).table,
  ];
  const map = (frame: bigint) =>
    tables.forEach((table, i) => {
      const stage1 = i >= 2;
      const leaf = frame << 12n | PAGE | (stage1 ? S1_RW : S2_RW);
      bench.map(table, 0x5000n, leaf, 3, stage1 ? 0 : 1);
    });
  map(0x111n);
  assert.deepEqual(frames(bench), [0x111, 0x111, 0x111, 0x111, 0x111]);
  map(0x222n);
  assert.deepEqual(frames(bench), [0x111, 0x111, 0x111, 0x111, 0x111]);
  return bench;
}

function frames(bench: Bench): number[] {
  return [0x100, 0x101, 0x200, 0x201, 0x202].map((sid) => bench.dma(0x5abcn, "write", sid));
}

Deno.test("each TLBI forgets what it names and nothing else", async (t) => {
  const N = 0x222, O = 0x111;
  const cases: [string, number, [number, number, bigint], number[]][] = [
    ["NH_ALL: stage 1 of a VMID", q.CMD_TLBI_NH_ALL, [5, 0, 0n], [O, O, N, N, O]],
    ["NH_ASID", q.CMD_TLBI_NH_ASID, [5, 1, 0n], [O, O, N, O, O]],
    ["NH_ASID of nobody", q.CMD_TLBI_NH_ASID, [7, 1, 0n], [O, O, O, O, O]],
    ["NH_VA", q.CMD_TLBI_NH_VA, [5, 2, 0x5000n], [O, O, O, N, O]],
    ["NH_VA of another page", q.CMD_TLBI_NH_VA, [5, 2, 0x6000n], [O, O, O, O, O]],
    ["NH_VAA", q.CMD_TLBI_NH_VAA, [5, 9, 0x5000n], [O, O, N, N, O]],
    ["S12_VMALL", q.CMD_TLBI_S12_VMALL, [5, 0, 0n], [N, O, N, N, O]],
    ["S2_IPA", q.CMD_TLBI_S2_IPA, [5, 0, 0x5000n], [N, O, O, O, O]],
    ["S2_IPA of another page", q.CMD_TLBI_S2_IPA, [5, 0, 0x4000n], [O, O, O, O, O]],
    ["NSNH_ALL", q.CMD_TLBI_NSNH_ALL, [0, 0, 0n], [N, N, N, N, N]],
  ];
  for (const [name, opcode, [vmid, asid, address], expected] of cases) {
    await t.step(name, () => {
      const bench = remapped();
      bench.tlbi(opcode, vmid, asid, address);
      assert.deepEqual(frames(bench), expected);
    });
  }
});

Deno.test("no CFGI, ATC_INV, prefetch or SYNC touches the TLB", () => {
  const bench = remapped();
  const all = [q.CMD_PREFETCH_CONFIG, q.CMD_PREFETCH_ADDR, q.CMD_ATC_INV, q.CMD_SYNC];
  for (const opcode of [...all, q.CMD_CFGI_CD_ALL]) bench.command(BigInt(opcode) | 0x200n << 32n);
  bench.command(BigInt(q.CMD_CFGI_STE_RANGE), 31n);
  assert.deepEqual(frames(bench), [0x111, 0x111, 0x111, 0x111, 0x111]);
  assert.equal(bench.unit.errors.active, 0);
});

Deno.test("global translations answer every ASID; NH_ASID leaves them, NH_VA takes them", () => {
  const bench = new Bench().enable();
  const one = bench.attachStage1({ asid: 1 }, 0x200, 5).table;
  bench.attachStage1({ asid: 2 }, 0x201, 5);
  bench.attachStage1({ asid: 2 }, 0x202, 6);
  bench.map(one, 0x5000n, 0x111000n | PAGE | S1_RW ^ NG, 3, 0);
  bench.dma(0x5000n, "write", 0x200);
  assert.deepEqual([...bench.unit.tlb.entries()].map((e) => [e.scope, e.vmid, e.asid]), [
    [Scope.global, 5, 0],
  ]);
  assert.equal(bench.dma(0x5000n, "write", 0x201), 0x111, "another ASID, empty tables");
  assert.equal(bench.dma(0x5000n, "write", 0x202), code(q.F_TRANSLATION), "another VMID");
  bench.tlbi(q.CMD_TLBI_NH_ASID, 5, 1);
  assert.equal(bench.dma(0x5000n, "write", 0x201), 0x111);
  bench.tlbi(q.CMD_TLBI_NH_VA, 5, 9, 0x5000n);
  assert.equal(bench.dma(0x5000n, "write", 0x201), code(q.F_TRANSLATION));
});

Deno.test("with RIL a TLBI names (NUM + 1) << SCALE pages", () => {
  const pages = (num: bigint, scale: bigint, tg: bigint, rangeInvalidation = true) => {
    const bench = new Bench({ rangeInvalidation }).enable();
    const table = bench.attachStage2({ vmid: 5 });
    for (let page = 0n; page < 16n; page++) {
      bench.map(table, page << 12n, (page + 0x100n) << 12n | PAGE | S2_RW);
      bench.dma(page << 12n);
    }
    const low = BigInt(q.CMD_TLBI_S2_IPA) | num << 12n | scale << 20n | 5n << 32n;
    bench.command(low, 0x4000n | tg << 10n);
    return [...bench.unit.tlb.entries()].map((e) => e.page).sort((a, b) => a - b);
  };
  const all = Array.from({ length: 16 }, (_, i) => i);
  assert.deepEqual(pages(2n, 1n, 1n), all.filter((p) => p < 4 || p >= 10));
  assert.deepEqual(pages(2n, 1n, 0n), all.filter((p) => p !== 4), "TG 0: one page");
  assert.deepEqual(pages(31n, 31n, 1n), [0, 1, 2, 3]);
  assert.deepEqual(pages(2n, 1n, 1n, false), all.filter((p) => p !== 4), "no RIL: one page");
  assert.deepEqual(pages(2n, 1n, 3n), all, "no such granule, so nothing of it is cached");
});

Deno.test("a TLBI anywhere in a block or a contiguous run forgets all of it", () => {
  const bench = new Bench().enable();
  const table = bench.attachStage2({ vmid: 5 });
  bench.map(table, 0x200000n, 0x200000n | BLOCK | S2_RW, 2);
  for (let i = 0n; i < 16n; i++) {
    bench.map(table, i << 12n, 0x40000n + (i << 12n) | PAGE | S2_RW | 1n << 52n);
  }
  bench.dma(0x200000n);
  bench.dma(0x3000n);
  const sizes = () => [...bench.unit.tlb.entries()].map((e) => e.size).sort((a, b) => a - b);
  assert.deepEqual(sizes(), [0x10000, 0x200000]);
  bench.tlbi(q.CMD_TLBI_S2_IPA, 5, 0, 0x10000n);
  assert.deepEqual(sizes(), [0x10000, 0x200000]);
  bench.tlbi(q.CMD_TLBI_S2_IPA, 5, 0, 0xf000n);
  assert.deepEqual(sizes(), [0x200000]);
  bench.tlbi(q.CMD_TLBI_S2_IPA, 5, 0, 0x3ff000n);
  assert.deepEqual(sizes(), []);
});

Deno.test("a changed STE stays unseen until a CFGI names its stream", async (t) => {
  const cases: [string, bigint, bigint, boolean][] = [
    ["CFGI_STE", BigInt(q.CMD_CFGI_STE) | BigInt(SID) << 32n, 1n, true],
    ["CFGI_STE of another stream", BigInt(q.CMD_CFGI_STE) | 0x301n << 32n, 1n, false],
    ["range of 2", BigInt(q.CMD_CFGI_STE_RANGE) | 0x301n << 32n, 0n, true],
    ["range of 256", BigInt(q.CMD_CFGI_STE_RANGE) | 0x3ffn << 32n, 7n, true],
    ["range beside it", BigInt(q.CMD_CFGI_STE_RANGE) | 0x400n << 32n, 7n, false],
    ["CFGI_ALL", BigInt(q.CMD_CFGI_STE_RANGE), 31n, true],
    ["CFGI_CD_ALL", BigInt(q.CMD_CFGI_CD_ALL) | BigInt(SID) << 32n, 0n, false],
    ["TLBI_NSNH_ALL", BigInt(q.CMD_TLBI_NSNH_ALL), 0n, false],
  ];
  for (const [name, low, high, seen] of cases) {
    await t.step(name, () => {
      const bench = new Bench().enable();
      bench.storeSte([9n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
      bench.dma(0x5000n);
      bench.storeSte([1n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
      bench.disable();
      bench.enable();
      assert.equal(bench.dma(0x5000n), 5, "not even SMMUEN forgets it");
      bench.command(low, high);
      assert.equal(bench.dma(0x5000n), seen ? code(q.SMMU_STE_ABORT) : 5);
    });
  }
});

Deno.test("the caches can be looked at", () => {
  const bench = new Bench().enable();
  const { table, cd } = bench.attachStage1({ asid: 7, t0sz: 25 }, 0x1ff, 5);
  bench.map(table, 0x201000n, 0x123000n | PAGE | S1_RO, 3, 1);
  bench.dma(0x201000n, "read", 0x1ff);
  bench.dma(0x5000n, "write", 0x200);
  const common = { ssid: 0, vmid: 5 };
  assert.deepEqual([...bench.unit.streamCache.entries()], [
    { ...common, sid: 0x1ff, kind: Kind.contexts, event: 0, asid: 0, root: cd, ...NO_TABLES },
    {
      ssid: 0,
      vmid: 0,
      sid: 0x200,
      kind: Kind.fault,
      event: q.C_BAD_STE,
      asid: 0,
      root: 0,
      ...NO_TABLES,
    },
  ]);
  const tables = { root: table, startLevel: 1, inputBits: 39 };
  assert.deepEqual([...bench.unit.contextCache.entries()], [
    { ...common, sid: 0x1ff, kind: Kind.stage1, event: 0, asid: 7, ...tables },
  ]);
  assert.deepEqual([...bench.unit.tlb.entries()], [{
    scope: Scope.asid,
    vmid: 5,
    asid: 7,
    page: 0x201,
    pfn: 0x123,
    size: 4096,
    read: true,
    write: false,
  }]);
});

Deno.test("an STE that is not valid is cached just the same", () => {
  const bench = new Bench().enable();
  assert.equal(bench.dma(0x5000n), code(q.C_BAD_STE));
  bench.storeSte([9n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
  assert.equal(bench.dma(0x5000n), code(q.C_BAD_STE));
  bench.cfgiSte();
  assert.equal(bench.dma(0x5000n), 5);
});

Deno.test("a changed CD stays unseen until a CFGI_CD, or a CFGI_STE of its stream", () => {
  for (const flush of ["cd", "cdAll", "ste", "other", "otherCd"] as const) {
    const bench = new Bench().enable();
    const { table, cd } = bench.attachStage1({ asid: 1 });
    bench.map(table, 0x5000n, 0x111000n | PAGE | S1_RW, 3, 0);
    bench.dma(0x5000n);
    const next = bench.frame();
    bench.map(next, 0x5000n, 0x222000n | PAGE | S1_RW, 3, 0);
    bench.store(cd, 1, BigInt(next) << 12n);
    bench.tlbi(q.CMD_TLBI_NSNH_ALL);
    assert.equal(bench.dma(0x5000n), 0x111, "walked from the old TTB0");
    if (flush === "cd") bench.cfgiCd();
    if (flush === "cdAll") bench.command(BigInt(q.CMD_CFGI_CD_ALL) | BigInt(SID) << 32n);
    if (flush === "ste") bench.cfgiSte();
    if (flush === "other") bench.cfgiSte(SID + 1);
    if (flush === "otherCd") bench.cfgiCd(SID, 1);
    bench.tlbi(q.CMD_TLBI_NSNH_ALL);
    assert.equal(bench.dma(0x5000n), flush.startsWith("other") ? 0x111 : 0x222);
  }
});

Deno.test("new tables under the same VMID mix with the old ones until a TLBI", () => {
  const bench = new Bench().enable();
  const old = bench.attachStage2({ vmid: 5 });
  bench.map(old, 0x5000n, 0x111000n | PAGE | S2_RW);
  bench.dma(0x5000n);
  const ttb = BigInt(bench.frame(2)) << 12n;
  bench.map(Number(ttb >> 12n), 0x5000n, 0x333000n | PAGE | S2_RW);
  bench.map(Number(ttb >> 12n), 0x6000n, 0x444000n | PAGE | S2_RW);
  bench.store(bench.streams, SID * 8 + 3, stage2Ste({ ttb })[3]);
  bench.cfgiSte();
  assert.equal(bench.dma(0x6000n), 0x444, "walked through the new tables");
  assert.equal(bench.dma(0x5000n), 0x111, "answered by the old translation");
  bench.tlbi(q.CMD_TLBI_S12_VMALL, 5);
  assert.equal(bench.dma(0x5000n), 0x333);
});
