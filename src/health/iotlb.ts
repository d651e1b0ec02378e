import { hex, PAGE_SIZE } from "../base/units.ts";
import type { Memory } from "../machine/memory.ts";
import type { IotlbEntry } from "../machine/vtd/iotlb.ts";
import type { VtdUnit } from "../machine/vtd/unit.ts";
import type { Look } from "./checks.ts";
import { type LiveContext, type LiveTables, lookUp } from "./tables.ts";

/** What the IOTLB holds against what the tables of the same DID say now. */
export function iotlbFresh(memory: Memory, unit: VtdUnit, live: LiveTables, look: Look): void {
  if (!unit.translationEnabled) return;
  for (const entry of unit.iotlb.entries()) {
    look.premises.add("iotlb-filled");
    // An entry under a DID no device has can hurt nobody until the DID is used again.
    const contexts = live.contexts.filter((c) => c.did === entry.did && c.root >= 0);
    const stale = contexts.map((c) => stalePage(memory, unit, c, entry)).find((page) => page >= 0);
    if (stale === undefined) continue;
    const cached = entry.pfn + stale - entry.page;
    look.findings.push({
      invariant: "iotlb-fresh",
      subject: unit.name,
      address: stale * PAGE_SIZE,
      detail: `IOTLB has DID ${entry.did} IOVA ${hex(stale * PAGE_SIZE)} ` +
        `${isAbsence(entry) ? "as absent" : `at ${hex(cached * PAGE_SIZE)}`}, ` +
        "the tables say otherwise",
    });
    return;
  }
}

/** A unit in caching mode remembers that there was nothing. */
function isAbsence(entry: IotlbEntry): boolean {
  return !entry.read && !entry.write;
}

/** First page of the entry that the tables have otherwise, frame or permissions; -1: none. */
function stalePage(
  memory: Memory,
  unit: VtdUnit,
  context: LiveContext,
  entry: IotlbEntry,
): number {
  const end = entry.page + entry.size / PAGE_SIZE;
  for (let page = entry.page; page < end;) {
    const now = lookUp(memory, unit, context, page);
    if (now === undefined) return isAbsence(entry) ? -1 : page;
    const moved = now.pfn !== entry.pfn + page - entry.page;
    if (moved || now.read !== entry.read || now.write !== entry.write) return page;
    // A superpage that was split may have kept only some of its pages.
    page += now.span;
  }
  return -1;
}
