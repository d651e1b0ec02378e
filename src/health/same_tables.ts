import type { Memory } from "../machine/memory.ts";
import type { Context, UnitReader } from "./translation.ts";

/** What it takes to step over a hole in a radix tree of 512-entry tables. */
export interface TreeShape {
  /** Frame of the top table. */
  readonly root: number;
  readonly levels: number;
  /** Entries of the top table, which may be several pages. */
  readonly topEntries: number;
  /** An entry of this low word leads to a table of the next level. */
  leadsOn(low: number): boolean;
  /** Frame in which a table lies, where entries do not name that; -1: nowhere. */
  frameOf?(table: number): number;
}

/** First page behind the entry in which a walk for `page` ends; Infinity: there is no more. */
export function holeEnd(memory: Memory, shape: TreeShape, page: number): number {
  let table = shape.root;
  for (let level = shape.levels; level >= 1; level--) {
    const span = 512 ** (level - 1), top = level === shape.levels;
    const index = Math.floor(page / span);
    if (top && index >= shape.topEntries) return Infinity;
    const word = (top ? index : index % 512) * 2;
    const first = shape.frameOf === undefined ? table : shape.frameOf(table);
    const pfn = first + (word >>> 10), at = word & 1023;
    const low = memory.isRam(pfn) ? memory.load(pfn, at) : 0;
    if (level === 1 || !shape.leadsOn(low)) return (index + 1) * span;
    table = ((memory.load(pfn, at + 1) & 0xfffff) << 20) | (low >>> 12);
  }
  return Infinity;
}

/**
 * True when two contexts of a unit translate every page alike: then they may share an id (FACTS 10.3
 * I5). False where it cannot be told.
 */
export function sameTranslations(unit: UnitReader, a: Context, b: Context): boolean {
  if (unit.holeEnd === undefined || a.root < 0 || b.root < 0) return false;
  for (let page = 0; page < Infinity;) {
    const x = unit.lookUp(a, page), y = unit.lookUp(b, page);
    if (x === undefined && y === undefined) {
      page = Math.min(unit.holeEnd(a, page), unit.holeEnd(b, page));
      continue;
    }
    if (x === undefined || y === undefined || x.pfn !== y.pfn || x.span !== y.span) return false;
    if (x.read !== y.read || x.write !== y.write) return false;
    page += x.span - page % x.span;
  }
  return true;
}
