/** /dev/iommu: numbers and layouts (FACTS 1.1, 1.2; the persistent option: seed line 240). */
import { Struct } from "./struct.ts";

const nr = (n: number) => 0x3b00 | n;

export const IOMMU_DESTROY = nr(0x80);
export const IOMMU_IOAS_ALLOC = nr(0x81);
export const IOMMU_IOAS_IOVA_RANGES = nr(0x84);
export const IOMMU_IOAS_MAP = nr(0x85);
export const IOMMU_IOAS_UNMAP = nr(0x86);
export const IOMMU_OPTION = nr(0x87);
export const IOMMU_HWPT_ALLOC = nr(0x89);
export const IOMMU_IOAS_MAP_FILE = nr(0x8f);

export const IOMMU_IOAS_MAP_FIXED_IOVA = 1;
export const IOMMU_IOAS_MAP_WRITEABLE = 2;
export const IOMMU_IOAS_MAP_READABLE = 4;

export const IOMMU_OPTION_RLIMIT_MODE = 0;
export const IOMMU_OPTION_HUGE_PAGES = 1;
/** Only where the kernel has the persistence series (seed line 247). */
export const IOMMU_OPTION_PERSISTENT = 2;
export const IOMMU_OPTION_OP_SET = 0;
export const IOMMU_OPTION_OP_GET = 1;

export const IOMMU_HWPT_ALLOC_NEST_PARENT = 1;
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 2;
export const IOMMU_HWPT_FAULT_ID_VALID = 4;
export const IOMMU_HWPT_ALLOC_PASID = 8;
export const IOMMU_HWPT_DATA_NONE = 0;

/** GET_HW_INFO: whose registers the data holds, and what the device can do. */
export const IOMMU_HW_INFO_TYPE_NONE = 0;
export const IOMMU_HW_INFO_TYPE_INTEL_VTD = 1;
export const IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2;
export const IOMMU_HW_CAP_DIRTY_TRACKING = 1;
export const IOMMU_HW_CAP_PCI_PASID_EXEC = 2;
export const IOMMU_HW_CAP_PCI_PASID_PRIV = 4;

/** iommu_prot bits of an area (FACTS 1.4). */
export const IOMMU_READ = 1;
export const IOMMU_WRITE = 2;
export const IOMMU_CACHE = 4;
export const IOMMU_NOEXEC = 8;
export const IOMMU_MMIO = 16;

export const iommu_hw_info_vtd = new Struct("iommu_hw_info_vtd", {
  flags: "u32",
  __reserved: "u32",
  cap_reg: "u64",
  ecap_reg: "u64",
});

export const U64_MAX = 0xffffffffffffffffn;

export const iommu_destroy = new Struct("iommu_destroy", { size: "u32", id: "u32" });
export const iommu_ioas_alloc = new Struct("iommu_ioas_alloc", {
  size: "u32",
  flags: "u32",
  out_ioas_id: "u32",
});
export const iommu_iova_range = new Struct("iommu_iova_range", { start: "u64", last: "u64" });
export const iommu_ioas_iova_ranges = new Struct("iommu_ioas_iova_ranges", {
  size: "u32",
  ioas_id: "u32",
  num_iovas: "u32",
  rsvd: "u32",
  allowed_iovas: "u64",
  out_iova_alignment: "u64",
});
export const iommu_ioas_map = new Struct("iommu_ioas_map", {
  size: "u32",
  flags: "u32",
  ioas_id: "u32",
  rsvd: "u32",
  user_va: "u64",
  length: "u64",
  iova: "u64",
});
export const iommu_ioas_map_file = new Struct("iommu_ioas_map_file", {
  size: "u32",
  flags: "u32",
  ioas_id: "u32",
  fd: "s32",
  start: "u64",
  length: "u64",
  iova: "u64",
});
export const iommu_ioas_unmap = new Struct("iommu_ioas_unmap", {
  size: "u32",
  ioas_id: "u32",
  iova: "u64",
  length: "u64",
});
export const iommu_option = new Struct("iommu_option", {
  size: "u32",
  option_id: "u32",
  op: "u16",
  rsvd: "u16",
  object_id: "u32",
  val64: "u64",
});
export const iommu_hwpt_alloc = new Struct("iommu_hwpt_alloc", {
  size: "u32",
  flags: "u32",
  dev_id: "u32",
  pt_id: "u32",
  out_hwpt_id: "u32",
  rsvd: "u32",
  data_type: "u32",
  data_len: "u32",
  data_uptr: "u64",
  fault_id: "u32",
  rsvd2: "u32",
});
