import assert from "node:assert/strict";
import fc from "fast-check";
import { explainTranslation } from "../../../src/machine/vtd/explain.ts";
import { indexAt, PS, SID } from "./bench.ts";
import { NestedBench } from "./nested_bench.ts";
import { FL_A, FL_D } from "./scalable_bench.ts";

/** Guest addresses of tables and pages: each scene has a few, and entries lead to any of them. */
const GUESTS = 6;
const INDICES = [0, 5, 511];

interface Second {
  /** Host address, or the reason of the second level for a request that needs `need`. */
  address: bigint;
  /** R and W over all levels. */
  rights: bigint;
}

/** The second level in plain 64-bit numbers (4 levels): a host address or `-reason`. */
function second(b: NestedBench, guest: bigint, need: bigint): Second {
  let table = BigInt(b.under), rights = 3n;
  if (guest >> 48n !== 0n) return { address: -0x84n, rights };
  for (let level = 4; level >= 1; level--) {
    if (!b.memory.isRam(Number(table))) return { address: level === 4 ? -0x7bn : -0x78n, rights };
    const entry = b.load(Number(table), indexAt(guest, level)),
      size = 4096n << BigInt(9 * level - 9);
    rights &= entry;
    if ((rights & need) === 0n) {
      return { address: rights === 0n ? -0x79n : need === 2n ? -0x85n : -0x86n, rights };
    }
    const address = entry & 0xffffffffff000n;
    if (address >> 43n !== 0n) return { address: -0x7an, rights };
    if (level === 1 || (entry & PS) !== 0n) {
      if (level > 3 || address % size !== 0n) return { address: -0x7an, rights };
      return { address: address + guest % size, rights };
    }
    table = address >> 12n;
  }
  throw new Error("no leaf");
}

/** Both levels; a frame or `-reason`. */
function reference(b: NestedBench, iova: bigint, write: boolean): number {
  let table = BigInt(b.top) << 12n, granted = 7n, unwritable = false;
  for (let level = 4; level >= 1; level--) {
    const { address, rights } = second(b, table, 1n);
    if (address === -0x84n) return -0x74;
    if (address === -0x79n || address === -0x86n) return level === 4 ? -0x75 : -0x76;
    if (address < 0n) return Number(address);
    const frame = Number(address >> 12n), size = 4096n << BigInt(9 * level - 9);
    if (!b.memory.isRam(frame)) return level === 4 ? -0x73 : -0x70;
    const entry = b.load(frame, indexAt(iova, level)), to = entry & 0xffffffffff000n;
    if ((entry & 1n) === 0n) return -0x71;
    if (to >> 43n !== 0n) return -0x72;
    granted &= entry;
    const leaf = level === 1 || (entry & PS) !== 0n;
    if (leaf && level > 1 && (level > 3 || (to % size & ~0x1000n) !== 0n)) return -0x72;
    const wanted = FL_A | (leaf && write ? FL_D : 0n);
    unwritable ||= (entry & wanted) !== wanted && (rights & 2n) === 0n;
    if (!leaf) {
      table = to;
      continue;
    }
    if ((granted & 4n) === 0n) return -0x81;
    if (write && (granted & 2n) === 0n) return -0x85;
    const page = second(b, to - to % size + iova % size, write ? 2n : 1n).address;
    if (page < 0n) return Number(page);
    if (unwritable) return -0x77;
    return page >> 20n === 0xfeen ? -0x87 : Number(page >> 12n);
  }
  throw new Error("no leaf");
}

/** One value mostly, now and then another. */
const mostly = <T>(weight: number, rule: T, ...others: T[]) =>
  fc.oneof({ weight, arbitrary: fc.constant(rule) }, fc.constantFrom(...others));

const guest = fc.nat(GUESTS - 1);
const scene = fc.record({
  /** What the second level says of each guest page. */
  rights: fc.array(mostly(9, 3n, 1n, 2n, 0n, 1n << 45n | 3n), {
    minLength: GUESTS,
    maxLength: GUESTS,
  }),
  /** Where a level's table leads, at each index; the last is where level 1 leads. */
  entries: fc.array(
    fc.record({
      table: guest,
      index: fc.constantFrom(...INDICES),
      to: guest,
      bits: mostly(6, 7n, 0x27n, 0x67n, 5n, 0x25n, 3n, 0n, 0x87n, 1n << 45n | 7n, 1n << 42n | 7n),
    }),
    { minLength: 8, maxLength: 18 },
  ),
  slade: fc.boolean(),
  /** The large page of the host that holds none of the guest's tables. */
  large: mostly(3, 0x40000083n, 0x40000081n, 0xfee00083n, 0x40001083n),
});

Deno.test("nested: over random tables of both levels what 64-bit arithmetic finds", () => {
  const seen = new Set<number>();
  fc.assert(
    fc.property(scene, (s) => {
      const bench = new NestedBench({ slade: s.slade });
      const guests = [bench.top];
      while (guests.length < GUESTS) guests.push(bench.guest());
      bench.map(bench.under, 0n, s.large, 2);
      // A chain to start from, so that walks come down to pages.
      guests.forEach((g, i) => {
        const to = BigInt(guests[(i + 1) % GUESTS]) << 12n;
        for (const index of INDICES) bench.store(bench.hostOf(g), index, to | 7n);
      });
      for (const { table, index, to, bits } of s.entries) {
        const target = (bits & PS) !== 0n || to === 0 ? 0n : BigInt(guests[to]) << 12n;
        bench.store(bench.hostOf(guests[table]), index, target | bits);
      }
      guests.forEach((g, i) => bench.allow(g, s.rights[i]));
      bench.enable();
      for (const [a, b, c, d] of [[0, 0, 0, 0], [0, 1, 2, 1], [0, 2, 1, 0], [1, 0, 0, 2]]) {
        const [i, j, k, l] = [a, b, c, d].map((n) => BigInt(INDICES[n]));
        const iova = i << 39n | j << 30n | k << 21n | l << 12n;
        // Twice, so that the second time the IOTLB answers; A and D bits change no translation.
        for (const kind of ["read", "write", "read", "write"] as const) {
          const expected = reference(bench, iova, kind === "write");
          const last = explainTranslation(bench.unit, SID, Number(iova), kind === "write").at(-1);
          assert.equal(last?.pfn ?? -(last?.reason ?? 0), expected);
          assert.equal(bench.dma(iova, kind), expected);
          seen.add(expected < 0 ? -expected : 0);
        }
      }
    }),
    { numRuns: 250, seed: 7 },
  );
  const ends = [0, 0x71, 0x72, 0x75, 0x76, 0x77, 0x79, 0x7a, 0x81, 0x85, 0x86, 0x87];
  assert.deepEqual(ends.filter((end) => !seen.has(end)).map((e) => e.toString(16)), []);
});
