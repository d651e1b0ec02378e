import { PAGE_SIZE } from "../../base/units.ts";
import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import { copyToUser } from "../process/user_copy.ts";
import type { IommufdDevice } from "./device.ts";
import type { Ucmd } from "./ioctls.ts";
import { ObjectKind } from "./objects.ts";

/**
 * IOMMU_GET_HW_INFO: the registers of the device's IOMMU. A buffer that is too short gets the
 * beginning, one that is too long zeros behind it; `data_len` comes back as the true length.
 * EOPNOTSUPP for flags, reserved bits, or a type asked for that this IOMMU is not; ENOENT; EFAULT.
 */
export function getHwInfo(ucmd: Ucmd): number {
  const { ctx, payload } = ucmd;
  const cmd = U.iommu_hw_info.decode(payload);
  const reserved = cmd.rsvd0 | cmd.rsvd1 | cmd.rsvd2;
  if ((cmd.flags & ~U.IOMMU_HW_INFO_FLAG_INPUT_TYPE) !== 0 || reserved !== 0) return -E.EOPNOTSUPP;
  const idev = ctx.objects.get(cmd.dev_id, ObjectKind.device) as IommufdDevice | undefined;
  if (idev === undefined) return -E.ENOENT;
  const info = idev.group.ops.hwInfo(idev.dev);
  // 0 asks for whatever there is.
  const asked = cmd.flags & U.IOMMU_HW_INFO_FLAG_INPUT_TYPE ? cmd.out_data_type : 0;
  if (asked !== 0 && asked !== info.type) return -E.EOPNOTSUPP;
  if (!copyPadded(ucmd, Number(cmd.data_uptr), info.data, cmd.data_len)) return -E.EFAULT;
  cmd.data_len = info.data.length;
  cmd.out_data_type = info.type;
  cmd.out_max_pasid_log2 = info.maxPasidLog2;
  cmd.out_capabilities = BigInt(info.capabilities);
  U.iommu_hw_info.update(payload, cmd);
  return 0;
}

/** Fills `length` bytes at a user address with the data, cut short or with zeros behind it. */
function copyPadded({ task, ctx }: Ucmd, at: number, data: Uint8Array, length: number): boolean {
  const { memory } = ctx.kernel.machine;
  for (let done = 0; done < length; done += PAGE_SIZE) {
    const piece = new Uint8Array(Math.min(PAGE_SIZE, length - done));
    piece.set(data.subarray(done, done + piece.length));
    if (!copyToUser(memory, task.mm, at + done, piece)) return false;
  }
  return true;
}
