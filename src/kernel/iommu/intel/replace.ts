import { compareRadix, type Comparison } from "../compare.ts";
import { FrameUse } from "../../mm/frames.ts";
import type { Attachment, DmarDomain } from "./domain.ts";

/** Two domains' tables, the first one the previous kernel's. */
export function compareDomains(old: DmarDomain, fresh: DmarDomain): Comparison {
  const { memory } = old.kernel.machine;
  const owned = (pfn: number) => old.kernel.pages.useOf(pfn) === FrameUse.iommuTable;
  return compareRadix(memory, old.table.radix, fresh.table.radix, owned);
}

/**
 * Puts a domain in the place of the previous kernel's under a requester. Hitless where the new one
 * can go by the DID of the old: one store, and no request finds its entry gone (FACTS 4.3). False
 * where it cannot: the entry has to be taken away first. Nothing was changed then.
 */
export function takePlace(old: DmarDomain, next: DmarDomain, at: Attachment): boolean {
  if (!sharesDid(old, next)) return false;
  return old.unit.contexts.replace(at.sid, at.pasid, next.target);
}

/**
 * Old and new tables under one DID share what is cached. That is safe for the moment of the switch
 * when nobody else uses the old ones, and otherwise as long as both say the same (FACTS 4.2).
 */
function sharesDid(old: DmarDomain, next: DmarDomain): boolean {
  if (old.heir === next) return true;
  if (old.heir !== undefined || next.attachments.length > 0) return false;
  const alone = old.attachments.length === 1;
  if (!alone && compareDomains(old, next).difference !== undefined) return false;
  next.takeDid(old);
  return true;
}
