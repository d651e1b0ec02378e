import {
  DMA_CCMD_CAIG_SHIFT_HI,
  DMA_CCMD_CIRG_SHIFT_HI,
  DMA_CCMD_FM_MASK_HI,
  DMA_CCMD_ICC_HI,
  DMA_CCMD_SID_SHIFT,
  DMA_IVA_AM_MASK,
  DMA_TLB_IAIG_SHIFT_HI,
  DMA_TLB_IIRG_SHIFT_HI,
  DMA_TLB_IVT_HI,
  GRANU_DEVICE,
  GRANU_DOMAIN,
  GRANU_GLOBAL,
  GRANU_NONE,
  GRANU_PAGE,
} from "../../uapi/vtd_regs.ts";
import type { VtdCapability } from "./capability.ts";
import type { ContextCache } from "./context_cache.ts";
import type { Iotlb } from "./iotlb.ts";

/**
 * CCMD: invalidates the context cache. Writing the high word with ICC set does it at once, with
 * the low word as it was last written; ICC then reads 0 and CAIG says what was done, 0 for a
 * request that was refused. It never touches the IOTLB.
 */
export class ContextCommand {
  low = 0;
  #high = 0;

  constructor(readonly cache: ContextCache) {}

  get high(): number {
    return this.#high;
  }

  writeHigh(value: number): void {
    this.#high = value & ~(3 << DMA_CCMD_CAIG_SHIFT_HI);
    if ((value & DMA_CCMD_ICC_HI) === 0) return;
    const did = this.low & 0xffff;
    const granularity = (value >>> DMA_CCMD_CIRG_SHIFT_HI) & 3;
    if (granularity === GRANU_GLOBAL) this.cache.invalidateAll();
    else if (granularity === GRANU_DOMAIN) this.cache.invalidateDomain(did);
    else if (granularity === GRANU_DEVICE) {
      const sid = this.low >>> DMA_CCMD_SID_SHIFT;
      this.cache.invalidateDevice(did, sid, value & DMA_CCMD_FM_MASK_HI);
    }
    this.#high = (this.#high & ~DMA_CCMD_ICC_HI) | (granularity << DMA_CCMD_CAIG_SHIFT_HI);
  }
}

/**
 * IVA and IOTLB: invalidate the IOTLB. Writing the high word of IOTLB with IVT set does it at
 * once; IVT then reads 0 and IAIG says what was done. Without PSI a page-selective request is
 * carried out on the whole domain; an AM beyond MAMV is refused. IH makes no difference: only
 * finished translations are cached, no inner entries. Drains find nothing: no request is ever
 * half-way.
 */
export class IotlbCommand {
  /** IVA is write-only. */
  addressLow = 0;
  addressHigh = 0;
  #high = 0;

  constructor(readonly iotlb: Iotlb, readonly capability: VtdCapability) {}

  get high(): number {
    return this.#high;
  }

  writeHigh(value: number): void {
    this.#high = value & ~(3 << DMA_TLB_IAIG_SHIFT_HI);
    if ((value & DMA_TLB_IVT_HI) === 0) return;
    const done = this.#invalidate((value >>> DMA_TLB_IIRG_SHIFT_HI) & 3, value & 0xffff);
    this.#high = (this.#high & ~DMA_TLB_IVT_HI) | (done << DMA_TLB_IAIG_SHIFT_HI);
  }

  /** Returns the granularity performed. */
  #invalidate(granularity: number, did: number): number {
    if (granularity === GRANU_GLOBAL) {
      this.iotlb.invalidateAll();
      return GRANU_GLOBAL;
    }
    if (granularity === GRANU_PAGE && this.capability.pageSelective) {
      const am = this.addressLow & DMA_IVA_AM_MASK;
      if (am > this.capability.maxAddressMask) return GRANU_NONE;
      this.iotlb.invalidatePages(did, this.addressHigh, this.addressLow, am);
      return GRANU_PAGE;
    }
    if (granularity === GRANU_NONE) return GRANU_NONE;
    this.iotlb.invalidateDomain(did);
    return GRANU_DOMAIN;
  }
}
