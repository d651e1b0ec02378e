import { amdviFaultText } from "./amdvi_queues.ts";
import { smmuFaultText } from "./smmuv3_queues.ts";
import { faultReasonText } from "./vtd_regs.ts";

/** The text for a fault reason (> 0) of any IOMMU: the ranges of their codes do not meet. */
export function iommuFaultText(reason: number): string {
  return smmuFaultText(-reason) ?? amdviFaultText(-reason) ?? faultReasonText(reason);
}
