import { formatSize, hex } from "../../base/units.ts";
import {
  C_BAD_STREAMID,
  F_ADDR_SIZE,
  F_CD_FETCH,
  F_STREAM_DISABLED,
  F_TRANSLATION,
  SMMU_CODE,
  SMMU_GLOBAL_ABORT,
  SMMU_STE_ABORT,
  smmuFaultText,
} from "../../uapi/smmuv3_queues.ts";
import { STE_S1DSS_BYPASS, STE_S1DSS_SSID0 } from "../../uapi/smmuv3_tables.ts";
import type { TranslationStep } from "../vtd/explain.ts";
import { CdReader } from "./cd_reader.ts";
import { exceeds } from "./geometry.ts";
import { Kind, Regime } from "./regime.ts";
import { SteReader } from "./ste_reader.ts";
import { sizeClass } from "./tlb.ts";
import type { SmmuUnit } from "./unit.ts";
import { ACCESS_READ, ACCESS_WRITE, Walker } from "./walker.ts";

/**
 * What a request of this device (without SubstreamID) to this address would meet in memory now,
 * entry by entry: `L1STD`, `STE`, `CD`, then paging levels `L0` … `L3`. The registers and memory
 * alone decide: caches are neither asked nor filled, so that what they still hold can be seen by
 * comparison. `iova`: byte address below 2^53. `reason` of the last step: an event number, or one
 * of the two that have none (smmuv3_queues.ts).
 */
export function explainSmmuTranslation(
  unit: SmmuUnit,
  sid: number,
  iova: number,
  write = false,
): TranslationStep[] {
  const hi = Math.floor(iova / 4294967296), lo = iova | 0;
  const pfn = Math.floor(iova / 4096);
  if (!unit.translationEnabled) {
    if (unit.abortsWhenDisabled) return [failed(ofUnit(""), SMMU_GLOBAL_ABORT)];
    return [{ ...ofUnit("translation is off: the address is used as it stands"), pfn }];
  }
  const steps: TranslationStep[] = [];
  const { streams } = unit;
  const event = streams.find(sid);
  if (streams.l1Pfn >= 0) {
    const index = sid >>> streams.split;
    steps.push(stepAt(unit, "L1STD", streams.l1Pfn, streams.l1Word, index));
    steps[0].meaning = `entries of 2^${(steps[0].low & 31) - 1} StreamIDs`;
  }
  if (event === C_BAD_STREAMID) {
    if (steps.length === 0) steps.push(ofUnit(""));
    return failLast(steps, event);
  }
  const ste = stepAt(unit, "STE", streams.pfn, streams.word, sid);
  steps.push(ste);
  if (event !== 0) return failLast(steps, event);
  const stream = new Regime();
  new SteReader(unit.memory, unit.capability).read(streams.pfn, streams.word, stream);
  switch (stream.kind) {
    case Kind.abort:
      return failLast(steps, SMMU_STE_ABORT);
    case Kind.bypass:
      return bypass(unit, steps, hi, lo, pfn);
    case Kind.contexts:
      return context(unit, steps, stream, hi, lo, write, pfn);
    case Kind.stage2:
      ste.meaning = `stage 2, VMID ${stream.vmid}, ${tables(stream)}`;
      if (exceeds(unit.capability.outputBits, hi, lo)) return failLast(steps, F_ADDR_SIZE);
      return paging(unit, steps, stream, hi, lo, write);
    default:
      return failLast(steps, stream.event);
  }
}

function bypass(
  unit: SmmuUnit,
  steps: TranslationStep[],
  hi: number,
  lo: number,
  pfn: number,
): TranslationStep[] {
  if (exceeds(unit.capability.outputBits, hi, lo)) return failLast(steps, F_ADDR_SIZE);
  const last = steps[steps.length - 1];
  last.meaning = "bypass";
  last.pfn = pfn;
  return steps;
}

function context(
  unit: SmmuUnit,
  steps: TranslationStep[],
  stream: Regime,
  hi: number,
  lo: number,
  write: boolean,
  pfn: number,
): TranslationStep[] {
  const ste = steps[steps.length - 1];
  const at = stream.root * 4096 + stream.startWord * 4;
  ste.meaning = `stage 1, VMID ${stream.vmid}, context descriptors at ${hex(at)}`;
  if (stream.contextBits !== 0 && stream.withoutSubstream !== STE_S1DSS_SSID0) {
    if (stream.withoutSubstream === STE_S1DSS_BYPASS) return bypass(unit, steps, hi, lo, pfn);
    return failLast(steps, F_STREAM_DISABLED);
  }
  const reader = new CdReader(unit.memory, unit.capability);
  const found = new Regime();
  const event = reader.read(stream, 0, found);
  const cd = stepAt(unit, "CD", reader.pfn, reader.word, 0);
  steps.push(cd);
  if (event !== 0) return failLast(steps, F_CD_FETCH);
  if (found.kind === Kind.fault) return failLast(steps, found.event);
  cd.meaning = `ASID ${found.asid}, ${tables(found)}`;
  return paging(unit, steps, found, hi, lo, write);
}

/** Follows the tables as far as the unit's own walker would come. */
function paging(
  unit: SmmuUnit,
  steps: TranslationStep[],
  regime: Regime,
  hi: number,
  lo: number,
  write: boolean,
): TranslationStep[] {
  if (exceeds(regime.inputBits, hi, lo)) return failLast(steps, F_TRANSLATION);
  const walker = new Walker(unit.memory);
  const end = walker.walk(regime, hi, lo, write ? ACCESS_WRITE : ACCESS_READ);
  const page = hi * 1048576 + (lo >>> 12);
  let table = regime.root, offset = regime.startWord;
  for (let level = regime.startLevel; level <= walker.level; level++) {
    const span = 512 ** (3 - level);
    const whole = Math.floor(page / span);
    const index = level === regime.startLevel ? whole : whole % 512;
    const word = offset + index * 2;
    const step = stepAt(unit, `L${level}`, table + (word >>> 10), word & 1023, index);
    steps.push(step);
    table = frameIn(step);
    offset = 0;
    step.meaning = `table at ${hex(table * 4096)}`;
  }
  if (end < 0) return failLast(steps, -end);
  const leaf = steps[steps.length - 1];
  const size = formatSize(4096 * 512 ** (3 - walker.level));
  const run = sizeClass(walker.level, walker.contiguous) % 2 === 0 ? ", one of 16" : "";
  leaf.meaning = `${rights(walker.permission)}, ${size} page at ${hex(table * 4096)}${run}`;
  leaf.pfn = end;
  return steps;
}

function ofUnit(meaning: string): TranslationStep {
  return { level: "unit", table: 0, index: 0, low: 0, high: 0, meaning };
}

/** Reads the first 64 bits of the entry at a frame's word. */
function stepAt(
  unit: SmmuUnit,
  level: string,
  pfn: number,
  word: number,
  index: number,
): TranslationStep {
  const readable = pfn >= 0 && pfn < unit.memory.frames;
  const low = readable ? unit.memory.load(pfn, word) >>> 0 : 0;
  const high = readable ? unit.memory.load(pfn, word | 1) >>> 0 : 0;
  return { level, table: pfn * 4096, index, low, high, meaning: "" };
}

function frameIn(step: TranslationStep): number {
  return (step.high & 0xffff) * 1048576 + (step.low >>> 12);
}

function tables(regime: Regime): string {
  if (regime.inputBits === 0) return "no tables";
  const at = hex(regime.root * 4096 + regime.startWord * 4);
  return `${regime.inputBits} bits, tables from level ${regime.startLevel} at ${at}`;
}

function rights(permission: number): string {
  return ["no access", "read only", "write only", "read write"][permission];
}

function failed(step: TranslationStep, reason: number): TranslationStep {
  const code = reason.toString(16).padStart(2, "0");
  return { ...step, meaning: `fault 0x${code}: ${smmuFaultText(-(SMMU_CODE | reason))}`, reason };
}

/** The last step is where it fails. */
function failLast(steps: TranslationStep[], reason: number): TranslationStep[] {
  steps[steps.length - 1] = failed(steps[steps.length - 1], reason);
  return steps;
}
