import type { Memory } from "../machine/memory.ts";
import type { VtdUnit } from "../machine/vtd/unit.ts";

/** A device's translation as it stands in memory: read word by word, believing nobody. */
export interface LiveContext {
  readonly sid: number;
  readonly did: number;
  readonly agaw: number;
  /** Frame of the top page table. */
  readonly root: number;
}

/** Every page of tables hardware can reach, and every device's context. */
export interface LiveTables {
  readonly contexts: readonly LiveContext[];
  /** Frames of root, context and page tables, each once. */
  readonly tables: readonly number[];
}

const pointer = (memory: Memory, pfn: number, word: number): number =>
  (memory.load(pfn, word + 1) << 20) | (memory.load(pfn, word) >>> 12);

/** Walks root → context → tables of a unit that translates. */
export function liveTables(memory: Memory, unit: VtdUnit): LiveTables {
  const contexts: LiveContext[] = [];
  const tables = new Set<number>();
  if (!unit.translationEnabled || unit.rootPfn < 0) return { contexts, tables: [] };
  const root = unit.rootPfn;
  tables.add(root);
  for (let bus = 0; bus < 256; bus++) {
    if ((memory.load(root, bus * 4) & 1) === 0) continue;
    const table = pointer(memory, root, bus * 4);
    if (!memory.isRam(table)) continue;
    tables.add(table);
    for (let devfn = 0; devfn < 256; devfn++) {
      const word = devfn * 4;
      if ((memory.load(table, word) & 1) === 0) continue;
      const aux = memory.load(table, word + 2);
      const context = {
        sid: (bus << 8) | devfn,
        did: (aux >>> 8) & 0xffff,
        agaw: aux & 7,
        root: pointer(memory, table, word),
      };
      contexts.push(context);
      collect(memory, context.root, context.agaw + 2, tables);
    }
  }
  return { contexts, tables: [...tables] };
}

function collect(memory: Memory, table: number, level: number, into: Set<number>): void {
  if (level < 1 || !memory.isRam(table) || into.has(table)) return;
  into.add(table);
  if (level === 1) return;
  for (let word = 0; word < 1024; word += 2) {
    const lo = memory.load(table, word);
    if ((lo & 3) !== 0 && (lo & 0x80) === 0) {
      collect(memory, pointer(memory, table, word), level - 1, into);
    }
  }
}

/** Frame and permissions of a page in a context's tables; undefined where nothing is mapped. */
export function lookUp(
  memory: Memory,
  context: LiveContext,
  page: number,
): { pfn: number; read: boolean; write: boolean } | undefined {
  let table = context.root;
  let permission = 3;
  for (let level = context.agaw + 2; level >= 1; level--) {
    const span = 512 ** (level - 1);
    const word = (Math.floor(page / span) & 511) * 2;
    const lo = memory.load(table, word);
    permission &= lo;
    if ((lo & 3) === 0) return undefined;
    const pfn = pointer(memory, table, word);
    const leaf = level === 1 || (lo & 0x80) !== 0;
    if (leaf) {
      return {
        pfn: pfn + page % span,
        read: (permission & 1) !== 0,
        write: (permission & 2) !== 0,
      };
    }
    table = pfn;
  }
  return undefined;
}
