import { PAGE_WORDS } from "../base/units.ts";
import type { Memory } from "../machine/memory.ts";
import type { VtdUnit } from "../machine/vtd/unit.ts";
import { type Context, type Found, NO_TABLES, type Tables, TableSet } from "./translation.ts";
import {
  collect,
  lookUpPage,
  nextEntry,
  type Paging,
  pointer,
  reservedHigh,
} from "./vtd_paging.ts";

/** A device's context in VT-d's legacy mode: read word by word, believing nobody. */
export interface LiveContext extends Context {
  readonly agaw: number;
}

export type LiveTables = Tables<LiveContext>;

const PASS_THROUGH = 2;

/** Walks root → context → tables of a unit that translates, as far as hardware would. */
export function liveTables(memory: Memory, unit: VtdUnit): LiveTables {
  const contexts: LiveContext[] = [];
  const found = new TableSet();
  const root = unit.rootPfn;
  if (!unit.translationEnabled || root < 0 || !memory.isRam(root)) return NO_TABLES;
  found.add(root);
  for (const bus of present(memory, root)) {
    const table = contextTable(memory, unit, bus);
    if (table < 0) continue;
    found.add(table);
    for (const devfn of present(memory, table)) {
      const context = readContext(memory, unit, table, (bus << 8) | devfn);
      if (context !== undefined) contexts.push(context);
    }
  }
  // Two devices may well share a root: that is one domain.
  const roots = new Map(contexts.map((c) => [`${c.root} ${c.agaw}`, c]));
  for (const context of roots.values()) collect(memory, unit, paging(context), found);
  return found.with(contexts);
}

/** Entries of a root or context table that say that they are there. */
function present(memory: Memory, table: number): number[] {
  const words = memory.readable(table), found: number[] = [];
  if (words === undefined) return found;
  const first = memory.base(table), end = first + PAGE_WORDS;
  for (let at = first; (at = nextEntry(words, at, end, 1, 4)) < end; at += 4) {
    found.push((at - first) / 4);
  }
  return found;
}

/** The tables a context leads to. */
export function paging({ root, agaw }: LiveContext): Paging {
  return { root, levels: agaw + 2, first: false, noting: false };
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

/** What a context's tables say of a page; undefined where hardware would find no way. */
export function lookUp(
  memory: Memory,
  unit: VtdUnit,
  context: LiveContext,
  page: number,
): Found | undefined {
  if (context.root >= 0) return lookUpPage(memory, unit, paging(context), page);
  const bits = Math.min(30 + 9 * context.agaw, unit.capability.mgaw);
  return page < 2 ** (bits - 12) ? { pfn: page, read: true, write: true, span: 1 } : undefined;
}
