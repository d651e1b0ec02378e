import { hex, PAGE_SIZE } from "../base/units.ts";
import { FrameUse } from "../kernel/mm/frames.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { GuestmemfsSource } from "../kernel/iommufd/pages.ts";
import { Ioas } from "../kernel/iommufd/ioas.ts";
import { DmarDomain } from "../kernel/iommu/intel/domain.ts";
import type { Machine } from "../machine/machine.ts";
import type { InvariantId, Premise } from "./invariants.ts";
import { type LiveTables, liveTables, lookUp } from "./tables.ts";

/** One thing found wrong. */
export interface Finding {
  readonly invariant: InvariantId;
  readonly subject: string;
  readonly address?: number;
  readonly detail: string;
}

/** What one look at the whole system found, and which situations it met. */
export interface Look {
  readonly findings: Finding[];
  readonly premises: Set<Premise>;
}

/** Looks over machine and kernel. Reads everything, changes nothing. */
export function lookOver(machine: Machine, kernel: Kernel, nameOf: (sid: number) => string): Look {
  const look: Look = { findings: [], premises: new Set() };
  // A kernel that has not got its allocator up knows nothing yet that could be wrong.
  if (kernel.pages.freePages === 0) return look;
  machine.units.forEach((unit) => {
    const live = liveTables(machine.memory, unit);
    tablesOwned(kernel, live, look);
    didOneRoot(live, look, nameOf);
    iotlbFresh(machine, unit, live, look);
  });
  if (kernel.number > 1) look.premises.add("tables-after-kexec");
  domainInHardware(machine, kernel, look);
  pinsBalanced(kernel, look);
  scratchClean(kernel, look);
  return look;
}

function tablesOwned(kernel: Kernel, live: LiveTables, look: Look): void {
  for (const pfn of live.tables) {
    const use = kernel.pages.useOf(pfn);
    // Handed over and not claimed yet is safe: nobody else can get it.
    if (use === FrameUse.iommuTable || use === FrameUse.preserved) continue;
    look.findings.push({
      invariant: "tables-owned",
      subject: kernel.image.name,
      address: pfn * PAGE_SIZE,
      detail: `table page ${hex(pfn * PAGE_SIZE)} is ${USE_NAMES[use]} to this kernel`,
    });
    return;
  }
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

function didOneRoot(live: LiveTables, look: Look, nameOf: (sid: number) => string): void {
  const roots = new Map<number, number>();
  for (const context of live.contexts) {
    const root = roots.get(context.did);
    if (root === undefined) roots.set(context.did, context.root);
    else if (root !== context.root) {
      look.findings.push({
        invariant: "did-one-root",
        subject: nameOf(context.sid),
        detail: `DID ${context.did} stands for tables at ${hex(root * PAGE_SIZE)} and at ` +
          hex(context.root * PAGE_SIZE),
      });
    }
  }
  if (roots.size > 1) look.premises.add("two-domains");
}

function iotlbFresh(
  machine: Machine,
  unit: Machine["units"][number],
  live: LiveTables,
  look: Look,
): void {
  if (!unit.translationEnabled) return;
  for (const entry of unit.iotlb.entries()) {
    look.premises.add("iotlb-filled");
    const owners = live.contexts.filter((c) => c.did === entry.did);
    // An entry under a DID no device has can hurt nobody until the DID is used again.
    const ok = owners.every((context) => {
      const now = lookUp(machine.memory, context, entry.page);
      return now !== undefined && now.pfn === entry.pfn && (now.write || !entry.write);
    });
    if (ok) continue;
    look.findings.push({
      invariant: "iotlb-fresh",
      subject: unit.name,
      address: entry.page * PAGE_SIZE,
      detail: `IOTLB has DID ${entry.did} IOVA ${hex(entry.page * PAGE_SIZE)} at ` +
        `${hex(entry.pfn * PAGE_SIZE)}, the tables say otherwise`,
    });
    return;
  }
}

function domainInHardware(machine: Machine, kernel: Kernel, look: Look): void {
  for (const group of kernel.iommu.groups) {
    look.premises.add("groups-probed");
    const live = machine.units.flatMap((u) => [...liveContexts(machine, u)]);
    const context = live.find((c) => c.sid === group.dev.sid);
    const domain = group.domain;
    const expected = domain instanceof DmarDomain ? domain.table.pgd : undefined;
    if (context?.root === expected) continue;
    look.findings.push({
      invariant: "domain-in-hardware",
      subject: group.dev.name,
      detail: `group ${group.id} is on a ${domain.type} domain` +
        (expected === undefined ? "" : ` at ${hex(expected * PAGE_SIZE)}`) +
        `, hardware ${context ? `walks ${hex(context.root * PAGE_SIZE)}` : "blocks"}`,
    });
  }
}

function liveContexts(machine: Machine, unit: Machine["units"][number]) {
  return liveTables(machine.memory, unit).contexts;
}

/** Pins by inode against the areas that stand for them, in this kernel and in the dump it read. */
function pinsBalanced(kernel: Kernel, look: Look): void {
  const fs = kernel.guestmemfs;
  if (fs === undefined) return;
  const areas = new Map<number, number>();
  for (const ctx of kernel.iommufd.contexts) {
    for (const object of ctx.objects.all) {
      if (!(object instanceof Ioas)) continue;
      for (const area of object.iopt.areas.items) {
        const source = area.pages.source;
        if (source instanceof GuestmemfsSource) {
          areas.set(source.ino, (areas.get(source.ino) ?? 0) + 1);
        }
      }
    }
  }
  // Contexts nobody has picked up yet keep their pins; they cannot be told from the inode alone.
  const waiting = kernel.iommufd.pending.length > 0;
  for (const inode of fs.inodes()) {
    const expected = areas.get(inode.ino) ?? 0;
    if (inode.pins > 0) look.premises.add("file-pinned");
    if (inode.pins === expected || (waiting && inode.pins > expected)) continue;
    look.findings.push({
      invariant: "pins-balanced",
      subject: inode.name,
      detail: `${inode.pins} pins, ${expected} mappings`,
    });
  }
}

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
