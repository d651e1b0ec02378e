import {
  STRTAB_BASE_ADDRESS,
  STRTAB_BASE_ADDRESS_HI,
  STRTAB_FMT_2LEVEL,
  STRTAB_FMT_LINEAR,
  STRTAB_FMT_SHIFT,
  STRTAB_LOG2SIZE_MASK,
  STRTAB_SPLIT_MASK,
  STRTAB_SPLIT_SHIFT,
} from "../../uapi/smmuv3_regs.ts";
import { C_BAD_STREAMID, F_STE_FETCH } from "../../uapi/smmuv3_queues.ts";
import { L1STD_SPAN_MASK, STE_WORDS } from "../../uapi/smmuv3_tables.ts";
import type { Memory } from "../memory.ts";
import { RamMap } from "../ram_map.ts";
import type { SmmuCapability } from "./capability.ts";

/**
 * Finds the stream table entry of a StreamID, in a linear or a 2-level table (FACTS 4.1). The
 * descriptors of the first level are never cached here.
 */
export class StreamTable {
  /** STRTAB_BASE and STRTAB_BASE_CFG, as written. */
  low = 0;
  high = 0;
  config = 0;
  /**
   * Of the last entry found: frame, and first word in it. After F_STE_FETCH: of the place that
   * is not memory.
   */
  pfn = 0;
  word = 0;
  /** Of the last search: place of the first-level descriptor, frame -1 when there is none. */
  l1Pfn = -1;
  l1Word = 0;
  #memory: Memory;
  #ram: RamMap;
  #streamBits: number;

  constructor(memory: Memory, capability: SmmuCapability) {
    this.#memory = memory;
    this.#ram = new RamMap(memory.ranges);
    this.#streamBits = capability.streamBits;
  }

  /** Index bits of the second level. Codes that the architecture reserves mean 6. */
  get split(): number {
    const split = (this.config >>> STRTAB_SPLIT_SHIFT) & STRTAB_SPLIT_MASK;
    return split === 8 || split === 10 ? split : 6;
  }

  /** Finds the entry: 0, or the event that the search ends in. */
  find(sid: number): number {
    this.l1Pfn = -1;
    const bits = Math.min(this.config & STRTAB_LOG2SIZE_MASK, this.#streamBits);
    if (sid >>> bits !== 0) return C_BAD_STREAMID;
    const format = (this.config >>> STRTAB_FMT_SHIFT) & 3;
    if (format === STRTAB_FMT_LINEAR) {
      this.#locate(this.low, this.high, bits + 6, sid, STE_WORDS);
    } else if (format === STRTAB_FMT_2LEVEL) {
      const event = this.#descend(sid, Math.max(bits, this.split));
      if (event !== 0) return event;
    } else {
      return C_BAD_STREAMID;
    }
    return this.#ram.has(this.pfn) ? 0 : F_STE_FETCH;
  }

  /** Goes through the first level; leaves the place of the entry. */
  #descend(sid: number, bits: number): number {
    const split = this.split;
    this.#locate(this.low, this.high, bits - split + 3, sid >>> split, 2);
    this.l1Pfn = this.pfn;
    this.l1Word = this.word;
    if (!this.#ram.has(this.pfn)) return F_STE_FETCH;
    const low = this.#memory.load(this.pfn, this.word);
    const high = this.#memory.load(this.pfn, this.word + 1);
    const span = low & L1STD_SPAN_MASK;
    const index = sid & ((1 << split) - 1);
    if (span === 0 || span > split + 1 || index >>> (span - 1) !== 0) return C_BAD_STREAMID;
    this.#locate(low, high, span - 1 + 6, index, STE_WORDS);
    return 0;
  }

  /**
   * Entry `index`, of `words` words, of a table of 2^`align` bytes: its address is taken as a
   * multiple of its size, 64 bytes at least.
   */
  #locate(low: number, high: number, align: number, index: number, words: number): void {
    const base = low & STRTAB_BASE_ADDRESS & (-1 << Math.min(align, 31));
    const word = ((base & 0xfff) >>> 2) + index * words;
    this.pfn = frame(base, high & STRTAB_BASE_ADDRESS_HI) + (word >>> 10);
    this.word = word & 1023;
  }
}

/** The frame of an address; one beyond all memory where it does not fit. */
function frame(low: number, high: number): number {
  return high < 0x800 ? (high << 20) | (low >>> 12) : 0x7fffff00;
}
