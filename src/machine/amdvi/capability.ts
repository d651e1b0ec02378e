import { assert } from "../../base/assert.ts";
import { FEATURE_HATS_SHIFT, FEATURE_IA } from "../../uapi/amdvi_regs.ts";

/** What one AMD IOMMU can do. Read by software from the extended feature register. */
export interface AmdviCapability {
  /** HATS: the most levels of table, 4..6. */
  readonly levels: 4 | 5 | 6;
  /** IASup: the command INVALIDATE_IOMMU_ALL exists. */
  readonly invalidateAll: boolean;
}

export const DEFAULT_AMDVI_CAPABILITY: AmdviCapability = { levels: 6, invalidateAll: true };

/** The low word of the extended feature register; the high one is 0. */
export function extendedFeatures(c: AmdviCapability): number {
  assert(c.levels >= 4 && c.levels <= 6, "HATS: 4 to 6 levels");
  return (c.invalidateAll ? FEATURE_IA : 0) | (c.levels - 4) << FEATURE_HATS_SHIFT;
}
