import { hex } from "../../base/units.ts";
import {
  agawToLevels,
  CONTEXT_TT_PASS_THROUGH,
  VTD_FR_BEYOND_AGAW,
  VTD_FR_INTERRUPT_INPUT,
  VTD_FR_INTERRUPT_OUTPUT,
} from "../../uapi/vtd_regs.ts";
import { VTD_FR_SM_RTA_LEGACY, VTD_FR_SM_RTA_MODE } from "../../uapi/vtd_sm_faults.ts";
import { contextAw, contextDid, contextReason, contextTt } from "./context_cache.ts";
import { ContextReader, contextWidth } from "./context_reader.ts";
import { pagingSteps, rights } from "./explain_paging.ts";
import { explainScalable } from "./explain_scalable.ts";
import {
  failed,
  failLast,
  frameIn,
  ofUnit,
  stepAt,
  type TranslationStep,
} from "./explain_steps.ts";
import { inInterruptRange, isInterruptFrame } from "../interrupt_range.ts";
import { Mode } from "./registers.ts";
import { NO_PASID } from "./scalable.ts";
import type { VtdUnit } from "./unit.ts";
import { ACCESS_READ, ACCESS_WRITE, Walker } from "./walker.ts";

export type { TranslationStep } from "./explain_steps.ts";

/**
 * What a request of this device to this address would meet in memory now, entry by entry. The
 * latched root table and memory alone decide: caches are neither asked nor filled, so that what
 * they still hold can be seen by comparison. `iova`: byte address below 2^53; `write`: the kind
 * of request; `pasid`: of a request that carries one.
 */
export function explainTranslation(
  unit: VtdUnit,
  sid: number,
  iova: number,
  write = false,
  pasid = NO_PASID,
): TranslationStep[] {
  const hi = Math.floor(iova / 4294967296), lo = iova | 0;
  const pfn = Math.floor(iova / 4096);
  if (pasid === NO_PASID && inInterruptRange(hi, lo) && (write || unit.translationEnabled)) {
    if (write) return [ofUnit("an interrupt message: it goes to no memory")];
    return [failed(ofUnit(""), VTD_FR_INTERRUPT_INPUT)];
  }
  if (!unit.translationEnabled) {
    if (pasid !== NO_PASID) return [ofUnit("translation is off: a PASID means nothing")];
    return [{ ...ofUnit("translation is off: the address is used as it stands"), pfn }];
  }
  if (unit.mode === Mode.unknown) return [failed(ofUnit(""), VTD_FR_SM_RTA_MODE)];
  if (unit.mode === Mode.scalable) {
    return explainScalable(unit, { sid, pasid, iova, hi, lo, pfn, write });
  }
  if (pasid !== NO_PASID) return [failed(ofUnit(""), VTD_FR_SM_RTA_LEGACY)];
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
  const walker = new Walker(unit.memory, unit.capability), levels = agawToLevels(aw);
  const found = walker.walk(context.asr, levels, hi, lo, write ? ACCESS_WRITE : ACCESS_READ);
  const end = isInterruptFrame(found) ? -VTD_FR_INTERRUPT_OUTPUT : found;
  pagingSteps(unit, steps, { top: context.asr, levels, level: walker.level, end, iova, rights });
  return steps;
}

/** Follows the tables as far as the unit's own walker would come. */
function atRoot(reason: number): boolean {
  return reason === 1 || reason === 8 || reason === 9 || reason === 0xa;
}
