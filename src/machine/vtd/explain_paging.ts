import { formatSize, hex } from "../../base/units.ts";
import { DMA_PTE_READ, DMA_PTE_WRITE } from "../../uapi/vtd_regs.ts";
import { DMA_FL_PTE_PRESENT, DMA_FL_PTE_US, DMA_FL_PTE_WRITE } from "../../uapi/vtd_scalable.ts";
import { failLast, frameIn, stepAt, type TranslationStep } from "./explain_steps.ts";
import type { VtdUnit } from "./unit.ts";

/** A walk that was made, to be told. */
export interface Walk {
  /** Frame of the top-level table, and how many levels there are. */
  top: number;
  levels: number;
  /** Where the walk ended: level, and frame or `-reason`. */
  level: number;
  end: number;
  /** Byte address below 2^53. */
  iova: number;
  /** What steps are called, before their level: `L` unless said. */
  letter?: string;
  /** What an entry's low word grants, in words. */
  rights(low: number): string;
}

/** Adds a step for each level that the walk went through. */
export function pagingSteps(unit: VtdUnit, steps: TranslationStep[], walk: Walk): void {
  const page = Math.floor(walk.iova / 4096);
  let table = walk.top;
  for (let level = walk.levels; level >= walk.level; level--) {
    const index = Math.floor(page / 512 ** (level - 1)) % 512;
    const step = stepAt(unit, `${walk.letter ?? "L"}${level}`, table, index, 2);
    steps.push(step);
    table = frameIn(step);
    step.meaning = `${walk.rights(step.low)}, table at ${hex(table * 4096)}`;
  }
  if (walk.end < 0) {
    failLast(steps, -walk.end);
    return;
  }
  const leaf = steps[steps.length - 1];
  const pages = 512 ** (walk.level - 1);
  const first = walk.end - walk.end % pages;
  leaf.meaning = `${walk.rights(leaf.low)}, ${formatSize(4096 * pages)} page at ` +
    hex(first * 4096);
  leaf.pfn = walk.end;
}

/** Second-level entries. */
export function rights(low: number): string {
  return inWords((low & DMA_PTE_READ) !== 0, (low & DMA_PTE_WRITE) !== 0);
}

/** First-level entries. */
export function firstRights(low: number): string {
  const present = (low & DMA_FL_PTE_PRESENT) !== 0;
  const words = inWords(present, present && (low & DMA_FL_PTE_WRITE) !== 0);
  return present && (low & DMA_FL_PTE_US) === 0 ? `${words}, supervisor` : words;
}

function inWords(read: boolean, write: boolean): string {
  return read ? (write ? "read write" : "read only") : write ? "write only" : "not present";
}
