import type { Memory } from "../memory.ts";
import { ROOT_ENTRY_P } from "../../uapi/vtd_regs.ts";
import {
  SM_CONTEXT_DTE,
  SM_CONTEXT_FPD,
  SM_CONTEXT_P,
  SM_CONTEXT_PASIDE,
  SM_CONTEXT_PDTS_MASK,
  SM_CONTEXT_PDTS_SHIFT,
  SM_CONTEXT_PRE,
  SM_CONTEXT_RID_PASID_MASK_WORD2,
} from "../../uapi/vtd_scalable.ts";
import * as fault from "../../uapi/vtd_sm_faults.ts";
import type { VtdCapability } from "./capability.ts";
import { RamMap } from "../ram_map.ts";
import { type PackedScalableContext, packScalableContext } from "./scalable_context_cache.ts";

/** Low word of root and context entries between their flags and the next field. */
const ROOT_RESERVED = 0xffe;
const CONTEXT_RESERVED = 0x1e0;
/** Words of an entry; entries are indexed by devfn & 0x7f. */
const CONTEXT_WORDS = 8;

/**
 * Reads root and context entries of scalable mode (FACTS 3.1) out of memory, and judges them. The
 * two halves of a root entry are entries of their own: low for devfn 0x00–0x7f, high for the rest.
 */
export class ScalableReader {
  /** Of the last usable entry: frame of the PASID directory, and RID_PASID. */
  directory = 0;
  ridPasid = 0;
  #memory: Memory;
  #ram: RamMap;
  #capability: VtdCapability;
  /** Address bits above the host's width, up to bit 63. */
  #reservedHigh: number;
  #contextReserved: number;

  constructor(memory: Memory, capability: VtdCapability) {
    this.#memory = memory;
    this.#ram = new RamMap(memory.ranges);
    this.#capability = capability;
    this.#reservedHigh = -1 << (capability.hostWidth - 32);
    // DTE and PRE are reserved in a unit without device-TLBs and page requests.
    const unknown = capability.pageRequests ? 0 : SM_CONTEXT_DTE | SM_CONTEXT_PRE;
    this.#contextReserved = CONTEXT_RESERVED | unknown;
  }

  /** The context of a source id under the root table at frame `root` (-1 = beyond all RAM). */
  read(root: number, sid: number): PackedScalableContext {
    const table = this.#contextTable(root, sid);
    if (table < 0) return packScalableContext(0, false, false, -table);
    const memory = this.#memory, word = (sid & 0x7f) * CONTEXT_WORDS;
    const w0 = memory.load(table, word), w1 = memory.load(table, word + 1);
    const w2 = memory.load(table, word + 2);
    const fpd = (w0 & SM_CONTEXT_FPD) !== 0, paside = (w0 & SM_CONTEXT_PASIDE) !== 0;
    const pdts = (w0 >>> SM_CONTEXT_PDTS_SHIFT) & SM_CONTEXT_PDTS_MASK;
    let reason = 0;
    if ((w0 & SM_CONTEXT_P) === 0) reason = fault.VTD_FR_SM_CONTEXT_NOT_PRESENT;
    else {
      let reserved = (w0 & this.#contextReserved) | (w1 & this.#reservedHigh) |
        (w2 & ~SM_CONTEXT_RID_PASID_MASK_WORD2);
      for (let i = 3; i < CONTEXT_WORDS; i++) reserved |= memory.load(table, word + i);
      if (paside && this.#capability.pasidBits === 0) reserved = 1;
      if (reserved !== 0) reason = fault.VTD_FR_SM_CONTEXT_RESERVED;
      // The smallest directory is allowed to be larger than the unit's PASIDs need.
      else if (pdts > 0 && pdts + 13 > this.#capability.pasidBits) {
        reason = fault.VTD_FR_SM_CONTEXT_INVALID;
      }
    }
    this.directory = (w1 << 20) | (w0 >>> 12);
    this.ridPasid = w2 & SM_CONTEXT_RID_PASID_MASK_WORD2;
    const dte = (w0 & SM_CONTEXT_DTE) !== 0, pre = (w0 & SM_CONTEXT_PRE) !== 0;
    return packScalableContext(pdts, paside, fpd, reason, dte, pre);
  }

  /** Frame of the context table of the source id's half of its bus, or -reason. */
  #contextTable(root: number, sid: number): number {
    if (!this.#ram.has(root)) return -fault.VTD_FR_SM_ROOT_TABLE;
    const memory = this.#memory, word = ((sid >>> 8) << 2) | ((sid & 0x80) >>> 6);
    const low = memory.load(root, word), high = memory.load(root, word | 1);
    if ((low & ROOT_ENTRY_P) === 0) return -fault.VTD_FR_SM_ROOT_NOT_PRESENT;
    if (((low & ROOT_RESERVED) | (high & this.#reservedHigh)) !== 0) {
      return -fault.VTD_FR_SM_ROOT_RESERVED;
    }
    const table = (high << 20) | (low >>> 12);
    return this.#ram.has(table) ? table : -fault.VTD_FR_SM_CONTEXT_TABLE;
  }
}
