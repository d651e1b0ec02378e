/**
 * What passes between a device that keeps translations of its own (ATS), asks for pages that are not
 * there (PRI), and the IOMMU. Addresses are two 32-bit words; a PASID of -1 is none.
 */

/** Answer to a translation request: nothing there that allows it. The device may ask for the page. */
export const ATS_NO_ACCESS = -1003;
/** What becomes of a DMA whose page was asked for and refused. */
export const DMA_PAGE_REFUSED = -1004;

/** A page request message of PCI Express. */
export interface PageRequest {
  readonly sid: number;
  readonly pasid: number;
  readonly hi: number;
  /** Low word of the page's address. */
  readonly lo: number;
  readonly write: boolean;
  /** Page request group index, 0..511: what is answered together. */
  readonly group: number;
  /** The last request of its group. */
  readonly last: boolean;
}

/** The IOMMU, as a device with a cache of translations knows it. */
export interface TranslationAgent {
  /** A frame, {@link ATS_NO_ACCESS}, or the negative code of a request that was refused. */
  translationRequest(sid: number, pasid: number, hi: number, lo: number, write: boolean): number;
  /** 0 when requests of the device with addresses already translated pass; else a negative code. */
  translated(sid: number): number;
  pageRequest(request: PageRequest): void;
}

/** A device, as the IOMMU knows it. */
export interface AtsEndpoint {
  /** Forgets translations of `2 ** order` pages from an address on, or of all. */
  invalidate(pasid: number, hi: number, lo: number, order: number): void;
  /** The answer to a group of page requests: QI_RESP_*. */
  respond(pasid: number, group: number, code: number): void;
}

/** Order of an invalidation of everything. */
export const ALL_PAGES = 52;
