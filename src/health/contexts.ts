import { hex, PAGE_SIZE } from "../base/units.ts";
import { type IommuDomain, PagingDomain } from "../kernel/iommu/domain.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Look } from "./checks.ts";
import type { UnitReader } from "./translation.ts";

/** What hardware goes by for a device: what it has cached, else what is in memory. */
interface UsedContext {
  readonly did: number;
  /** Frame of the top table; -1 for pass-through. */
  readonly root: number;
  readonly idName: string;
  readonly cached: boolean;
}

function usedContexts(units: readonly UnitReader[]): Map<number, UsedContext> {
  const used = new Map<number, UsedContext>();
  for (const unit of units) {
    if (!unit.translates) continue;
    for (const { sid, did, root } of unit.live.contexts) {
      used.set(sid, { did, root, idName: unit.idName, cached: false });
    }
    for (const { sid, context } of unit.cachedContexts()) {
      if (context === undefined) used.delete(sid);
      else used.set(sid, { ...context, idName: unit.idName, cached: true });
    }
  }
  return used;
}

/** Every group's domain against what hardware goes by, and the other way round. */
export function domainInHardware(kernel: Kernel, units: readonly UnitReader[], look: Look): void {
  const { groups } = kernel.iommu;
  if (groups.length === 0) return;
  look.premises.add("groups-probed");
  const used = usedContexts(units);
  for (const { id, dev, domain } of groups) {
    const context = used.get(dev.sid);
    used.delete(dev.sid);
    if (agrees(domain, context)) continue;
    const off = units.some((u) => !u.translates);
    look.findings.push({
      invariant: "domain-in-hardware",
      subject: look.nameOf(dev.sid),
      detail: `group ${id} is on ${domainText(domain, units[0]?.idName)}, hardware ${
        contextText(context, off)
      }`,
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
  if (!(domain instanceof PagingDomain)) {
    return domain.type === "identity" ? context?.root === -1 : context === undefined;
  }
  return context?.root === domain.pgd && context.did === domain.did;
}

function domainText(domain: IommuDomain, idName = "DID"): string {
  const where = domain instanceof PagingDomain
    ? ` at ${hex(domain.pgd * PAGE_SIZE)}, ${idName} ${domain.did}`
    : "";
  return `a ${domain.type} domain${where}`;
}

function contextText(context: UsedContext | undefined, off: boolean): string {
  if (context === undefined) return off ? "does not translate" : "blocks";
  const how = context.root < 0 ? "passes through" : `walks ${hex(context.root * PAGE_SIZE)}`;
  return `${how}, ${context.idName} ${context.did}${context.cached ? " (cached)" : ""}`;
}
