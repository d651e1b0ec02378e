import { hex, PAGE_SIZE } from "../base/units.ts";
import { AtsPort } from "../machine/pci/ats_port.ts";
import type { Machine } from "../machine/machine.ts";
import type { Look } from "./checks.ts";
import type { Context, Found, UnitReader } from "./translation.ts";

/** Devices that can keep translations, and wait for a page. */
export function atsPortsOf({ functions }: Machine): AtsPort[] {
  return functions.map(({ port }) => port).filter((port) => port instanceof AtsPort);
}

/** What devices remember of translations against what their tables say now. */
export function deviceTlbsFresh(machine: Machine, units: readonly UnitReader[], look: Look): void {
  let tables: Map<string, [UnitReader, Context]> | undefined;
  for (const port of atsPortsOf(machine)) {
    if (!port.ats) continue;
    for (const { pasid, page, pfn, write } of port.atc.entries()) {
      look.premises.add("iotlb-filled");
      tables ??= contextsOf(units);
      const now = lookUp(tables.get(`${port.sid} ${pasid}`), page);
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

/** Where requests are led, by source id and PASID. */
function contextsOf(units: readonly UnitReader[]): Map<string, [UnitReader, Context]> {
  const found = new Map<string, [UnitReader, Context]>();
  for (const unit of units) {
    for (const c of unit.live.contexts) found.set(`${c.sid} ${c.pasid ?? -1}`, [unit, c]);
  }
  return found;
}

function lookUp(at: [UnitReader, Context] | undefined, page: number): Found | undefined {
  return at?.[0].lookUp(at[1], page);
}
