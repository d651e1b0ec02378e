import { DMA_IVA_AM_MASK, GRANU_NONE } from "../../uapi/vtd_regs.ts";
import * as pr from "../../uapi/vtd_page_requests.ts";
import * as qi from "../../uapi/vtd_queue.ts";
import type { AtsEndpoint } from "../ats.ts";
import type { Memory } from "../memory.ts";
import type { Invalidator } from "./invalidator.ts";
import { RamMap } from "../ram_map.ts";

/** Reserved bits by word. Words 4 to 7 of a 32-byte descriptor are all reserved. */
const LOW_RESERVED = 0xffc0;
const IOTLB_LOW_RESERVED = 0xff00;
const WAIT_LOW_RESERVED = 0xffffff00 | 0;
const CC_SOURCE_RESERVED = 0xfffc0000 | 0;
const PASID_RESERVED = 0xfff00000 | 0;
const ADDRESS_RESERVED = 0xf80;

/**
 * Carries out one descriptor of the invalidation queue (FACTS 3.4). Those of the interrupt entry cache
 * are accepted and have nothing to do: no unit remaps interrupts. Those of device-TLBs, and answers to
 * page requests, go to the device they name; where there is none, they are lost.
 */
export class DescriptorExecutor {
  #ram: RamMap;

  /**
   * `pasids`: the unit knows types 6 to 8. `interrupt`: called for a WAIT with the flag. `device`: in a
   * unit that knows type 9, the device of a source id that has ATS.
   */
  constructor(
    readonly memory: Memory,
    readonly invalidator: Invalidator,
    readonly pasids: boolean,
    readonly interrupt: () => void,
    readonly device?: (sid: number) => AtsEndpoint | undefined,
  ) {
    this.#ram = new RamMap(memory.ranges);
  }

  /**
   * `pfn`, `word`: where the descriptor lies, in RAM; `wide`: it has 32 bytes. False for one that
   * cannot be carried out; nothing has happened then.
   */
  execute(pfn: number, word: number, wide: boolean): boolean {
    const memory = this.memory;
    const w0 = memory.load(pfn, word), w1 = memory.load(pfn, word + 1);
    const w2 = memory.load(pfn, word + 2), w3 = memory.load(pfn, word + 3);
    if (wide) {
      let upper = 0;
      for (let i = 4; i < 8; i++) upper |= memory.load(pfn, word + i);
      if (upper !== 0) return false;
    }
    if ((w0 & qi.QI_TYPE_HIGH_MASK) !== 0) return false;
    switch (w0 & qi.QI_TYPE_MASK) {
      case qi.QI_CC_TYPE:
        return this.#context(w0, w1, w2 | w3);
      case qi.QI_IOTLB_TYPE:
        return this.#iotlb(w0, w1, w2, w3);
      case qi.QI_IWD_TYPE:
        return this.#wait(w0, w1, w2, w3);
      case qi.QI_DIOTLB_TYPE:
        return this.#deviceTlb(
          w1 & pr.QI_DEV_IOTLB_SID_MASK_WORD1,
          -1,
          w2,
          w3,
          (w2 & pr.QI_DEV_IOTLB_SIZE_WORD2) !== 0,
        );
      case qi.QI_IEC_TYPE:
        return true;
      case qi.QI_EIOTLB_TYPE:
        return this.pasids && this.#pasidIotlb(w0, w1, w2, w3);
      case qi.QI_PC_TYPE:
        return this.pasids && this.#pasidCache(w0, w1, w2 | w3);
      case qi.QI_DEIOTLB_TYPE:
        return this.pasids && this.#deviceTlb(
          w0 >>> pr.QI_DEV_EIOTLB_SID_SHIFT,
          w1 & pr.QI_DEV_EIOTLB_PASID_MASK_WORD1,
          w2,
          w3,
          (w2 & pr.QI_DEV_EIOTLB_SIZE_WORD2) !== 0,
        );
      case pr.QI_PGRP_RESP_TYPE:
        return this.device !== undefined && this.#response(w0, w1, w2, w3);
      default:
        return false;
    }
  }

  #context(w0: number, w1: number, rest: number): boolean {
    if (((w0 & LOW_RESERVED) | (w1 & CC_SOURCE_RESERVED) | rest) !== 0) return false;
    const fm = (w1 >>> qi.QI_CC_FM_SHIFT_WORD1) & 3;
    const done = this.invalidator.contexts(granularity(w0), did(w0), w1 & 0xffff, fm);
    return done !== GRANU_NONE;
  }

  #iotlb(w0: number, w1: number, w2: number, w3: number): boolean {
    if (((w0 & IOTLB_LOW_RESERVED) | w1 | (w2 & ADDRESS_RESERVED)) !== 0) return false;
    return this.invalidator.iotlb(granularity(w0), did(w0), w3, w2) !== GRANU_NONE;
  }

  /** The status goes to memory when all before it is done: everything is done at once here. */
  #wait(w0: number, w1: number, w2: number, w3: number): boolean {
    if ((w0 & WAIT_LOW_RESERVED) !== 0) return false;
    if ((w0 & qi.QI_IWD_STATUS_WRITE) !== 0) {
      if ((w2 & 3) !== 0) return false;
      const pfn = (w3 >>> 0) < 0x800 ? (w3 << 20) | (w2 >>> 12) : -1;
      // A write to where no memory is goes nowhere.
      if (this.#ram.has(pfn)) this.memory.store(pfn, (w2 & 0xfff) >>> 2, w1);
    }
    if ((w0 & qi.QI_IWD_INTERRUPT) !== 0) this.interrupt();
    return true;
  }

  #pasidIotlb(w0: number, w1: number, w2: number, w3: number): boolean {
    const reserved = (w0 & LOW_RESERVED) | (w1 & PASID_RESERVED) | (w2 & ADDRESS_RESERVED);
    if (reserved !== 0) return false;
    const pasid = w1 & qi.QI_PASID_MASK_WORD1, am = w2 & DMA_IVA_AM_MASK;
    return this.invalidator.pasidIotlb(granularity(w0), did(w0), pasid, w3, w2, am);
  }

  #pasidCache(w0: number, w1: number, rest: number): boolean {
    if (((w0 & LOW_RESERVED) | (w1 & PASID_RESERVED) | rest) !== 0) return false;
    return this.invalidator.pasids(granularity(w0), did(w0), w1 & qi.QI_PASID_MASK_WORD1);
  }

  #deviceTlb(sid: number, pasid: number, w2: number, w3: number, sized: boolean): boolean {
    const order = sized ? 1 + trailingOnes(w2 >>> 12, w3) : 0;
    // Below its size an address tells the size.
    const low = order < 20 ? w2 & (-1 << (12 + order)) : 0;
    const high = order < 20 ? w3 : order < 52 ? w3 & (-1 << (order - 20)) : 0;
    this.device?.(sid)?.invalidate(pasid, high, low, order);
    return true;
  }

  #response(w0: number, w1: number, w2: number, w3: number): boolean {
    if (w3 !== 0) return false;
    const pasid = (w0 & pr.QI_PGRP_PASID_PRESENT) === 0 ? -1 : w1 & pr.PAGE_REQ_PASID_MASK_WORD1;
    const group = (w2 >>> pr.QI_PGRP_IDX_SHIFT_WORD2) & pr.PRGI_MASK;
    const code = (w0 >>> pr.QI_PGRP_CODE_SHIFT) & pr.QI_PGRP_CODE_MASK;
    this.device?.(w0 >>> pr.QI_PGRP_RID_SHIFT)?.respond(pasid, group, code);
    return true;
  }
}

function granularity(w0: number): number {
  return (w0 >>> qi.QI_GRAN_SHIFT) & qi.QI_GRAN_MASK;
}

function did(w0: number): number {
  return w0 >>> qi.QI_DID_SHIFT;
}

/** Ones from the bottom up in a page number, 20 bits of it in `low`, 31 more in `high`. */
function trailingOnes(low: number, high: number): number {
  const ones = 31 - Math.clz32(~low & -~low);
  if (ones < 20) return ones;
  const above = high & 0x7fffffff;
  return 20 + 31 - Math.clz32(~above & -~above);
}
