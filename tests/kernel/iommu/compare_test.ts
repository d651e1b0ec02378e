import assert from "node:assert/strict";
import fc from "fast-check";
import { SeededChooser } from "../../../src/base/choice.ts";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import { differingPages } from "../../../src/kernel/iommu/intel/compare.ts";
import { DmarPageTable } from "../../../src/kernel/iommu/intel/pgtable.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import { PageAllocator } from "../../../src/kernel/mm/page_alloc.ts";
import { Memory } from "../../../src/machine/memory.ts";

const LEVELS = 3, SPAN = 2 ** 18, RW = 3;

/** Two empty trees beside each other; `superpages` as the second one may use them. */
class Trees {
  readonly memory = new Memory([{ start: 0, size: 16 * MiB }]);
  readonly #pages = new PageAllocator(this.memory, new SeededChooser(1));
  readonly a: DmarPageTable;
  readonly b: DmarPageTable;

  constructor(superpages = 3) {
    this.#pages.donate({ start: 256 * PAGE_SIZE, end: 16 * MiB });
    this.a = this.#tree(0);
    this.b = this.#tree(superpages);
  }

  #tree(superpages: number): DmarPageTable {
    const pgd = this.#pages.allocPage(FrameUse.iommuTable);
    return new DmarPageTable(this.memory, this.#pages, LEVELS, superpages, pgd);
  }

  /** What the comparison says, the same in both directions. */
  get differing(): number {
    const { memory, a, b } = this;
    const count = differingPages(memory, a.pgd, b.pgd, LEVELS);
    assert.equal(differingPages(memory, b.pgd, a.pgd, LEVELS), count);
    return count;
  }

  /** The word of a page's entry in the tree of single pages. */
  entry(page: number): { table: number; word: number } {
    const directory = this.memory.load(this.a.pgd, 0) >>> 12;
    const table = this.memory.load(directory, (page >>> 9) * 2) >>> 12;
    return { table, word: (page & 511) * 2 };
  }
}

Deno.test("trees that translate alike do not differ, whatever their pages", () => {
  for (const superpages of [0, 1, 3]) {
    const trees = new Trees(superpages);
    assert.equal(trees.differing, 0, "both empty");
    trees.a.map(0, SPAN, SPAN, RW);
    trees.b.map(0, SPAN, SPAN, RW);
    assert.equal(trees.differing, 0, `superpages ${superpages}`);
    assert.equal(differingPages(trees.memory, trees.a.pgd, trees.a.pgd, LEVELS), 0);
  }
});

Deno.test("what is mapped on one side only differs page by page", () => {
  for (const superpages of [0, 1, 3]) {
    const trees = new Trees(superpages);
    trees.b.map(0, SPAN, SPAN, RW);
    assert.equal(trees.differing, SPAN, `superpages ${superpages}`);
  }
});

Deno.test("single pages elsewhere, missing or with other rights are counted, ignored bits are not", () => {
  const trees = new Trees();
  trees.a.map(0, SPAN, SPAN, RW);
  trees.b.map(0, SPAN, SPAN, RW);
  const set = (page: number, low: (old: number) => number, high = 0) => {
    const { table, word } = trees.entry(page);
    trees.memory.store(table, word, low(trees.memory.load(table, word)));
    if (high !== 0) trees.memory.store(table, word + 1, high);
  };
  set(3, (low) => low + PAGE_SIZE);
  set(511, (low) => low & ~2);
  set(512, () => 0);
  set(SPAN - 1, (low) => low, 1);
  assert.equal(trees.differing, 4);
  // SNP, A and D, and bits above the address; a NaN, were it read as a number.
  set(1000, (low) => low | 0x800);
  set(1001, (low) => low | 0x300, 0x7ff00000);
  assert.equal(trees.differing, 4);
});

Deno.test("over any mappings the comparison finds what a look at every page finds", () => {
  const piece = fc.record({
    page: fc.integer({ min: 0, max: 2047 }),
    count: fc.constantFrom(1, 7, 512, 600),
    shift: fc.constantFrom(0, 0, 0, 512),
    prot: fc.constantFrom(1, 2, 3),
  });
  const side = fc.array(piece, { maxLength: 5 });
  fc.assert(
    fc.property(side, side, fc.constantFrom(0, 1), (one, two, superpages) => {
      const trees = new Trees(superpages);
      const rights = [new Map<number, number>(), new Map<number, number>()];
      [trees.a, trees.b].forEach((tree, i) => {
        for (const { page, count, shift, prot } of i === 0 ? one : two) {
          tree.map(page, page + shift + 4096, count, prot);
          for (let p = 0; p < tree.mapped; p++) rights[i].set(page + p, prot);
        }
      });
      let expected = 0;
      for (let page = 0; page < 4096; page++) {
        const same = trees.a.translate(page) === trees.b.translate(page) &&
          rights[0].get(page) === rights[1].get(page);
        if (!same) expected++;
      }
      assert.equal(trees.differing, expected);
    }),
    { numRuns: 40 },
  );
});
