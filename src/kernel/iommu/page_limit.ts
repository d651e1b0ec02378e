import { IOMMU_HWPT_ALLOC_PAGE_2M, IOMMU_HWPT_ALLOC_PAGE_4K } from "../../uapi/iommufd.ts";
import type { Kernel } from "../kernel.ts";

/**
 * Pages of the largest page a domain may be mapped with: what this kernel's code goes up to, or less
 * where its maker asks for tables as another kernel would make them (seed lines 2769-2776).
 */
export function largestPage(kernel: Kernel, flags: number): number {
  const asked = flags & IOMMU_HWPT_ALLOC_PAGE_4K
    ? 1
    : flags & IOMMU_HWPT_ALLOC_PAGE_2M
    ? 512
    : Infinity;
  return Math.min(asked, kernel.image.largestPage ?? Infinity);
}
