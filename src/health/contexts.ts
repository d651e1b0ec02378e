import { hex, PAGE_SIZE } from "../base/units.ts";
import { DmarDomain } from "../kernel/iommu/intel/domain.ts";
import type { IommuDomain } from "../kernel/iommu/domain.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { VtdUnit } from "../machine/vtd/unit.ts";
import type { Look } from "./checks.ts";
import type { LiveTables } from "./tables.ts";

/** A unit with its tables. */
export interface LiveUnit {
  readonly unit: VtdUnit;
  readonly live: LiveTables;
}

/** What hardware goes by for a device: what it has cached, else what is in memory. */
interface UsedContext {
  readonly did: number;
  /** Frame of the top table; -1 for pass-through. */
  readonly root: number;
  readonly cached: boolean;
}

function usedContexts(units: readonly LiveUnit[]): Map<number, UsedContext> {
  const used = new Map<number, UsedContext>();
  for (const { unit, live } of units) {
    if (!unit.translationEnabled) continue;
    for (const { sid, did, root } of live.contexts) used.set(sid, { did, root, cached: false });
    for (const { sid, did, tt, asr, reason } of unit.contextCache.entries()) {
      if (reason !== 0) used.delete(sid);
      else used.set(sid, { did, root: tt === 2 ? -1 : asr, cached: true });
    }
  }
  return used;
}

/** Every group's domain against what hardware goes by, and the other way round. */
export function domainInHardware(kernel: Kernel, units: readonly LiveUnit[], look: Look): void {
  const { groups } = kernel.iommu;
  if (groups.length === 0) return;
  look.premises.add("groups-probed");
  const used = usedContexts(units);
  for (const { id, dev, domain } of groups) {
    const context = used.get(dev.sid);
    used.delete(dev.sid);
    if (agrees(domain, context)) continue;
    const off = units.some((u) => !u.unit.translationEnabled);
    look.findings.push({
      invariant: "domain-in-hardware",
      subject: look.nameOf(dev.sid),
      detail: `group ${id} is on ${domainText(domain)}, hardware ${contextText(context, off)}`,
    });
  }
  for (const [sid, context] of used) {
    look.findings.push({
      invariant: "domain-in-hardware",
      subject: look.nameOf(sid),
      detail: `there is no group, hardware ${contextText(context, false)}`,
    });
  }
}

function agrees(domain: IommuDomain, context: UsedContext | undefined): boolean {
  if (!(domain instanceof DmarDomain)) {
    return domain.type === "identity" ? context?.root === -1 : context === undefined;
  }
  return context?.root === domain.table.pgd && context.did === domain.did;
}

function domainText(domain: IommuDomain): string {
  const where = domain instanceof DmarDomain
    ? ` at ${hex(domain.table.pgd * PAGE_SIZE)}, DID ${domain.did}`
    : "";
  return `a ${domain.type} domain${where}`;
}

function contextText(context: UsedContext | undefined, off: boolean): string {
  if (context === undefined) return off ? "does not translate" : "blocks";
  const how = context.root < 0 ? "passes through" : `walks ${hex(context.root * PAGE_SIZE)}`;
  return `${how}, DID ${context.did}${context.cached ? " (cached)" : ""}`;
}
