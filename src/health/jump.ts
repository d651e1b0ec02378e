import { hex, PAGE_SIZE } from "../base/units.ts";
import { decodeMem, pageBounds } from "../kernel/kho/abi.ts";
import { readBootParams } from "../kernel/kho/boot_params.ts";
import { RegionList } from "../kernel/mm/memblock.ts";
import type { Machine } from "../machine/machine.ts";
import type { Look } from "./checks.ts";
import { contextText, UsedContexts } from "./contexts.ts";
import { pageRequestsKept, requestQueueKept } from "./page_requests.ts";
import { readUnits } from "./readers.ts";
import type { UnitReader } from "./translation.ts";

/**
 * What a kernel leaves hardware in, between its last store and the next kernel's first. From here on
 * nobody answers for it: what is not kept is the next kernel's to use. `held`: the device's DMA is
 * meant to go on, or the kernel says it does.
 */
export function lookAtJump(machine: Machine, look: Look, held: (sid: number) => boolean): void {
  const kept = keptMemory(machine);
  const units = readUnits(machine).filter((unit) => unit.translates);
  for (const unit of units) {
    look.premises.add("translates-at-jump");
    tablesKept(unit, kept, look);
    nothingForgotten(unit, look);
  }
  requestQueueKept(machine, kept, look);
  pageRequestsKept(machine, undefined, look);
  for (const { sid, pasid, it } of new UsedContexts(units).rest()) {
    if (held(sid)) continue;
    const which = pasid === undefined ? "" : ` for PASID ${pasid}`;
    look.findings.push({
      invariant: "closed-at-jump",
      subject: look.nameOf(sid),
      detail: `is not handed over, and hardware ${contextText(it, false)}${which}`,
    });
  }
}

/** The memory the next kernel will be told to keep off. */
function keptMemory({ memory }: Machine): RegionList {
  const kept = new RegionList();
  const params = readBootParams(memory);
  if (params === undefined) return kept;
  for (const mem of decodeMem(memory.read(params.memCache, params.memCacheSize))) {
    const { start, end } = pageBounds(mem);
    kept.add(start, end);
  }
  return kept;
}

function tablesKept(unit: UnitReader, kept: RegionList, look: Look): void {
  const { tables, guests } = unit.live;
  const lost = tables.filter((pfn) => !guests.has(pfn)).map((pfn) => pfn * PAGE_SIZE)
    .filter((at) => !kept.contains(at, at + PAGE_SIZE));
  if (lost.length === 0) return;
  look.findings.push({
    invariant: "tables-kept",
    subject: unit.name,
    address: lost[0],
    detail: `table page ${hex(lost[0])} is in use and not kept, one of ${lost.length}`,
  });
}

/** No domain id may be cached that stands for nothing any more: the next kernel gives it away. */
function nothingForgotten(unit: UnitReader, look: Look): void {
  const ids = new Set(unit.live.contexts.map(({ did }) => did));
  for (const entry of [...unit.cachedTranslations(), ...(unit.cachedTables?.() ?? [])]) {
    const { did, page } = entry;
    if (ids.has(did)) continue;
    look.findings.push({
      invariant: "iotlb-fresh",
      subject: unit.name,
      address: page * PAGE_SIZE,
      detail:
        `${"table" in entry ? "paging-structure cache" : "IOTLB"} has ${unit.idName} ${did} IOVA ${
          hex(page * PAGE_SIZE)
        } at the jump, ` +
        `which no device is on`,
    });
    return;
  }
}
