import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import { getIoas } from "./ioas.ts";
import type { Ucmd } from "./ioctls.ts";

/**
 * IOMMU_IOAS_NOIOMMU_GET_PA: the physical address behind an IOVA of an IOAS that a device without
 * an IOMMU uses. EOPNOTSUPP for an IOAS that no such device is attached to: there an IOMMU
 * translates, and physical addresses are nobody's business (FACTS 1.3).
 */
export function ioasNoiommuGetPa({ ctx, payload }: Ucmd): number {
  const cmd = U.iommu_ioas_noiommu_get_pa.decode(payload);
  if (cmd.flags !== 0 || cmd.rsvd !== 0) return -E.EOPNOTSUPP;
  if (cmd.iova === U.U64_MAX || cmd.length === U.U64_MAX) return -E.EOVERFLOW;
  return getIoas(ctx, cmd.ioas_id) === undefined ? -E.ENOENT : -E.EOPNOTSUPP;
}
