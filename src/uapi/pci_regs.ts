/** PCI configuration space: offsets and bits (include/uapi/linux/pci_regs.h). */

export const PCI_VENDOR_ID = 0x00;
export const PCI_DEVICE_ID = 0x02;
export const PCI_COMMAND = 0x04;
export const PCI_COMMAND_MEMORY = 0x2;
export const PCI_COMMAND_MASTER = 0x4;
export const PCI_COMMAND_INTX_DISABLE = 0x400;
export const PCI_STATUS = 0x06;
export const PCI_STATUS_CAP_LIST = 0x10;
export const PCI_CLASS_REVISION = 0x08;
export const PCI_HEADER_TYPE = 0x0e;
export const PCI_BASE_ADDRESS_0 = 0x10;
export const PCI_ROM_ADDRESS = 0x30;
export const PCI_CAPABILITY_LIST = 0x34;
export const PCI_INTERRUPT_LINE = 0x3c;
export const PCI_INTERRUPT_PIN = 0x3d;
/** Bits of a BAR: 64 bits wide. */
export const PCI_BASE_ADDRESS_MEM_TYPE_64 = 0x4;

/** Offsets inside the MSI capability, with 64-bit addresses. */
export const PCI_CAP_ID_MSI = 0x05;
export const PCI_CAP_ID_MSIX = 0x11;
export const PCI_MSI_FLAGS = 0x02;
export const PCI_MSI_FLAGS_ENABLE = 0x1;
/** Logarithm of the vectors it can send, and of those it may. */
export const PCI_MSI_FLAGS_QMASK = 0x0e;
export const PCI_MSI_FLAGS_QSIZE = 0x70;
export const PCI_MSI_FLAGS_64BIT = 0x80;
export const PCI_MSI_ADDRESS_LO = 0x04;
export const PCI_MSI_ADDRESS_HI = 0x08;
export const PCI_MSI_DATA_64 = 0x0c;
/** Table size less one, in the MSI-X capability's flags. */
export const PCI_MSIX_FLAGS_QSIZE = 0x7ff;

export const PCI_CAP_ID_EXP = 0x10;
/** Offsets inside the PCI Express capability. */
export const PCI_EXP_DEVCAP = 0x04;
export const PCI_EXP_DEVCAP_FLR = 0x10000000;
export const PCI_EXP_DEVCTL = 0x08;
export const PCI_EXP_DEVCTL_PAYLOAD = 0x00e0;
export const PCI_EXP_DEVCTL_READRQ = 0x7000;
export const PCI_EXP_DEVCTL_BCR_FLR = 0x8000;

/** Extended capabilities start here; the header's low 16 bits are the id, 1 << 16 the version. */
export const PCI_CFG_SPACE_SIZE = 256;
export const PCI_CFG_SPACE_EXP_SIZE = 4096;
export const PCI_EXT_CAP_ID_ATS = 0x0f;
export const PCI_EXT_CAP_ID_PRI = 0x13;
export const PCI_EXT_CAP_ID_PASID = 0x1b;
/** Offsets inside the PASID capability: width in bits 8-12 of the first, enable in the second. */
export const PCI_PASID_CAP = 0x04;
export const PCI_PASID_CAP_WIDTH_SHIFT = 8;
export const PCI_PASID_CTRL = 0x06;
export const PCI_PASID_CTRL_ENABLE = 1;
/** Offsets inside the ATS capability: what it can do; enable. */
export const PCI_ATS_CAP = 0x04;
export const PCI_ATS_CAP_PAGE_ALIGNED = 0x20;
export const PCI_ATS_CTRL = 0x06;
export const PCI_ATS_CTRL_ENABLE = 0x8000;
/** Offsets inside the PRI capability: control, status, requests it can have open, and may have. */
export const PCI_PRI_CTRL = 0x04;
export const PCI_PRI_CTRL_ENABLE = 0x1;
export const PCI_PRI_CTRL_RESET = 0x2;
export const PCI_PRI_STATUS = 0x06;
/** A response said that no more requests are taken; one named a group that was not open; stopped. */
export const PCI_PRI_STATUS_RF = 0x1;
export const PCI_PRI_STATUS_UPRGI = 0x2;
export const PCI_PRI_STATUS_STOPPED = 0x100;
export const PCI_PRI_MAX_REQ = 0x08;
export const PCI_PRI_ALLOC_REQ = 0x0c;

/** First byte of the class code: display controllers; first two: USB controllers. */
export const PCI_BASE_CLASS_DISPLAY = 0x03;
export const PCI_CLASS_SERIAL_USB = 0x0c03;
/** With its programming interface: keyboard controller style. */
export const PCI_CLASS_SERIAL_IPMI = 0x0c0701;
export const PCI_CLASS_NETWORK_ETHERNET = 0x020000;
export const PCI_CLASS_STORAGE_NVME = 0x010802;

/** `devfn` of a device and function number. */
export function devfnOf(device: number, fn: number): number {
  return (device << 3) | fn;
}

/** `3a:00.0` of bus and devfn. */
export function formatBdf(bus: number, devfn: number): string {
  const hex2 = (n: number) => n.toString(16).padStart(2, "0");
  return `${hex2(bus)}:${hex2(devfn >> 3)}.${devfn & 7}`;
}

/** `0000:3a:00.0`, the name of a device in sysfs. */
export function formatSbdf(segment: number, bus: number, devfn: number): string {
  return `${segment.toString(16).padStart(4, "0")}:${formatBdf(bus, devfn)}`;
}

/** Source id of `3a:00.0` or `0000:3a:00.0` (segment 0): bus << 8 | devfn; undefined if ill-formed. */
export function parseBdf(text: string): number | undefined {
  const m = /^(?:0000:)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/i.exec(text);
  if (m === null || parseInt(m[2], 16) > 31) return undefined;
  return (parseInt(m[1], 16) << 8) | (parseInt(m[2], 16) << 3) | Number(m[3]);
}
