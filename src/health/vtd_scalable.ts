import type { Memory } from "../machine/memory.ts";
import type { VtdUnit } from "../machine/vtd/unit.ts";
import * as S from "../uapi/vtd_scalable.ts";
import {
  type CachedContext,
  type Context,
  type Found,
  NO_TABLES,
  type Tables,
  TableSet,
} from "./translation.ts";
import { collect, lookUpPage, type Paging, pointer, reservedHigh } from "./vtd_paging.ts";

/** Where requests of a device with one PASID, or without any, are led (FACTS 3.1). */
export interface PasidContext extends Context {
  /** Undefined where everything passes. */
  readonly paging: Paging | undefined;
}

/** A context entry that can be used. */
interface DeviceEntry {
  readonly sid: number;
  /** First frame of the PASID directory. */
  readonly directory: number;
  /** Bits of the PASIDs it has room for and the unit knows. */
  readonly bits: number;
  readonly ridPasid: number;
  /** Requests with a PASID are let in. */
  readonly paside: boolean;
}

const CONTEXT_WORDS = 8, ENTRY_WORDS = 16;
const SMALLEST_PASID_BITS = 13;
/** Reserved bits: root entry, context entry, directory, PASID entry. */
const ROOT_RESERVED = 0xffe;
const CONTEXT_RESERVED = 0x1e0;
/** In a context entry, where devices keep no translations. */
const DEVICE_TLB = S.SM_CONTEXT_DTE | S.SM_CONTEXT_PRE;
const DIRECTORY_RESERVED = 0xffc;
const ENTRY_RESERVED = 0xc20;
const ENTRY_RESERVED_WORD4 = 0xff3;

/** Walks root → context → PASID directory → PASID table → tables, as far as hardware would. */
export function scalableTables(memory: Memory, unit: VtdUnit): Tables<PasidContext> {
  const root = unit.rootPfn;
  if (root < 0 || !memory.isRam(root)) return NO_TABLES;
  const found = new TableSet();
  found.add(root);
  const contexts: PasidContext[] = [];
  for (let half = 0; half < 512; half++) {
    const table = contextTable(memory, unit, half);
    if (table < 0) continue;
    found.add(table);
    for (let i = 0; i < 128; i++) {
      const device = readDevice(memory, unit, table, half * 128 + i);
      if (device !== undefined) contexts.push(...readPasids(memory, unit, device, found));
    }
  }
  // Requesters may well share a root: that is one domain.
  const all = new Map<string, Paging>();
  const add = (paging: Paging): void => {
    const { root, levels, first, under } = paging;
    all.set(`${root} ${levels} ${first} ${under?.root} ${under?.levels}`, paging);
    if (under !== undefined) add(under);
  };
  for (const { paging } of contexts) if (paging !== undefined) add(paging);
  for (const paging of all.values()) collect(memory, unit, paging, found);
  return found.with(contexts);
}

/** Frame of the context table of one half of a bus; -1 where hardware finds none. */
function contextTable(memory: Memory, unit: VtdUnit, half: number): number {
  const root = unit.rootPfn, word = half * 2;
  const lo = memory.load(root, word), hi = memory.load(root, word + 1);
  const reserved = (lo & ROOT_RESERVED) | (hi & reservedHigh(unit, 31));
  if ((lo & 1) === 0 || reserved !== 0) return -1;
  const table = pointer(memory, root, word);
  return memory.isRam(table) ? table : -1;
}

/** The context entry of a device; undefined where hardware would refuse it. */
function readDevice(
  memory: Memory,
  unit: VtdUnit,
  table: number,
  sid: number,
): DeviceEntry | undefined {
  const word = (sid & 0x7f) * CONTEXT_WORDS;
  const lo = memory.load(table, word);
  if ((lo & S.SM_CONTEXT_P) === 0) return undefined;
  const { pasidBits, pageRequests } = unit.capability;
  const aux = memory.load(table, word + 2);
  const flags = pageRequests ? CONTEXT_RESERVED : CONTEXT_RESERVED | DEVICE_TLB;
  let reserved = (lo & flags) | (aux & ~S.SM_CONTEXT_RID_PASID_MASK_WORD2) |
    (memory.load(table, word + 1) & reservedHigh(unit, 31));
  for (let i = 3; i < CONTEXT_WORDS; i++) reserved |= memory.load(table, word + i);
  const paside = (lo & S.SM_CONTEXT_PASIDE) !== 0;
  const pdts = (lo >>> S.SM_CONTEXT_PDTS_SHIFT) & S.SM_CONTEXT_PDTS_MASK;
  const large = pdts + SMALLEST_PASID_BITS;
  if (reserved !== 0 || (paside && pasidBits === 0) || (pdts > 0 && large > pasidBits)) {
    return undefined;
  }
  return {
    sid,
    directory: pointer(memory, table, word),
    bits: pasidBits === 0 ? large : Math.min(large, pasidBits),
    ridPasid: aux & S.SM_CONTEXT_RID_PASID_MASK_WORD2,
    paside,
  };
}

/** Every PASID of a device that leads somewhere; its directory and tables are added to `found`. */
function readPasids(
  memory: Memory,
  unit: VtdUnit,
  device: DeviceEntry,
  found: TableSet,
): PasidContext[] {
  const contexts: PasidContext[] = [];
  const { directory, bits } = device;
  for (let index = 0; index < 2 ** (bits - S.PASID_TABLE_BITS); index++) {
    const page = directory + (index >>> 9), word = (index & 511) * 2;
    if (!memory.isRam(page)) break;
    if (word === 0) found.add(page);
    const table = pasidTable(memory, unit, page, word);
    if (table < 0) continue;
    found.add(table);
    for (let i = 0; i < 64; i++) {
      contexts.push(...requests(device, index * 64 + i, readEntry(memory, unit, table, i)));
    }
  }
  return contexts;
}

function pasidTable(memory: Memory, unit: VtdUnit, page: number, word: number): number {
  const lo = memory.load(page, word), hi = memory.load(page, word + 1);
  const reserved = (lo & DIRECTORY_RESERVED) | (hi & reservedHigh(unit, 31));
  if ((lo & S.PASID_DIR_P) === 0 || reserved !== 0) return -1;
  const table = pointer(memory, page, word);
  return memory.isRam(table) ? table : -1;
}

interface Entry {
  readonly did: number;
  readonly paging: Paging | undefined;
}

/** Requests an entry is for: those with its PASID, and those without where RID_PASID names it. */
function* requests(
  { sid, ridPasid, paside }: DeviceEntry,
  pasid: number,
  entry: Entry | undefined,
): Generator<PasidContext> {
  if (entry === undefined) return;
  const { did, paging } = entry;
  // Only what first-level tables say, alone or over others, is cached with the PASID in its tag (FACTS 3.4).
  const tag = paging?.first ? { tag: pasid } : {};
  const context = { sid, did, root: paging?.root ?? -1, paging, ...tag };
  if (pasid === ridPasid) yield context;
  if (paside) yield { ...context, pasid };
}

/** A PASID table entry; undefined where hardware would refuse it. */
function readEntry(
  memory: Memory,
  unit: VtdUnit,
  table: number,
  index: number,
): Entry | undefined {
  const word = index * ENTRY_WORDS;
  const lo = memory.load(table, word);
  if ((lo & S.PASID_P) === 0) return undefined;
  const c = unit.capability;
  const pgtt = (lo >>> S.PASID_PGTT_SHIFT) & S.PASID_PGTT_MASK;
  const nested = pgtt === S.PGTT_NESTED, first = nested || pgtt === S.PGTT_FIRST_LEVEL;
  const slade = (lo & S.PASID_SLADE) !== 0;
  const did = memory.load(table, word + 2) & S.PASID_DID_MASK_WORD2;
  const at = word + (first ? 4 : 0), low = memory.load(table, at);
  let reserved = lo & ENTRY_RESERVED;
  if (first) reserved |= low & ENTRY_RESERVED_WORD4;
  if (pgtt !== S.PGTT_PASS_THROUGH) {
    reserved |= memory.load(table, at + 1) & reservedHigh(unit, 31);
  }
  if (nested) reserved |= memory.load(table, word + 1) & reservedHigh(unit, 31);
  for (let i = 6; i < ENTRY_WORDS; i++) reserved |= memory.load(table, word + i);
  if (reserved !== 0 || (slade && !c.slads) || did >= c.domains) return undefined;
  const root = pointer(memory, table, at);
  const secondLevel = (top: number): Paging | undefined => {
    const agaw = (lo >>> S.PASID_AW_SHIFT) & S.PASID_AW_MASK;
    if (!c.secondLevel || ((c.sagaw >>> agaw) & 1) === 0) return undefined;
    return { root: top, levels: agaw + 2, first: false, noting: slade };
  };
  if (first) {
    const flpm = (low >>> S.PASID_FLPM_SHIFT_WORD4) & S.PASID_FLPM_MASK_WORD4;
    if (!c.firstLevel || flpm > (c.fiveLevelFirst ? 1 : 0)) return undefined;
    const alone = { root, levels: 4 + flpm, first, noting: true };
    if (!nested) return { did, paging: alone };
    const under = c.nested ? secondLevel(pointer(memory, table, word)) : undefined;
    return under === undefined ? undefined : { did, paging: { ...alone, under } };
  }
  if (pgtt === S.PGTT_SECOND_LEVEL) {
    const paging = secondLevel(root);
    return paging === undefined ? undefined : { did, paging };
  }
  return pgtt === S.PGTT_PASS_THROUGH && c.passThrough ? { did, paging: undefined } : undefined;
}

/** What a context's tables say of a page; undefined where hardware would find no way. */
export function lookUpScalable(
  memory: Memory,
  unit: VtdUnit,
  { paging }: PasidContext,
  page: number,
): Found | undefined {
  if (paging !== undefined) return lookUpPage(memory, unit, paging, page);
  const end = 2 ** (unit.capability.hostWidth - 12);
  return page < end ? { pfn: page, read: true, write: true, span: 1 } : undefined;
}

/**
 * What the unit has cached, as far as it decides: a context entry that is cached leads to its own
 * directory, whatever is in memory, and a PASID entry only counts behind a context entry.
 */
export function* cachedPasids(memory: Memory, unit: VtdUnit): Generator<CachedContext> {
  const devices = new Map<number, DeviceEntry | undefined>();
  const inMemory = (sid: number): DeviceEntry | undefined => {
    const table = memory.isRam(unit.rootPfn) ? contextTable(memory, unit, sid >>> 7) : -1;
    return table < 0 ? undefined : readDevice(memory, unit, table, sid);
  };
  for (const c of unit.scalableContextCache.entries()) {
    const { sid, directory, ridPasid, paside } = c;
    const limit = unit.capability.pasidBits || c.pasidBits;
    const bits = Math.min(c.pasidBits, limit);
    const device = c.reason === 0 ? { sid, directory, bits, ridPasid, paside } : undefined;
    devices.set(sid, device);
    const now = inMemory(sid);
    if (sameDevice(device, now)) continue;
    yield* blocked(memory, unit, now);
    if (device !== undefined) {
      for (const context of readPasids(memory, unit, device, new TableSet())) {
        yield { ...withPasid(sid, context.pasid), context };
      }
    }
  }
  for (const { sid, pasid, did, pgtt, top, reason } of unit.pasidCache.entries()) {
    const device = devices.has(sid) ? devices.get(sid) : inMemory(sid);
    if (device === undefined || pasid >= 2 ** device.bits) continue;
    const root = pgtt === S.PGTT_PASS_THROUGH ? -1 : top;
    const context = reason === 0 ? { did, root } : undefined;
    if (pasid === device.ridPasid) yield { sid, context };
    if (device.paside) yield { sid, pasid, context };
  }
}

/** All that a context entry in memory leads to, as not reached. */
function* blocked(
  memory: Memory,
  unit: VtdUnit,
  device: DeviceEntry | undefined,
): Generator<CachedContext> {
  if (device === undefined) return;
  for (const { pasid } of readPasids(memory, unit, device, new TableSet())) {
    yield { ...withPasid(device.sid, pasid), context: undefined };
  }
}

function withPasid(sid: number, pasid: number | undefined): { sid: number; pasid?: number } {
  return pasid === undefined ? { sid } : { sid, pasid };
}

function sameDevice(a: DeviceEntry | undefined, b: DeviceEntry | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.directory === b.directory && a.bits === b.bits && a.ridPasid === b.ridPasid &&
    a.paside === b.paside;
}
