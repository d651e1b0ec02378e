import { PAGE_SIZE } from "../../../base/units.ts";
import { decodeMem } from "../../kho/abi.ts";
import type { Kernel } from "../../kernel.ts";
import { HeapArray } from "../../mm/kasan.ts";
import { nullDereference, Oops } from "../../oops.ts";
import type { DmarDomain } from "./domain.ts";
import { DMA_PTE_LARGE, DMA_PTE_READ, DMA_PTE_WRITE } from "./pgtable.ts";

const AT = "save_pte_pages";
const ENTRIES = 512;
const KHO_MEM_BYTES = 16;

/**
 * What the posted walk (seed lines 1441-1466) lists of a domain's tables, in its order. Where a
 * defect is not there the walk is as it should have been: every table is listed, and no data.
 */
export function walkTables(domain: DmarDomain): number[] {
  const { kernel, table } = domain;
  const list = kernel.has("D57") ? new OnePage(kernel) : new Growing();
  const walk = new Walk(kernel, list);
  if (!kernel.has("D55")) list.add(table.pgd);
  // The posted code hands the first entry of the pgd to a function that expects a whole table.
  for (let i = 0; i < (kernel.has("D53") ? 1 : ENTRIES); i++) {
    const [lo, hi] = walk.entry(table.pgd, i);
    // Neither is it looked at whether that entry is there, nor whether it leads to a table.
    const blind = kernel.has("D56") && i === 0;
    if (!present(lo) && !blind) continue;
    const next = frameOf(lo, hi);
    if ((lo & DMA_PTE_LARGE) !== 0 && !blind) {
      if (kernel.has("D54")) list.add(next);
      continue;
    }
    if (!(kernel.has("D55") && i === 0)) list.add(next);
    walk.table(next, table.levels - 1);
  }
  return list.pfns();
}

/** Where the walk writes down what it finds. */
interface Found {
  add(pfn: number): void;
  pfns(): number[];
}

class Growing implements Found {
  readonly #pfns: number[] = [];

  add(pfn: number): void {
    this.#pfns.push(pfn);
  }

  pfns(): number[] {
    return this.#pfns;
  }
}

/** An array of one page, which is never looked at for being full, nor given back (seed line 1493). */
class OnePage implements Found {
  readonly #array: HeapArray;
  #bytes = 0;

  constructor(kernel: Kernel) {
    this.#array = HeapArray.alloc(kernel, "kho_mems", PAGE_SIZE) ?? nullDereference(AT);
  }

  add(pfn: number): void {
    this.#array.store64(this.#bytes, pfn * PAGE_SIZE, AT);
    this.#array.store64(this.#bytes + 8, PAGE_SIZE, AT);
    this.#bytes += KHO_MEM_BYTES;
  }

  pfns(): number[] {
    const mem = decodeMem(this.#array.bytes(this.#bytes, "serialise_domain"));
    return mem.map(({ address }) => address / PAGE_SIZE);
  }
}

class Walk {
  readonly #leaves: boolean;

  constructor(readonly kernel: Kernel, readonly found: Found) {
    this.#leaves = kernel.has("D54");
  }

  /** Everything below a table of this level; without data, unless leaves are taken for tables. */
  table(pfn: number, level: number): void {
    for (let i = 0; i < ENTRIES; i++) {
      const [lo, hi] = this.entry(pfn, i);
      if (!present(lo)) continue;
      const leaf = level === 1 || (lo & DMA_PTE_LARGE) !== 0;
      if (!leaf || this.#leaves) this.found.add(frameOf(lo, hi));
      if (!leaf) this.table(frameOf(lo, hi), level - 1);
    }
  }

  /** Two words of an entry. An oops where the kernel has no memory mapped. */
  entry(pfn: number, index: number): [lo: number, hi: number] {
    const { memory } = this.kernel.machine;
    if (!memory.isRam(pfn)) {
      const address = pfn * PAGE_SIZE + index * 8;
      const what = `BUG: unable to handle page fault for address: 0x${address.toString(16)}`;
      throw new Oops(AT, address, what);
    }
    return [memory.load(pfn, index * 2), memory.load(pfn, index * 2 + 1)];
  }
}

function present(lo: number): boolean {
  return (lo & (DMA_PTE_READ | DMA_PTE_WRITE)) !== 0;
}

/** The address bits of an entry as a frame number, all 52 of them. */
function frameOf(lo: number, hi: number): number {
  return (hi >>> 0) * 1048576 + (lo >>> 12);
}
