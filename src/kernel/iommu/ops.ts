import type { PciDev } from "../pci/pci.ts";
import type { IommuDomain, NestedDomain, PagingDomain } from "./domain.ts";

/** What a domain is to be able to do. */
export interface PagingOptions {
  /** Not 0: it must survive kexec. EOPNOTSUPP where it cannot. */
  readonly persistentId?: number;
  /** IOMMU_HWPT_ALLOC_*; EOPNOTSUPP for one the driver does not have. */
  readonly flags?: number;
}

/** IOVAs that are not memory, or that firmware wants mapped 1:1 (FACTS 1.4, 3.6). */
export interface ReservedRegion {
  readonly start: bigint;
  readonly last: bigint;
  readonly kind: "msi" | "sw-msi" | "reserved" | "direct" | "direct-relaxable";
}

/** What GET_HW_INFO tells (FACTS 1.2, hw_info). */
export interface HwInfo {
  /** IOMMU_HW_INFO_TYPE_*. */
  readonly type: number;
  readonly data: Uint8Array;
  /** IOMMU_HW_CAP_*. */
  readonly capabilities: number;
  readonly maxPasidLog2: number;
}

/** The domains a handed-over device goes on with. */
export interface Restored {
  /** Undefined: without a PASID it was blocked. */
  readonly domain: PagingDomain | undefined;
  readonly pasids: ReadonlyMap<number, PagingDomain>;
}

/**
 * What a device may ask of its IOMMU: that its DMA is coherent with the CPU's caches, and that no
 * device can send another's interrupts (FACTS 1.5).
 */
export type IommuCap = "cache-coherency" | "isolated-msi";

/** What an IOMMU driver does for the core. */
export interface IommuOps {
  readonly name: string;
  /** True when a unit of this driver translates for the device. */
  covers(dev: PciDev): boolean;
  allocPaging(dev: PciDev, options: PagingOptions): PagingDomain | number;
  /**
   * It has an operation for tables of a guest's own, whatever comes of it: then the parent is looked
   * at first (FACTS 1.3). Missing: it has none.
   */
  readonly nests?: boolean;
  /** A domain of a guest's own tables, which `data` describes. EOPNOTSUPP, EINVAL, ENOSPC. */
  allocNested?(parent: PagingDomain, data: Uint8Array): NestedDomain | number;
  hwInfo(dev: PciDev): HwInfo;
  capable(dev: PciDev, cap: IommuCap): boolean;
  reservedRegions(dev: PciDev): readonly ReservedRegion[];
  readonly blocking: IommuDomain;
  /** Puts the domain into hardware for the device. */
  attach(domain: IommuDomain, dev: PciDev): number;
  /**
   * Puts a domain under a PASID of the device, undefined takes it away. EOPNOTSUPP where device or
   * unit has no PASIDs (also when this is missing); EINVAL for a PASID that is too large.
   */
  attachPasid?(domain: PagingDomain | undefined, dev: PciDev, pasid: number): number;
  /**
   * The device may keep translations and ask for pages from here on, or no more. ENODEV where unit or
   * device cannot; ENOMEM. Missing: no unit of this driver can.
   */
  pageRequests?(dev: PciDev, on: boolean): number;
  /** A persistent domain of the previous kernel, by its id (seed line 1713). */
  restoredDomain(id: number): PagingDomain | undefined;
  /** What the previous kernel left this device running on. */
  restored(dev: PciDev): Restored | undefined;
  /** Last act before a kexec. */
  shutdown(): void;
}

/** A driver that firmware tables call for, as boot sees it. */
export interface IommuDriver extends IommuOps {
  /** Finds its units and brings them up; claims what was handed over. */
  init(): void;
  /** The last step, before devices are probed: translation on. */
  start(): void;
  /** A page in use may not change its size: break-before-make (FACTS 4.3). Missing: it may. */
  readonly sizesStay?: boolean;
  /** For dumps: each unit's registers, and the frame of its root, stream or device table; -1: none. */
  roots(): readonly { readonly regBase: number; readonly root: number }[];
}
