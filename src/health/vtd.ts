import type { Memory } from "../machine/memory.ts";
import { Mode } from "../machine/vtd/registers.ts";
import type { VtdUnit } from "../machine/vtd/unit.ts";
import { type LiveContext, liveTables, lookUp, paging } from "./tables.ts";
import {
  type CachedTable,
  type CachedTranslation,
  NO_TABLES,
  type UnitReader,
} from "./translation.ts";
import { eachLeaf, holeAround, lastTable, run } from "./vtd_paging.ts";
import { cachedPasids, lookUpScalable, type PasidContext, scalableTables } from "./vtd_scalable.ts";

const PASS_THROUGH = 2;

/** A VT-d unit, in whichever mode it runs. */
export function readVtd(memory: Memory, unit: VtdUnit): UnitReader {
  const { mode } = unit;
  if (mode === Mode.scalable) return readScalable(memory, unit);
  const legacy = readLegacy(memory, unit);
  // A table mode the unit lacks lets nothing through.
  return mode === Mode.unknown ? { ...legacy, live: NO_TABLES, *cachedContexts() {} } : legacy;
}

function readLegacy(memory: Memory, unit: VtdUnit): UnitReader<LiveContext> {
  return {
    name: unit.name,
    idName: "DID",
    translates: unit.translationEnabled,
    live: liveTables(memory, unit),
    *cachedContexts() {
      for (const { sid, did, tt, asr, reason } of unit.contextCache.entries()) {
        const root = tt === PASS_THROUGH ? -1 : asr;
        yield { sid, context: reason === 0 ? { did, root } : undefined };
      }
    },
    cachedTranslations: () => cachedTranslations(unit),
    cachedTables: () => cachedTables(unit),
    tableOf(context, page) {
      return context.root < 0 ? undefined : lastTable(memory, unit, paging(context), page);
    },
    lookUp: (context, page) => lookUp(memory, unit, context, page),
    eachLeaf(context, visit) {
      if (context.root >= 0) eachLeaf(memory, unit, paging(context), visit);
    },
    run: (context, page) => run(memory, paging(context), page),
    holeEnd: (context, page) => holeAround(memory, unit, paging(context), page),
  };
}

function readScalable(memory: Memory, unit: VtdUnit): UnitReader<PasidContext> {
  return {
    name: unit.name,
    idName: "DID",
    translates: true,
    live: scalableTables(memory, unit),
    cachedContexts: () => cachedPasids(memory, unit),
    cachedTranslations: () => cachedTranslations(unit),
    lookUp: (context, page) => lookUpScalable(memory, unit, context, page),
    eachLeaf(context, visit) {
      if (context.paging !== undefined) eachLeaf(memory, unit, context.paging, visit);
    },
    run: ({ paging }, page) => paging === undefined ? 1 : run(memory, paging, page),
    holeEnd: ({ paging }, page) =>
      paging === undefined ? Infinity : holeAround(memory, unit, paging, page),
  };
}

function* cachedTranslations(unit: VtdUnit): Generator<CachedTranslation> {
  for (const { pasid, writeWalks, ...entry } of unit.iotlb.entries()) {
    const tag = pasid === undefined ? {} : { tag: pasid };
    yield { ...entry, ...tag, write: entry.write || writeWalks, unwritten: writeWalks };
  }
}

function* cachedTables(unit: VtdUnit): Generator<CachedTable> {
  for (const { did, page, table, permission } of unit.pagingCache.entries()) {
    yield { did, page, table, read: (permission & 1) !== 0, write: (permission & 2) !== 0 };
  }
}
