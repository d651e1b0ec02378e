import { formatTime } from "../base/units.ts";
import type { CostCounts } from "../kernel/costs.ts";
import { modelledTime } from "../platform/cost_model.ts";
import type { UpdateRecord } from "../platform/live_update.ts";

/** What an update cost beside its phases, for people: nothing for one that never jumped. */
export function costLines({ costs }: UpdateRecord, now: number): string[] {
  const { handingOver, takingOver, tablesBefore, blackouts, degraded } = costs;
  if (handingOver === undefined || takingOver === undefined) return [];
  const lines: string[] = [];
  for (const [vm, { from, to }] of degraded) {
    const still = to < 0 ? ", and still is" : "";
    const length = formatTime((to < 0 ? now : to) - from);
    lines.push(`  ${vm} ran degraded (no change of its address space) for ${length}${still}`);
  }
  if (blackouts.size > 0) {
    const parts = [...blackouts].map(([id, gap]) => `${id} ${formatTime(gap)}`);
    lines.push(`  blackout: ${parts.join(", ")}`);
  }
  lines.push(
    `  handing over: ${handingOver.bytesSerialised} bytes; taking over: ${countsText(takingOver)}`,
    `  table pages: ${tablesBefore} at first, ${takingOver.tablesPeak} at the most, ` +
      `${takingOver.tables} at the end; modelled time ` +
      formatTime(modelledTime(handingOver) + modelledTime(takingOver)),
  );
  return lines;
}

function countsText(c: CostCounts): string {
  return `${c.ioctls} ioctls, ${c.pagesPinned} pages pinned, ${c.tablesAllocated} tables, ` +
    `${c.ptesWritten} PTEs written, ${c.ptesCompared} compared, ${c.flushes} IOTLB flushes` +
    (c.leavesJoined + c.leavesSplit === 0
      ? ""
      : `, ${c.leavesJoined} leaves joined, ${c.leavesSplit} split`);
}

/** The same for programs; counts by their names. */
export function costsJson({ costs }: UpdateRecord): Record<string, unknown> {
  const { handingOver, takingOver } = costs;
  if (handingOver === undefined || takingOver === undefined) return {};
  return {
    degraded_ns: Object.fromEntries(
      [...costs.degraded].map(([vm, { from, to }]) => [vm, to < 0 ? null : to - from]),
    ),
    blackouts_ns: Object.fromEntries(costs.blackouts),
    costs: {
      bytes_serialised: handingOver.bytesSerialised,
      ioctls: takingOver.ioctls,
      pages_pinned: takingOver.pagesPinned,
      tables_allocated: takingOver.tablesAllocated,
      ptes_written: takingOver.ptesWritten,
      ptes_compared: takingOver.ptesCompared,
      iotlb_flushes: takingOver.flushes,
      leaves_joined: takingOver.leavesJoined,
      leaves_split: takingOver.leavesSplit,
      tables_before: costs.tablesBefore,
      tables_peak: takingOver.tablesPeak,
      modelled_ns: modelledTime(handingOver) + modelledTime(takingOver),
    },
  };
}
