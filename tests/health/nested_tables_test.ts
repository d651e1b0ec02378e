import assert from "node:assert/strict";
import type { Look } from "../../src/health/checks.ts";
import { iotlbFresh } from "../../src/health/iotlb.ts";
import { sameTranslations } from "../../src/health/same_tables.ts";
import { readVtd } from "../../src/health/vtd.ts";
import { PS, R, RW } from "../machine/vtd/bench.ts";
import { NestedBench } from "../machine/vtd/nested_bench.ts";
import { FL } from "../machine/vtd/scalable_bench.ts";

const IOVA = 0x12345000n;

/** What health holds against the IOTLB. */
function stale(bench: NestedBench): number {
  const look: Look = {
    findings: [],
    premises: new Set(),
    nameOf: (sid) => sid.toString(16),
    strangerOf: () => undefined,
  };
  iotlbFresh(readVtd(bench.memory, bench.unit), look);
  return look.findings.length;
}

Deno.test("nested: a cached translation is stale once either level leads elsewhere", () => {
  const changes: [string, (b: NestedBench) => void][] = [
    ["the guest's leaf", (b) => b.mapGuest(IOVA, BigInt(b.guest()) << 12n | FL)],
    ["the guest's table", (b) => b.mapGuest(IOVA, BigInt(b.guest()) << 12n | FL, 2)],
    ["the host's leaf", (b) => b.map(b.under, 0x40001000n, 0x222000n | RW)],
    ["the host's rights", (b) => b.allow(0x40001, R)],
    ["where a table of the guest's lies", (b) => b.allow(b.guestTable(IOVA, 1), 0n)],
  ];
  for (const [name, change] of changes) {
    const bench = new NestedBench();
    const host = bench.page(IOVA);
    bench.enable();
    assert.equal(bench.dma(IOVA), host);
    assert.equal(stale(bench), 0, name);
    change(bench);
    assert.equal(bench.dma(IOVA), host, name);
    assert.equal(stale(bench), 1, name);
  }
});

Deno.test("nested: tables of both levels are listed, those of the guest where they lie", () => {
  const bench = new NestedBench();
  bench.page(IOVA);
  bench.enable();
  const { tables, guests, doubled, contexts } = readVtd(bench.memory, bench.unit).live;
  const lie = [4, 3, 2, 1].map((level) => bench.tableAt(IOVA, level));
  for (const pfn of [bench.under, ...lie]) assert.ok(tables.includes(pfn));
  assert.deepEqual(guests, new Set(lie));
  assert.ok(!tables.includes(bench.top), "a guest's number is nobody's frame");
  assert.deepEqual(doubled, []);
  assert.deepEqual(contexts.map((c) => [c.pasid, c.tag]), [[undefined, 0], [0, 0]]);
});

Deno.test("nested: the same translations only where both levels lead alike, part by part", () => {
  const bench = new NestedBench();
  // A large page of the guest's, of which the host maps a part.
  bench.mapGuest(0x40000000n, FL | PS, 2);
  bench.map(bench.under, 0x7000n, 0x111000n | RW);
  const other = bench.frame();
  for (let guest = 0x40000; guest < 0x40003; guest++) {
    bench.map(other, BigInt(guest) << 12n, BigInt(bench.hostOf(guest)) << 12n | RW);
  }
  bench.nest(1, { top: other });
  bench.enable();
  const same = () => {
    const reader = readVtd(bench.memory, bench.unit);
    const [a, b] = [0, 1].map((pasid) => reader.live.contexts.find((c) => c.pasid === pasid));
    assert.ok(a !== undefined && b !== undefined);
    // Not by their first-level tables, which are the same.
    return sameTranslations(reader, a, b);
  };
  assert.equal(same(), false);
  bench.map(other, 0x7000n, 0x111000n | RW);
  assert.equal(same(), true);
  const reader = readVtd(bench.memory, bench.unit), parts: number[][] = [];
  reader.eachLeaf(reader.live.contexts[0], (...part) => parts.push(part));
  assert.deepEqual(parts, [[0x40007, 0x111, 1]], "of the large page what there is");
});
