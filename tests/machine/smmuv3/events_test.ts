import assert from "node:assert/strict";
import * as q from "../../../src/uapi/smmuv3_queues.ts";
import * as regs from "../../../src/uapi/smmuv3_regs.ts";
import {
  AF,
  Bench,
  BLOCK,
  code,
  type ContextFields,
  NG,
  PAGE,
  S1_RO,
  S1_RW,
  S2_RO,
  S2_RW,
  SID,
  stage1Ste,
  type Stage2Fields,
  TABLE,
} from "./bench.ts";

const ID = BigInt(SID) << 32n;
const READ = 1n << 35n, S2 = 1n << 39n, TTD = 1n << 40n, IN = 2n << 40n;

/** A fault at 0x12345678 by a write unless said, with a prepared bench; returns the bench. */
function fault(prepare: (b: Bench) => void, event: number, kind: "read" | "write" = "write") {
  const bench = new Bench();
  prepare(bench);
  bench.enable();
  assert.equal(bench.dma(0x12345678n, kind), code(event));
  assert.deepEqual(bench.events(), [event]);
  return bench;
}

Deno.test("faults of the configuration record the StreamID and nothing else", async (t) => {
  const cd = (flip: bigint, rest: ContextFields = {}) => (b: Bench) =>
    void b.attachStage1({ ...rest, flip });
  const s2 = (rest: Stage2Fields) => (b: Bench) => void b.attachStage2(rest);
  const ste = (make: (b: Bench) => bigint[]) => (b: Bench) => b.storeSte(make(b));
  const cases: [string, number, (b: Bench) => void][] = [
    ["nothing was ever written: V is clear", q.C_BAD_STE, () => {}],
    ["nested", q.C_BAD_STE, ste(() => [0xfn, 0n, 0n, 0n, 0n, 0n, 0n, 0n])],
    ["more SubstreamIDs than IDR1 says", q.C_BAD_STE, ste(() => stage1Ste(0x200000n, 6))],
    ["a 2-level table of CDs", q.C_BAD_STE, ste(() => stage1Ste(0x200020n, 1))],
    ["S1DSS 3", q.C_BAD_STE, ste(() => stage1Ste(0x200000n, 1, 3))],
    ["CDs beyond OAS", q.C_BAD_STE, ste(() => stage1Ste(1n << 42n))],
    ["stage 2 without S2AA64", q.C_BAD_STE, s2({ flip: 1n << 51n })],
    ["stage 2, big-endian", q.C_BAD_STE, s2({ flip: 1n << 52n })],
    ["stage 2 that stalls", q.C_BAD_STE, s2({ flip: 1n << 57n })],
    ["stage 2, 64 KiB granule", q.C_BAD_STE, s2({ flip: 1n << 46n })],
    ["stage 2, SL0 3", q.C_BAD_STE, s2({ sl0: 3 })],
    ["stage 2, 35 bits from level 2", q.C_BAD_STE, s2({ sl0: 0, t0sz: 29, ttb: 0x200000n })],
    ["stage 2, 30 bits from level 1", q.C_BAD_STE, s2({ sl0: 1, t0sz: 34 })],
    ["stage 2, more bits than OAS", q.C_BAD_STE, s2({ sl0: 2, t0sz: 21 })],
    ["stage 2, T0SZ 40", q.C_BAD_STE, s2({ sl0: 0, t0sz: 40, ttb: 0x200000n })],
    ["stage 2, tables beyond S2PS", q.C_BAD_STE, s2({ ps: 0, ttb: 1n << 32n })],
    ["CD: V is clear", q.C_BAD_CD, cd(1n << 31n)],
    ["CD: AA64 is clear", q.C_BAD_CD, cd(1n << 41n)],
    ["CD: A is clear", q.C_BAD_CD, cd(1n << 46n)],
    ["CD: S is set", q.C_BAD_CD, cd(1n << 44n)],
    ["CD: big-endian", q.C_BAD_CD, cd(1n << 15n)],
    ["CD: EPD1 is clear", q.C_BAD_CD, cd(1n << 30n)],
    ["CD: 64 KiB granule", q.C_BAD_CD, cd(1n << 6n)],
    ["CD: T0SZ 15", q.C_BAD_CD, cd(0n, { t0sz: 15 })],
    ["CD: T0SZ 40", q.C_BAD_CD, cd(0n, { t0sz: 40 })],
    ["CD: tables beyond IPS", q.C_BAD_CD, cd(0n, { ips: 1, ttb: 1n << 36n })],
    [
      "only requests with a SubstreamID",
      q.F_STREAM_DISABLED,
      ste(() => stage1Ste(0x200000n, 1, 0)),
    ],
  ];
  for (const [name, event, prepare] of cases) {
    await t.step(name, () => {
      const bench = fault(prepare, event);
      assert.deepEqual(bench.record(), [BigInt(event) | ID, 0n, 0n, 0n]);
    });
  }
});

Deno.test("a StreamID beyond the table is C_BAD_STREAMID, recorded only with RECINVSID", () => {
  const bench = new Bench();
  bench.unit.write32(regs.SMMU_STRTAB_BASE_CFG, 9);
  bench.enable();
  assert.equal(bench.dma(0n), code(q.C_BAD_STREAMID));
  assert.deepEqual(bench.record(), [2n | ID, 0n, 0n, 0n]);
  assert.equal(bench.dma(0n, "write", 0x1ff), code(q.C_BAD_STE));
  bench.disable();
  bench.unit.write32(regs.SMMU_CR2, 0);
  bench.enable();
  assert.equal(bench.dma(0n), code(q.C_BAD_STREAMID));
  assert.deepEqual(bench.events(), [q.C_BAD_STREAMID, q.C_BAD_STE]);
  assert.equal(bench.unit.events.suppressed, 1);
});

Deno.test("a SubstreamID without a descriptor is C_BAD_SUBSTREAMID, with SSV and SSID", () => {
  const bench = new Bench().enable();
  const record = (ssid: number) => [8n | 1n << 11n | BigInt(ssid) << 12n | ID, 0n, 0n, 0n];
  bench.attachStage1();
  assert.equal(bench.dmaSubstream(1, 0n), code(q.C_BAD_SUBSTREAMID));
  assert.deepEqual(bench.record(0), record(1));
  bench.storeSte(stage1Ste(BigInt(bench.frame()) << 12n, 2, 2));
  bench.cfgiSte();
  assert.equal(bench.dmaSubstream(4, 0n), code(q.C_BAD_SUBSTREAMID));
  assert.deepEqual(bench.record(1), record(4));
  assert.equal(bench.dmaSubstream(0, 0n), code(q.C_BAD_SUBSTREAMID), "0 stands for none");
  assert.equal(bench.dmaSubstream(3, 0n), code(q.C_BAD_CD));
  assert.equal(bench.record(3)[0], 0xan | 1n << 11n | 3n << 12n | ID);
});

Deno.test("fetches that leave memory record where", async (t) => {
  await t.step("stream table", () => {
    const bench = new Bench();
    bench.write64(regs.SMMU_STRTAB_BASE, 0x4000000n);
    bench.enable();
    assert.equal(bench.dma(0n), code(q.F_STE_FETCH));
    assert.deepEqual(bench.record(), [3n | ID, 0n, 0n, 0x4000000n + 64n * BigInt(SID)]);
  });
  await t.step("context descriptor", () => {
    const bench = fault((b) => b.storeSte(stage1Ste(0xa0040n)), q.F_CD_FETCH);
    assert.deepEqual(bench.record(), [9n | ID, 0n, 0n, 0xa0040n]);
  });
  await t.step("stage-1 table", () => {
    const bench = fault((b) => void b.attachStage1({ ttb: 0xa0000n }), q.F_WALK_EABT, "read");
    assert.deepEqual(bench.record(), [0xbn | ID, READ | TTD, 0x12345678n, 0xa0000n]);
  });
  await t.step("a lower stage-2 table", () => {
    const bench = fault((b) => b.map(b.attachStage2(), 0n, 0xa0000n | TABLE, 1), q.F_WALK_EABT);
    assert.deepEqual(bench.record(), [0xbn | ID, S2 | TTD, 0x12345678n, 0xa0488n]);
  });
});

/** Leaves that lead to each fault of the tables: `make` gets the descriptor's stage-2-ness. */
const LEAVES: [string, number, bigint, bigint, number, ("read" | "write")?][] = [
  ["nothing mapped", q.F_TRANSLATION, 0n, 0n, 3],
  ["level 3 without bit 1", q.F_TRANSLATION, 0x5000n | BLOCK | S1_RW, 0x5000n | BLOCK | S2_RW, 3],
  ["output beyond 42 bits", q.F_ADDR_SIZE, 1n << 42n | PAGE | S1_RW, 1n << 42n | PAGE | S2_RW, 3],
  ["table beyond 42 bits", q.F_ADDR_SIZE, 1n << 47n | TABLE, 1n << 47n | TABLE, 2],
  ["access flag", q.F_ACCESS, 0x5000n | PAGE | S1_RW ^ AF, 0x5000n | PAGE | S2_RW ^ AF, 3],
  ["write to read-only", q.F_PERMISSION, 0x5000n | PAGE | S1_RO, 0x5000n | PAGE | S2_RO, 3],
  [
    "read, privileged only",
    q.F_PERMISSION,
    0x5000n | PAGE | AF | NG,
    0x5000n | PAGE | AF,
    3,
    "read",
  ],
];

Deno.test("faults of the tables record the access; stage 2 the intermediate address too", async (t) => {
  for (const [name, event, leaf1, leaf2, level, kind = "write"] of LEAVES) {
    const rnw = kind === "read" ? READ : 0n;
    await t.step(`stage 1: ${name}`, () => {
      const prepare = (b: Bench) => b.map(b.attachStage1().table, 0x12345000n, leaf1, level, 0);
      const bench = fault(prepare, event, kind);
      assert.deepEqual(bench.record(), [BigInt(event) | ID, rnw | IN, 0x12345678n, 0n]);
    });
    await t.step(`stage 2: ${name}`, () => {
      const prepare = (b: Bench) => b.map(b.attachStage2(), 0x12345000n, leaf2, level);
      const bench = fault(prepare, event, kind);
      assert.deepEqual(bench.record(), [
        BigInt(event) | ID,
        rnw | S2 | IN,
        0x12345678n,
        0x12345000n,
      ]);
    });
  }
});

Deno.test("addresses outside the input size never wrap", () => {
  const bench = new Bench();
  bench.map(bench.attachStage2({ t0sz: 24 }, 0x100), 0n, PAGE | S2_RW);
  bench.map(bench.attachStage1({ t0sz: 25 }, 0x200).table, 0n, PAGE | S1_RW);
  bench.map(bench.attachStage1({ t0sz: 16, asid: 8 }, 0x300).table, 0n, PAGE | S1_RW, 3, 0);
  bench.attachStage1({ flip: 1n << 14n }, 0x400);
  bench.enable();
  for (const [sid, width] of [[0x100, 40n], [0x200, 39n], [0x300, 48n]] as const) {
    assert.equal(bench.dma(0n, "write", sid), 0);
    assert.equal(bench.dma(1n << width, "write", sid), code(q.F_TRANSLATION));
    assert.equal(bench.dma((1n << width) - 1n, "write", sid), code(q.F_TRANSLATION));
  }
  assert.equal(bench.dma(0xffff000000000000n, "write", 0x300), code(q.F_TRANSLATION));
  assert.equal(bench.dma(0n, "write", 0x400), code(q.F_TRANSLATION), "EPD0");
  assert.equal(bench.dma(1n << 42n, "write", 0x100), code(q.F_ADDR_SIZE), "wider than OAS");
  const last = bench.record(bench.unit.events.recorded - 1);
  assert.deepEqual(last, [0x11n | 0x100n << 32n, IN, 1n << 42n, 0n], "a fault of stage 1");
});

Deno.test("R decides whether a table fault is recorded; it aborts either way", () => {
  const bench = new Bench();
  bench.attachStage1({ flip: 1n << 45n }, 0x100);
  bench.attachStage2({ flip: 1n << 58n }, 0x200);
  bench.enable();
  assert.equal(bench.dma(0n, "write", 0x100), code(q.F_TRANSLATION));
  assert.equal(bench.dma(0n, "write", 0x200), code(q.F_TRANSLATION));
  assert.equal(bench.unit.events.suppressed, 2);
  assert.deepEqual(bench.events(), []);
});

Deno.test("AFFD makes a clear access flag no fault", () => {
  const bench = new Bench();
  bench.map(bench.attachStage1({ flip: 1n << 35n }, 0x100).table, 0n, PAGE | S1_RW ^ AF, 3, 0);
  bench.map(bench.attachStage2({ flip: 1n << 53n }, 0x200), 0n, PAGE | S2_RW ^ AF);
  bench.enable();
  assert.equal(bench.dma(0n, "write", 0x100), 0);
  assert.equal(bench.dma(0n, "write", 0x200), 0);
});

Deno.test("codes have texts, and only this unit's codes have", () => {
  assert.match(q.smmuFaultText(code(q.F_TRANSLATION)) ?? "", /^F_TRANSLATION: /);
  assert.match(q.smmuFaultText(code(q.SMMU_STE_ABORT)) ?? "", /abort/);
  assert.equal(q.smmuFaultText(code(0x77)), "Unknown");
  for (const other of [0, -1, -0xff, -0x200, -1000, -1002]) {
    assert.equal(q.smmuFaultText(other), undefined);
  }
});
