import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import type { Ucmd } from "./ioctls.ts";

/** IOMMU_OPTION. Unknown option, operation or reserved bits: EOPNOTSUPP (FACTS 1.3). */
export function option(ucmd: Ucmd): number {
  const cmd = U.iommu_option.decode(ucmd.payload);
  if (cmd.rsvd !== 0) return -E.EOPNOTSUPP;
  const persistence = ucmd.ctx.kernel.image.handover !== "none";
  if (cmd.option_id !== U.IOMMU_OPTION_PERSISTENT || !persistence) return -E.EOPNOTSUPP;
  const rc = persistent(ucmd, cmd);
  if (rc === 0) U.iommu_option.update(ucmd.payload, cmd);
  return rc;
}

/**
 * IOMMU_OPTION_PERSISTENT. SET 1 marks the iommufd and answers its persistent id; it must not have
 * been used yet (EFAULT, seed line 203) nor be marked already (EBUSY). SET 0, and any other value,
 * is EINVAL. GET answers the id, 0 when not persistent.
 */
function persistent({ ctx }: Ucmd, cmd: { op: number; object_id: number; val64: bigint }): number {
  if (cmd.object_id !== 0) return -E.EOPNOTSUPP;
  if (cmd.op === U.IOMMU_OPTION_OP_GET) {
    cmd.val64 = BigInt(ctx.persistentId);
    return 0;
  }
  if (cmd.op !== U.IOMMU_OPTION_OP_SET) return -E.EOPNOTSUPP;
  if (cmd.val64 !== 1n) return -E.EINVAL;
  if (ctx.persistentId !== 0) return -E.EBUSY;
  if (!ctx.objects.empty) {
    ctx.kernel.dmesg.warn("iommufd: can only be marked persistent when unused");
    return -E.EFAULT;
  }
  cmd.val64 = BigInt(ctx.kernel.iommufd.markPersistent(ctx));
  return 0;
}
