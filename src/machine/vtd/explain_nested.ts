import { formatSize, hex } from "../../base/units.ts";
import { agawToLevels, VTD_FR_INTERRUPT_INPUT } from "../../uapi/vtd_regs.ts";
import * as fault from "../../uapi/vtd_sm_faults.ts";
import { firstRights, pagingSteps, rights } from "./explain_paging.ts";
import type { ScalableRequest } from "./explain_scalable.ts";
import { failLast, frameIn, stepAt, type TranslationStep } from "./explain_steps.ts";
import { isCanonical } from "./first_level_walker.ts";
import { isInterruptFrame } from "../interrupt_range.ts";
import { NestedWalker } from "./nested_walker.ts";
import { type PackedPasid, pasidDid, pasidSize, pasidSlade, pasidUnder } from "./pasid_cache.ts";
import type { VtdUnit } from "./unit.ts";
import { ACCESS_READ, ACCESS_WRITE, Walker } from "./walker.ts";

/** Of a walk that never came to a guest page: reasons for which a first-level table was not read. */
const UNREACHED = new Set([
  fault.VTD_FR_FL_BEYOND_WIDTH,
  fault.VTD_FR_FL_TOP_UNREADABLE,
  fault.VTD_FR_FL_UNREADABLE,
  fault.VTD_FR_SL_TOP_TABLE,
  fault.VTD_FR_SL_NEXT_TABLE,
  fault.VTD_FR_SL_RESERVED,
]);

/**
 * Nested translation, told as its first-level entries, where they lie in the host's memory, and
 * then the second-level entries (`S`) of the guest address they lead to. Where a first-level table
 * cannot be reached, the second-level entries are those of its own address.
 */
export function explainNested(
  unit: VtdUnit,
  steps: TranslationStep[],
  packed: PackedPasid,
  { top, under }: { readonly top: number; readonly under: number },
  { iova, hi, lo, write }: ScalableRequest,
): TranslationStep[] {
  const levels = pasidSize(packed), aw = pasidUnder(packed), below = agawToLevels(aw);
  const entry = steps[steps.length - 1];
  entry.meaning = `domain ${pasidDid(packed)}, nested: first level, ${levels} levels at guest ` +
    `${hex(top * 4096)}, over second level, ${below} levels` +
    `${pasidSlade(packed) ? " with A/D" : ""} at ${hex(under * 4096)}`;
  if (!isCanonical(hi, levels)) return failLast(steps, fault.VTD_FR_FL_NOT_CANONICAL);
  const walker = new NestedWalker(unit.memory, unit.capability);
  const found = walker.walk(top, levels, under, aw, hi, lo, write);
  const end = isInterruptFrame(found) ? -VTD_FR_INTERRUPT_INPUT : found;
  const unreached = walker.guest < 0 && UNREACHED.has(-end);
  const second = new Walker(unit.memory, unit.capability);
  const follow = (guest: number, need: number): TranslationStep[] => {
    if (end === -fault.VTD_FR_FL_BEYOND_WIDTH || end === -fault.VTD_FR_SL_BEYOND_WIDTH) {
      return failLast(steps, -end);
    }
    second.walk(under, below, guest >>> 20, guest << 12, need);
    const walk = { top: under, levels: below, level: second.level, iova: guest * 4096, rights };
    pagingSteps(unit, steps, { ...walk, letter: "S", end });
    return steps;
  };
  const page = Math.floor(iova / 4096);
  let guest = top;
  for (let level = levels; level >= walker.firstLevel; level--) {
    if (unreached && level === walker.firstLevel) return follow(guest, ACCESS_READ);
    const host = second.walk(under, below, guest >>> 20, guest << 12, ACCESS_READ);
    const step = stepAt(unit, `L${level}`, host, Math.floor(page / 512 ** (level - 1)) % 512, 2);
    steps.push(step);
    guest = frameIn(step);
    step.meaning = `${firstRights(step.low)}, table at guest ${hex(guest * 4096)}`;
  }
  if (walker.guest < 0) return failLast(steps, -end);
  const refused = found < 0 ? 0 : walker.refusal(hi, lo, write);
  if (refused !== 0) return failLast(steps, -refused);
  const pages = 512 ** (walker.firstLevel - 1), leaf = steps[steps.length - 1];
  leaf.meaning = `${firstRights(leaf.low)}, ${formatSize(4096 * pages)} page at guest ` +
    hex((walker.guest - walker.guest % pages) * 4096);
  return follow(walker.guest, write ? ACCESS_WRITE : ACCESS_READ);
}
