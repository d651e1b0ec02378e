import { hex } from "../../base/units.ts";
import { agawToLevels, VTD_FR_INTERRUPT_INPUT } from "../../uapi/vtd_regs.ts";
import {
  PASID_TABLE_BITS,
  PGTT_FIRST_LEVEL,
  PGTT_NESTED,
  PGTT_PASS_THROUGH,
} from "../../uapi/vtd_scalable.ts";
import * as fault from "../../uapi/vtd_sm_faults.ts";
import { contextWidth } from "./context_reader.ts";
import { firstRights, pagingSteps, rights } from "./explain_paging.ts";
import { failLast, frameIn, stepAt, type TranslationStep } from "./explain_steps.ts";
import { FirstLevelWalker, isCanonical } from "./first_level_walker.ts";
import { isInterruptFrame } from "../interrupt_range.ts";
import {
  type PackedPasid,
  pasidDid,
  pasidPgtt,
  pasidReason,
  pasidSize,
  pasidSlade,
} from "./pasid_cache.ts";
import { PasidReader } from "./pasid_reader.ts";
import { explainNested } from "./explain_nested.ts";
import { NO_PASID, pasidLimit } from "./scalable.ts";
import { secondLevelReason } from "./second_level.ts";
import { scalablePaside, scalableReason } from "./scalable_context_cache.ts";
import { ScalableReader } from "./scalable_reader.ts";
import type { VtdUnit } from "./unit.ts";
import { ACCESS_READ, ACCESS_WRITE, Walker } from "./walker.ts";

/** A request, its address both as a number and as two words. */
export interface ScalableRequest {
  sid: number;
  pasid: number;
  iova: number;
  hi: number;
  lo: number;
  pfn: number;
  write: boolean;
}

/** Root and context entry of scalable mode, then what the PASID leads to. */
export function explainScalable(unit: VtdUnit, request: ScalableRequest): TranslationStep[] {
  const { sid, pasid } = request, { capability } = unit;
  const contexts = new ScalableReader(unit.memory, capability);
  const context = contexts.read(unit.rootPfn, sid), reason = scalableReason(context);
  const root = stepAt(unit, "root", unit.rootPfn, sid >>> 7, 2);
  const steps = [root];
  if (reason !== 0 && reason <= fault.VTD_FR_SM_CONTEXT_TABLE) return failLast(steps, reason);
  root.meaning = `context table at ${hex(frameIn(root) * 4096)}`;
  const entry = stepAt(unit, "context", frameIn(root), sid & 0x7f, 8);
  steps.push(entry);
  if (reason !== 0) return failLast(steps, reason);
  const limit = pasidLimit(context, capability);
  const used = pasid === NO_PASID ? contexts.ridPasid : pasid;
  entry.meaning = `PASID ${used}${pasid === NO_PASID ? " (RID_PASID)" : ""}, ` +
    `directory of ${limit} bits at ${hex(contexts.directory * 4096)}`;
  if (pasid !== NO_PASID && !scalablePaside(context)) {
    return failLast(steps, fault.VTD_FR_SM_PASID_DISABLED);
  }
  if (used >= 2 ** limit) {
    const tooLarge = fault.VTD_FR_SM_PASID_TOO_LARGE;
    return failLast(steps, pasid === NO_PASID ? fault.VTD_FR_SM_RID_PASID : tooLarge);
  }
  return ofPasid(unit, steps, contexts.directory, used, request);
}

function ofPasid(
  unit: VtdUnit,
  steps: TranslationStep[],
  directory: number,
  pasid: number,
  request: ScalableRequest,
): TranslationStep[] {
  const reader = new PasidReader(unit.memory, unit.capability);
  const packed = reader.read(directory, pasid), reason = pasidReason(packed);
  const index = pasid >>> PASID_TABLE_BITS;
  const entry = stepAt(unit, "directory", directory + (index >>> 9), index & 511, 2);
  steps.push(entry);
  if (reason !== 0 && reason <= fault.VTD_FR_SM_PASID_TABLE) return failLast(steps, reason);
  entry.meaning = `PASID table at ${hex(reader.table * 4096)}`;
  const step = stepAt(unit, "pasid", reader.table, pasid & 63, 16);
  steps.push(step);
  if (reason !== 0) return failLast(steps, reason);
  const did = pasidDid(packed);
  if (pasidPgtt(packed) === PGTT_NESTED) return explainNested(unit, steps, packed, reader, request);
  if (pasidPgtt(packed) === PGTT_PASS_THROUGH) return passing(unit, steps, did, request);
  step.meaning = `domain ${did}, ` +
    (pasidPgtt(packed) === PGTT_FIRST_LEVEL
      ? `first level, ${pasidSize(packed)} levels`
      : `second level, ${agawToLevels(pasidSize(packed))} levels` +
        (pasidSlade(packed) ? " with A/D" : "")) +
    ` at ${hex(reader.top * 4096)}`;
  return pasidPgtt(packed) === PGTT_FIRST_LEVEL
    ? firstLevel(unit, steps, packed, reader.top, request)
    : secondLevel(unit, steps, packed, reader.top, request);
}

function passing(
  unit: VtdUnit,
  steps: TranslationStep[],
  did: number,
  request: ScalableRequest,
): TranslationStep[] {
  const step = steps[steps.length - 1];
  if (request.iova >= 2 ** unit.capability.hostWidth) {
    return failLast(steps, fault.VTD_FR_SM_BEYOND_HARDWARE);
  }
  if (request.pasid !== NO_PASID && isInterruptFrame(request.pfn)) {
    return failLast(steps, VTD_FR_INTERRUPT_INPUT);
  }
  step.meaning = `domain ${did}, pass-through`;
  step.pfn = request.pfn;
  return steps;
}

function firstLevel(
  unit: VtdUnit,
  steps: TranslationStep[],
  packed: PackedPasid,
  top: number,
  request: ScalableRequest,
): TranslationStep[] {
  const { iova, hi, lo, write } = request, levels = pasidSize(packed);
  if (!isCanonical(hi, levels)) return failLast(steps, fault.VTD_FR_FL_NOT_CANONICAL);
  const walker = new FirstLevelWalker(unit.memory, unit.capability);
  const found = walker.walk(top, levels, hi, lo, write);
  const end = isInterruptFrame(found) ? -VTD_FR_INTERRUPT_INPUT : found;
  pagingSteps(unit, steps, { top, levels, level: walker.level, end, iova, rights: firstRights });
  return steps;
}

function secondLevel(
  unit: VtdUnit,
  steps: TranslationStep[],
  packed: PackedPasid,
  top: number,
  request: ScalableRequest,
): TranslationStep[] {
  const { iova, hi, lo, write } = request, aw = pasidSize(packed);
  if (iova >= 2 ** contextWidth(aw, unit.capability)) {
    return failLast(steps, fault.VTD_FR_SL_BEYOND_WIDTH);
  }
  const walker = new Walker(unit.memory, unit.capability), levels = agawToLevels(aw);
  const found = walker.walk(top, levels, hi, lo, write ? ACCESS_WRITE : ACCESS_READ);
  const end = found < 0
    ? secondLevelReason(found, walker, levels, write)
    : isInterruptFrame(found)
    ? -VTD_FR_INTERRUPT_INPUT
    : found;
  pagingSteps(unit, steps, { top, levels, level: walker.level, end, iova, rights });
  return steps;
}
