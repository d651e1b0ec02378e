/** The counterpart of c/tables.c: the kernel's page-table code, the unit's walker and its IOTLB. */
import { SeededChooser } from "../../src/base/choice.ts";
import { GiB, PAGE_SIZE } from "../../src/base/units.ts";
import { compareRadix } from "../../src/kernel/iommu/compare.ts";
import { DmarPageTable } from "../../src/kernel/iommu/intel/pgtable.ts";
import { FrameUse } from "../../src/kernel/mm/frames.ts";
import { PageAllocator } from "../../src/kernel/mm/page_alloc.ts";
import { Memory } from "../../src/machine/memory.ts";
import { DEFAULT_CAPABILITY } from "../../src/machine/vtd/capability.ts";
import { Iotlb } from "../../src/machine/vtd/iotlb.ts";
import { Walker } from "../../src/machine/vtd/walker.ts";
import { type Benchmark, mix, timed } from "./side.ts";

const READ_WRITE = 3;
const LEVELS = 4;
const FIRST_FREE = 256;
const GUEST_FRAME = 0x800000;
const IOTLB_ENTRIES = 4096;
const DID = 7;

/** `divisor`: all sizes are divided by it. */
export function tables(divisor: number): Record<string, Benchmark> {
  const pages = 2 ** 22 / divisor, largePages = 2 ** 19 / divisor;
  const memory = new Memory([
    { start: 0, size: 0xa0000 },
    { start: 0x100000, size: 3 * GiB - 0x100000 },
    { start: 4 * GiB, size: 188 * GiB },
  ]);
  const chooser = new SeededChooser(1);
  let allocator = new PageAllocator(memory, chooser);

  /** An empty tree on an allocator that has handed out nothing yet, on memory that was touched. */
  const fresh = (superpages: number): DmarPageTable => {
    allocator = new PageAllocator(memory, chooser);
    allocator.donate({ start: FIRST_FREE * PAGE_SIZE, end: 2 ** 17 * PAGE_SIZE });
    return another(superpages);
  };
  const another = (superpages: number): DmarPageTable => {
    const pgd = allocator.allocPage(FrameUse.iommuTable);
    return new DmarPageTable(memory, allocator, LEVELS, superpages, pgd);
  };
  const mapped = (count: number, superpages: number): DmarPageTable => {
    const table = fresh(superpages);
    table.map(0, GUEST_FRAME, count, READ_WRITE);
    return table;
  };

  /** Over every word of every table, in the order they are collected. */
  const checksum = (table: DmarPageTable): number => {
    const found = table.tables();
    let sum = found.length;
    for (const pfn of found) {
      sum = mix(sum, pfn);
      const words = memory.readable(pfn) as Uint32Array, base = memory.base(pfn);
      for (let i = 0; i < 1024; i++) sum = mix(sum, words[base + i]);
    }
    return sum;
  };

  const mapRuns = (count: number, superpages: number) => () => {
    const table = fresh(superpages);
    timed(() => table.map(0, GUEST_FRAME, count, READ_WRITE));
    return checksum(table);
  };
  const unmapRuns = (count: number, superpages: number) => () => {
    const table = mapped(count, superpages);
    const freed: number[] = [];
    const unmapped = timed(() => {
      const n = table.unmap(0, count, freed);
      for (const pfn of freed) allocator.freePage(pfn);
      return n;
    });
    return mix(mix(checksum(table), unmapped), freed.length);
  };

  const owned = (pfn: number) => allocator.useOf(pfn) === FrameUse.iommuTable;
  const compare = (a: DmarPageTable, b: DmarPageTable): number => {
    // Page sizes count where the hardware minds; here they do not.
    const { difference, leaves } = timed(() =>
      compareRadix(memory, a.radix, b.radix, owned, false)
    );
    return mix(leaves, difference === undefined ? 1 : 0);
  };

  const walker = new Walker(memory, { ...DEFAULT_CAPABILITY, hostWidth: 39, superpages: 3 });
  const iotlb = new Iotlb(IOTLB_ENTRIES);
  return {
    "map-runs": mapRuns(pages, 0),
    "map-pages": () => {
      const table = fresh(0);
      timed(() => {
        for (let i = 0; i < pages; i++) table.map(i, GUEST_FRAME + i, 1, READ_WRITE);
      });
      return checksum(table);
    },
    "map-2m": eightTimes(mapRuns(largePages * 512, 1)),
    "unmap-runs": unmapRuns(pages, 0),
    "unmap-2m": eightTimes(unmapRuns(largePages * 512, 1)),
    "walk-sequential": () => {
      const root = mapped(pages, 0).pgd;
      return timed(() => walkInOrder(walker, root, pages));
    },
    "walk-random": () => {
      const root = mapped(pages, 0).pgd;
      return timed(() => walkAtRandom(walker, root, pages));
    },
    "iotlb-hits": () => {
      iotlb.invalidateAll();
      for (let i = 0; i < IOTLB_ENTRIES; i++) {
        iotlb.fill(0, i << 12, DID, GUEST_FRAME + i, 1, READ_WRITE);
      }
      return timed(() => hitAtRandom(iotlb, 4 * pages));
    },
    "compare-equal": () => {
      const a = mapped(pages, 0), b = another(0);
      b.map(0, GUEST_FRAME, pages, READ_WRITE);
      return compare(a, b);
    },
    "compare-mixed": () => {
      const a = mapped(pages, 0), b = another(1);
      b.map(0, GUEST_FRAME, pages, READ_WRITE);
      return compare(a, b);
    },
    "collect": () => {
      const table = mapped(pages, 0);
      return timed(() => {
        let sum = 0;
        for (let i = 0; i < 200; i++) {
          const found = table.tables();
          sum = mix(mix(sum, found.length), found[found.length - 1]);
        }
        return sum;
      });
    },
  };
}

/** What is over in no time is done again and again. */
function eightTimes(once: Benchmark): Benchmark {
  return () => {
    let sum = 0;
    for (let i = 0; i < 8; i++) sum ^= once() + i;
    return sum;
  };
}

// Levels, DID and the W bit stand as they are in the loops, as they do for the C compiler.

function walkInOrder(walker: Walker, root: number, pages: number): number {
  let sum = 0;
  for (let i = 0; i < pages; i++) {
    sum = (sum + walker.walk(root, 4, i >>> 20, i << 12, 2)) | 0;
  }
  return sum;
}

function walkAtRandom(walker: Walker, root: number, pages: number): number {
  let sum = 0, at = 1;
  for (let i = 0; i < pages; i++) {
    at = (Math.imul(at, 1664525) + 1013904223) | 0;
    const page = (at >>> 8) & (pages - 1);
    sum = (Math.imul(sum, 31) + walker.walk(root, 4, page >>> 20, page << 12, 2)) | 0;
  }
  return sum;
}

function hitAtRandom(iotlb: Iotlb, count: number): number {
  let sum = 0, at = 1;
  for (let i = 0; i < count; i++) {
    at = (Math.imul(at, 1664525) + 1013904223) | 0;
    sum = (Math.imul(sum, 31) + iotlb.hit(0, (at >>> 20) << 12, 7, 2)) | 0;
  }
  return sum;
}
