import { DeviceKind } from "../machine/amdvi/device_entry.ts";
import type { AmdviUnit } from "../machine/amdvi/unit.ts";
import type { Memory } from "../machine/memory.ts";
import {
  type Context,
  type Found,
  type LeafVisitor,
  NO_TABLES,
  type Tables,
  TableSet,
  type UnitReader,
} from "./translation.ts";

/** A device that tables translate, or whose requests pass. */
interface Device extends Context {
  /** Levels of table. */
  readonly mode: number;
  /** IR and IW of the device table entry: bits 0 and 1. */
  readonly permission: number;
}

/** An AMD IOMMU. */
export function readAmd(memory: Memory, unit: AmdviUnit): UnitReader<Device> {
  return {
    name: unit.name,
    idName: "DomainID",
    translates: unit.translationEnabled,
    live: liveTables(memory, unit),
    *cachedContexts() {
      for (const { sid, kind, domain, root, read, write } of unit.deviceCache.entries()) {
        const passes = kind === DeviceKind.forward ||
          (kind === DeviceKind.passthrough && (read || write));
        if (kind === DeviceKind.tables) yield { sid, context: { did: domain, root } };
        else yield { sid, context: passes ? { did: 0, root: -1 } : undefined };
      }
    },
    *cachedTranslations() {
      for (const entry of unit.tlb.entries()) yield { ...entry, did: entry.domain };
    },
    lookUp: (device, page) => lookUp(memory, device, page),
    eachLeaf(device, visit) {
      if (device.root >= 0) {
        eachLeaf(memory, device.root, device.mode, 0, new TableSet(), visit);
      }
    },
  };
}

const pointer = (memory: Memory, pfn: number, word: number): number =>
  (memory.load(pfn, word + 1) & 0xfffff) * 1048576 + (memory.load(pfn, word) >>> 12);

function liveTables(memory: Memory, unit: AmdviUnit): Tables<Device> {
  if (!unit.translationEnabled) return NO_TABLES;
  const found = new TableSet();
  const devices: Device[] = [];
  for (let sid = 0; sid < unit.deviceTableEntries; sid++) {
    const pfn = unit.deviceTablePfn + (sid >>> 7);
    if (!memory.isRam(pfn)) break;
    if ((sid & 127) === 0) found.add(pfn);
    const device = readDevice(memory, unit, sid, pfn, (sid & 127) * 8);
    if (device !== undefined) devices.push(device);
  }
  // Two devices may well share tables: that is one domain.
  const roots = new Map(devices.map((d) => [`${d.root} ${d.mode}`, d]));
  for (const { root, mode } of roots.values()) if (root >= 0) collect(memory, root, mode, found);
  return found.with(devices);
}

/** The device of an entry; undefined where it is invalid or blocks. */
function readDevice(
  memory: Memory,
  unit: AmdviUnit,
  sid: number,
  pfn: number,
  word: number,
): Device | undefined {
  const w0 = memory.load(pfn, word), w1 = memory.load(pfn, word + 1);
  // V = 0: the device is nobody's business, and its requests pass.
  if ((w0 & 1) === 0) return { sid, did: 0, root: -1, mode: 0, permission: 3 };
  const mode = (w0 >>> 9) & 7, permission = (w1 >>> 29) & 3;
  // TV set; reserved bits and guest tables not.
  const bad = (w0 & 2) === 0 || (w0 & 0x7c) !== 0 || (w1 & 0x80800000) !== 0 ||
    mode > unit.capability.levels || permission === 0;
  if (bad) return undefined;
  const did = memory.load(pfn, word + 2) & 0xffff;
  if (mode === 0) return { sid, did: 0, root: -1, mode, permission };
  return { sid, did, root: pointer(memory, pfn, word), mode, permission };
}

function collect(memory: Memory, table: number, level: number, found: TableSet): void {
  if (!memory.isRam(table)) return;
  found.add(table);
  if (level === 1 || !found.first(table, level)) return;
  for (let word = 0; word < 1024; word += 2) {
    const low = memory.load(table, word), next = (low >>> 9) & 7;
    if ((low & 1) === 0 || next === 0 || next >= level) continue;
    collect(memory, pointer(memory, table, word), next, found);
  }
}

function eachLeaf(
  memory: Memory,
  table: number,
  level: number,
  base: number,
  walked: TableSet,
  visit: LeafVisitor,
): void {
  if (!memory.isRam(table) || !walked.first(table, level)) return;
  const span = 512 ** (level - 1);
  for (let i = 0; i < 512; i++) {
    const low = memory.load(table, i * 2), next = (low >>> 9) & 7;
    if ((low & 1) === 0) continue;
    const target = pointer(memory, table, i * 2), at = base + i * span;
    if (next > 0 && next < level) eachLeaf(memory, target, next, at, walked, visit);
    else if (next === 0) visit(at, target, span);
    else if (next === 7) {
      // One large page is written into as many entries as it covers.
      const pages = sized(target);
      if (at % pages === 0) visit(at, target - target % pages, pages);
    }
  }
}

function lookUp(memory: Memory, device: Device, page: number): Found | undefined {
  let permission = device.permission;
  const access = () => ({ read: (permission & 1) !== 0, write: (permission & 2) !== 0 });
  if (device.root < 0) return { pfn: page, ...access(), span: 1 };
  if (page >= 512 ** device.mode) return undefined;
  let table = device.root;
  for (let level = device.mode; level >= 1 && memory.isRam(table);) {
    const span = 512 ** (level - 1);
    const word = (Math.floor(page / span) % 512) * 2;
    const low = memory.load(table, word), high = memory.load(table, word + 1);
    permission &= high >>> 29;
    if ((low & 1) === 0 || (high & 0x7f00000) !== 0 || permission === 0) return undefined;
    const target = pointer(memory, table, word), next = (low >>> 9) & 7;
    if (next === 0 || next === 7) {
      const pages = next === 0 ? span : sized(target);
      const fits = next === 0 || (pages > span && pages < span * 512);
      return fits
        ? { pfn: target - target % pages + page % pages, ...access(), span: pages }
        : undefined;
    }
    // A level that is left out takes address bits that must be 0.
    if (next >= level || page % span >= 512 ** next) return undefined;
    table = target;
    level = next;
  }
  return undefined;
}

/** Pages of an entry with NextLevel 7: its lowest clear address bit is half of them. */
function sized(target: number): number {
  let pages = 2;
  while (target % pages === pages - 1) pages *= 2;
  return pages;
}
