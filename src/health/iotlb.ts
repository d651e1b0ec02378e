import { hex, PAGE_SIZE } from "../base/units.ts";
import type { Look } from "./checks.ts";
import type { CachedTranslation, Context, UnitReader } from "./translation.ts";

/** What the IOTLB holds against what the tables of the same DID say now. */
export function iotlbFresh(unit: UnitReader, look: Look): void {
  if (!unit.translates) return;
  for (const entry of unit.cachedTranslations()) {
    look.premises.add("iotlb-filled");
    // An entry under a DID no device has can hurt nobody until the DID is used again.
    const contexts = unit.live.contexts.filter((c) => c.did === entry.did && c.root >= 0);
    const stale = contexts.map((c) => stalePage(unit, c, entry)).find((page) => page >= 0);
    if (stale === undefined) continue;
    const cached = entry.pfn + stale - entry.page;
    look.findings.push({
      invariant: "iotlb-fresh",
      subject: unit.name,
      address: stale * PAGE_SIZE,
      detail: `IOTLB has ${unit.idName} ${entry.did} IOVA ${hex(stale * PAGE_SIZE)} ` +
        `${isAbsence(entry) ? "as absent" : `at ${hex(cached * PAGE_SIZE)}`}, ` +
        "the tables say otherwise",
    });
    return;
  }
}

/** A unit in caching mode remembers that there was nothing. */
function isAbsence(entry: CachedTranslation): boolean {
  return !entry.read && !entry.write;
}

/** First page of the entry that the tables have otherwise, frame or permissions; -1: none. */
function stalePage(unit: UnitReader, context: Context, entry: CachedTranslation): number {
  const end = entry.page + entry.size / PAGE_SIZE;
  for (let page = entry.page; page < end;) {
    const now = unit.lookUp(context, page);
    if (now === undefined) return isAbsence(entry) ? -1 : page;
    const moved = now.pfn !== entry.pfn + page - entry.page;
    if (moved || now.read !== entry.read || now.write !== entry.write) return page;
    // A superpage that was split may have kept only some of its pages.
    page += now.span;
  }
  return -1;
}
