import {
  DMA_CCMD_CAIG_SHIFT_HI,
  DMA_CCMD_CIRG_SHIFT_HI,
  DMA_CCMD_FM_MASK_HI,
  DMA_CCMD_ICC_HI,
  DMA_CCMD_SID_SHIFT,
  DMA_TLB_IAIG_SHIFT_HI,
  DMA_TLB_IIRG_SHIFT_HI,
  DMA_TLB_IVT_HI,
  GRANU_NONE,
} from "../../uapi/vtd_regs.ts";
import type { Invalidator } from "./invalidator.ts";

/**
 * CCMD: invalidates the context cache. Writing the high word with ICC set does it at once, with
 * the low word as it was last written; ICC then reads 0 and CAIG says what was done, 0 for a
 * request that was refused. It never touches the IOTLB.
 */
export class ContextCommand {
  low = 0;
  /** While the invalidation queue is on, every request is refused. */
  refused = false;
  #high = 0;

  constructor(readonly invalidator: Invalidator) {}

  get high(): number {
    return this.#high;
  }

  writeHigh(value: number): void {
    this.#high = value & ~(3 << DMA_CCMD_CAIG_SHIFT_HI);
    if ((value & DMA_CCMD_ICC_HI) === 0) return;
    const did = this.low & 0xffff, sid = this.low >>> DMA_CCMD_SID_SHIFT;
    const granularity = (value >>> DMA_CCMD_CIRG_SHIFT_HI) & 3;
    const done = this.refused
      ? GRANU_NONE
      : this.invalidator.contexts(granularity, did, sid, value & DMA_CCMD_FM_MASK_HI);
    this.#high = (this.#high & ~DMA_CCMD_ICC_HI) | (done << DMA_CCMD_CAIG_SHIFT_HI);
  }
}

/**
 * IVA and IOTLB: invalidate the IOTLB. Writing the high word of IOTLB with IVT set does it at
 * once; IVT then reads 0 and IAIG says what was done. Drains find nothing: no request is ever half-way.
 */
export class IotlbCommand {
  /** IVA is write-only. */
  addressLow = 0;
  addressHigh = 0;
  /** While the invalidation queue is on, every request is refused. */
  refused = false;
  #high = 0;

  constructor(readonly invalidator: Invalidator) {}

  get high(): number {
    return this.#high;
  }

  writeHigh(value: number): void {
    this.#high = value & ~(3 << DMA_TLB_IAIG_SHIFT_HI);
    if ((value & DMA_TLB_IVT_HI) === 0) return;
    const granularity = (value >>> DMA_TLB_IIRG_SHIFT_HI) & 3;
    const hi = this.addressHigh, lo = this.addressLow;
    const done = this.refused
      ? GRANU_NONE
      : this.invalidator.iotlb(granularity, value & 0xffff, hi, lo);
    this.#high = (this.#high & ~DMA_TLB_IVT_HI) | (done << DMA_TLB_IAIG_SHIFT_HI);
  }
}
