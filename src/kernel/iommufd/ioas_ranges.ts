import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import type { Task } from "../process/task.ts";
import { copyFromUser, copyToUser } from "../process/user_copy.ts";
import type { IommufdCtx } from "./ctx.ts";
import { getIoas } from "./ioas.ts";
import type { Ucmd } from "./ioctls.ts";
import type { IovaRange } from "./iova_space.ts";

/** IOMMU_IOAS_IOVA_RANGES: EMSGSIZE when the array is short, num_iovas says how many there are. */
export function ioasIovaRanges({ task, ctx, payload }: Ucmd): number {
  const cmd = U.iommu_ioas_iova_ranges.decode(payload);
  if (cmd.rsvd !== 0) return -E.EOPNOTSUPP;
  const ioas = getIoas(ctx, cmd.ioas_id);
  if (ioas === undefined) return -E.ENOENT;
  const ranges = ioas.iopt.space.usable();
  const capacity = cmd.num_iovas;
  for (const [i, range] of ranges.slice(0, capacity).entries()) {
    const at = Number(cmd.allowed_iovas) + i * U.iommu_iova_range.size;
    const bytes = U.iommu_iova_range.encode(range);
    if (!copyToUser(ctx.kernel.machine.memory, task.mm, at, bytes)) return -E.EFAULT;
  }
  cmd.num_iovas = ranges.length;
  cmd.out_iova_alignment = ioas.iopt.alignment;
  U.iommu_ioas_iova_ranges.update(payload, cmd);
  return ranges.length > capacity ? -E.EMSGSIZE : 0;
}

/**
 * IOMMU_IOAS_ALLOW_IOVAS: automatic IOVAs come from these ranges only, and no device may reserve
 * any of them. The list is replaced as a whole, an empty one lifts the restriction. EFAULT, EINVAL
 * for a range that is empty or meets another one, EADDRINUSE for one that is reserved.
 */
export function ioasAllowIovas({ task, ctx, payload }: Ucmd): number {
  const cmd = U.iommu_ioas_allow_iovas.decode(payload);
  if (cmd.rsvd !== 0) return -E.EOPNOTSUPP;
  const ioas = getIoas(ctx, cmd.ioas_id);
  if (ioas === undefined) return -E.ENOENT;
  const ranges = readRanges(ctx, task, Number(cmd.allowed_iovas), cmd.num_iovas);
  if (typeof ranges === "number") return ranges;
  if (ctx.immutable) return -E.EBUSY;
  const rc = ioas.iopt.space.allow(ranges);
  if (rc === 0) ctx.calls?.allowed(payload, ranges);
  return rc;
}

function readRanges(
  ctx: IommufdCtx,
  task: Task,
  address: number,
  count: number,
): IovaRange[] | number {
  const { size } = U.iommu_iova_range;
  const ranges: IovaRange[] = [];
  for (let i = 0; i < count; i++) {
    const bytes = copyFromUser(ctx.kernel.machine.memory, task.mm, address + i * size, size);
    if (bytes === undefined) return -E.EFAULT;
    const { start, last } = U.iommu_iova_range.decode(bytes);
    if (start >= last) return -E.EINVAL;
    if (ranges.some((r) => r.start <= last && start <= r.last)) return -E.EINVAL;
    ranges.push({ start, last });
  }
  return ranges;
}
