import { PAGE_SIZE } from "../base/units.ts";
import type { PhysRange } from "./memory.ts";

/** Which frames there are: the ranges of RAM as int32 frame numbers. */
export class RamMap {
  /** Pairs: first frame, one past the last. */
  #bounds: Int32Array;
  /** The range that answered last: tables crowd together, and so do the pages of a device. */
  first = 0;
  count = 0;

  constructor(ranges: readonly PhysRange[]) {
    this.#bounds = Int32Array.from(
      ranges.flatMap((r) => [r.start / PAGE_SIZE, (r.start + r.size) / PAGE_SIZE]),
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
