import type { VmConfig } from "../vmm/config.ts";

/**
 * Where a paravisor has the memory that its disk reads and writes, and how it learns physical
 * addresses: pinned by an iommufd, which tells them; locked pages, or a file of guestmemfs, looked up
 * in /proc/self/pagemap.
 */
export const DMA_MEMORY = ["iommufd", "mlock", "guestmemfs"] as const;
export type DmaKind = typeof DMA_MEMORY[number];

/** What a paravisor is started with: one disk, which no IOMMU covers. */
export interface ParavisorConfig extends VmConfig {
  readonly dma: DmaKind;
}

/** Commands the disk has in hand at most. */
export const DISK_DEPTH = 32;
/** IOVA of the disk's queues: above any guest's RAM. It is a key and nothing else. */
export const QUEUE_IOVA = 2 ** 40;
