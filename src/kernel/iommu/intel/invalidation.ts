import { PAGE_SIZE } from "../../../base/units.ts";
import * as V from "../../../uapi/vtd_regs.ts";

/**
 * How a unit is told to forget (FACTS 3.4). The order is always context cache, PASID cache, IOTLB:
 * each could be filled again from what the one before it still holds.
 */
export interface Invalidation {
  contextGlobal(): void;
  /** Device-selective, with the DID the entry HAD. */
  contextDevice(sid: number, oldDid: number): void;
  /** Every PASID of every domain; nothing to do in legacy mode. */
  pasidGlobal(): void;
  /** One PASID, with the DID the entry HAD. */
  pasid(oldDid: number, pasid: number): void;
  iotlbGlobal(): void;
  iotlbDomain(did: number): void;
  /** `order`: log2 of the pages from `page` on, aligned to that many. */
  iotlbPages(did: number, page: number, order: number): void;
  /** What a device remembers of `2 ** order` pages itself. `pasid`: 0 for requests without one. */
  deviceTlb(sid: number, pasid: number, page: number, order: number): void;
  /** The answer to a group of page requests: QI_RESP_*. `pasid`: undefined for requests without one. */
  respond(sid: number, pasid: number | undefined, grpid: number, code: number): void;
}

/** Order of an invalidation of all there is. */
export const ALL_PAGES = 52;

/** A unit's registers, as the driver reaches them. */
export interface UnitRegisters {
  write64(offset: number, low: number, high: number): void;
  /** Where the IOTLB registers are: ECAP.IRO * 16. */
  readonly iotlbOffset: number;
}

/** By CCMD and IOTLB registers: legacy mode without a queue. */
export class RegisterInvalidation implements Invalidation {
  constructor(readonly unit: UnitRegisters) {}

  contextGlobal(): void {
    this.#context(V.GRANU_GLOBAL, 0, 0);
  }

  contextDevice(sid: number, oldDid: number): void {
    this.#context(V.GRANU_DEVICE, sid, oldDid);
  }

  pasidGlobal(): void {}

  pasid(): void {}

  iotlbGlobal(): void {
    this.#iotlb(V.GRANU_GLOBAL, 0);
  }

  iotlbDomain(did: number): void {
    this.#iotlb(V.GRANU_DOMAIN, did);
  }

  iotlbPages(did: number, page: number, order: number): void {
    const [low, high] = pageAddress(page, order);
    this.unit.write64(this.unit.iotlbOffset + V.DMAR_IVA_REG, low, high);
    this.#iotlb(V.GRANU_PAGE, did);
  }

  /** Units with device-TLBs and page requests have a queue. */
  deviceTlb(): void {}
  respond(): void {}

  #context(granularity: number, sid: number, did: number): void {
    const high = V.DMA_CCMD_ICC_HI | (granularity << V.DMA_CCMD_CIRG_SHIFT_HI);
    const low = (sid << V.DMA_CCMD_SID_SHIFT) | did;
    this.unit.write64(V.DMAR_CCMD_REG, low >>> 0, high >>> 0);
  }

  #iotlb(granularity: number, did: number): void {
    const high = V.DMA_TLB_IVT_HI | (granularity << V.DMA_TLB_IIRG_SHIFT_HI) |
      V.DMA_TLB_READ_DRAIN_HI | V.DMA_TLB_WRITE_DRAIN_HI | did;
    this.unit.write64(this.unit.iotlbOffset + V.DMAR_IOTLB_REG, 0, high >>> 0);
  }
}

/** Address and mask of a page-selective request, as IVA and descriptors have them. */
export function pageAddress(page: number, order: number): [low: number, high: number] {
  return [((page % 1048576) * PAGE_SIZE + order) >>> 0, Math.floor(page / 1048576)];
}
