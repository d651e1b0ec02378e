import { PAGE_SIZE } from "../base/units.ts";
import type { Memory } from "./memory.ts";

/** Which frames answer a table walk: the ranges of RAM as int32 frame numbers. */
export class RamMap {
  /** Pairs: first frame, one past the last. */
  #bounds: Int32Array;
  /** The range that answered last: tables crowd together, and this check is half of a walk. */
  first = 0;
  count = 0;

  constructor(memory: Memory) {
    this.#bounds = Int32Array.from(
      memory.ranges.flatMap((r) => [r.start / PAGE_SIZE, (r.start + r.size) / PAGE_SIZE]),
    );
  }

  has(pfn: number): boolean {
    return ((pfn - this.first) >>> 0) < this.count || this.#search(pfn);
  }

  #search(pfn: number): boolean {
    const bounds = this.#bounds;
    for (let i = 0; i < bounds.length; i += 2) {
      if (pfn >= bounds[i] && pfn < bounds[i + 1]) {
        this.first = bounds[i];
        this.count = bounds[i + 1] - bounds[i];
        return true;
      }
    }
    return false;
  }
}
