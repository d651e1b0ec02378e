import {
  DMA_IVA_AM_MASK,
  DMA_IVA_IH,
  GRANU_DEVICE,
  GRANU_DOMAIN,
  GRANU_GLOBAL,
  GRANU_NONE,
  GRANU_PAGE,
} from "../../uapi/vtd_regs.ts";
import {
  QI_GRAN_NONG_PASID,
  QI_GRAN_PSI_PASID,
  QI_PC_ALL_PASIDS,
  QI_PC_GLOBAL,
  QI_PC_PASID_SEL,
} from "../../uapi/vtd_queue.ts";
import type { VtdCapability } from "./capability.ts";
import type { ContextCache } from "./context_cache.ts";
import type { Iotlb } from "./iotlb.ts";
import type { PagingCache } from "./paging_cache.ts";
import type { PasidCache } from "./pasid_cache.ts";
import type { ScalableContextCache } from "./scalable_context_cache.ts";

/** Everything a unit remembers of tables in memory. */
export interface Caches {
  readonly contexts: ContextCache;
  readonly scalableContexts: ScalableContextCache;
  readonly pasids: PasidCache;
  readonly iotlb: Iotlb;
  /** Goes with the IOTLB. */
  readonly paging: PagingCache;
}

/**
 * What each invalidation removes (FACTS 3.4), whether a register or a descriptor asks for it. One
 * cache at a time: none of them reaches into the next, so that software has to do them all, in
 * the order context, PASID, IOTLB.
 */
export class Invalidator {
  constructor(readonly caches: Caches, readonly capability: VtdCapability) {}

  /**
   * Context cache; returns the granularity performed. Entries of scalable mode belong to no
   * domain: a domain-selective request removes all of them, a device-selective one does not ask
   * for the DID.
   */
  contexts(granularity: number, did: number, sid: number, fm: number): number {
    const { contexts, scalableContexts } = this.caches;
    if (granularity === GRANU_GLOBAL) {
      contexts.invalidateAll();
      scalableContexts.invalidateAll();
    } else if (granularity === GRANU_DOMAIN) {
      contexts.invalidateDomain(did);
      scalableContexts.invalidateAll();
    } else if (granularity === GRANU_DEVICE) {
      contexts.invalidateDevice(did, sid, fm);
      scalableContexts.invalidateDevice(sid, fm);
    }
    return granularity;
  }

  /**
   * IOTLB by domain; returns the granularity performed. Globally and by domain it removes what
   * has a PASID in its tag too, by page it does not. Without PSI a page-selective request is
   * carried out on the whole domain; an AM beyond MAMV is refused. `hi`, `lo`: the address, with AM and IH
   * in the low one; with IH, which counts by page only, the paging-structure cache is left alone.
   */
  iotlb(granularity: number, did: number, hi: number, lo: number): number {
    const { iotlb, paging } = this.caches;
    if (granularity === GRANU_GLOBAL) {
      iotlb.invalidateAll();
      paging.invalidateAll();
      return GRANU_GLOBAL;
    }
    if (granularity === GRANU_PAGE && this.capability.pageSelective) {
      const am = lo & DMA_IVA_AM_MASK;
      if (am > this.capability.maxAddressMask) return GRANU_NONE;
      iotlb.invalidatePages(did, hi, lo, am);
      if ((lo & DMA_IVA_IH) === 0) paging.invalidatePages(did, hi, lo, am);
      return GRANU_PAGE;
    }
    if (granularity === GRANU_NONE) return GRANU_NONE;
    iotlb.invalidateDomain(did);
    paging.invalidateDomain(did);
    return GRANU_DOMAIN;
  }

  /** IOTLB by PASID: first-level and nested translations only. False for a request that was refused. */
  pasidIotlb(
    granularity: number,
    did: number,
    pasid: number,
    hi: number,
    lo: number,
    am: number,
  ): boolean {
    const { iotlb } = this.caches;
    if (granularity === QI_GRAN_NONG_PASID) iotlb.invalidatePasid(did, pasid);
    else if (granularity === QI_GRAN_PSI_PASID && am <= this.capability.maxAddressMask) {
      iotlb.invalidatePasidPages(did, pasid, hi, lo, am);
    } else return false;
    return true;
  }

  /** PASID cache. False for a request that was refused. */
  pasids(granularity: number, did: number, pasid: number): boolean {
    const { pasids } = this.caches;
    if (granularity === QI_PC_GLOBAL) pasids.invalidateAll();
    else if (granularity === QI_PC_ALL_PASIDS) pasids.invalidateDomain(did);
    else if (granularity === QI_PC_PASID_SEL) pasids.invalidatePasid(did, pasid);
    else return false;
    return true;
  }
}
