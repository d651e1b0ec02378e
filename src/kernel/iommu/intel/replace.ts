import { hex, PAGE_SIZE } from "../../../base/units.ts";
import { EINVAL } from "../../../uapi/errno.ts";
import { FrameUse } from "../../mm/frames.ts";
import { compareRadix, type Comparison } from "../compare.ts";
import type { Attachment, DmarDomain } from "./domain.ts";

/**
 * How a domain came into the place of the previous kernel's: the old tables are its own now and
 * nothing was touched; the entry leads to its own tables since one store; or the entry has to be
 * taken away first, which requests in between will notice.
 */
export type Succession = "adopted" | "swapped" | "other id";

/** Two domains' tables, the first one the previous kernel's. */
export function compareDomains(old: DmarDomain, fresh: DmarDomain): Comparison {
  const { pages, costs, machine } = old.kernel;
  const owned = (pfn: number) => pages.useOf(pfn) === FrameUse.iommuTable;
  const comparison = compareRadix(machine.memory, old.table.radix, fresh.table.radix, owned);
  costs.ptesCompared += comparison.leaves + comparison.pointers;
  return comparison;
}

/**
 * Puts a domain in the place of the previous kernel's under a requester. EINVAL where the old tables
 * are to be taken over, but say something else than the new ones (seed lines 2674-2678): the first
 * IOVA that differs is named, and nothing was changed.
 */
export function succeed(
  old: DmarDomain,
  next: DmarDomain,
  at: Attachment,
  name: string,
): Succession | number {
  if (!next.replaces) {
    const rc = adopt(old, next, name);
    if (rc !== 0) return rc;
    if (next.table === old.table) return "adopted";
  }
  if (!sharesDid(old, next)) return "other id";
  return old.unit.contexts.replace(at.sid, at.pasid, next.target) ? "swapped" : "other id";
}

/** 0: the tables are one now, or `next` is in use with its own already. EINVAL: they differ. */
function adopt(old: DmarDomain, next: DmarDomain, name: string): number {
  if (next.table === old.table) return 0;
  const { difference, page } = compareDomains(old, next);
  if (difference === undefined) {
    if (old.heir === undefined && next.attachments.length === 0) next.adoptTables(old);
    return 0;
  }
  old.kernel.dmesg.err(
    `DMAR: ${name}: tables of the previous kernel differ at IOVA ${hex(page * PAGE_SIZE)}: ` +
      `${difference}; not adopted`,
  );
  return -EINVAL;
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
