import { C_BAD_CD, F_CD_FETCH } from "../../uapi/smmuv3_queues.ts";
import {
  CD_A_WORD1,
  CD_AA64_WORD1,
  CD_AFFD_WORD1,
  CD_ASID_SHIFT_WORD1,
  CD_ENDI,
  CD_EPD0,
  CD_EPD1,
  CD_IPS_MASK_WORD1,
  CD_R_WORD1,
  CD_S_WORD1,
  CD_T0SZ_MASK,
  CD_TG0_SHIFT,
  CD_V,
  CD_WORDS,
  TG_4K,
} from "../../uapi/smmuv3_tables.ts";
import type { Memory } from "../memory.ts";
import { RamMap } from "../ram_map.ts";
import type { SmmuCapability } from "./capability.ts";
import { BAD_GEOMETRY, exceeds, firstTableBits, outputBits, stage1StartLevel } from "./geometry.ts";
import { Kind, packGeometry, type Regime } from "./regime.ts";

/** Words 2 and 3: TTB0 in bits 4-51. */
const TABLE_POINTER = ~0xf;
const ADDRESS_HI = 0xfffff;

/**
 * Finds and judges context descriptors (FACTS 4.1). Two things are narrower than the
 * architecture: TTB1 is never used, so that a descriptor without EPD1 is C_BAD_CD; and faults
 * always abort (IDR0.TERM_MODEL, STALL_MODEL), so that one without A, or with S, is too.
 */
export class CdReader {
  /** Of the last read: frame of the descriptor, and first word in it. */
  pfn = 0;
  word = 0;
  #memory: Memory;
  #ram: RamMap;
  #capability: SmmuCapability;

  constructor(memory: Memory, capability: SmmuCapability) {
    this.#memory = memory;
    this.#ram = new RamMap(memory.ranges);
    this.#capability = capability;
  }

  /**
   * Reads descriptor `index` of a stream table entry of kind `contexts` into `into`. Returns 0,
   * or F_CD_FETCH when it is not in memory, which leaves `into` as it was.
   */
  read(contexts: Regime, index: number, into: Regime): number {
    const word = contexts.startWord + index * CD_WORDS;
    this.pfn = contexts.root + (word >>> 10);
    this.word = word & 1023;
    if (!this.#ram.has(this.pfn)) return F_CD_FETCH;
    this.#judge(this.pfn, this.word, contexts.vmid, into);
    return 0;
  }

  #judge(pfn: number, word: number, vmid: number, into: Regime): void {
    const memory = this.#memory, capability = this.#capability;
    const w0 = memory.load(pfn, word), w1 = memory.load(pfn, word | 1);
    const wrong = (w0 & CD_ENDI) | (w1 & CD_S_WORD1);
    const needed = (w0 & CD_V) !== 0 && (w0 & CD_EPD1) !== 0 && (w1 & CD_AA64_WORD1) !== 0 &&
      (w1 & CD_A_WORD1) !== 0;
    if (!needed || wrong !== 0) return into.setFault(C_BAD_CD);
    const tag = (w1 & (-1 << CD_ASID_SHIFT_WORD1)) | vmid;
    const records = (w1 & CD_R_WORD1) !== 0, ignoresAf = (w1 & CD_AFFD_WORD1) !== 0;
    if ((w0 & CD_EPD0) !== 0) {
      return into.setTables(Kind.stage1, 0, 0, 0, tag, records, ignoresAf);
    }
    const t0sz = w0 & CD_T0SZ_MASK;
    const level = stage1StartLevel(t0sz);
    const size = outputBits(w1 & CD_IPS_MASK_WORD1, capability);
    const low = memory.load(pfn, word | 2), high = memory.load(pfn, word | 3) & ADDRESS_HI;
    const granule = (w0 >>> CD_TG0_SHIFT) & 3;
    if (level === BAD_GEOMETRY || granule !== TG_4K || exceeds(size, high, low)) {
      return into.setFault(C_BAD_CD);
    }
    into.setTables(
      Kind.stage1,
      packGeometry(64 - t0sz, size, level),
      low & TABLE_POINTER & (-1 << firstTableBits(64 - t0sz, level)),
      high,
      tag,
      records,
      ignoresAf,
    );
  }
}
