import { faultReasonText } from "../../uapi/vtd_regs.ts";
import type { VtdUnit } from "./unit.ts";

/** One entry on the way of an address, for people. */
export interface TranslationStep {
  /**
   * `unit` (no table was read), `root`, `context`, `directory` and `pasid` in scalable mode, or a
   * paging level: `L5` … `L1`; `S5` … `S1` where second-level tables lie under first-level ones.
   */
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

export function ofUnit(meaning: string): TranslationStep {
  return { level: "unit", table: 0, index: 0, low: 0, high: 0, meaning };
}

/** Reads one entry of `words` 32-bit words. */
export function stepAt(
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

export function frameIn(step: TranslationStep): number {
  return (step.high & 0xfffff) * 1048576 + (step.low >>> 12);
}

export function failed(step: TranslationStep, reason: number): TranslationStep {
  const code = reason.toString(16).padStart(2, "0");
  return { ...step, meaning: `fault 0x${code}: ${faultReasonText(reason)}`, reason };
}

/** The last step is where it fails. */
export function failLast(steps: TranslationStep[], reason: number): TranslationStep[] {
  steps[steps.length - 1] = failed(steps[steps.length - 1], reason);
  return steps;
}
