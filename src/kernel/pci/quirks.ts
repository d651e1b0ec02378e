import { NIC_DEVICE_ALIASED, NIC_VENDOR } from "../../uapi/nic_regs.ts";
import type { PciDev } from "./pci.ts";

/** Devices of which it is known that their requests come from function 1 of their slot. */
const FUNCTION_ONE: readonly { readonly vendor: number; readonly device: number }[] = [
  { vendor: NIC_VENDOR, device: NIC_DEVICE_ALIASED },
];

/**
 * Source ids besides its own under which a device's requests may come (pci_add_dma_alias): an IOMMU
 * has to be told of all of them.
 */
export function dmaAliases({ vendor, device, sid }: PciDev): number[] {
  const known = FUNCTION_ONE.some((q) => q.vendor === vendor && q.device === device);
  return known ? [sid | 1] : [];
}
