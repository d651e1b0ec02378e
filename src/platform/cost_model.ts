import type { CostCounts } from "../kernel/costs.ts";

/**
 * What one of each is taken to cost, nanoseconds. A model: orders of magnitude of a server core with
 * the tables in its caches or on their way there, for comparing designs with one another. Nothing in
 * the emulation waits for these times.
 */
export const COST_NS = {
  pteWritten: 4,
  /** A pair: two loads that miss, mostly. */
  pteCompared: 6,
  /** Where memory is: a walk of somebody's tables, or a file's block. Pinning itself is in it. */
  lookup: 60,
  /** One page of the allocator, zeroed. */
  tableAllocated: 400,
  byteSerialised: 1,
  ioctl: 600,
} as const;

/** Counts since an earlier copy; what is a level, not a count, is the later one's. */
export function costsSince(now: CostCounts, then: CostCounts): CostCounts {
  return {
    ptesWritten: now.ptesWritten - then.ptesWritten,
    ptesCompared: now.ptesCompared - then.ptesCompared,
    leavesJoined: now.leavesJoined - then.leavesJoined,
    leavesSplit: now.leavesSplit - then.leavesSplit,
    flushes: now.flushes - then.flushes,
    pagesPinned: now.pagesPinned - then.pagesPinned,
    lookups: now.lookups - then.lookups,
    tablesAllocated: now.tablesAllocated - then.tablesAllocated,
    bytesSerialised: now.bytesSerialised - then.bytesSerialised,
    ioctls: now.ioctls - then.ioctls,
    tables: now.tables,
    tablesPeak: now.tablesPeak,
  };
}

/** Modelled time of all of it, nanoseconds. */
export function modelledTime(costs: CostCounts): number {
  return costs.ptesWritten * COST_NS.pteWritten + costs.ptesCompared * COST_NS.pteCompared +
    costs.lookups * COST_NS.lookup + costs.tablesAllocated * COST_NS.tableAllocated +
    costs.bytesSerialised * COST_NS.byteSerialised + costs.ioctls * COST_NS.ioctl;
}
