import type { Frames } from "../../machine/frame_runs.ts";
import { hex, PAGE_SIZE } from "../../base/units.ts";
import { EINVAL } from "../../uapi/errno.ts";
import { FrameUse } from "../mm/frames.ts";
import { leafRun } from "./leaf_run.ts";
import type { Kernel } from "../kernel.ts";
import { compareRadix, type Comparison, type Radix } from "./compare.ts";
import { PagingDomain } from "./domain.ts";

/** A requester: a device, and the PASID of its requests (0: without one). */
export interface Attachment {
  readonly sid: number;
  readonly pasid: number;
}

/** A domain that can be handed over, and can come into the place of one that was. */
export abstract class HeritableDomain extends PagingDomain {
  /** The domain that goes by this one's id now, and takes its place requester by requester. */
  heir: HeritableDomain | undefined;
  /** In the previous kernel's place it brings its own tables, whatever is in the old ones. */
  replaces = true;
  /** Pages of the previous kernel's tables, as they were listed; undefined: these are ours. */
  handedOver: readonly number[] | undefined;
  readonly #attachments = new Map<number, Attachment>();

  abstract readonly kernel: Kernel;
  abstract override get radix(): Radix;
  /** Goes by the id of the domain whose place it takes; its own is given back. */
  abstract takeId(from: this): void;
  /** Goes on with the very tables of that domain; its own are given back. */
  abstract adoptTables(from: this): void;
  /** Every page of its tables. Of the previous kernel's, only what was handed over is believed. */
  abstract get pages(): readonly number[];

  override translateRun(page: number, count: number): Frames {
    const pfn = this.translate(page);
    if (pfn < 0 || count === 1) return { pfn, count: 1 };
    return leafRun(this.kernel.machine.memory, this.radix, page, count);
  }

  /** Who is attached, by source id and PASID. */
  get attachments(): Attachment[] {
    return [...this.#attachments.values()].sort((a, b) => a.sid - b.sid || a.pasid - b.pasid);
  }

  /** The same in the order of a list that grows at its head. */
  get newestFirst(): Attachment[] {
    return [...this.#attachments.values()].reverse();
  }

  attached(to: Attachment): void {
    this.#attachments.set(to.pasid * 65536 + to.sid, to);
  }

  detached(from: Attachment): void {
    this.#attachments.delete(from.pasid * 65536 + from.sid);
  }
}

/**
 * How a domain came into the place of the previous kernel's: the old tables are its own now and
 * nothing was touched; the entry leads to its own tables and at no time led nowhere; or the entry has
 * to be taken away first, which requests in between will notice.
 */
export type Succession = "adopted" | "swapped" | "other id";

/** Two domains' tables, the first one the previous kernel's; whether page sizes must be the same too. */
export function compareDomains(
  old: HeritableDomain,
  fresh: HeritableDomain,
  sizesCount = true,
): Comparison {
  const { pages, costs, machine } = old.kernel;
  const owned = (pfn: number) => pages.useOf(pfn) === FrameUse.iommuTable;
  const comparison = compareRadix(machine.memory, old.radix, fresh.radix, owned, sizesCount);
  costs.ptesCompared += comparison.leaves + comparison.pointers;
  return comparison;
}

/** What the hardware of a domain can do for its heir. */
export interface Switch {
  /** Of the device, for the log. */
  readonly name: string;
  /** Makes the requester's entry lead to the heir's tables under the id both have; false: it cannot. */
  swap(): boolean;
  /** A cached translation may not change its size while it is valid (FACTS 4.3). */
  readonly sizesStay: boolean;
}

/**
 * Puts a domain in the place of the previous kernel's under a requester. EINVAL where the old tables
 * are to be taken over, or page sizes must stay as they are, and the new ones say something else (seed
 * lines 2674-2678): the first IOVA that differs is named, and nothing was changed.
 */
export function succeed<D extends HeritableDomain>(
  old: D,
  next: D,
  by: Switch,
): Succession | number {
  const sameTables = () => next.radix.root === old.radix.root;
  if (sameTables()) return "adopted";
  if (!next.replaces || by.sizesStay) {
    const { difference, page } = compareDomains(old, next);
    const fatal = !next.replaces || difference === "page size" ||
      difference === "number of levels";
    if (difference !== undefined && fatal) {
      const end = next.replaces ? "such tables cannot be switched under way" : "not adopted";
      const where = `differ at IOVA ${hex(page * PAGE_SIZE)}: ${difference}; ${end}`;
      old.kernel.dmesg.err(`iommu: ${by.name}: tables of the previous kernel ${where}`);
      return -EINVAL;
    }
    const free = old.heir === undefined && next.attachments.length === 0;
    if (!next.replaces && free) next.adoptTables(old);
    if (sameTables()) return "adopted";
  }
  if (!sharesId(old, next)) return "other id";
  return by.swap() ? "swapped" : "other id";
}

/**
 * Old and new tables under one id share what is cached. That is safe for the moment of the switch
 * when nobody else uses the old ones, and otherwise as long as both say the same (FACTS 4.2).
 */
function sharesId<D extends HeritableDomain>(old: D, next: D): boolean {
  if (old.heir === next) return true;
  if (old.heir !== undefined || next.attachments.length > 0) return false;
  const alone = old.attachments.length === 1;
  if (!alone && compareDomains(old, next, false).difference !== undefined) return false;
  next.takeId(old);
  old.heir = next;
  return true;
}

/** A requester has left the previous kernel's tables: with the last one they are freed. */
export function leave(old: HeritableDomain, name: string, how: Succession | undefined): void {
  const { dmesg } = old.kernel;
  if (how === "other id") {
    dmesg.warn(`iommu: ${name}: another id, its entry was gone for a moment`);
  } else if (how !== undefined) dmesg.info(`iommu: ${name}: tables ${how}, id ${old.did}`);
  if (old.attachments.length === 0) old.free();
}
