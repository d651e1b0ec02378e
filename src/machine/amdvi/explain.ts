import { formatSize, hex } from "../../base/units.ts";
import {
  AMDVI_CODE,
  amdviFaultText,
  FAULT_BEYOND_DEVICE_TABLE,
  FAULT_BEYOND_TABLES,
  FAULT_DEVICE_TABLE_MEMORY,
  FAULT_ILLEGAL_DTE,
  FAULT_INTERRUPT_RANGE,
  FAULT_NO_TRANSLATION,
  FAULT_PERMISSION,
} from "../../uapi/amdvi_queues.ts";
import { DTE_WORDS } from "../../uapi/amdvi_tables.ts";
import { DMA_MASTER_ABORT } from "../dma_port.ts";
import type { TranslationStep } from "../vtd/explain.ts";
import { inInterruptRange } from "../interrupt_range.ts";
import { ACCESS_READ, ACCESS_WRITE, DeviceEntry, DeviceKind } from "./device_entry.ts";
import type { AmdviUnit } from "./unit.ts";
import { exceedsTables, Walker } from "./walker.ts";

/**
 * What a request of this device to this address would meet in memory now, entry by entry: `DTE`,
 * then paging levels `L6` … `L1`, without those that are left out. The registers and memory alone
 * decide: caches are neither asked nor filled. `iova`: byte address below 2^53. `reason` of the
 * last step: n of amdvi_queues.ts.
 */
export function explainAmdviTranslation(
  unit: AmdviUnit,
  sid: number,
  iova: number,
  write = false,
): TranslationStep[] {
  const hi = Math.floor(iova / 4294967296), lo = iova | 0;
  const pfn = Math.floor(iova / 4096);
  const interrupt = inInterruptRange(hi, lo);
  if (interrupt && write) return [ofUnit("an interrupt message: it goes to no memory")];
  if (!unit.translationEnabled) {
    return [{ ...ofUnit("translation is off: the address is used as it stands"), pfn }];
  }
  if (sid >= unit.deviceTableEntries) return [failed(ofUnit(""), FAULT_BEYOND_DEVICE_TABLE)];
  const at = sid * DTE_WORDS;
  const tablePfn = unit.deviceTablePfn + (at >>> 10), word = at & 1023;
  const steps = [stepAt(unit, "DTE", tablePfn, word, sid)];
  if (!unit.memory.isRam(tablePfn)) return failLast(steps, FAULT_DEVICE_TABLE_MEMORY);
  const device = new DeviceEntry();
  device.read(unit.memory, tablePfn, word, unit.capability.levels);
  const need = write ? ACCESS_WRITE : ACCESS_READ;
  if (interrupt) return failLast(steps, FAULT_INTERRUPT_RANGE);
  switch (device.kind) {
    case DeviceKind.forward:
      steps[0].meaning = "not valid: the address is used as it stands";
      steps[0].pfn = pfn;
      return steps;
    case DeviceKind.noTranslation:
      return failLast(steps, FAULT_NO_TRANSLATION);
    case DeviceKind.passthrough:
      if ((device.permission & need) === 0) return failLast(steps, FAULT_PERMISSION);
      steps[0].meaning = `domain ${device.domain}, ${rights(device.permission)}, no tables`;
      steps[0].pfn = pfn;
      return steps;
    case DeviceKind.tables:
      steps[0].meaning = `domain ${device.domain}, ${rights(device.permission)}, ` +
        `${device.mode} levels at ${hex(device.root * 4096)}`;
      if ((device.permission & need) === 0) return failLast(steps, FAULT_PERMISSION);
      if (exceedsTables(device.mode, hi, lo)) return failLast(steps, FAULT_BEYOND_TABLES);
      return paging(unit, steps, device, hi, lo, need);
    default:
      return failLast(steps, FAULT_ILLEGAL_DTE);
  }
}

/** Follows the tables as far as the unit's own walker would come. */
function paging(
  unit: AmdviUnit,
  steps: TranslationStep[],
  device: DeviceEntry,
  hi: number,
  lo: number,
  need: number,
): TranslationStep[] {
  const walker = new Walker(unit.memory);
  const end = walker.walk(device.root, device.mode, hi, lo, need);
  const page = hi * 1048576 + (lo >>> 12);
  let table = device.root;
  for (let level = device.mode;;) {
    const index = Math.floor(page / 512 ** (level - 1)) % 512;
    const step = stepAt(unit, `L${level}`, table, index * 2, index);
    steps.push(step);
    table = (step.high & 0xfffff) * 1048576 + (step.low >>> 12);
    step.meaning = `${rights(step.high >>> 29)}, table at ${hex(table * 4096)}`;
    if (level === walker.level) break;
    level = (step.low >>> 9) & 7;
  }
  const leaf = steps[steps.length - 1];
  if (end === DMA_MASTER_ABORT) {
    leaf.meaning = "page beyond all memory";
    return steps;
  }
  if (end < 0) return failLast(steps, -end);
  const size = 4096 * 2 ** walker.pageBits;
  const first = end - page % (size / 4096);
  leaf.meaning = `${rights(leaf.high >>> 29)}, ${formatSize(size)} page at ${hex(first * 4096)}`;
  leaf.pfn = end;
  return steps;
}

function ofUnit(meaning: string): TranslationStep {
  return { level: "unit", table: 0, index: 0, low: 0, high: 0, meaning };
}

/** Reads the first 64 bits of the entry at a frame's word. */
function stepAt(
  unit: AmdviUnit,
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

function rights(permission: number): string {
  return ["no access", "read only", "write only", "read write"][permission & 3];
}

function failed(step: TranslationStep, reason: number): TranslationStep {
  const text = amdviFaultText(-(AMDVI_CODE | reason));
  return { ...step, meaning: `fault 0x${reason.toString(16)}: ${text}`, reason };
}

/** The last step is where it fails. */
function failLast(steps: TranslationStep[], reason: number): TranslationStep[] {
  steps[steps.length - 1] = failed(steps[steps.length - 1], reason);
  return steps;
}
