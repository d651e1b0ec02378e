/** /dev/iommu: numbers and layouts (FACTS 1.1, 1.2; the persistent option: seed line 240). */
import { Struct } from "./struct.ts";

const nr = (n: number) => 0x3b00 | n;

export const IOMMU_DESTROY = nr(0x80);
export const IOMMU_IOAS_ALLOC = nr(0x81);
export const IOMMU_IOAS_ALLOW_IOVAS = nr(0x82);
export const IOMMU_IOAS_COPY = nr(0x83);
export const IOMMU_IOAS_IOVA_RANGES = nr(0x84);
export const IOMMU_IOAS_MAP = nr(0x85);
export const IOMMU_IOAS_UNMAP = nr(0x86);
export const IOMMU_OPTION = nr(0x87);
export const IOMMU_VFIO_IOAS = nr(0x88);
export const IOMMU_HWPT_ALLOC = nr(0x89);
export const IOMMU_GET_HW_INFO = nr(0x8a);
export const IOMMU_HWPT_SET_DIRTY_TRACKING = nr(0x8b);
export const IOMMU_HWPT_GET_DIRTY_BITMAP = nr(0x8c);
export const IOMMU_HWPT_INVALIDATE = nr(0x8d);
export const IOMMU_FAULT_QUEUE_ALLOC = nr(0x8e);
export const IOMMU_IOAS_MAP_FILE = nr(0x8f);
export const IOMMU_VIOMMU_ALLOC = nr(0x90);
export const IOMMU_VDEVICE_ALLOC = nr(0x91);
export const IOMMU_IOAS_CHANGE_PROCESS = nr(0x92);
export const IOMMU_VEVENTQ_ALLOC = nr(0x93);
export const IOMMU_HW_QUEUE_ALLOC = nr(0x94);
export const IOMMU_IOAS_NOIOMMU_GET_PA = nr(0x95);

export const IOMMU_IOAS_MAP_FIXED_IOVA = 1;
export const IOMMU_IOAS_MAP_WRITEABLE = 2;
export const IOMMU_IOAS_MAP_READABLE = 4;

export const IOMMU_OPTION_RLIMIT_MODE = 0;
export const IOMMU_OPTION_HUGE_PAGES = 1;
/** Only where the kernel has the persistence series (seed line 247). */
export const IOMMU_OPTION_PERSISTENT = 2;
/**
 * Not Linux's: of a HWPT, the bytes of the largest page it may have. What is mapped is joined or split
 * accordingly, with devices at work in it (seed lines 2769-2776).
 */
export const IOMMU_OPTION_PAGE_LIMIT = 0x10000;
export const IOMMU_OPTION_OP_SET = 0;
export const IOMMU_OPTION_OP_GET = 1;

export const IOMMU_HWPT_ALLOC_NEST_PARENT = 1;
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 2;
export const IOMMU_HWPT_FAULT_ID_VALID = 4;
export const IOMMU_HWPT_ALLOC_PASID = 8;
/**
 * Not Linux's: attached to a device that was handed over, it brings tables of its own and is not
 * compared with the ones the device has.
 */
export const IOMMU_HWPT_ALLOC_REPLACE = 0x10000;
/**
 * Not Linux's: the largest page it may map with is 4 KiB, or 2 MiB, so that its tables are as a kernel
 * made them that coalesced less (seed lines 2769-2776).
 */
export const IOMMU_HWPT_ALLOC_PAGE_4K = 0x20000;
export const IOMMU_HWPT_ALLOC_PAGE_2M = 0x40000;
export const IOMMU_HWPT_ALLOC_PAGE_MASK = IOMMU_HWPT_ALLOC_PAGE_4K | IOMMU_HWPT_ALLOC_PAGE_2M;
export const IOMMU_HWPT_DATA_NONE = 0;
export const IOMMU_HWPT_DATA_VTD_S1 = 1;
export const IOMMU_HWPT_DATA_ARM_SMMUV3 = 2;
export const IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1;
export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1;

export const IOMMU_VFIO_IOAS_GET = 0;
export const IOMMU_VFIO_IOAS_SET = 1;
export const IOMMU_VFIO_IOAS_CLEAR = 2;

/** Page requests as a program reads and answers them (FACTS 1.2, fault_alloc). */
export const IOMMU_PGFAULT_FLAGS_PASID_VALID = 1;
export const IOMMU_PGFAULT_FLAGS_LAST_PAGE = 2;
export const IOMMU_PGFAULT_PERM_READ = 1;
export const IOMMU_PGFAULT_PERM_WRITE = 2;
export const IOMMU_PGFAULT_PERM_EXEC = 4;
export const IOMMU_PGFAULT_PERM_PRIV = 8;
export const IOMMUFD_PAGE_RESP_SUCCESS = 0;
export const IOMMUFD_PAGE_RESP_INVALID = 1;

export const IOMMU_VIOMMU_TYPE_DEFAULT = 0;
export const IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1;
export const IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2;

/** GET_HW_INFO: whose registers the data holds, and what the device can do. */
export const IOMMU_HW_INFO_FLAG_INPUT_TYPE = 1;
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

/** `idr`: IDR0 to IDR5. */
export const iommu_hw_info_arm_smmuv3 = new Struct("iommu_hw_info_arm_smmuv3", {
  flags: "u32",
  __reserved: "u32",
  idr0: "u32",
  idr1: "u32",
  idr2: "u32",
  idr3: "u32",
  idr4: "u32",
  idr5: "u32",
  iidr: "u32",
  aidr: "u32",
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
/** User data of a nested HWPT: first-level tables of a guest's own, at a guest-physical address. */
export const iommu_hwpt_vtd_s1 = new Struct("iommu_hwpt_vtd_s1", {
  flags: "u64",
  pgtbl_addr: "u64",
  addr_width: "u32",
  reserved: "u32",
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
export const iommu_ioas_allow_iovas = new Struct("iommu_ioas_allow_iovas", {
  size: "u32",
  ioas_id: "u32",
  num_iovas: "u32",
  rsvd: "u32",
  allowed_iovas: "u64",
});
export const iommu_ioas_copy = new Struct("iommu_ioas_copy", {
  size: "u32",
  flags: "u32",
  dst_ioas_id: "u32",
  src_ioas_id: "u32",
  length: "u64",
  dst_iova: "u64",
  src_iova: "u64",
});
export const iommu_vfio_ioas = new Struct("iommu_vfio_ioas", {
  size: "u32",
  ioas_id: "u32",
  op: "u16",
  rsvd: "u16",
});
/** `rsvd0` to `rsvd2` are one array of bytes. */
export const iommu_hw_info = new Struct("iommu_hw_info", {
  size: "u32",
  flags: "u32",
  dev_id: "u32",
  data_len: "u32",
  data_uptr: "u64",
  out_data_type: "u32",
  out_max_pasid_log2: "u8",
  rsvd0: "u8",
  rsvd1: "u8",
  rsvd2: "u8",
  out_capabilities: "u64",
});
export const iommu_hwpt_set_dirty_tracking = new Struct("iommu_hwpt_set_dirty_tracking", {
  size: "u32",
  flags: "u32",
  hwpt_id: "u32",
  rsvd: "u32",
});
export const iommu_hwpt_get_dirty_bitmap = new Struct("iommu_hwpt_get_dirty_bitmap", {
  size: "u32",
  hwpt_id: "u32",
  flags: "u32",
  rsvd: "u32",
  iova: "u64",
  length: "u64",
  page_size: "u64",
  data: "u64",
});
export const iommu_hwpt_invalidate = new Struct("iommu_hwpt_invalidate", {
  size: "u32",
  hwpt_id: "u32",
  data_uptr: "u64",
  data_type: "u32",
  entry_len: "u32",
  entry_num: "u32",
  rsvd: "u32",
});
export const iommu_fault_queue_alloc = new Struct("iommu_fault_queue_alloc", {
  size: "u32",
  flags: "u32",
  out_fault_id: "u32",
  out_fault_fd: "u32",
});
/** What read() of a fault queue gives, one after the other. */
export const iommu_hwpt_pgfault = new Struct("iommu_hwpt_pgfault", {
  flags: "u32",
  dev_id: "u32",
  pasid: "u32",
  grpid: "u32",
  perm: "u32",
  rsvd: "u32",
  addr: "u64",
  length: "u32",
  cookie: "u32",
});
/** What write() to a fault queue takes. */
export const iommu_hwpt_page_response = new Struct("iommu_hwpt_page_response", {
  cookie: "u32",
  code: "u32",
});
export const iommu_viommu_alloc = new Struct("iommu_viommu_alloc", {
  size: "u32",
  flags: "u32",
  type: "u32",
  dev_id: "u32",
  hwpt_id: "u32",
  out_viommu_id: "u32",
  data_len: "u32",
  rsvd: "u32",
  data_uptr: "u64",
});
export const iommu_vdevice_alloc = new Struct("iommu_vdevice_alloc", {
  size: "u32",
  viommu_id: "u32",
  dev_id: "u32",
  out_vdevice_id: "u32",
  virt_id: "u64",
});
export const iommu_ioas_change_process = new Struct("iommu_ioas_change_process", {
  size: "u32",
  rsvd: "u32",
});
export const iommu_veventq_alloc = new Struct("iommu_veventq_alloc", {
  size: "u32",
  flags: "u32",
  viommu_id: "u32",
  type: "u32",
  veventq_depth: "u32",
  out_veventq_id: "u32",
  out_veventq_fd: "u32",
  rsvd: "u32",
});
/** The size of this one is from memory (FACTS 11). */
export const iommu_hw_queue_alloc = new Struct("iommu_hw_queue_alloc", {
  size: "u32",
  flags: "u32",
  viommu_id: "u32",
  type: "u32",
  index: "u32",
  out_hw_queue_id: "u32",
  nesting_parent_iova: "u64",
  length: "u64",
});
export const iommu_ioas_noiommu_get_pa = new Struct("iommu_ioas_noiommu_get_pa", {
  size: "u32",
  flags: "u32",
  ioas_id: "u32",
  rsvd: "u32",
  iova: "u64",
  length: "u64",
  out_phys: "u64",
});
