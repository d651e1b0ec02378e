import type { Memory } from "../memory.ts";
import {
  PASID_AW_MASK,
  PASID_AW_SHIFT,
  PASID_DID_MASK_WORD2,
  PASID_DIR_FPD,
  PASID_DIR_P,
  PASID_FLPM_MASK_WORD4,
  PASID_FLPM_SHIFT_WORD4,
  PASID_FPD,
  PASID_P,
  PASID_PGTT_MASK,
  PASID_PGTT_SHIFT,
  PASID_SLADE,
  PASID_TABLE_BITS,
  PGTT_FIRST_LEVEL,
  PGTT_NESTED,
  PGTT_PASS_THROUGH,
  PGTT_SECOND_LEVEL,
} from "../../uapi/vtd_scalable.ts";
import * as fault from "../../uapi/vtd_sm_faults.ts";
import { nests, type VtdCapability } from "./capability.ts";
import { packBadPasid, type PackedPasid, packPasid } from "./pasid_cache.ts";
import { RamMap } from "../ram_map.ts";

const DIRECTORY_RESERVED = 0xffc;
/** Word 0: bits 5, 10, 11. Word 4: SRE, ERE, WPE … EAFE, which need features no unit has. */
const RESERVED = 0xc20;
const RESERVED_WORD4 = 0xff3;
const ENTRY_WORDS = 16;

/**
 * Reads PASID directory and table entries (FACTS 3.1) out of memory, and judges them. Fields of a
 * kind of translation that PGTT does not ask for are not looked at.
 */
export class PasidReader {
  /** Frames of the table that the last read went to (-1 = to none) and of the top-level table. */
  table = 0;
  top = 0;
  /** In a nested entry: frame of the second-level top table; `top`, the guest's, is of the first. */
  under = 0;
  #memory: Memory;
  #ram: RamMap;
  #capability: VtdCapability;
  /** Address bits above the host's width, up to bit 63. */
  #reservedHigh: number;
  #largestAw: number;

  constructor(memory: Memory, capability: VtdCapability) {
    this.#memory = memory;
    this.#ram = new RamMap(memory.ranges);
    this.#capability = capability;
    this.#reservedHigh = -1 << (capability.hostWidth - 32);
    this.#largestAw = 31 - Math.clz32(capability.sagaw);
  }

  /** The entry of a PASID that the directory at frame `directory` is large enough for. */
  read(directory: number, pasid: number): PackedPasid {
    const memory = this.#memory, index = pasid >>> PASID_TABLE_BITS;
    this.table = -1;
    const page = directory + (index >>> 9), word = (index & 511) << 1;
    if (!this.#ram.has(page)) return packBadPasid(fault.VTD_FR_SM_DIRECTORY, false);
    const low = memory.load(page, word), high = memory.load(page, word | 1);
    const fpd = (low & PASID_DIR_FPD) !== 0;
    if ((low & PASID_DIR_P) === 0) {
      return packBadPasid(fault.VTD_FR_SM_DIRECTORY_NOT_PRESENT, fpd);
    }
    if (((low & DIRECTORY_RESERVED) | (high & this.#reservedHigh)) !== 0) {
      return packBadPasid(fault.VTD_FR_SM_DIRECTORY_RESERVED, fpd);
    }
    this.table = (high << 20) | (low >>> 12);
    if (!this.#ram.has(this.table)) return packBadPasid(fault.VTD_FR_SM_PASID_TABLE, fpd);
    return this.#entry(this.table, (pasid & 63) * ENTRY_WORDS, fpd);
  }

  #entry(table: number, word: number, quiet: boolean): PackedPasid {
    const memory = this.#memory;
    const w0 = memory.load(table, word), w2 = memory.load(table, word + 2);
    const fpd = quiet || (w0 & PASID_FPD) !== 0;
    if ((w0 & PASID_P) === 0) return packBadPasid(fault.VTD_FR_SM_PASID_NOT_PRESENT, fpd);
    const pgtt = (w0 >>> PASID_PGTT_SHIFT) & PASID_PGTT_MASK;
    const did = w2 & PASID_DID_MASK_WORD2;
    // The pointer in use: words 4 and 5 for first-level tables, words 0 and 1 for second-level,
    // all four for one over the other.
    const nested = pgtt === PGTT_NESTED;
    const at = word + (pgtt === PGTT_FIRST_LEVEL || nested ? 4 : 0);
    const low = memory.load(table, at), high = memory.load(table, at + 1);
    const w1 = memory.load(table, word + 1);
    if (
      this.#reserved(table, word, w0, pgtt, nested ? high | w1 : high) ||
      did >= this.#capability.domains
    ) {
      return packBadPasid(fault.VTD_FR_SM_PASID_RESERVED, fpd);
    }
    const size = this.#size(w0, low, pgtt);
    if (size < 0) return packBadPasid(fault.VTD_FR_SM_PASID_INVALID, fpd);
    this.top = (high << 20) | (low >>> 12);
    this.under = nested ? (w1 << 20) | (w0 >>> 12) : 0;
    const aw = nested ? (w0 >>> PASID_AW_SHIFT) & PASID_AW_MASK : 0;
    return packPasid(did, pgtt, size, (w0 & PASID_SLADE) !== 0, fpd, aw);
  }

  #reserved(table: number, word: number, w0: number, pgtt: number, high: number): boolean {
    const memory = this.#memory;
    let bits = w0 & RESERVED;
    if (!this.#capability.slads) bits |= w0 & PASID_SLADE;
    if (pgtt !== PGTT_PASS_THROUGH) bits |= high & this.#reservedHigh;
    if (pgtt === PGTT_FIRST_LEVEL || pgtt === PGTT_NESTED) {
      bits |= memory.load(table, word + 4) & RESERVED_WORD4;
    }
    for (let i = 6; i < ENTRY_WORDS; i++) bits |= memory.load(table, word + i);
    return bits !== 0;
  }

  /** AW or levels; -1 where the entry asks for something the unit cannot do. */
  #size(w0: number, low: number, pgtt: number): number {
    const c = this.#capability;
    const aw = (w0 >>> PASID_AW_SHIFT) & PASID_AW_MASK;
    const width = ((c.sagaw >>> aw) & 1) === 1;
    if (pgtt === PGTT_FIRST_LEVEL || (pgtt === PGTT_NESTED && width && nests(c))) {
      const flpm = (low >>> PASID_FLPM_SHIFT_WORD4) & PASID_FLPM_MASK_WORD4;
      return c.firstLevel && flpm <= (c.fiveLevelFirst ? 1 : 0) ? 4 + flpm : -1;
    }
    if (pgtt === PGTT_SECOND_LEVEL) return c.secondLevel && width ? aw : -1;
    return pgtt === PGTT_PASS_THROUGH && c.passThrough ? this.#largestAw : -1;
  }
}
