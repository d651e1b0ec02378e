import type { Memory } from "../../../machine/memory.ts";
import { DMA_SL_PTE_DIRTY } from "../../../uapi/vtd_scalable.ts";
import { DMA_PTE_LARGE, levelPages } from "./pgtable.ts";

/**
 * Dirty bits of second-level leaves (FACTS 3.2: bit 9), which hardware sets where a PASID entry
 * asks for it (SLADE). A superpage has one bit for all of its pages.
 */
export class DirtyBits {
  constructor(readonly memory: Memory, readonly pgd: number, readonly levels: number) {}

  /** Calls `seen` for each dirty run inside [page, page + count); `clear` takes the bits away. */
  read(
    page: number,
    count: number,
    clear: boolean,
    seen: (page: number, count: number) => void,
  ): void {
    this.#scan(this.pgd, this.levels, page, count, clear, seen);
  }

  /** Takes every dirty bit away. */
  clearAll(): void {
    this.read(0, levelPages(this.levels + 1), true, () => {});
  }

  #scan(
    table: number,
    level: number,
    page: number,
    count: number,
    clear: boolean,
    seen: (page: number, count: number) => void,
  ): void {
    const span = levelPages(level);
    const end = page + count;
    while (page < end) {
      const index = Math.floor(page / span) & 511;
      const inEntry = Math.min(end - page, span - page % span);
      const lo = this.memory.load(table, index * 2);
      if ((lo & 3) !== 0) {
        if (level > 1 && (lo & DMA_PTE_LARGE) === 0) {
          const below = (this.memory.load(table, index * 2 + 1) << 20) | (lo >>> 12);
          this.#scan(below, level - 1, page, inEntry, clear, seen);
        } else if (lo & DMA_SL_PTE_DIRTY) {
          if (clear) this.memory.store(table, index * 2, lo & ~DMA_SL_PTE_DIRTY);
          seen(page, inEntry);
        }
      }
      page += inEntry;
      if (index === 511) break;
    }
  }
}
