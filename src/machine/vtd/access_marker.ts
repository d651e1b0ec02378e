import type { Memory } from "../memory.ts";
import {
  DMA_FL_PTE_ACCESSED,
  DMA_FL_PTE_DIRTY,
  DMA_SL_PTE_ACCESSED,
  DMA_SL_PTE_DIRTY,
} from "../../uapi/vtd_scalable.ts";

/**
 * Writes the accessed and dirty bits of table entries, as hardware does: A in every entry that a
 * translation went through, D in the leaf when the request writes. A separate pass after a walk
 * that found its page; a request that faults leaves no mark. Each entry is read and written back
 * in one step, and only when a bit is missing.
 */
export class AccessMarker {
  constructor(readonly memory: Memory) {}

  /** First-level tables. Returns whether D is set in the leaf. */
  first(
    root: number,
    levels: number,
    leaf: number,
    hi: number,
    lo: number,
    write: boolean,
  ): boolean {
    return this.#mark(root, levels, leaf, hi, lo, write, DMA_FL_PTE_ACCESSED, DMA_FL_PTE_DIRTY);
  }

  /** Second-level tables. Returns whether D is set in the leaf. */
  second(
    root: number,
    levels: number,
    leaf: number,
    hi: number,
    lo: number,
    write: boolean,
  ): boolean {
    return this.#mark(root, levels, leaf, hi, lo, write, DMA_SL_PTE_ACCESSED, DMA_SL_PTE_DIRTY);
  }

  #mark(
    root: number,
    levels: number,
    leaf: number,
    hi: number,
    lo: number,
    write: boolean,
    accessed: number,
    dirty: number,
  ): boolean {
    const memory = this.memory;
    const page = (lo >>> 12) & 0x3ffff, upper = (hi << 2) | (lo >>> 30);
    let table = root;
    for (let level = levels;; level--) {
      const index = (level > 2 ? upper >>> (9 * (level - 3)) : page >>> (9 * (level - 1))) & 511;
      const low = memory.load(table, index << 1);
      const marked = low | accessed | (write && level === leaf ? dirty : 0);
      if (marked !== low) memory.store(table, index << 1, marked);
      if (level === leaf) return (marked & dirty) !== 0;
      table = ((memory.load(table, (index << 1) | 1) & 0xfffff) << 20) | (low >>> 12);
    }
  }
}
