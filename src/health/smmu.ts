import { PAGE_SIZE } from "../base/units.ts";
import type { Memory } from "../machine/memory.ts";
import { valuesInARow } from "../machine/rows.ts";
import { Kind } from "../machine/smmuv3/regime.ts";
import { Scope } from "../machine/smmuv3/tlb.ts";
import type { SmmuUnit } from "../machine/smmuv3/unit.ts";
import { SMMU_ADDRESS_BITS } from "../uapi/smmuv3_regs.ts";
import { holeEnd, type TreeShape } from "./same_tables.ts";
import {
  type Context,
  type Found,
  type LeafVisitor,
  NO_TABLES,
  type Tables,
  TableSet,
  type UnitReader,
} from "./translation.ts";

/** A stream that stage-2 tables translate, or that bypasses. */
interface Stream extends Context {
  /** Bits of the address, level of the first table, and bits of what comes out. */
  readonly bits: number;
  readonly level: number;
  readonly outputBits: number;
  /** A clear access flag is no fault. */
  readonly ignoresAccessFlag: boolean;
}

/**
 * An SMMUv3. Stage 1, which no kernel here uses, is not followed: a stream with context
 * descriptors counts as one that blocks.
 */
export function readSmmu(memory: Memory, unit: SmmuUnit): UnitReader<Stream> {
  return {
    name: unit.name,
    idName: "VMID",
    translates: unit.translationEnabled,
    live: liveTables(memory, unit),
    *cachedContexts() {
      for (const { sid, kind, vmid, root } of unit.streamCache.entries()) {
        if (kind === Kind.stage2) yield { sid, context: { did: vmid, root } };
        else yield { sid, context: kind === Kind.bypass ? { did: 0, root: -1 } : undefined };
      }
    },
    *cachedTranslations() {
      for (const e of unit.tlb.entries()) {
        if (e.scope === Scope.stage2) yield { ...e, did: e.vmid };
      }
    },
    lookUp: (stream, page) => lookUp(memory, stream, page),
    eachLeaf(stream, visit) {
      if (stream.root >= 0) {
        eachLeaf(memory, stream, stream.root, stream.level, 0, new TableSet(), visit);
      }
    },
    run: (stream, page) => run(memory, stream, page),
    holeEnd: (stream, page) => holeEnd(memory, shapeOf(stream), page),
  };
}

/** Frame in bits 12-51 of an entry at a word that may lie in the pages after `pfn`. */
function pointer(memory: Memory, pfn: number, word: number): number {
  const at = pfn + (word >>> 10);
  const high = memory.load(at, (word & 1023) + 1) & 0xfffff;
  return high * 1048576 + (memory.load(at, word & 1023) >>> 12);
}

function low(memory: Memory, pfn: number, word: number): number {
  const at = pfn + (word >>> 10);
  return memory.isRam(at) ? memory.load(at, word & 1023) : 0;
}

function liveTables(memory: Memory, unit: SmmuUnit): Tables<Stream> {
  if (!unit.translationEnabled) return NO_TABLES;
  const found = new TableSet();
  const streams: Stream[] = [];
  for (const { sid, pfn, word } of entries(memory, unit, found)) {
    const stream = readStream(memory, unit, sid, pfn, word);
    if (stream !== undefined) streams.push(stream);
  }
  // Two devices may well share tables: that is one domain.
  const roots = new Map(streams.map((s) => [`${s.root} ${s.level} ${s.bits}`, s]));
  for (const s of roots.values()) if (s.root >= 0) collect(memory, s, s.root, s.level, found);
  return found.with(streams);
}

/** Every stream table entry there is, and the pages of the stream table. */
function* entries(
  memory: Memory,
  unit: SmmuUnit,
  found: TableSet,
): Generator<{ sid: number; pfn: number; word: number }> {
  const { config, low: baseLow, high } = unit.streams;
  const bits = Math.min(config & 0x3f, unit.capability.streamBits);
  const base = (high & 0xfffff) * 1048576 + (baseLow >>> 12);
  if (!memory.isRam(base)) return;
  if (((config >>> 16) & 3) === 0) {
    yield* leaf(memory, base, bits, 0, found);
    return;
  }
  const { split } = unit.streams;
  const words = 2 ** Math.max(0, bits - split) * 2;
  addPages(memory, base, words * 4, found);
  for (let word = 0; word < words; word += 2) {
    const span = low(memory, base, word) & 0x1f;
    if (span === 0 || span > split + 1) continue;
    const table = pointer(memory, base, word);
    if (memory.isRam(table)) yield* leaf(memory, table, span - 1, (word / 2) << split, found);
  }
}

/** A run of 2^`bits` entries. */
function* leaf(
  memory: Memory,
  table: number,
  bits: number,
  firstSid: number,
  found: TableSet,
): Generator<{ sid: number; pfn: number; word: number }> {
  addPages(memory, table, 2 ** bits * 64, found);
  for (let i = 0; i < 2 ** bits; i++) {
    const pfn = table + (i >>> 6);
    if (memory.isRam(pfn)) yield { sid: firstSid + i, pfn, word: (i & 63) * 16 };
  }
}

function addPages(memory: Memory, pfn: number, bytes: number, found: TableSet): void {
  for (let i = 0; i < Math.ceil(bytes / 4096); i++) if (memory.isRam(pfn + i)) found.add(pfn + i);
}

/** The stream of an entry; undefined where it is invalid or blocks. */
function readStream(
  memory: Memory,
  unit: SmmuUnit,
  sid: number,
  pfn: number,
  word: number,
): Stream | undefined {
  const first = memory.load(pfn, word);
  const config = (first >>> 1) & 7;
  if ((first & 1) === 0) return undefined;
  const plain = { sid, bits: 0, level: 0, outputBits: 0, ignoresAccessFlag: false };
  if (config === 4) return { ...plain, did: 0, root: -1 };
  if (config !== 6) return undefined;
  const control = memory.load(pfn, word + 5);
  const bits = 64 - (control & 0x3f), level = 2 - ((control >>> 6) & 3);
  const below = 12 + 9 * (3 - level);
  const { outputBits } = unit.capability;
  // S2AA64 set, S2ENDI and S2S clear, 4 KiB granule, and a size that the start level can do.
  const bad = (control & 0x2180000) !== 0x80000 || ((control >>> 14) & 3) !== 0 || level < 0 ||
    bits > outputBits || bits < 25 || bits <= below || bits > below + 13;
  if (bad) return undefined;
  return {
    sid,
    bits,
    level,
    outputBits: Math.min(SMMU_ADDRESS_BITS[(control >>> 16) & 7] ?? 64, outputBits),
    ignoresAccessFlag: (control & 0x200000) !== 0,
    did: memory.load(pfn, word + 4) & 0xffff,
    root: pointer(memory, pfn, word + 6),
  };
}

/** Bytes of the table a level has: the first one may be several pages, or less than one. */
function tableBytes(stream: Stream, level: number): number {
  return level === stream.level ? 2 ** (stream.bits - (12 + 9 * (3 - level))) * 8 : 4096;
}

function shapeOf(stream: Stream): TreeShape {
  const { root, level } = stream;
  const topEntries = tableBytes(stream, level) / 8;
  return { root, levels: 4 - level, topEntries, leadsOn: (low) => (low & 3) === 3 };
}

function collect(
  memory: Memory,
  stream: Stream,
  table: number,
  level: number,
  found: TableSet,
): void {
  if (!memory.isRam(table)) return;
  const bytes = tableBytes(stream, level);
  addPages(memory, table, bytes, found);
  if (level === 3 || !found.first(table, level)) return;
  for (let word = 0; word < bytes / 4; word += 2) {
    if ((low(memory, table, word) & 3) !== 3) continue;
    collect(memory, stream, pointer(memory, table, word), level + 1, found);
  }
}

function eachLeaf(
  memory: Memory,
  stream: Stream,
  table: number,
  level: number,
  base: number,
  walked: TableSet,
  visit: LeafVisitor,
): void {
  if (!memory.isRam(table) || !walked.first(table, level)) return;
  const span = 512 ** (3 - level), entries = tableBytes(stream, level) / 8;
  for (let i = 0, n = 1; i < entries; i += n, n = 1) {
    const entry = low(memory, table, i * 2), at = base + i * span;
    if ((entry & 1) === 0) continue;
    const target = pointer(memory, table, i * 2);
    if (level < 3 && (entry & 2) !== 0) {
      eachLeaf(memory, stream, target, level + 1, at, walked, visit);
      continue;
    }
    n = valuesInARow(memory, table + (i >>> 9), i & 511, span * PAGE_SIZE);
    visit(at, target, n * span);
  }
}

/** Pages from one on that lie in its entry or in neighbours that say the same, frame after frame. */
function run(memory: Memory, stream: Stream, page: number): number {
  let table = stream.root;
  for (let level = stream.level; level <= 3 && memory.isRam(table); level++) {
    const span = 512 ** (3 - level), index = Math.floor(page / span);
    const at = level === stream.level ? index : index % 512;
    const entry = low(memory, table, at * 2);
    if ((entry & 1) === 0) return 1;
    if (level === 3 || (entry & 2) === 0) {
      return valuesInARow(memory, table + (at >>> 9), at & 511, span * PAGE_SIZE) * span -
        page % span;
    }
    table = pointer(memory, table, at * 2);
  }
  return 1;
}

function lookUp(memory: Memory, stream: Stream, page: number): Found | undefined {
  if (stream.root < 0) return { pfn: page, read: true, write: true, span: 1 };
  if (page >= 2 ** (stream.bits - 12)) return undefined;
  let table = stream.root;
  for (let level = stream.level; level <= 3; level++) {
    const span = 512 ** (3 - level);
    const index = Math.floor(page / span);
    const word = (level === stream.level ? index : index % 512) * 2;
    const entry = low(memory, table, word);
    if ((entry & 1) === 0) return undefined;
    const target = pointer(memory, table, word);
    if (target >= 2 ** (stream.outputBits - 12)) return undefined;
    if ((entry & 2) !== 0 && level < 3) {
      table = target;
      continue;
    }
    if ((level === 3) !== ((entry & 2) !== 0) || level === 0) return undefined;
    if ((entry & 0x400) === 0 && !stream.ignoresAccessFlag) return undefined;
    const [read, write] = [(entry & 0x40) !== 0, (entry & 0x80) !== 0];
    return { pfn: target - target % span + page % span, read, write, span };
  }
  return undefined;
}
