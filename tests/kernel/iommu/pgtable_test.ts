import assert from "node:assert/strict";
import fc from "fast-check";
import type { DmarDomain } from "../../../src/kernel/iommu/intel/domain.ts";
import type { VtdCapability } from "../../../src/machine/vtd/capability.ts";
import type { Memory } from "../../../src/machine/memory.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import * as E from "../../../src/uapi/errno.ts";
import { KernelRig, NIC_SID } from "../rig.ts";

const READ = 1, WRITE = 2, RW = 3;

/** What is mapped, leaf by leaf, and which leaves a mapping should be made of (FACTS 3.2). */
class Model {
  readonly leaves = new Map<number, { pfn: number; span: number; prot: number }>();

  constructor(readonly superpages: number) {}

  /** First pages of the leaves that share a page with [page, page + count). */
  #touched(page: number, count: number): number[] {
    return [...this.leaves].filter(([p, l]) => p < page + count && page < p + l.span)
      .map(([p]) => p);
  }

  /** False when something is mapped there. */
  map(page: number, pfn: number, count: number, prot: number): boolean {
    if (this.#touched(page, count).length > 0) return false;
    while (count > 0) {
      let span = 1;
      for (const [bit, size] of [[1, 512], [2, 512 * 512]]) {
        if ((this.superpages & bit) === 0) break;
        if (page % size === 0 && pfn % size === 0 && count >= size) span = size;
      }
      this.leaves.set(page, { pfn, span, prot });
      page += span;
      pfn += span;
      count -= span;
    }
    return true;
  }

  /** A superpage that is cut goes as a whole, as VT-d drivers have it. */
  unmap(page: number, count: number): number {
    let pages = 0;
    for (const p of this.#touched(page, count)) {
      pages += this.leaves.get(p)?.span ?? 0;
      this.leaves.delete(p);
    }
    return pages;
  }

  look(page: number): { pfn: number; prot: number } | undefined {
    for (const span of [1, 512, 512 * 512]) {
      const leaf = this.leaves.get(page - page % span);
      if (leaf?.span === span) return { pfn: leaf.pfn + page % span, prot: leaf.prot };
    }
    return undefined;
  }
}

/** Every table hardware can reach from `pgd`, found entry by entry. */
function reachable(memory: Memory, pgd: number, levels: number): number[] {
  const found = [pgd];
  for (let word = 0; levels > 1 && word < 1024; word += 2) {
    const low = memory.load(pgd, word) >>> 0, high = memory.load(pgd, word + 1) >>> 0;
    if ((low & RW) === 0 || (low & 0x80) !== 0) continue;
    found.push(...reachable(memory, high * 2 ** 20 + Math.floor(low / 4096), levels - 1));
  }
  return found;
}

const sorted = (list: number[]) => list.toSorted((a, b) => a - b);

const CONFIGS: [string, number, Partial<VtdCapability>][] = [
  ["3 levels, no superpages", 3, { sagaw: 0b0010, mgaw: 39, superpages: 0 }],
  ["3 levels, 1 GiB pages", 3, { sagaw: 0b0010, mgaw: 39, superpages: 3 }],
  ["4 levels, no superpages", 4, { sagaw: 0b0110, mgaw: 48, superpages: 0 }],
  ["4 levels, 2 MiB pages", 4, { sagaw: 0b0110, mgaw: 48, superpages: 1 }],
  ["4 levels, 1 GiB pages", 4, { sagaw: 0b0110, mgaw: 48, superpages: 3 }],
  ["5 levels, 1 GiB pages", 5, { sagaw: 0b1110, mgaw: 57, superpages: 3 }],
  ["caching mode", 4, { cachingMode: true, superpages: 1 }],
  ["no page-selective invalidation", 4, { pageSelective: false, superpages: 1 }],
  ["a unit that flushes at most 4 pages at a time", 4, { maxAddressMask: 2 }],
];

/** Borders of tables of every level; FACTS 10.4: 512 GiB is page 2^27. */
const BASES = [0, 509, 512, 2 ** 18 - 2, 2 ** 18, 2 ** 27 - 513, 2 ** 27 - 1, 2 ** 27, 2 ** 36];
const PFNS = [0x1000, 0x1001, 0x40000, 0x180000, 0x7ff80000, 0x12345];
const COUNTS = [1, 2, 3, 8, 511, 512, 513, 1024, 1600, 2 ** 18, 2 ** 18 + 1];

const operation = fc.record({
  op: fc.constantFrom("map", "map", "map", "unmap", "unmap", "starve"),
  base: fc.constantFrom(...BASES),
  offset: fc.constantFrom(0, 0, 0, 1, 5, 512, 700),
  pfn: fc.constantFrom(...PFNS),
  count: fc.constantFrom(...COUNTS),
  prot: fc.constantFrom(RW, RW, READ, WRITE),
  nth: fc.integer({ min: 1, max: 5 }),
});

/** Kernel and hardware must agree with the model about these pages. */
function compare(rig: KernelRig, domain: DmarDomain, model: Model, pages: Iterable<number>): void {
  for (const page of pages) {
    if (page < 0 || page > domain.lastPage) continue;
    const want = model.look(page);
    const pfn = want?.pfn ?? -1;
    assert.equal(domain.translate(page), pfn, `kernel, page ${page}`);
    const may = (bit: number, reason: number) =>
      want !== undefined && (want.prot & bit) !== 0 ? pfn : -reason;
    assert.equal(rig.translate(NIC_SID, page, false), may(READ, 6), `read of page ${page}`);
    assert.equal(rig.translate(NIC_SID, page, true), may(WRITE, 5), `write of page ${page}`);
  }
}

for (const [name, levels, vtd] of CONFIGS) {
  Deno.test(`kernel, hardware and a map agree on every mapping: ${name}`, () => {
    const rig = new KernelRig({ vtd });
    const { kernel, chooser } = rig;
    const group = rig.dev().group;
    assert.equal(group?.claim("me", () => false), 0);
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 14, size: "max" }), (list) => {
        const free = kernel.pages.freePages;
        const domain = rig.domain();
        assert.equal(domain.table.levels, levels);
        assert.equal(group?.attach(domain), 0);
        const model = new Model(rig.machine.profile.vtd!.superpages);
        const probes = new Set<number>();
        for (const { op, base, offset, pfn, count: wanted, prot, nth } of list) {
          const page = base + offset;
          // A gigabyte in 4 KiB pages shows nothing that a few tables of them do not.
          const large = op === "unmap" || (model.superpages > 0 && (page | pfn) % 512 === 0);
          const count = large ? wanted : Math.min(wanted, 1600);
          if (page + count - 1 > domain.lastPage) continue;
          for (const p of [page - 1, page, page + (count >> 1), page + count - 1, page + count]) {
            probes.add(p);
          }
          if (op === "unmap") {
            assert.equal(domain.unmap(page, count), model.unmap(page, count));
          } else {
            // A failed mapping must leave what was there before, and nothing of its own.
            if (op === "starve") chooser.arm("fault:alloc_page", nth);
            const rc = domain.map(page, pfn, count, prot);
            chooser.arm("fault:alloc_page", 2 ** 50);
            if (op !== "starve" || rc !== -E.ENOMEM) {
              assert.equal(rc, model.map(page, pfn, count, prot) ? 0 : -E.EEXIST);
            }
          }
          compare(rig, domain, model, probes);
        }
        const tables = domain.table.tables();
        assert.equal(tables[0], domain.table.pgd);
        const live = reachable(rig.machine.memory, domain.table.pgd, levels);
        assert.deepEqual(sorted(tables), sorted(live));
        for (const table of tables) assert.equal(kernel.pages.useOf(table), FrameUse.iommuTable);
        assert.equal(kernel.pages.freePages, free - tables.length);

        assert.equal(domain.unmap(0, domain.lastPage + 1), model.unmap(0, domain.lastPage + 1));
        assert.deepEqual(domain.table.tables(), [domain.table.pgd]);
        compare(rig, domain, model, probes);
        group?.detach();
        domain.free();
        assert.equal(kernel.pages.freePages, free, "a table was leaked");
      }),
      { numRuns: 80 },
    );
  });
}

/** A domain on the default machine, attached. */
function attached(vtd: Partial<VtdCapability> = {}) {
  const rig = new KernelRig({ vtd });
  const group = rig.dev().group;
  assert.equal(group?.claim("me", () => false), 0);
  const domain = rig.domain();
  assert.equal(group?.attach(domain), 0);
  return { rig, domain, memory: rig.machine.memory };
}

Deno.test("entries are those of the real format", () => {
  // FACTS 10.4.
  const { domain, memory } = attached();
  const entry = (table: number, index: number) => {
    const [low, high] = [memory.load(table, index * 2), memory.load(table, index * 2 + 1)];
    return `${(high >>> 0).toString(16)}:${(low >>> 0).toString(16)}`;
  };
  const next = (table: number, index: number) => memory.load(table, index * 2) >>> 12;
  // iova 0x7f12345678: L4 0, L3 508, L2 145, L1 325.
  assert.equal(domain.map(0x7f12345, 0xabcde, 1, RW), 0);
  const l3 = next(domain.table.pgd, 0), l2 = next(l3, 508), l1 = next(l2, 145);
  assert.equal(entry(l1, 325), "0:abcde003");
  assert.equal(entry(domain.table.pgd, 0), `0:${(l3 * 4096 + 3).toString(16)}`);
  // 2 MiB RW at 0x40000000.
  assert.equal(domain.map(0x200, 0x40000, 512, RW), 0);
  assert.equal(entry(next(next(domain.table.pgd, 0), 0), 1), "0:40000083");
  // Above 4 GiB.
  assert.equal(domain.map(0x7f12346, 0x12345678, 1, READ), 0);
  assert.equal(entry(l1, 326), "123:45678001");
});

Deno.test("the first address behind 512 GiB is reached through the second entry of the top", () => {
  // FACTS 10.4: the address that the posted walk loses (D53).
  const { rig, domain, memory } = attached();
  assert.equal(domain.map(2 ** 27 - 1, 0x500, 2, RW), 0);
  assert.equal(rig.translate(NIC_SID, 2 ** 27, true), 0x501);
  assert.notEqual(memory.load(domain.table.pgd, 2), 0);
  assert.equal(domain.table.tables().length, 1 + 2 * 3);
});

Deno.test("tables for a gigabyte are as many as the page size demands", () => {
  // FACTS 3.2: per GiB 1 (2 MiB leaves) or 513 (4 KiB leaves), one more per 512 GiB, and the top.
  for (const [superpages, tables] of [[0, 513 + 2], [1, 1 + 2], [3, 2]]) {
    const { domain } = attached({ superpages });
    assert.equal(domain.map(2 ** 18, 2 ** 18, 2 ** 18, RW), 0);
    assert.equal(domain.table.tables().length, tables, `superpages ${superpages}`);
  }
});

Deno.test("mapping over something mapped is refused and changes nothing, before or behind it", () => {
  const { rig, domain } = attached();
  assert.equal(domain.map(100, 0x500, 4, RW), 0);
  for (const [page, count] of [[98, 4], [100, 4], [102, 1], [103, 8], [90, 20]]) {
    assert.equal(domain.map(page, 0x9000, count, RW), -E.EEXIST);
    const seen = Array.from({ length: 30 }, (_, i) => domain.translate(85 + i));
    assert.deepEqual(seen.filter((p) => p >= 0), [0x500, 0x501, 0x502, 0x503]);
    for (let i = 0; i < 4; i++) assert.equal(rig.translate(NIC_SID, 100 + i, true), 0x500 + i);
    assert.equal(rig.translate(NIC_SID, page < 100 ? 99 : 104, true), -5);
  }
  // A superpage over small pages, and small pages into a superpage.
  assert.equal(domain.map(0, 0x40000, 512, RW), -E.EEXIST);
  assert.equal(domain.translate(100), 0x500);
  assert.equal(domain.map(1024, 0x40000, 512, RW), 0);
  assert.equal(domain.map(1030, 0x500, 1, RW), -E.EEXIST);
  assert.equal(domain.translate(1030), 0x40006);
});

Deno.test("a superpage takes the place of a table that unmapping left empty", () => {
  const { rig, domain } = attached();
  const { pages } = rig.kernel;
  assert.equal(domain.map(512, 0x500, 8, RW), 0);
  assert.equal(domain.unmap(512, 8), 8);
  const free = pages.freePages;
  assert.equal(domain.map(512, 0x40000, 512, RW), 0);
  assert.equal(pages.freePages, free + 1, "the empty table is given back");
  assert.equal(rig.translate(NIC_SID, 512 + 9, true), 0x40009);
});

Deno.test("beyond the width of the tables nothing is mapped, unmapped or found", () => {
  const { domain } = attached();
  assert.equal(domain.lastPage, 2 ** 36 - 1);
  assert.equal(domain.map(0, 0x500, 4, RW), 0);
  assert.equal(domain.map(2 ** 36, 0x900, 1, RW), -E.EINVAL);
  assert.equal(domain.map(2 ** 36 - 1, 0x900, 2, RW), -E.EINVAL);
  assert.equal(domain.translate(2 ** 36), -1);
  assert.equal(domain.translate(2 ** 36 - 1), -1);
  // 2^36 pages further on, the indexes are those of page 0.
  assert.equal(domain.unmap(2 ** 36, 4), 0);
  assert.equal(domain.unmap(2 ** 36 - 1, 5), 0);
  assert.equal(domain.translate(0), 0x500);
});

Deno.test("a unit narrower than its tables limits the domain", () => {
  const { domain } = attached({ sagaw: 0b0100, mgaw: 42 });
  assert.equal(domain.lastPage, 2 ** 30 - 1);
  assert.equal(domain.map(2 ** 30, 0x500, 1, RW), -E.EINVAL);
});
