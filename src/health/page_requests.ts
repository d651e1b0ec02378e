import { hex, PAGE_SIZE } from "../base/units.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { OpenGroup } from "../machine/pci/ats_port.ts";
import type { Machine } from "../machine/machine.ts";
import type { VtdUnit } from "../machine/vtd/unit.ts";
import * as pr from "../uapi/vtd_page_requests.ts";
import type { RegionList } from "../kernel/mm/memblock.ts";
import type { Look } from "./checks.ts";
import { atsPortsOf } from "./device_tlbs.ts";

/**
 * Whoever waits for a page is answered by somebody who knows of it: its request lies between head and
 * tail of the unit's queue, or the kernel has read it. `kernel`: undefined between two of them.
 */
export function pageRequestsKept(machine: Machine, kernel: Kernel | undefined, look: Look): void {
  const [unit] = machine.units;
  if (unit?.pageRequests === undefined) return;
  const known = [...requestsIn(machine, unit)];
  const read = kernel?.intel?.units[0]?.requests;
  for (const port of atsPortsOf(machine)) {
    for (const { group, pasid, pages } of port.open) {
      look.premises.add("page-asked");
      const tag = pasid < 0 ? undefined : pasid;
      if (read?.holds(port.sid, tag, group)) continue;
      if (known.some((r) => r.sid === port.sid && r.pasid === tag && r.group === group)) continue;
      look.findings.push({
        invariant: "page-requests-kept",
        subject: look.nameOf(port.sid),
        address: iovaOf(pages),
        detail: `waits for IOVA ${hex(iovaOf(pages))}, and neither the queue nor a kernel ` +
          "has its request",
      });
    }
  }
}

/** At a jump hardware goes on writing requests where it did: that has to be kept memory. */
export function requestQueueKept(machine: Machine, kept: RegionList, look: Look): void {
  const [unit] = machine.units;
  const asking = atsPortsOf(machine).find((port) => port.pri && port.busMaster);
  if (unit?.pageRequests === undefined || asking === undefined) return;
  const at = queueOf(unit).base * PAGE_SIZE;
  if (kept.contains(at, at + PAGE_SIZE)) return;
  look.findings.push({
    invariant: "page-requests-kept",
    subject: unit.name,
    address: at,
    detail: `the queue in which ${look.nameOf(asking.sid)} asks for pages, ${hex(at)}, is not kept`,
  });
}

function iovaOf([{ hi, lo }]: OpenGroup["pages"]): number {
  return (hi >>> 0) * 4294967296 + ((lo & ~0xfff) >>> 0);
}

function queueOf(unit: VtdUnit): { base: number; head: number; tail: number } {
  const read = (offset: number) => unit.read32(offset);
  return {
    base: (read(pr.DMAR_PQA_REG + 4) << 20) | (read(pr.DMAR_PQA_REG) >>> 12),
    head: read(pr.DMAR_PQH_REG),
    tail: read(pr.DMAR_PQT_REG),
  };
}

/** What lies in the queue, as software that looked now would find it. */
function* requestsIn({ memory }: Machine, unit: VtdUnit) {
  const { base, head, tail } = queueOf(unit);
  if (!memory.isRam(base)) return;
  for (let at = head; at !== tail; at = (at + pr.PAGE_REQ_BYTES) % PAGE_SIZE) {
    const [w0, w1, w2] = [0, 1, 2].map((i) => memory.load(base, at / 4 + i));
    if ((w0 & pr.PAGE_REQ_TYPE_MASK) !== pr.PAGE_REQ_TYPE) continue;
    const tagged = (w0 & pr.PAGE_REQ_PASID_PRESENT) !== 0;
    yield {
      sid: w0 >>> pr.PAGE_REQ_RID_SHIFT,
      pasid: tagged ? w1 & pr.PAGE_REQ_PASID_MASK_WORD1 : undefined,
      group: (w2 >>> pr.PAGE_REQ_PRGI_SHIFT_WORD2) & pr.PRGI_MASK,
    };
  }
}
