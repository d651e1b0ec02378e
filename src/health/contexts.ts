import { hex, PAGE_SIZE } from "../base/units.ts";
import { type IommuDomain, NestedDomain, PagingDomain } from "../kernel/iommu/domain.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Look } from "./checks.ts";
import type { UnitReader } from "./translation.ts";

/** What hardware goes by for a requester: what it has cached, else what is in memory. */
interface UsedContext {
  readonly did: number;
  /** Frame of the top table; -1 for pass-through. */
  readonly root: number;
  readonly idName: string;
  readonly cached: boolean;
}

/** Contexts by source id and PASID. */
export class UsedContexts {
  readonly #used = new Map<number, { sid: number; pasid: number | undefined; it: UsedContext }>();

  constructor(units: readonly UnitReader[]) {
    for (const unit of units) {
      if (!unit.translates) continue;
      const { idName } = unit;
      for (const { sid, pasid, did, root } of unit.live.contexts) {
        this.#set(sid, pasid, { did, root, idName, cached: false });
      }
      for (const { sid, pasid, context } of unit.cachedContexts()) {
        if (context === undefined) this.take(sid, pasid);
        else this.#set(sid, pasid, { ...context, idName, cached: true });
      }
    }
  }

  #set(sid: number, pasid: number | undefined, it: UsedContext): void {
    this.#used.set(key(sid, pasid), { sid, pasid, it });
  }

  take(sid: number, pasid: number | undefined): UsedContext | undefined {
    const found = this.#used.get(key(sid, pasid));
    this.#used.delete(key(sid, pasid));
    return found?.it;
  }

  /** Those that nobody has taken. */
  rest() {
    return this.#used.values();
  }
}

function key(sid: number, pasid = -1): number {
  return (pasid + 1) * 65536 + sid;
}

/** Every group's domains against what hardware goes by, and the other way round. */
export function domainInHardware(kernel: Kernel, units: readonly UnitReader[], look: Look): void {
  const { groups } = kernel.iommu;
  if (groups.length === 0) return;
  look.premises.add("groups-probed");
  const used = new UsedContexts(units);
  const off = units.some((u) => !u.translates);
  const report = (sid: number, detail: string) =>
    look.findings.push({ invariant: "domain-in-hardware", subject: look.nameOf(sid), detail });
  const requesters = groups.flatMap((group) => group.dev.requesters.map((sid) => ({ group, sid })));
  for (const { group: { id, domain, pasids }, sid } of requesters) {
    const compare = (who: string, of: IommuDomain, context: UsedContext | undefined) => {
      if (agrees(of, context)) return;
      const is = domainText(of, units[0]?.idName);
      report(sid, `${who} is on ${is}, hardware ${contextText(context, off)}`);
    };
    compare(`group ${id}`, domain, used.take(sid, undefined));
    for (const [pasid, of] of pasids) {
      compare(`PASID ${pasid} of group ${id}`, of, used.take(sid, pasid));
    }
    // PASID 0 is nobody's: where it leads anywhere, then to where requests without one go.
    const zero = used.take(sid, 0);
    if (zero !== undefined) compare(`PASID 0 of group ${id}`, domain, zero);
  }
  for (const { sid, pasid, it } of used.rest()) {
    const who = requesters.some((r) => r.sid === sid)
      ? `PASID ${pasid} is on no domain`
      : `there is no group${pasid === undefined ? "" : ` for PASID ${pasid}`}`;
    report(sid, `${who}, hardware ${contextText(it, false)}`);
  }
}

function agrees(domain: IommuDomain, context: UsedContext | undefined): boolean {
  if (domain instanceof NestedDomain) {
    return context?.root === domain.top && context.did === domain.did;
  }
  if (!(domain instanceof PagingDomain)) {
    return domain.type === "identity" ? context?.root === -1 : context === undefined;
  }
  return context?.root === domain.pgd && context.did === domain.did;
}

function domainText(domain: IommuDomain, idName = "DID"): string {
  const place = (frame: number, did: number) => ` at ${hex(frame * PAGE_SIZE)}, ${idName} ${did}`;
  const where = domain instanceof PagingDomain
    ? place(domain.pgd, domain.did)
    : domain instanceof NestedDomain
    ? place(domain.top, domain.did)
    : "";
  return `a ${domain.type} domain${where}`;
}

export function contextText(context: UsedContext | undefined, off: boolean): string {
  if (context === undefined) return off ? "does not translate" : "blocks";
  const how = context.root < 0 ? "passes through" : `walks ${hex(context.root * PAGE_SIZE)}`;
  return `${how}, ${context.idName} ${context.did}${context.cached ? " (cached)" : ""}`;
}
