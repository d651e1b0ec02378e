import assert from "node:assert/strict";
import { explainTranslation } from "../../../src/machine/vtd/explain.ts";
import type { VtdCapability } from "../../../src/machine/vtd/capability.ts";
import { PS, R, RW, SID, W } from "./bench.ts";
import { NestedBench } from "./nested_bench.ts";
import { FL, FL_A, FL_D, FL_P, FL_US, type PasidFields } from "./scalable_bench.ts";

interface Case {
  reason: number;
  name: string;
  prepare: (b: NestedBench) => void;
  fields?: PasidFields;
  capability?: Partial<VtdCapability>;
  /** By a write unless said. */
  kind?: "read";
}

const IOVA = 0xdeadb123n, HOLE = 0xa0n;
/** The guest's address leads to a guest address that `leaf` stands for. */
const toGuest = (address: bigint, leaf: bigint, level = 1) => (b: NestedBench) => {
  b.mapGuest(IOVA, address | FL);
  b.map(b.under, address, leaf, level, b.below);
};
/** What becomes of the table of a level once its page of the guest's memory has these rights. */
const table = (level: number, rights: bigint) => (b: NestedBench) => {
  b.page(IOVA);
  b.allow(b.guestTable(IOVA, level), rights);
};
/** The second level leads a table of the guest's to somewhere else. */
const tableTo = (level: number, leaf: bigint, at = 1) => (b: NestedBench) => {
  b.page(IOVA);
  b.map(b.under, BigInt(b.guestTable(IOVA, level)) << 12n, leaf, at, b.below);
};

/** FACTS 3.5, by level: 70-77 and 80, 81 are the first one's, 78-7b and 84 the second one's. */
const CASES: Case[] = [
  { reason: 0x73, name: "top table led into a hole", prepare: tableTo(4, HOLE << 12n | RW) },
  { reason: 0x70, name: "lower table led into a hole", prepare: tableTo(1, HOLE << 12n | RW) },
  { reason: 0x71, name: "nothing mapped by the guest", prepare: () => {} },
  { reason: 0x72, name: "reserved bits", prepare: (b) => b.mapGuest(IOVA, 1n << 43n | FL) },
  {
    reason: 0x72,
    name: "2 MiB, not aligned",
    prepare: (b) => b.mapGuest(IOVA, 0x2000n | FL | PS, 2),
  },
  {
    reason: 0x74,
    name: "top table beyond the second level's width",
    prepare: () => {},
    fields: { aw: 1, guestTop: 0x8000000 },
  },
  {
    reason: 0x74,
    name: "lower table beyond the second level's width",
    prepare: (b) => b.mapGuest(IOVA, 1n << 39n | FL, 2),
    fields: { aw: 1 },
  },
  {
    reason: 0x74,
    name: "lower table beyond MGAW",
    prepare: (b) => b.mapGuest(IOVA, 1n << 40n | FL, 3),
    capability: { mgaw: 40 },
  },
  { reason: 0x75, name: "top table not mapped", prepare: table(4, 0n) },
  { reason: 0x75, name: "top table to write only", prepare: table(4, W) },
  { reason: 0x76, name: "lower table not mapped", prepare: table(3, 0n), kind: "read" },
  { reason: 0x76, name: "last table to write only", prepare: table(1, W) },
  { reason: 0x77, name: "A to be set in a top table to read only", prepare: table(4, R) },
  { reason: 0x77, name: "A to be set in the last one", prepare: table(1, R), kind: "read" },
  {
    reason: 0x77,
    name: "D to be set in a leaf to read only",
    prepare(b) {
      const guest = BigInt(b.guest()) << 12n;
      b.mapGuest(IOVA, guest | FL | FL_A);
      b.allow(b.guestTable(IOVA, 1), R);
    },
  },
  {
    reason: 0x7b,
    name: "second-level top table in a hole",
    prepare: () => {},
    fields: { top: 0xa0 },
  },
  {
    reason: 0x78,
    name: "second-level table in a hole, on the way to a table",
    prepare: tableTo(1, HOLE << 12n | RW, 2),
  },
  {
    reason: 0x78,
    name: "second-level table in a hole, on the way to the page",
    prepare: toGuest(0x7fc0000000n, HOLE << 12n | RW, 3),
  },
  {
    reason: 0x7a,
    name: "reserved bits on the way to a table",
    prepare: tableTo(2, 1n << 43n | RW),
  },
  {
    reason: 0x7a,
    name: "reserved bits on the way to the page",
    prepare: toGuest(0x5000n, 1n << 43n | RW),
  },
  { reason: 0x79, name: "the page not mapped", prepare: toGuest(0x5000n, 0n) },
  { reason: 0x79, name: "the page not mapped", prepare: toGuest(0x5000n, 0n), kind: "read" },
  { reason: 0x81, name: "US clear", prepare: (b) => void b.page(IOVA, FL & ~FL_US) },
  {
    reason: 0x84,
    name: "the page beyond the second level's width",
    prepare: (b) => b.mapGuest(IOVA, 1n << 39n | FL),
    fields: { aw: 1 },
  },
  {
    reason: 0x85,
    name: "the guest maps to read only",
    prepare: (b) => void b.page(IOVA, FL_P | FL_US),
  },
  { reason: 0x85, name: "the host maps to read only", prepare: (b) => void b.page(IOVA, FL, R) },
  {
    reason: 0x86,
    name: "the host maps to write only",
    prepare: (b) => void b.page(IOVA, FL, W),
    kind: "read",
  },
  { reason: 0x87, name: "into the interrupt range", prepare: toGuest(0x5000n, 0xfee00000n | RW) },
];

Deno.test("each level's reasons come from tables that deserve them, and fill the record", async (t) => {
  for (const c of CASES) {
    await t.step(`${c.reason.toString(16)}: ${c.name}`, () => {
      const bench = new NestedBench({ ...c.fields, slade: true }, c.capability);
      c.prepare(bench);
      bench.enable();
      const kind = c.kind ?? "write";
      for (let i = 0; i < 2; i++) assert.equal(bench.dma(IOVA, kind), -c.reason);
      const high = 1n << 63n | (kind === "read" ? 1n << 62n : 0n) | BigInt(c.reason) << 32n;
      assert.deepEqual(bench.record(0), [IOVA & ~0xfffn, high | BigInt(SID)]);
      const last = explainTranslation(bench.unit, SID, Number(IOVA), kind === "write").at(-1);
      assert.deepEqual([last?.reason, last?.pfn], [c.reason, undefined]);
    });
  }
});

Deno.test("80: an address that is not canonical is refused before either level is looked at", () => {
  const bench = new NestedBench({ top: 0xa0 });
  bench.enable();
  assert.equal(bench.dma(1n << 47n), -0x80);
});

Deno.test("5a: reserved bits of either pointer, SLADE without SLADS", () => {
  const spoiled: [number, bigint][] = [[0, 1n << 43n], [2, 1n << 43n], [2, 1n], [2, 0x80n], [
    4,
    1n,
  ]];
  for (const [word, bits] of spoiled) {
    const bench = new NestedBench();
    const entry = bench.pasidTable(bench.directory, 0);
    bench.store(entry, word, bench.load(entry, word) | bits);
    bench.enable();
    assert.equal(bench.dma(IOVA), -0x5a, `word ${word}`);
  }
  const bench = new NestedBench({ slade: true }, { slads: false });
  bench.enable();
  assert.equal(bench.dma(IOVA), -0x5a);
});

Deno.test("a table to read only will do where A and D are set already", () => {
  const bench = new NestedBench({ slade: true });
  const host = bench.page(IOVA, FL | FL_A | FL_D);
  for (const level of [4, 3, 2]) {
    const at = bench.tableAt(IOVA, level), index = Number(IOVA >> BigInt(3 + 9 * level) & 511n);
    bench.store(at, index, bench.load(at, index) | FL_A);
  }
  for (const level of [4, 3, 2, 1]) bench.allow(bench.guestTable(IOVA, level), R);
  bench.enable();
  assert.equal(bench.dma(IOVA), host);
  assert.equal(bench.dma(IOVA, "read"), host);
});
