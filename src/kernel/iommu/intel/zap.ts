import { CONTEXT_DID_SHIFT_WORD2 } from "../../../uapi/vtd_regs.ts";
import type { IntelUnit } from "./unit.ts";

const AT = "zap_context_table_entries";
/** Words of a context entry as the posted code clears it: its two halves of legacy mode. */
const WORDS = 4;

/** The posted code's own way of blocking a device is to be taken, in one respect or another. */
export function zaps({ kernel }: IntelUnit): boolean {
  return kernel.has("D17") || kernel.has("D18");
}

/**
 * Blocks one device before a kexec as patch 3 does it (seed lines 495-513): the context entry is
 * cleared, and what the unit remembers of it is flushed by a domain id and a source id, of which
 * the posted code has neither.
 */
export function zap(unit: IntelUnit, sid: number): void {
  const { kernel } = unit;
  const place = unit.contexts.entryOf(sid);
  if (place === undefined) return;
  const { memory } = kernel.machine;
  const { table, word } = place;
  const did = (memory.load(table, word + 2) >>> CONTEXT_DID_SHIFT_WORD2) & 0xffff;
  for (let i = 0; i < WORDS; i++) memory.store(table, word + i, 0);
  const old = kernel.has("D17") ? kernel.kasan.uninitialised("did_old", 0xffff, AT) : did;
  unit.invalidation.contextDevice(kernel.has("D18") ? randomSource(unit) : sid, old);
  unit.invalidation.iotlbDomain(old);
}

function randomSource({ kernel }: IntelUnit): number {
  const bus = kernel.kasan.uninitialised("bus", 0xff, AT);
  return (bus << 8) | kernel.kasan.uninitialised("devfn", 0xff, AT);
}
