/** VFIO devices: numbers and layouts (FACTS 2.1). */
import { Struct } from "./struct.ts";
export * from "./vfio_container.ts";

const nr = (n: number) => 0x3b00 | n;

export const VFIO_DEVICE_GET_INFO = nr(107);
export const VFIO_DEVICE_GET_REGION_INFO = nr(108);
export const VFIO_DEVICE_GET_IRQ_INFO = nr(109);
export const VFIO_DEVICE_SET_IRQS = nr(110);
export const VFIO_DEVICE_RESET = nr(111);
export const VFIO_DEVICE_FEATURE = nr(117);
export const VFIO_DEVICE_BIND_IOMMUFD = nr(118);
export const VFIO_DEVICE_ATTACH_IOMMUFD_PT = nr(119);
export const VFIO_DEVICE_DETACH_IOMMUFD_PT = nr(120);

/** ATTACH and DETACH are for the requests with one PASID. */
export const VFIO_DEVICE_ATTACH_PASID = 1;
export const VFIO_DEVICE_DETACH_PASID = 1;

export const VFIO_DEVICE_FLAGS_RESET = 1;
export const VFIO_DEVICE_FLAGS_PCI = 2;
export const VFIO_DEVICE_BIND_FLAG_TOKEN = 1;
export const VFIO_PCI_BAR0_REGION_INDEX = 0;
export const VFIO_PCI_ROM_REGION_INDEX = 6;
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;
export const VFIO_PCI_VGA_REGION_INDEX = 8;
export const VFIO_PCI_NUM_REGIONS = 9;
export const VFIO_PCI_INTX_IRQ_INDEX = 0;
export const VFIO_PCI_MSI_IRQ_INDEX = 1;
export const VFIO_PCI_MSIX_IRQ_INDEX = 2;
export const VFIO_PCI_ERR_IRQ_INDEX = 3;
export const VFIO_PCI_REQ_IRQ_INDEX = 4;
export const VFIO_PCI_NUM_IRQS = 5;
export const VFIO_REGION_INFO_FLAG_READ = 1;
export const VFIO_REGION_INFO_FLAG_WRITE = 2;
export const VFIO_REGION_INFO_FLAG_MMAP = 4;
export const VFIO_IRQ_INFO_EVENTFD = 1;
export const VFIO_IRQ_INFO_MASKABLE = 2;
export const VFIO_IRQ_INFO_AUTOMASKED = 4;
export const VFIO_IRQ_INFO_NORESIZE = 8;
export const VFIO_IRQ_SET_DATA_NONE = 1;
export const VFIO_IRQ_SET_DATA_BOOL = 2;
export const VFIO_IRQ_SET_DATA_EVENTFD = 4;
export const VFIO_IRQ_SET_DATA_TYPE_MASK = 7;
export const VFIO_IRQ_SET_ACTION_MASK = 0x08;
export const VFIO_IRQ_SET_ACTION_UNMASK = 0x10;
export const VFIO_IRQ_SET_ACTION_TRIGGER = 0x20;
export const VFIO_IRQ_SET_ACTION_TYPE_MASK = 0x38;
/** Low 16 bits of a feature's flags: which one. */
export const VFIO_DEVICE_FEATURE_MASK = 0xffff;
export const VFIO_DEVICE_FEATURE_GET = 0x10000;
export const VFIO_DEVICE_FEATURE_SET = 0x20000;
export const VFIO_DEVICE_FEATURE_PROBE = 0x40000;

/** File offset of a region: its index above 40 bits of offset, as vfio-pci has it. */
export const VFIO_PCI_OFFSET_SHIFT = 40;
export function regionOffset(index: number): number {
  return index * 2 ** VFIO_PCI_OFFSET_SHIFT;
}

export const vfio_device_info = new Struct("vfio_device_info", {
  argsz: "u32",
  flags: "u32",
  num_regions: "u32",
  num_irqs: "u32",
  cap_offset: "u32",
  pad: "u32",
});
export const vfio_region_info = new Struct("vfio_region_info", {
  argsz: "u32",
  flags: "u32",
  index: "u32",
  cap_offset: "u32",
  size: "u64",
  offset: "u64",
});
export const vfio_irq_info = new Struct("vfio_irq_info", {
  argsz: "u32",
  flags: "u32",
  index: "u32",
  count: "u32",
});
/** The data comes behind it: nothing, bytes or descriptors. */
export const vfio_irq_set = new Struct("vfio_irq_set", {
  argsz: "u32",
  flags: "u32",
  index: "u32",
  start: "u32",
  count: "u32",
});
/** The feature's own data comes behind it. */
export const vfio_device_feature = new Struct("vfio_device_feature", {
  argsz: "u32",
  flags: "u32",
});
export const vfio_device_bind_iommufd = new Struct("vfio_device_bind_iommufd", {
  argsz: "u32",
  flags: "u32",
  iommufd: "s32",
  out_devid: "u32",
  token_uuid_ptr: "u64",
});
export const vfio_device_attach_iommufd_pt = new Struct("vfio_device_attach_iommufd_pt", {
  argsz: "u32",
  flags: "u32",
  pt_id: "u32",
  pasid: "u32",
});
export const vfio_device_detach_iommufd_pt = new Struct("vfio_device_detach_iommufd_pt", {
  argsz: "u32",
  flags: "u32",
  pasid: "u32",
});
