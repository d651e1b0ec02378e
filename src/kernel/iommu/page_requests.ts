/** One page a device asked for. */
export interface PageRequest {
  /** IOMMU_PGFAULT_PERM_*: what it wants to do there. */
  readonly perm: number;
  /** IOVA. */
  readonly addr: bigint;
}

/** Page requests that are answered together: a page request group of PCI. */
export interface PageRequestGroup {
  /** Undefined: requests without a PASID. */
  readonly pasid: number | undefined;
  readonly grpid: number;
  readonly requests: readonly PageRequest[];
  /** Takes the answer, IOMMUFD_PAGE_RESP_*, once. */
  readonly respond: (code: number) => void;
}

/** Hears of the page requests of a device. */
export type PageRequestListener = (group: PageRequestGroup) => void;
