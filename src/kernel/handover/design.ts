import { INTEL_IOMMU_KHO, IOMMUFD_KHO, PCI_KHO, SMMU_KHO } from "../../uapi/kho_abi.ts";
import type { Handover } from "../image.ts";

/**
 * What one way of handing DMA over means to the parts of a kernel (FACTS 10.5). They ask for what
 * they need to know, never for a design's name.
 */
export interface Design {
  /** Something is handed over at all. */
  readonly persists: boolean;
  /** Formats it reads, by their compatible. */
  readonly reads: readonly string[];
  /**
   * What is said of an iommufd: all its objects, the calls that made them, or only which devices
   * it has, and which files they write to.
   */
  readonly iommufd: "nothing" | "objects" | "calls" | "devices";
  /** Tables are told by the device that walks them, segment:bdf[:pasid], not by a domain's id. */
  readonly byDevice: boolean;
  /** An SMMU's tables go over as well as VT-d's; the series refuses them (seed lines 604-621). */
  readonly smmu: boolean;
  /**
   * A handed-over device goes on with tables that nobody of this kernel writes, until its heir has
   * an HWPT to put in their place.
   */
  readonly inherits: boolean;
  /**
   * The previous kernel's tables are compared with the heir's, and gone on with where they are
   * equal; else the heir's take their place.
   */
  readonly validates: boolean;
  /** What can be persistent comes in by IOAS_MAP_FILE and no other way (seed lines 2295-2302). */
  readonly mapsFiles: boolean;
  /** What is done to devices at a kexec is up to the core, not to drivers (seed lines 2182-2193). */
  readonly coreBlocks: boolean;
  /** Sealed memfds that a persistent iommufd maps are handed over with it, not guestmemfs alone. */
  readonly keepsMemfds: boolean;
  /**
   * Devices may go on asking for pages through a kexec. Whoever answers changes tables, so they have to
   * be its own by then (seed lines 2994-3001), and there has to be somebody who makes a fault queue again.
   */
  readonly pageRequests: boolean;
  /** Devices that no IOMMU covers are handed over as well, and their contexts' pinned memory. */
  readonly keepsUncovered: boolean;
}

const NOTHING: Design = {
  persists: false,
  reads: [],
  iommufd: "nothing",
  byDevice: false,
  smmu: false,
  inherits: false,
  validates: false,
  mapsFiles: false,
  coreBlocks: false,
  keepsMemfds: false,
  pageRequests: false,
  keepsUncovered: false,
};

/** What the series writes; who needs less reads it as well. */
const SERIES = [IOMMUFD_KHO.compatible, INTEL_IOMMU_KHO.compatible];
const BY_DEVICE = [
  IOMMUFD_KHO.redriveCompatible,
  IOMMUFD_KHO.callsCompatible,
  INTEL_IOMMU_KHO.keyedCompatible,
  SMMU_KHO.compatible,
];

const REDRIVE: Design = {
  persists: true,
  reads: [...SERIES, ...BY_DEVICE],
  iommufd: "devices",
  byDevice: true,
  smmu: true,
  inherits: true,
  validates: false,
  mapsFiles: true,
  coreBlocks: true,
  keepsMemfds: true,
  pageRequests: true,
  keepsUncovered: false,
};

const DESIGNS: Readonly<Record<Handover, Design>> = {
  "none": NOTHING,
  "serialise": {
    ...NOTHING,
    persists: true,
    reads: [...SERIES, PCI_KHO.compatible],
    iommufd: "objects",
    keepsUncovered: true,
  },
  "replay": {
    ...REDRIVE,
    reads: [IOMMUFD_KHO.callsCompatible, INTEL_IOMMU_KHO.keyedCompatible],
    iommufd: "calls",
    // A log says of a file which inode it is, and a memfd has none in the next kernel.
    keepsMemfds: false,
    smmu: false,
    pageRequests: false,
  },
  "redrive": { ...REDRIVE, validates: true },
  "redrive-replace": REDRIVE,
};

export function designOf(handover: Handover): Design {
  return DESIGNS[handover];
}
