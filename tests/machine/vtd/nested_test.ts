import assert from "node:assert/strict";
import { explainTranslation } from "../../../src/machine/vtd/explain.ts";
import {
  GRANU_DEVICE,
  GRANU_DOMAIN,
  GRANU_GLOBAL,
  GRANU_PAGE,
} from "../../../src/uapi/vtd_regs.ts";
import * as regs from "../../../src/uapi/vtd_regs.ts";
import * as qi from "../../../src/uapi/vtd_queue.ts";
import { ECAP_NEST } from "../../../src/uapi/vtd_scalable.ts";
import { PS, R, RW, SID } from "./bench.ts";
import { NestedBench } from "./nested_bench.ts";
import { desc, FL, FL_A, FL_D, FL_P, FL_US, ScalableBench, SL_A, SL_D } from "./scalable_bench.ts";

const IOVA = 0x12345000n;

Deno.test("ECAP.NEST is set where there are tables of both levels", () => {
  const nest = (b: ScalableBench) => b.unit.read32(regs.DMAR_ECAP_REG) & ECAP_NEST;
  assert.equal(nest(new ScalableBench()), ECAP_NEST);
  for (const lacking of [{ nested: false }, { firstLevel: false }, { secondLevel: false }]) {
    assert.equal(nest(new ScalableBench(lacking)), 0);
  }
});

Deno.test("nested: any number of levels over any number of levels", () => {
  for (const aw of [1, 2, 3]) {
    for (const flpm of [0, 1]) {
      const bench = new NestedBench({ aw, flpm });
      const iova = flpm === 1 ? 1n << 50n | IOVA : IOVA;
      const guest = bench.guest();
      bench.mapGuest(iova, BigInt(guest) << 12n | FL, 1, 4 + flpm);
      bench.enable();
      assert.equal(bench.dma(iova), bench.hostOf(guest), `aw ${aw}, flpm ${flpm}`);
      assert.equal(bench.dma(iova + 0x1000n), -0x71);
    }
  }
});

Deno.test("nested: what is cached is the smaller of the two pages, with the rights of both", () => {
  const cases: [string, bigint, number, bigint, number, string][] = [
    ["2 MiB over 4 KiB", FL | PS, 2, 0x111000n | RW, 1, "5/0 40005 4096 rw"],
    ["4 KiB over 2 MiB", 0x5000n | FL, 1, 0x600000n | RW | PS, 2, "5/0 40005 4096 rw"],
    ["1 GiB over 2 MiB", FL | PS, 3, 0x600000n | RW | PS, 2, "5/0 40000 2097152 rw"],
    ["2 MiB over 1 GiB", FL | PS, 2, 0x40000000n | RW | PS, 3, "5/0 40000 2097152 rw"],
    [
      "the guest's to read",
      FL_P | FL_US | PS,
      3,
      0x40000000n | RW | PS,
      3,
      "5/0 40000 1073741824 r",
    ],
    ["the host's to read", FL | PS, 2, 0x40000000n | R | PS, 3, "5/0 40000 2097152 r"],
  ];
  for (const [name, leaf, level, under, below, expected] of cases) {
    // Tables out of the way of the guest page 0.
    const bench = new NestedBench();
    bench.mapGuest(0x40005000n, leaf | FL_D, level);
    bench.map(bench.under, 0x5000n, under, below);
    bench.enable();
    const offset = below === 1 ? 0n : 5n;
    const frame = Number((under >> 12n & 0xfffffn) + offset);
    for (let i = 0; i < 2; i++) assert.equal(bench.dma(0x40005000n, "read"), frame, name);
    assert.equal(bench.unit.walks, 1, name);
    assert.deepEqual(bench.cached, [expected], name);
    assert.equal(bench.dma(0x40005000n) === frame, expected.endsWith("rw"), name);
  }
});

Deno.test("nested: A and D go into the guest's entries, with SLADE into the host's too", () => {
  for (const slade of [false, true]) {
    const bench = new NestedBench({ slade });
    const host = bench.page(IOVA);
    bench.enable();
    const index = (level: number) => Number(IOVA >> BigInt(3 + 9 * level) & 511n);
    const first = (level: number) =>
      bench.load(bench.tableAt(IOVA, level), index(level)) & (FL_A | FL_D);
    const second = (guest: number) =>
      bench.entryAt(bench.under, BigInt(guest) << 12n, 1) & (SL_A | SL_D);
    const page = Number(bench.load(bench.tableAt(IOVA, 1), index(1)) >> 12n);
    assert.equal(bench.dma(IOVA, "read"), host);
    assert.deepEqual([4, 3, 2, 1].map(first), [FL_A, FL_A, FL_A, FL_A]);
    // Setting A was a write to each of the tables, and the page was read.
    const tables = [4, 3, 2, 1].map((level) => second(bench.guestTable(IOVA, level)));
    assert.deepEqual(tables, tables.map(() => slade ? SL_A | SL_D : 0n));
    assert.equal(second(page), slade ? SL_A : 0n);
    assert.deepEqual(bench.cached, ["5/0 12345 4096 r(w)"]);
    assert.equal(bench.dma(IOVA), host);
    assert.equal(first(1), FL_A | FL_D);
    assert.equal(second(page), slade ? SL_A | SL_D : 0n);
    assert.deepEqual(bench.cached, ["5/0 12345 4096 rw"]);
  }
});

Deno.test("nested: a request that faults leaves no mark", () => {
  const bench = new NestedBench({ slade: true });
  bench.page(IOVA);
  bench.allow(bench.guestTable(IOVA, 1), R);
  bench.enable();
  assert.equal(bench.dma(IOVA), -0x77);
  assert.equal(bench.load(bench.hostOf(bench.top), 0) & FL_A, 0n);
  assert.equal(bench.entryAt(bench.under, BigInt(bench.top) << 12n, 1) & (SL_A | SL_D), 0n);
  assert.deepEqual(bench.cached, []);
});

/** Nested tables in use under two PASIDs, everything cached; then either level changes. */
class Stale extends NestedBench {
  readonly old = this.page(IOVA);
  readonly guestPage = this.guest();

  constructor() {
    super();
    this.nest(1);
    this.enable();
    this.startQueue();
    assert.deepEqual(this.both(), [this.old, this.old]);
  }

  both(): number[] {
    return [this.dma(IOVA), this.dmaPasid(1, IOVA)];
  }

  /** The guest maps another page of its memory. */
  changeFirst(): number {
    this.mapGuest(IOVA, BigInt(this.guestPage) << 12n | FL);
    return this.hostOf(this.guestPage);
  }

  /** The host puts another frame under the guest's page. */
  changeSecond(): number {
    const guest = this.load(this.tableAt(IOVA, 1), Number(IOVA >> 12n & 511n));
    this.map(this.under, guest & 0xfffffff000n, 0x222000n | RW);
    return 0x222;
  }
}

Deno.test("nested: a change of either level stays unseen until DID and PASID are flushed", () => {
  const page = IOVA;
  const flushes: [string, bigint[], boolean, boolean][] = [
    ["nothing", [4n], false, false],
    ["PASID, page", desc.pasidIotlb(qi.QI_GRAN_PSI_PASID, 5, 1, page), false, true],
    ["PASID, other page", desc.pasidIotlb(qi.QI_GRAN_PSI_PASID, 5, 1, page + 4096n), false, false],
    ["PASID, all", desc.pasidIotlb(qi.QI_GRAN_NONG_PASID, 5, 0), true, false],
    ["PASID of another domain", desc.pasidIotlb(qi.QI_GRAN_NONG_PASID, 6, 0), false, false],
    ["domain", desc.iotlb(GRANU_DOMAIN, 5), true, true],
    [
      "page of the domain: second-level translations only",
      desc.iotlb(GRANU_PAGE, 5, page),
      false,
      false,
    ],
    ["global", desc.iotlb(GRANU_GLOBAL), true, true],
  ];
  for (const [name, descriptor, zero, one] of flushes) {
    for (const change of ["changeFirst", "changeSecond"] as const) {
      const bench = new Stale();
      const now = bench[change]();
      bench.submit(descriptor);
      const expected = [zero, one].map((fresh) => fresh ? now : bench.old);
      assert.deepEqual(bench.both(), expected, `${name}, ${change}`);
    }
  }
});

Deno.test("nested: both pointers of a PASID entry are cached with it", () => {
  const bench = new Stale();
  const other = bench.frame(), guestTop = bench.guest();
  // The same first-level table seen through other second-level ones, which lead nowhere.
  bench.nest(0, { top: other });
  bench.nest(1, { guestTop });
  bench.submit(desc.context(GRANU_DEVICE, 0, SID), desc.iotlb(GRANU_GLOBAL));
  assert.deepEqual(bench.both(), [bench.old, bench.old]);
  assert.deepEqual(
    [...bench.unit.pasidCache.entries()].map((e) => [e.pgtt, e.top, e.under]),
    [0, 1].map(() => [3, bench.top, bench.under]),
  );
  bench.submit(desc.pasidCache(qi.QI_PC_ALL_PASIDS, 5), desc.iotlb(GRANU_GLOBAL));
  assert.deepEqual(bench.both(), [-0x75, -0x71]);
});

Deno.test("nested: explained level by level, and leaves nothing behind", () => {
  const bench = new NestedBench({ slade: true });
  bench.page(IOVA);
  bench.enable();
  const told = () =>
    explainTranslation(bench.unit, SID, Number(IOVA), true).slice(3)
      .map((s) => `${s.level}[${s.index}]: ${s.meaning.replaceAll(/0x1\w{6}/g, "…")}`);
  const upper = [
    "pasid[0]: domain 5, nested: first level, 4 levels at guest 0x40000000, " +
    "over second level, 4 levels with A/D at …",
    "L4[0]: read write, table at guest 0x40002000",
    "L3[0]: read write, table at guest 0x40003000",
  ];
  const second = [
    "S4[0]: read write, table at …",
    "S3[1]: read write, table at …",
    "S2[0]: read write, table at …",
  ];
  assert.deepEqual(told(), [
    ...upper,
    "L2[145]: read write, table at guest 0x40004000",
    "L1[325]: read write, 4 KiB page at guest 0x40001000",
    ...second,
    "S1[1]: read write, 4 KiB page at …",
  ]);
  assert.equal(bench.unit.walks, 0);
  assert.equal(bench.load(bench.hostOf(bench.top), 0) & FL_A, 0n);
  bench.allow(bench.guestTable(IOVA, 2), 0n);
  // Where a table of the guest's cannot be read, it is its own address that is followed.
  assert.deepEqual(told(), [
    ...upper,
    ...second,
    "S1[3]: fault 0x76: SM: Read permission error in first-level paging entry in Nested translation",
  ]);
});
