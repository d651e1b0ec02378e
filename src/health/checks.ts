import { hex, PAGE_SIZE } from "../base/units.ts";
import { FrameUse } from "../kernel/mm/frames.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Machine } from "../machine/machine.ts";
import type { IommufdCtx } from "../kernel/iommufd/ctx.ts";
import { areasMapped } from "./areas.ts";
import { oneClaimant } from "./claimants.ts";
import { domainInHardware } from "./contexts.ts";
import { deviceTlbsFresh } from "./device_tlbs.ts";
import { dumpTrue } from "./dump.ts";
import type { InvariantId, Premise } from "./invariants.ts";
import { iotlbFresh } from "./iotlb.ts";
import { leavesOwned } from "./leaves.ts";
import { pageRequestsKept } from "./page_requests.ts";
import { pinsBalanced } from "./pins.ts";
import { readUnits } from "./readers.ts";
import { sameTranslations } from "./same_tables.ts";
import type { Context, Tables, UnitReader } from "./translation.ts";

/** One thing found wrong. */
export interface Finding {
  readonly invariant: InvariantId;
  readonly subject: string;
  readonly address?: number;
  readonly detail: string;
}

/** A frame that a device should not reach, and whose or what it is. */
export interface Strange {
  readonly pfn: number;
  readonly what: string;
}

/** What one look at the whole system found, and which situations it met. */
export interface Look {
  readonly findings: Finding[];
  readonly premises: Set<Premise>;
  /** Name of a device by source id. */
  nameOf(sid: number): string;
  /** The first of frames [pfn, pfn + count) that is another guest's than the one the device belongs to. */
  strangerOf(sid: number, pfn: number, count: number): Strange | undefined;
}

/** What a look has to know beforehand. */
export interface Known extends Pick<Look, "nameOf" | "strangerOf"> {
  /** Iommufds that were compared with the tree they came from. */
  readonly seen: WeakSet<IommufdCtx>;
}

/** Nothing seen yet. */
export function emptyLook(
  nameOf: Look["nameOf"],
  strangerOf: Look["strangerOf"] = () => undefined,
): Look {
  return { findings: [], premises: new Set(), nameOf, strangerOf };
}

/** Looks over machine and kernel. Reads everything, changes nothing. */
export function lookOver(machine: Machine, kernel: Kernel, known: Known): Look {
  const look = emptyLook(known.nameOf, known.strangerOf);
  // A kernel that has not got its allocator up knows nothing yet that could be wrong.
  if (kernel.pages.freePages === 0 && !kernel.ready) return look;
  const units = readUnits(machine);
  for (const unit of units) {
    tablesOwned(kernel, unit.live, look);
    didOneRoot(unit, look);
    iotlbFresh(unit, look);
    leavesOwned(kernel, unit, look);
  }
  deviceTlbsFresh(machine, units, look);
  pageRequestsKept(machine, kernel, look);
  domainInHardware(kernel, units, look);
  areasMapped(kernel, units, look);
  oneClaimant(kernel, look);
  dumpTrue(kernel, known.seen, look);
  pinsBalanced(kernel, look);
  scratchClean(kernel, look);
  return look;
}

function tablesOwned(kernel: Kernel, live: Tables, look: Look): void {
  if (kernel.number > 1 && live.tables.length > 0) look.premises.add("tables-after-kexec");
  const report = (pfn: number, what: string) =>
    look.findings.push({
      invariant: "tables-owned",
      subject: kernel.image.name,
      address: pfn * PAGE_SIZE,
      detail: `table page ${hex(pfn * PAGE_SIZE)} is ${what}`,
    });
  for (const pfn of live.tables) {
    const use = kernel.pages.useOf(pfn);
    // Handed over and not claimed yet is safe: nobody else can get it.
    if (use === FrameUse.iommuTable || use === FrameUse.preserved) continue;
    const guests = use === FrameUse.user || use === FrameUse.guestmemfs;
    if (guests && live.guests.has(pfn)) continue;
    report(pfn, `${USE_NAMES[use]} to this kernel`);
    return;
  }
  if (live.doubled.length > 0) report(live.doubled[0], "in two places of the tables");
}

const USE_NAMES: Record<FrameUse, string> = {
  [FrameUse.none]: "unknown memory",
  [FrameUse.free]: "free memory",
  [FrameUse.kernel]: "kernel memory",
  [FrameUse.iommuTable]: "a table",
  [FrameUse.user]: "a process's memory",
  [FrameUse.guestmemfs]: "a guest's memory",
  [FrameUse.scratch]: "scratch",
  [FrameUse.preserved]: "preserved",
};

function didOneRoot(unit: UnitReader, look: Look): void {
  const { live, idName } = unit;
  const roots = new Map<number, Context>();
  const text = (root: number) => root < 0 ? "pass-through" : `tables at ${hex(root * PAGE_SIZE)}`;
  for (const context of live.contexts) {
    const known = roots.get(context.did);
    if (known === undefined) roots.set(context.did, context);
    else if (known.root !== context.root && !sameTranslations(unit, known, context)) {
      look.findings.push({
        invariant: "did-one-root",
        subject: look.nameOf(context.sid),
        detail: `${idName} ${context.did} stands for ${text(known.root)} and for ${
          text(context.root)
        }`,
      });
    }
  }
  if (roots.size > 1) look.premises.add("two-domains");
}

/** Nothing that is kept may lie where the next kernel's image and early boot go. */
function scratchClean(kernel: Kernel, look: Look): void {
  const { scratch, dump, preserved } = kernel.kho;
  if (dump !== undefined) look.premises.add("kho-active");
  if (scratch === undefined) return;
  for (const r of [...preserved, ...(dump?.mem ?? [])]) {
    if (r.start < scratch.end && scratch.start < r.end) {
      look.findings.push({
        invariant: "scratch-clean",
        subject: "kho",
        address: r.start,
        detail: `preserved ${hex(r.start)}-${hex(r.end)} meets scratch`,
      });
    }
  }
}
