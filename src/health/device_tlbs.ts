import { hex, PAGE_SIZE } from "../base/units.ts";
import { AtsPort } from "../machine/pci/ats_port.ts";
import type { Machine } from "../machine/machine.ts";
import type { Look } from "./checks.ts";
import type { UnitReader } from "./translation.ts";

/** What devices remember of translations against what their tables say now. */
export function deviceTlbsFresh(machine: Machine, units: readonly UnitReader[], look: Look): void {
  for (const { port } of machine.functions) {
    if (!(port instanceof AtsPort) || !port.ats) continue;
    for (const { pasid, page, pfn, write } of port.atc.entries()) {
      look.premises.add("iotlb-filled");
      const now = lookUp(units, port.sid, pasid, page);
      if (now !== undefined && now.pfn === pfn && (now.write || !write)) continue;
      look.findings.push({
        invariant: "iotlb-fresh",
        subject: look.nameOf(port.sid),
        address: page * PAGE_SIZE,
        detail: `remembers IOVA ${hex(page * PAGE_SIZE)} at ${hex(pfn * PAGE_SIZE)} itself, ` +
          "its tables say otherwise",
      });
      break;
    }
  }
}

function lookUp(units: readonly UnitReader[], sid: number, pasid: number, page: number) {
  for (const unit of units) {
    const context = unit.live.contexts.find((c) => c.sid === sid && (c.pasid ?? -1) === pasid);
    if (context !== undefined) return unit.lookUp(context, page);
  }
  return undefined;
}
