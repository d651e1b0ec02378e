import { PAGE_SIZE } from "../../base/units.ts";

/** A half-open range of physical byte addresses. */
export interface Region {
  readonly start: number;
  readonly end: number;
}

/** Sorted, disjoint regions; touching ones are merged. */
export class RegionList {
  #regions: Region[] = [];

  get regions(): readonly Region[] {
    return this.#regions;
  }

  add(start: number, end: number): void {
    if (end <= start) return;
    const kept: Region[] = [];
    for (const r of this.#regions) {
      if (r.end < start || r.start > end) kept.push(r);
      else {
        start = Math.min(start, r.start);
        end = Math.max(end, r.end);
      }
    }
    kept.push({ start, end });
    this.#regions = kept.sort((a, b) => a.start - b.start);
  }

  overlaps(start: number, end: number): boolean {
    return this.#regions.some((r) => r.start < end && start < r.end);
  }

  contains(start: number, end: number): boolean {
    return this.#regions.some((r) => r.start <= start && end <= r.end);
  }
}

/**
 * The allocator of early boot: what is memory, what of it is taken. Allocation is top-down as on
 * x86, 4 KiB aligned unless asked otherwise. Once a KHO handover is known, everything comes from
 * the scratch region until the preserved ranges have been reserved (FACTS 6.1).
 */
export class Memblock {
  readonly memory = new RegionList();
  readonly reserved = new RegionList();
  /** When set, {@link alloc} takes from this region only. */
  scratchOnly: Region | undefined;

  reserve(start: number, size: number): void {
    this.reserved.add(start, start + size);
  }

  /** Highest fitting address below `limit`, reserved; -1 when nothing fits. */
  alloc(size: number, align = PAGE_SIZE, limit = Infinity): number {
    const pools = this.scratchOnly ? [this.scratchOnly] : this.memory.regions;
    for (let p = pools.length - 1; p >= 0; p--) {
      let end = Math.min(pools[p].end, limit);
      for (;;) {
        const start = Math.floor((end - size) / align) * align;
        if (start < pools[p].start) break;
        const clash = this.reserved.regions.find((r) => r.start < start + size && start < r.end);
        if (clash === undefined) {
          this.reserve(start, size);
          return start;
        }
        end = clash.start;
      }
    }
    return -1;
  }

  /** Memory that is not reserved, ascending. */
  *free(): Generator<Region> {
    for (const m of this.memory.regions) {
      let at = m.start;
      for (const r of this.reserved.regions) {
        if (r.end <= at || r.start >= m.end) continue;
        if (r.start > at) yield { start: at, end: r.start };
        at = Math.max(at, r.end);
      }
      if (at < m.end) yield { start: at, end: m.end };
    }
  }
}
