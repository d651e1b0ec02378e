import { C_BAD_STE } from "../../uapi/smmuv3_queues.ts";
import {
  STE_CONFIG_BYPASS,
  STE_CONFIG_MASK,
  STE_CONFIG_NESTED,
  STE_CONFIG_S1,
  STE_CONFIG_S2,
  STE_CONFIG_SHIFT,
  STE_S1CDMAX_SHIFT_WORD1,
  STE_S1DSS_MASK_WORD2,
  STE_S1DSS_SSID0,
  STE_S2AA64_WORD5,
  STE_S2AFFD_WORD5,
  STE_S2ENDI_WORD5,
  STE_S2PS_SHIFT_WORD5,
  STE_S2R_WORD5,
  STE_S2S_WORD5,
  STE_S2SL0_SHIFT_WORD5,
  STE_S2T0SZ_MASK_WORD5,
  STE_S2TG_SHIFT_WORD5,
  STE_S2VMID_MASK_WORD4,
  STE_V,
  TG_4K,
} from "../../uapi/smmuv3_tables.ts";
import type { Memory } from "../memory.ts";
import type { SmmuCapability } from "./capability.ts";
import { BAD_GEOMETRY, exceeds, firstTableBits, outputBits, stage2StartLevel } from "./geometry.ts";
import { Kind, packGeometry, type Regime } from "./regime.ts";

/** Words 0 and 1 hold an address in bits 6-51, words 6 and 7 one in bits 4-51. */
const CONTEXT_POINTER = ~0x3f;
const TABLE_POINTER = ~0xf;
const ADDRESS_HI = 0xfffff;

/**
 * Judges stream table entries (FACTS 4.1). The hardware looks at the fields that the entry's
 * Config makes it use, and at no other: that is what lets software prepare the others (FACTS 4.2).
 *
 * Config 7, both stages nested, is not modelled: C_BAD_STE. Config 1 to 3 are reserved and abort
 * as 0 does.
 */
export class SteReader {
  constructor(readonly memory: Memory, readonly capability: SmmuCapability) {}

  /** Reads the entry at frame `pfn`, word `word`, into `into`. */
  read(pfn: number, word: number, into: Regime): void {
    const low = this.memory.load(pfn, word);
    if ((low & STE_V) === 0) return into.setFault(C_BAD_STE);
    switch ((low >>> STE_CONFIG_SHIFT) & STE_CONFIG_MASK) {
      case STE_CONFIG_BYPASS:
        return into.setPlain(Kind.bypass);
      case STE_CONFIG_S1:
        return this.#contexts(pfn, word, low, into);
      case STE_CONFIG_S2:
        return this.#stage2(pfn, word, into);
      case STE_CONFIG_NESTED:
        return into.setFault(C_BAD_STE);
      default:
        return into.setPlain(Kind.abort);
    }
  }

  #contexts(pfn: number, word: number, low: number, into: Regime): void {
    const { memory, capability } = this;
    const high = memory.load(pfn, word | 1);
    const format = (low >>> 4) & 3;
    const bits = high >>> STE_S1CDMAX_SHIFT_WORD1;
    const dss = bits === 0 ? 0 : memory.load(pfn, word | 2) & STE_S1DSS_MASK_WORD2;
    // The unit has only linear tables of context descriptors (IDR0.CD2L is 0).
    const bad = !capability.stage1 || bits > capability.substreamBits ||
      (bits !== 0 && format !== 0) || dss > STE_S1DSS_SSID0;
    if (bad || exceeds(capability.outputBits, high & ADDRESS_HI, low)) {
      return into.setFault(C_BAD_STE);
    }
    const vmid = capability.stage2 ? memory.load(pfn, word | 4) & STE_S2VMID_MASK_WORD4 : 0;
    into.setContexts(low & CONTEXT_POINTER & (-1 << (bits + 6)), high, bits, dss, vmid);
  }

  #stage2(pfn: number, word: number, into: Regime): void {
    const { memory, capability } = this;
    const control = memory.load(pfn, word | 5);
    const t0sz = control & STE_S2T0SZ_MASK_WORD5;
    const sl0 = (control >>> STE_S2SL0_SHIFT_WORD5) & 3;
    const level = stage2StartLevel(t0sz, sl0, capability.outputBits);
    const granule = (control >>> STE_S2TG_SHIFT_WORD5) & 3;
    const size = outputBits((control >>> STE_S2PS_SHIFT_WORD5) & 7, capability);
    const low = memory.load(pfn, word | 6), high = memory.load(pfn, word | 7) & ADDRESS_HI;
    const bad = !capability.stage2 || level === BAD_GEOMETRY || granule !== TG_4K ||
      (control & STE_S2AA64_WORD5) === 0 || (control & (STE_S2ENDI_WORD5 | STE_S2S_WORD5)) !== 0;
    if (bad || exceeds(size, high, low)) return into.setFault(C_BAD_STE);
    into.setTables(
      Kind.stage2,
      packGeometry(64 - t0sz, size, level),
      low & TABLE_POINTER & (-1 << firstTableBits(64 - t0sz, level)),
      high,
      memory.load(pfn, word | 4) & STE_S2VMID_MASK_WORD4,
      (control & STE_S2R_WORD5) !== 0,
      (control & STE_S2AFFD_WORD5) !== 0,
    );
  }
}
