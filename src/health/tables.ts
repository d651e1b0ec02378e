import type { Memory } from "../machine/memory.ts";
import type { VtdUnit } from "../machine/vtd/unit.ts";
import type { Context, Found, Tables } from "./translation.ts";

/** A device's context in VT-d: read word by word, believing nobody. */
export interface LiveContext extends Context {
  readonly agaw: number;
}

export type LiveTables = Tables<LiveContext>;

const PASS_THROUGH = 2;

const pointer = (memory: Memory, pfn: number, word: number): number =>
  ((memory.load(pfn, word + 1) & 0xfffff) << 20) | (memory.load(pfn, word) >>> 12);

/** Bits of an entry's high word that are reserved up to bit `top` of it, by the host's width. */
const reservedHigh = (unit: VtdUnit, top: number): number =>
  (-1 << (unit.capability.hostWidth - 32)) & (top >= 31 ? -1 : (2 << top) - 1);

/** Walks root → context → tables of a unit that translates, as far as hardware would. */
export function liveTables(memory: Memory, unit: VtdUnit): LiveTables {
  const contexts: LiveContext[] = [];
  const tables = new Set<number>(), doubled = new Set<number>();
  const root = unit.rootPfn;
  if (!unit.translationEnabled || root < 0 || !memory.isRam(root)) {
    return { contexts, tables: [], doubled: [] };
  }
  tables.add(root);
  for (let bus = 0; bus < 256; bus++) {
    const table = contextTable(memory, unit, bus);
    if (table < 0) continue;
    if (tables.has(table)) doubled.add(table);
    tables.add(table);
    for (let devfn = 0; devfn < 256; devfn++) {
      const context = readContext(memory, unit, table, (bus << 8) | devfn);
      if (context !== undefined) contexts.push(context);
    }
  }
  // Two devices may well share a root: that is one domain.
  const found = { tables, doubled, walked: new Set<number>() };
  const roots = new Map(contexts.map((c) => [`${c.root} ${c.agaw}`, c]));
  for (const { root, agaw } of roots.values()) collect(memory, unit, root, agaw + 2, found);
  return { contexts, tables: [...tables], doubled: [...doubled] };
}

/** Frame of a bus's context table; -1 where hardware finds none it would read. */
function contextTable(memory: Memory, unit: VtdUnit, bus: number): number {
  const root = unit.rootPfn, word = bus * 4;
  const lo = memory.load(root, word), hi = memory.load(root, word + 1);
  const reserved = (lo & 0xffe) | (hi & reservedHigh(unit, 31)) |
    memory.load(root, word + 2) | memory.load(root, word + 3);
  if ((lo & 1) === 0 || reserved !== 0) return -1;
  const table = pointer(memory, root, word);
  return memory.isRam(table) ? table : -1;
}

/** The context of a device; undefined where hardware would refuse it. */
function readContext(
  memory: Memory,
  unit: VtdUnit,
  table: number,
  sid: number,
): LiveContext | undefined {
  const word = (sid & 0xff) * 4;
  const lo = memory.load(table, word);
  if ((lo & 1) === 0) return undefined;
  const { domains, sagaw, passThrough } = unit.capability;
  const aux = memory.load(table, word + 2);
  const reserved = (lo & 0xff0) | (aux & 0xff000080) | memory.load(table, word + 3);
  const did = (aux >>> 8) & 0xffff, agaw = aux & 7, type = (lo >>> 2) & 3;
  if (reserved !== 0 || did >= domains) return undefined;
  if (type === PASS_THROUGH) {
    const widest = 31 - Math.clz32(sagaw);
    return passThrough && agaw === widest ? { sid, did, agaw, root: -1 } : undefined;
  }
  if (type !== 0 || ((sagaw >>> agaw) & 1) === 0) return undefined;
  if ((memory.load(table, word + 1) & reservedHigh(unit, 31)) !== 0) return undefined;
  return { sid, did, agaw, root: pointer(memory, table, word) };
}

interface Collected {
  readonly tables: Set<number>;
  readonly doubled: Set<number>;
  /** Tables with the level they were walked at: frame * 8 + level. */
  readonly walked: Set<number>;
}

function collect(
  memory: Memory,
  unit: VtdUnit,
  table: number,
  level: number,
  into: Collected,
): void {
  if (table < 0 || !memory.isRam(table)) return;
  if (into.tables.has(table)) into.doubled.add(table);
  into.tables.add(table);
  if (level === 1 || into.walked.has(table * 8 + level)) return;
  into.walked.add(table * 8 + level);
  const reserved = reservedHigh(unit, 19);
  for (let word = 0; word < 1024; word += 2) {
    const lo = memory.load(table, word);
    if ((lo & 3) === 0 || (lo & 0x80) !== 0) continue;
    if ((memory.load(table, word + 1) & reserved) !== 0) continue;
    collect(memory, unit, pointer(memory, table, word), level - 1, into);
  }
}

/** Bits of the addresses that reach a context's tables at all. */
function width(unit: VtdUnit, context: LiveContext): number {
  return Math.min(30 + 9 * context.agaw, unit.capability.mgaw);
}

/** What a context's tables say of a page; undefined where hardware would find no way. */
export function lookUp(
  memory: Memory,
  unit: VtdUnit,
  context: LiveContext,
  page: number,
): Found | undefined {
  if (page >= 2 ** (width(unit, context) - 12)) return undefined;
  if (context.root < 0) return { pfn: page, read: true, write: true, span: 1 };
  const { superpages, snoopControl } = unit.capability;
  let table = context.root;
  let permission = 3;
  for (let level = context.agaw + 2; level >= 1; level--) {
    if (!memory.isRam(table)) return undefined;
    const span = 512 ** (level - 1);
    const word = (Math.floor(page / span) & 511) * 2;
    const lo = memory.load(table, word);
    permission &= lo;
    if (permission === 0) return undefined;
    if ((memory.load(table, word + 1) & reservedHigh(unit, 19)) !== 0) return undefined;
    const pfn = pointer(memory, table, word);
    const large = level > 1 && (lo & 0x80) !== 0;
    if (level > 1 && !large) {
      table = pfn;
      continue;
    }
    if (large && (((superpages << 2) >>> level) & 1) === 0) return undefined;
    if (pfn % span !== 0 || (!snoopControl && (lo & 0x800) !== 0)) return undefined;
    return {
      pfn: pfn + page % span,
      read: (permission & 1) !== 0,
      write: (permission & 2) !== 0,
      span,
    };
  }
  return undefined;
}
