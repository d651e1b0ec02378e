import { hex, PAGE_SIZE } from "../base/units.ts";
import type { Look } from "./checks.ts";
import type { CachedTranslation, Context, UnitReader } from "./translation.ts";

/** What the IOTLB holds against what the tables of the same DID say now. */
export function iotlbFresh(unit: UnitReader, look: Look): void {
  if (!unit.translates) return;
  const byDid = Map.groupBy(unit.live.contexts, (context) => context.did);
  for (const entry of unit.cachedTranslations()) {
    look.premises.add("iotlb-filled");
    // An entry under a DID no device has can hurt nobody until the DID is used again.
    for (const context of byDid.get(entry.did) ?? []) {
      if (context.tag !== entry.tag || context.root < 0) continue;
      const page = stalePage(unit, context, entry);
      if (page < 0) continue;
      look.findings.push({
        invariant: "iotlb-fresh",
        subject: unit.name,
        address: page * PAGE_SIZE,
        detail: staleText(unit, entry, page, requester(context, look)),
      });
      return;
    }
  }
  tablesFresh(unit, look, byDid);
}

/** The same of what leads to the last tables: a miss of the IOTLB begins there. */
function tablesFresh(unit: UnitReader, look: Look, byDid: Map<number, Context[]>): void {
  for (const entry of unit.cachedTables?.() ?? []) {
    for (const context of byDid.get(entry.did) ?? []) {
      if (context.tag !== undefined || context.root < 0) continue;
      const now = unit.tableOf?.(context, entry.page);
      if (now?.table === entry.table && now.read === entry.read && now.write === entry.write) {
        continue;
      }
      look.findings.push({
        invariant: "iotlb-fresh",
        subject: unit.name,
        address: entry.page * PAGE_SIZE,
        detail: `paging-structure cache has ${unit.idName} ${entry.did} ` +
          `IOVA ${hex(entry.page * PAGE_SIZE)} by the table at ${hex(entry.table * PAGE_SIZE)}, ` +
          `the tables of ${requester(context, look)} say otherwise`,
      });
      return;
    }
  }
}

function staleText(unit: UnitReader, entry: CachedTranslation, page: number, whose: string) {
  const has = isAbsence(entry)
    ? "as absent"
    : `at ${hex((entry.pfn + page - entry.page) * PAGE_SIZE)}`;
  return `IOTLB has ${unit.idName} ${entry.did} IOVA ${hex(page * PAGE_SIZE)} ${has}, ` +
    `the tables of ${whose} say otherwise`;
}

function requester({ sid, pasid }: Context, look: Look): string {
  return look.nameOf(sid) + (pasid === undefined ? "" : ` PASID ${pasid}`);
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
    if (moved || now.read !== entry.read) return page;
    // Where a write walks again, whether it may is not for the cache to say.
    if (now.write !== entry.write && !(entry.write && entry.unwritten === true)) return page;
    // Cached as written: hardware would not note the next write.
    if (now.unwritten === true && now.write && entry.unwritten !== true) return page;
    // A superpage that was split may have kept only some of its pages.
    page += now.span;
  }
  return -1;
}
