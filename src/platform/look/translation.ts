import { explainAmdviTranslation } from "../../machine/amdvi/explain.ts";
import type { Machine } from "../../machine/machine.ts";
import { explainSmmuTranslation } from "../../machine/smmuv3/explain.ts";
import { explainTranslation } from "../../machine/vtd/explain.ts";
import { NO_PASID } from "../../machine/vtd/scalable.ts";

/** One entry on the way of an address through the tables, as it lies in memory now. */
export interface TableStep {
  /** `root`, `context`, `L4` …; "unit" where no table was read. */
  readonly level: string;
  /** Physical byte address of the table, and index in it. */
  readonly table: number;
  readonly index: number;
  /** The entry's first 64 bits, as two unsigned words. */
  readonly low: number;
  readonly high: number;
  readonly meaning: string;
  /** Where the way ends: the frame that is reached, or the reason of a fault. */
  readonly pfn?: number;
  readonly reason?: number;
}

/** The way of an address of a device through the tables, and what the unit remembers of it. */
export interface Translation {
  readonly iova: number;
  readonly write: boolean;
  /** PASID of the request; -1: none. */
  readonly pasid: number;
  readonly steps: readonly TableStep[];
  /** What the IOTLB has for the page, where it can be asked; "" for nothing. */
  readonly cached: string;
}

/** Asks memory alone; nothing is filled or changed by it. */
export function translationOf(
  machine: Machine,
  sid: number,
  iova: number,
  write: boolean,
  pasid = -1,
): Translation {
  const [vtd] = machine.units, [smmu] = machine.smmus, [amdvi] = machine.amdvis;
  const steps = vtd !== undefined
    ? explainTranslation(vtd, sid, iova, write, pasid < 0 ? NO_PASID : pasid)
    : smmu !== undefined
    ? explainSmmuTranslation(smmu, sid, iova, write)
    : amdvi !== undefined
    ? explainAmdviTranslation(amdvi, sid, iova, write)
    : [];
  return { iova, write, pasid, steps, cached: cachedIn(machine, sid, iova) };
}

/** VT-d only: entries under the domain id that the context cache has for the device. */
function cachedIn({ units: [unit] }: Machine, sid: number, iova: number): string {
  if (unit === undefined) return "";
  const dids = [...unit.contextCache.entries()].filter((e) => e.sid === sid).map((e) => e.did);
  const page = Math.floor(iova / 4096);
  for (const entry of unit.iotlb.entries()) {
    if (!dids.includes(entry.did)) continue;
    if (page < entry.page || page >= entry.page + entry.size / 4096) continue;
    const frame = (entry.pfn + page - entry.page) * 4096;
    return `DID ${entry.did}: 0x${frame.toString(16)}, ` +
      `${entry.read ? "r" : "-"}${entry.write || entry.writeWalks ? "w" : "-"}`;
  }
  return "";
}
