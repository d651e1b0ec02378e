import type { Memory } from "../memory.ts";
import {
  agawToWidth,
  CONTEXT_AW_MASK_WORD2,
  CONTEXT_DID_SHIFT_WORD2,
  CONTEXT_FPD,
  CONTEXT_P,
  CONTEXT_TT_MASK,
  CONTEXT_TT_MULTI_LEVEL,
  CONTEXT_TT_PASS_THROUGH,
  CONTEXT_TT_SHIFT,
  ROOT_ENTRY_P,
  VTD_FR_CONTEXT_INVALID,
  VTD_FR_CONTEXT_NOT_PRESENT,
  VTD_FR_CONTEXT_RESERVED,
  VTD_FR_CONTEXT_TABLE,
  VTD_FR_ROOT_NOT_PRESENT,
  VTD_FR_ROOT_RESERVED,
  VTD_FR_ROOT_TABLE,
} from "../../uapi/vtd_regs.ts";
import type { VtdCapability } from "./capability.ts";
import { packBadContext, packContext, type PackedContext } from "./context_cache.ts";
import { RamMap } from "../ram_map.ts";

/** Low word of root and context entries between their flags and the address. */
const ROOT_RESERVED = 0xffe;
const CONTEXT_RESERVED = 0xff0;
/** Third word of a context entry: bit 7 and bits 24-31. */
const CONTEXT_RESERVED_WORD2 = 0xff000080 | 0;

/**
 * Reads root and context entries of legacy mode (FACTS 3.1) out of memory, and judges them. Of
 * the faults it finds only those of a context entry honour FPD: before that nobody has read it.
 */
export class ContextReader {
  /** Of the last usable entry: frame of the top-level table. */
  asr = 0;
  #memory: Memory;
  #ram: RamMap;
  #capability: VtdCapability;
  /** Address bits above the host's width; here, unlike in page-table entries, up to bit 63. */
  #reservedHigh: number;
  #largestAw: number;

  constructor(memory: Memory, capability: VtdCapability) {
    this.#memory = memory;
    this.#ram = new RamMap(memory.ranges);
    this.#capability = capability;
    this.#reservedHigh = -1 << (capability.hostWidth - 32);
    this.#largestAw = 31 - Math.clz32(capability.sagaw);
  }

  /** The context of a source id under the root table at frame `root` (-1 = beyond all RAM). */
  read(root: number, sid: number): PackedContext {
    const table = this.#contextTable(root, sid);
    if (table < 0) return packBadContext(-table, false);
    const memory = this.#memory, word = (sid & 255) << 2;
    const w0 = memory.load(table, word), w1 = memory.load(table, word | 1);
    const w2 = memory.load(table, word | 2), w3 = memory.load(table, word | 3);
    const fpd = (w0 & CONTEXT_FPD) !== 0;
    if ((w0 & CONTEXT_P) === 0) return packBadContext(VTD_FR_CONTEXT_NOT_PRESENT, fpd);
    const tt = (w0 >>> CONTEXT_TT_SHIFT) & CONTEXT_TT_MASK;
    const did = (w2 >>> CONTEXT_DID_SHIFT_WORD2) & 0xffff;
    // ASR is ignored, whatever it holds, in an entry that passes everything through.
    const badAsr = tt !== CONTEXT_TT_PASS_THROUGH && (w1 & this.#reservedHigh) !== 0;
    const badBits = (w0 & CONTEXT_RESERVED) | (w2 & CONTEXT_RESERVED_WORD2) | w3;
    if (badAsr || badBits !== 0 || did >= this.#capability.domains) {
      return packBadContext(VTD_FR_CONTEXT_RESERVED, fpd);
    }
    const aw = w2 & CONTEXT_AW_MASK_WORD2;
    if (!this.#valid(tt, aw)) return packBadContext(VTD_FR_CONTEXT_INVALID, fpd);
    this.asr = (w1 << 20) | (w0 >>> 12);
    return packContext(did, aw, tt, fpd);
  }

  /** Frame of the context table of the source id's bus, or -reason. */
  #contextTable(root: number, sid: number): number {
    if (!this.#ram.has(root)) return -VTD_FR_ROOT_TABLE;
    const memory = this.#memory, word = (sid >>> 8) << 2;
    const low = memory.load(root, word), high = memory.load(root, word | 1);
    if ((low & ROOT_ENTRY_P) === 0) return -VTD_FR_ROOT_NOT_PRESENT;
    const upper = memory.load(root, word | 2) | memory.load(root, word | 3);
    if (((low & ROOT_RESERVED) | (high & this.#reservedHigh) | upper) !== 0) {
      return -VTD_FR_ROOT_RESERVED;
    }
    const table = (high << 20) | (low >>> 12);
    return this.#ram.has(table) ? table : -VTD_FR_CONTEXT_TABLE;
  }

  #valid(tt: number, aw: number): boolean {
    if (tt === CONTEXT_TT_PASS_THROUGH) {
      return this.#capability.passThrough && aw === this.#largestAw;
    }
    // TT 1 needs device-TLB support, which ECAP.DT denies.
    return tt === CONTEXT_TT_MULTI_LEVEL && ((this.#capability.sagaw >>> aw) & 1) === 1;
  }
}

/** Bits of the addresses a context with this AW lets through: AGAW, cut by MGAW; 39..57. */
export function contextWidth(aw: number, capability: VtdCapability): number {
  return Math.min(agawToWidth(aw), capability.mgaw);
}
