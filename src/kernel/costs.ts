import type { Resized } from "./iommu/resize.ts";

/** What a kernel has done so far of the things that make handing over expensive (seed line 2976). */
export class Costs {
  /** Entries of page tables stored, leaves and pointers. */
  ptesWritten = 0;
  /** Entries of two trees compared, pairs. */
  ptesCompared = 0;
  /** Leaves made of 512 smaller ones, and leaves cut into 512. */
  leavesJoined = 0;
  leavesSplit = 0;
  /** Invalidations of cached translations, by range or domain. */
  flushes = 0;
  /** Pages pinned for DMA. */
  pagesPinned = 0;
  /** Times the source of memory was asked where it is: for each page, or for 2 MiB of a file at once. */
  lookups = 0;
  /** Pages of I/O page tables allocated. */
  tablesAllocated = 0;
  /** Pages of tables in use now, and the most there ever were. */
  tables = 0;
  tablesPeak = 0;
  /** Bytes of device tree written for the next kernel. */
  bytesSerialised = 0;
  /** ioctl(2) calls. */
  ioctls = 0;

  /** `change` pages of tables more than before. */
  countTables(change: number): void {
    this.tables += change;
    if (this.tables > this.tablesPeak) this.tablesPeak = this.tables;
  }

  /** What a sweep over tables did. */
  countResized({ joined, split, written }: Resized): void {
    this.leavesJoined += joined;
    this.leavesSplit += split;
    this.ptesWritten += written;
  }

  copy(): CostCounts {
    return { ...this };
  }
}

export type CostCounts = Readonly<Omit<Costs, "countTables" | "countResized" | "copy">>;
