/** VFIO groups and containers, and the type-1 calls of a container (FACTS 2.1). */
import { Struct } from "./struct.ts";

const nr = (n: number) => 0x3b00 | n;

export const VFIO_GET_API_VERSION = nr(100);
export const VFIO_CHECK_EXTENSION = nr(101);
export const VFIO_SET_IOMMU = nr(102);
export const VFIO_GROUP_GET_STATUS = nr(103);
export const VFIO_GROUP_SET_CONTAINER = nr(104);
export const VFIO_GROUP_UNSET_CONTAINER = nr(105);
export const VFIO_GROUP_GET_DEVICE_FD = nr(106);
export const VFIO_IOMMU_GET_INFO = nr(112);
export const VFIO_IOMMU_MAP_DMA = nr(113);
export const VFIO_IOMMU_UNMAP_DMA = nr(114);
export const VFIO_IOMMU_DIRTY_PAGES = nr(117);

export const VFIO_API_VERSION = 0;

/** What CHECK_EXTENSION is asked about, and SET_IOMMU is told. */
export const VFIO_TYPE1_IOMMU = 1;
export const VFIO_TYPE1v2_IOMMU = 3;
export const VFIO_DMA_CC_IOMMU = 4;
export const VFIO_TYPE1_NESTING_IOMMU = 6;
export const VFIO_NOIOMMU_IOMMU = 8;
export const VFIO_UNMAP_ALL = 9;
export const VFIO_UPDATE_VADDR = 10;

export const VFIO_GROUP_FLAGS_VIABLE = 1;
export const VFIO_GROUP_FLAGS_CONTAINER_SET = 2;
export const VFIO_IOMMU_INFO_PGSIZES = 1;
export const VFIO_IOMMU_INFO_CAPS = 2;
export const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;
export const VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3;
export const VFIO_DMA_MAP_FLAG_READ = 1;
export const VFIO_DMA_MAP_FLAG_WRITE = 2;
export const VFIO_DMA_UNMAP_FLAG_ALL = 2;

export const vfio_group_status = new Struct("vfio_group_status", { argsz: "u32", flags: "u32" });
/** SET_CONTAINER takes no structure but a descriptor. */
export const vfio_group_container = new Struct("vfio_group_container", { fd: "s32" });
export const vfio_iommu_type1_info = new Struct("vfio_iommu_type1_info", {
  argsz: "u32",
  flags: "u32",
  iova_pgsizes: "u64",
  cap_offset: "u32",
  pad: "u32",
});
/** How each capability behind an info structure begins; `next`: its offset, 0 at the end. */
const header = { id: "u16", version: "u16", next: "u32" } as const;
export const vfio_info_cap_header = new Struct("vfio_info_cap_header", header);
/** The ranges come behind it. */
export const vfio_iommu_type1_info_cap_iova_range = new Struct(
  "vfio_iommu_type1_info_cap_iova_range",
  { ...header, nr_iovas: "u32", reserved: "u32" },
);
/** Both ends inside. */
export const vfio_iova_range = new Struct("vfio_iova_range", { start: "u64", end: "u64" });
export const vfio_iommu_type1_info_dma_avail = new Struct("vfio_iommu_type1_info_dma_avail", {
  ...header,
  avail: "u32",
});
export const vfio_iommu_type1_dma_map = new Struct("vfio_iommu_type1_dma_map", {
  argsz: "u32",
  flags: "u32",
  vaddr: "u64",
  iova: "u64",
  size: "u64",
});
export const vfio_iommu_type1_dma_unmap = new Struct("vfio_iommu_type1_dma_unmap", {
  argsz: "u32",
  flags: "u32",
  iova: "u64",
  size: "u64",
});
