import { PAGE_SIZE } from "../../base/units.ts";
import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import type { DirtyTracking } from "../iommu/domain.ts";
import { copyFromUser, copyToUser } from "../process/user_copy.ts";
import { HwptPaging } from "./hwpt.ts";
import type { Ucmd } from "./ioctls.ts";
import type { IoPageTable } from "./io_pagetable.ts";
import { ObjectKind } from "./objects.ts";

/** The HWPT with its dirty tracking: ENOENT, or EOPNOTSUPP where it was not made for it. */
function tracked(
  { ctx }: Ucmd,
  id: number,
): { readonly hwpt: HwptPaging; readonly dirty: DirtyTracking } | number {
  const hwpt = ctx.objects.get(id, ObjectKind.hwptPaging);
  if (!(hwpt instanceof HwptPaging)) return -E.ENOENT;
  const { dirty } = hwpt.domain;
  return dirty === undefined ? -E.EOPNOTSUPP : { hwpt, dirty };
}

/** IOMMU_HWPT_SET_DIRTY_TRACKING; the order of checks is FACTS 1.3. */
export function setDirtyTracking(ucmd: Ucmd): number {
  const cmd = U.iommu_hwpt_set_dirty_tracking.decode(ucmd.payload);
  if ((cmd.flags & ~U.IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0 || cmd.rsvd !== 0) {
    return -E.EOPNOTSUPP;
  }
  const found = tracked(ucmd, cmd.hwpt_id);
  if (typeof found === "number") return found;
  // What a dump says of the tables must stay so.
  if (ucmd.ctx.frozen) return -E.EBUSY;
  return found.dirty.set((cmd.flags & U.IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0);
}

interface Request {
  readonly flags: number;
  readonly iova: bigint;
  readonly length: bigint;
  readonly page_size: bigint;
  readonly data: bigint;
}

/**
 * IOMMU_HWPT_GET_DIRTY_BITMAP: sets bit i of a bitmap in user memory where something from
 * iova + i * page_size on was written; bits that are set already stay. Order of checks: FACTS 1.3.
 * EFAULT for a bitmap that cannot be written, and then no dirty bit is lost.
 */
export function getDirtyBitmap(ucmd: Ucmd): number {
  const cmd = U.iommu_hwpt_get_dirty_bitmap.decode(ucmd.payload);
  if ((cmd.flags & ~U.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0 || cmd.rsvd !== 0) {
    return -E.EOPNOTSUPP;
  }
  const found = tracked(ucmd, cmd.hwpt_id);
  if (typeof found === "number") return found;
  const { iopt } = found.hwpt.ioas;
  const rc = checkRange(iopt, cmd);
  if (rc < 0) return rc;
  if (!found.dirty.on || !covered(iopt, cmd.iova, cmd.length)) return -E.EINVAL;
  return fillBitmap(ucmd, found.dirty, cmd);
}

function checkRange(iopt: IoPageTable, { iova, length, page_size }: Request): number {
  // Length 0 is the whole space less nothing: it overflows unless it begins at 0.
  if (iova + BigInt.asUintN(64, length - 1n) > U.U64_MAX) return -E.EOVERFLOW;
  const power = page_size !== 0n && (page_size & (page_size - 1n)) === 0n;
  if (!power || length === 0n) return -E.EINVAL;
  const align = page_size > iopt.alignment ? page_size : iopt.alignment;
  return iova % align === 0n && length % align === 0n ? 0 : -E.EINVAL;
}

/** Every byte of the range is in some area. */
function covered(iopt: IoPageTable, iova: bigint, length: bigint): boolean {
  let next = iova;
  for (const area of iopt.areas.overlapping(iova, iova + length - 1n)) {
    if (area.start > next) return false;
    next = area.last + 1n;
  }
  return next >= iova + length;
}

function fillBitmap({ task, ctx }: Ucmd, dirty: DirtyTracking, cmd: Request): number {
  const { memory } = ctx.kernel.machine;
  const at = Number(cmd.data);
  const bits = Number(cmd.length / cmd.page_size);
  const bitmap = copyFromUser(memory, task.mm, at, Math.ceil(bits / 8));
  if (bitmap === undefined || !copyToUser(memory, task.mm, at, bitmap)) return -E.EFAULT;
  const first = Number(cmd.iova / BigInt(PAGE_SIZE)), count = Number(cmd.length) / PAGE_SIZE;
  const pageBits = PAGE_SIZE / Number(cmd.page_size);
  const clear = (cmd.flags & U.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) === 0;
  dirty.read(first, count, clear, (page, pages) => {
    const last = Math.ceil((page + pages - first) * pageBits);
    for (let bit = Math.floor((page - first) * pageBits); bit < last; bit++) {
      bitmap[bit >> 3] |= 1 << (bit & 7);
    }
  });
  copyToUser(memory, task.mm, at, bitmap);
  return 0;
}
