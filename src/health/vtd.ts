import type { Memory } from "../machine/memory.ts";
import type { VtdUnit } from "../machine/vtd/unit.ts";
import { type LiveContext, liveTables, lookUp } from "./tables.ts";
import type { UnitReader } from "./translation.ts";

const PASS_THROUGH = 2;

/** A VT-d unit. */
export function readVtd(memory: Memory, unit: VtdUnit): UnitReader<LiveContext> {
  return {
    name: unit.name,
    idName: "DID",
    translates: unit.translationEnabled,
    live: liveTables(memory, unit),
    *cachedContexts() {
      for (const { sid, did, tt, asr, reason } of unit.contextCache.entries()) {
        const root = tt === PASS_THROUGH ? -1 : asr;
        yield { sid, context: reason === 0 ? { did, root } : undefined };
      }
    },
    cachedTranslations: () => unit.iotlb.entries(),
    lookUp: (context, page) => lookUp(memory, unit, context, page),
  };
}
