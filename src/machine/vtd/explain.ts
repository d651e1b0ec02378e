import { formatSize, hex } from "../../base/units.ts";
import {
  agawToLevels,
  CONTEXT_TT_PASS_THROUGH,
  DMA_PTE_READ,
  DMA_PTE_WRITE,
  faultReasonText,
  VTD_FR_BEYOND_AGAW,
  VTD_FR_INTERRUPT_INPUT,
  VTD_FR_INTERRUPT_OUTPUT,
} from "../../uapi/vtd_regs.ts";
import { contextAw, contextDid, contextReason, contextTt } from "./context_cache.ts";
import { ContextReader, contextWidth } from "./context_reader.ts";
import { inInterruptRange, isInterruptFrame } from "./interrupt_range.ts";
import type { VtdUnit } from "./unit.ts";
import { ACCESS_READ, ACCESS_WRITE, Walker } from "./walker.ts";

/** One entry on the way of an address, for people. */
export interface TranslationStep {
  /** `unit` (no table was read), `root`, `context`, or a paging level: `L5` … `L1`. */
  level: string;
  /** Physical byte address of the table; 0 for `unit`. */
  table: number;
  /** Index of the entry in its table. */
  index: number;
  /** First 64 bits of the entry as two unsigned words. */
  low: number;
  high: number;
  /** The entry in words, without a full stop. */
  meaning: string;
  /** Where the way ends: the fault reason, or the frame that is reached. */
  reason?: number;
  pfn?: number;
}

/**
 * What a request of this device to this address would meet in memory now, entry by entry. The
 * latched root table and memory alone decide: caches are neither asked nor filled, so that what
 * they still hold can be seen by comparison. `iova`: byte address below 2^53; `write`: the kind
 * of request.
 */
export function explainTranslation(
  unit: VtdUnit,
  sid: number,
  iova: number,
  write = false,
): TranslationStep[] {
  const hi = Math.floor(iova / 4294967296), lo = iova | 0;
  const pfn = Math.floor(iova / 4096);
  if (inInterruptRange(hi, lo) && (write || unit.translationEnabled)) {
    if (write) return [ofUnit("an interrupt message: it goes to no memory")];
    return [failed(ofUnit(""), VTD_FR_INTERRUPT_INPUT)];
  }
  if (!unit.translationEnabled) {
    return [{ ...ofUnit("translation is off: the address is used as it stands"), pfn }];
  }
  const steps: TranslationStep[] = [];
  const root = stepAt(unit, "root", unit.rootPfn, sid >>> 8, 4);
  const context = new ContextReader(unit.memory, unit.capability);
  const packed = context.read(unit.rootPfn, sid);
  const reason = contextReason(packed);
  steps.push(root);
  if (atRoot(reason)) return failLast(steps, reason);
  const contextPfn = frameIn(root);
  root.meaning = `context table at ${hex(contextPfn * 4096)}`;
  const entry = stepAt(unit, "context", contextPfn, sid & 255, 4);
  steps.push(entry);
  if (reason !== 0) return failLast(steps, reason);
  const aw = contextAw(packed), did = contextDid(packed);
  const width = contextWidth(aw, unit.capability);
  const through = contextTt(packed) === CONTEXT_TT_PASS_THROUGH;
  entry.meaning = `domain ${did}, ${width} bits, ` +
    (through ? "pass-through" : `${agawToLevels(aw)} levels at ${hex(context.asr * 4096)}`);
  if (iova >= 2 ** width) return failLast(steps, VTD_FR_BEYOND_AGAW);
  if (through) {
    entry.pfn = pfn;
    return steps;
  }
  return paging(unit, steps, context.asr, agawToLevels(aw), hi, lo, write);
}

/** Follows the tables as far as the unit's own walker would come. */
function paging(
  unit: VtdUnit,
  steps: TranslationStep[],
  asr: number,
  levels: number,
  hi: number,
  lo: number,
  write: boolean,
): TranslationStep[] {
  const walker = new Walker(unit.memory, unit.capability);
  const end = walker.walk(asr, levels, hi, lo, write ? ACCESS_WRITE : ACCESS_READ);
  const page = hi * 1048576 + (lo >>> 12);
  let table = asr;
  for (let level = levels; level >= walker.level; level--) {
    const index = Math.floor(page / 512 ** (level - 1)) % 512;
    const step = stepAt(unit, `L${level}`, table, index, 2);
    steps.push(step);
    table = frameIn(step);
    step.meaning = `${rights(step.low)}, table at ${hex(table * 4096)}`;
  }
  if (end < 0) return failLast(steps, -end);
  const leaf = steps[steps.length - 1];
  const size = formatSize(4096 * 512 ** (walker.level - 1));
  leaf.meaning = `${rights(leaf.low)}, ${size} page at ${hex(table * 4096)}`;
  if (isInterruptFrame(end)) return failLast(steps, VTD_FR_INTERRUPT_OUTPUT);
  leaf.pfn = end;
  return steps;
}

function ofUnit(meaning: string): TranslationStep {
  return { level: "unit", table: 0, index: 0, low: 0, high: 0, meaning };
}

/** Reads one entry of `words` 32-bit words. */
function stepAt(
  unit: VtdUnit,
  level: string,
  table: number,
  index: number,
  words: number,
): TranslationStep {
  const readable = table >= 0 && table < unit.memory.frames;
  const low = readable ? unit.memory.load(table, index * words) >>> 0 : 0;
  const high = readable ? unit.memory.load(table, index * words + 1) >>> 0 : 0;
  return { level, table: table * 4096, index, low, high, meaning: "" };
}

function frameIn(step: TranslationStep): number {
  return (step.high & 0xfffff) * 1048576 + (step.low >>> 12);
}

function rights(low: number): string {
  const read = (low & DMA_PTE_READ) !== 0, write = (low & DMA_PTE_WRITE) !== 0;
  return read ? (write ? "read write" : "read only") : write ? "write only" : "not present";
}

function atRoot(reason: number): boolean {
  return reason === 1 || reason === 8 || reason === 9 || reason === 0xa;
}

function failed(step: TranslationStep, reason: number): TranslationStep {
  const code = reason.toString(16).padStart(2, "0");
  return { ...step, meaning: `fault 0x${code}: ${faultReasonText(reason)}`, reason };
}

/** The last step is where it fails. */
function failLast(steps: TranslationStep[], reason: number): TranslationStep[] {
  steps[steps.length - 1] = failed(steps[steps.length - 1], reason);
  return steps;
}
