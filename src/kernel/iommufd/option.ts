import { formatSize, GiB, MiB, PAGE_SIZE } from "../../base/units.ts";
import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import { CAP_SYS_RESOURCE } from "../../uapi/capability.ts";
import { HwptPaging } from "./hwpt.ts";
import { getIoas } from "./ioas.ts";
import type { Ucmd } from "./ioctls.ts";
import { ObjectKind } from "./objects.ts";

const PAGE_SIZES: readonly number[] = [PAGE_SIZE, 2 * MiB, GiB];

interface OptionCall {
  readonly op: number;
  readonly object_id: number;
  val64: bigint;
}

/** IOMMU_OPTION. Unknown option, operation or reserved bits: EOPNOTSUPP (FACTS 1.3). */
export function option(ucmd: Ucmd): number {
  const cmd = U.iommu_option.decode(ucmd.payload);
  if (cmd.rsvd !== 0) return -E.EOPNOTSUPP;
  const run = handler(ucmd, cmd.option_id);
  const rc = run?.(ucmd, cmd) ?? -E.EOPNOTSUPP;
  if (rc === 0) U.iommu_option.update(ucmd.payload, cmd);
  return rc;
}

function handler({ ctx }: Ucmd, id: number): ((u: Ucmd, cmd: OptionCall) => number) | undefined {
  if (id === U.IOMMU_OPTION_RLIMIT_MODE) return rlimitMode;
  if (id === U.IOMMU_OPTION_HUGE_PAGES) return hugePages;
  if (id === U.IOMMU_OPTION_PAGE_LIMIT && ctx.kernel.design.inherits) return pageLimit;
  // The persistence series is not in every kernel.
  const series = ctx.kernel.design.persists;
  return id === U.IOMMU_OPTION_PERSISTENT && series ? persistent : undefined;
}

/**
 * IOMMU_OPTION_RLIMIT_MODE: 0, pinned pages count against the user; 1, against the process, as
 * VFIO's type 1 did it. SET: EPERM without CAP_SYS_RESOURCE, EBUSY once the iommufd was used,
 * EINVAL for another value.
 */
function rlimitMode({ task, ctx }: Ucmd, cmd: OptionCall): number {
  if (cmd.object_id !== 0) return -E.EOPNOTSUPP;
  if (cmd.op === U.IOMMU_OPTION_OP_GET) {
    cmd.val64 = ctx.chargesProcess ? 1n : 0n;
    return 0;
  }
  if (cmd.op !== U.IOMMU_OPTION_OP_SET) return -E.EOPNOTSUPP;
  if (!task.cred.capable(CAP_SYS_RESOURCE)) return -E.EPERM;
  if (!ctx.objects.empty) return -E.EBUSY;
  if (cmd.val64 > 1n) return -E.EINVAL;
  ctx.chargesProcess = cmd.val64 === 1n;
  return 0;
}

/**
 * IOMMU_OPTION_HUGE_PAGES of an IOAS: with 0 its memory is mapped in pages of 4 KiB. ENOENT; SET:
 * EINVAL for another value, or once something is mapped into a domain, EADDRINUSE where an area is
 * no whole pages.
 */
function hugePages({ ctx }: Ucmd, cmd: OptionCall): number {
  const ioas = getIoas(ctx, cmd.object_id);
  if (ioas === undefined) return -E.ENOENT;
  if (cmd.op === U.IOMMU_OPTION_OP_GET) {
    cmd.val64 = ioas.iopt.largePages ? 1n : 0n;
    return 0;
  }
  if (cmd.op !== U.IOMMU_OPTION_OP_SET) return -E.EOPNOTSUPP;
  if (cmd.val64 > 1n) return -E.EINVAL;
  return ctx.immutable ? -E.EBUSY : ioas.iopt.setLargePages(cmd.val64 === 1n);
}

/**
 * IOMMU_OPTION_PAGE_LIMIT of a HWPT, in bytes: as its tables are from now on. ENOENT; SET: EINVAL for
 * what is no size of a page, one this kernel does not use, or a large one where HUGE_PAGES is off;
 * EBUSY, EAGAIN as for a change of mappings; then EOPNOTSUPP where the IOMMU cannot change the size of
 * a page in use, or no hardware walks the tables; EBUSY while writes are noted; ENOMEM, with some
 * pages split already.
 */
function pageLimit({ ctx }: Ucmd, cmd: OptionCall): number {
  const hwpt = ctx.objects.get(cmd.object_id, ObjectKind.hwptPaging);
  if (!(hwpt instanceof HwptPaging)) return -E.ENOENT;
  const { domain, ioas } = hwpt;
  if (cmd.op === U.IOMMU_OPTION_OP_GET) {
    cmd.val64 = BigInt(2 ** (31 - Math.clz32(domain.pageSizes)));
    return 0;
  }
  if (cmd.op !== U.IOMMU_OPTION_OP_SET) return -E.EOPNOTSUPP;
  const bytes = Number(cmd.val64), most = ctx.kernel.image.largestPage ?? Infinity;
  if (!PAGE_SIZES.includes(bytes) || bytes / PAGE_SIZE > most) return -E.EINVAL;
  if (bytes > PAGE_SIZE && !ioas.iopt.largePages) return -E.EINVAL;
  if (ctx.mapsRefused !== 0) return ctx.mapsRefused;
  const done = domain.limitPages(bytes / PAGE_SIZE);
  if (typeof done === "number") return done;
  ctx.kernel.dmesg.info(
    `iommufd: HWPT ${hwpt.id}: pages of up to ${formatSize(bytes)}, ${done.joined} joined, ` +
      `${done.split} split`,
  );
  return 0;
}

/**
 * IOMMU_OPTION_PERSISTENT. SET 1 marks the iommufd and answers its persistent id; it must not have
 * been used yet (EFAULT, seed line 203) nor be marked already (EBUSY). SET 0, and any other value,
 * is EINVAL. GET answers the id, 0 when not persistent.
 */
function persistent({ ctx }: Ucmd, cmd: OptionCall): number {
  const { kernel } = ctx;
  if (cmd.object_id !== 0 && !kernel.has("D03")) return -E.EOPNOTSUPP;
  if (cmd.op === U.IOMMU_OPTION_OP_GET) {
    cmd.val64 = BigInt(ctx.persistentId);
    return 0;
  }
  if (cmd.op !== U.IOMMU_OPTION_OP_SET) return -E.EOPNOTSUPP;
  if (cmd.val64 !== 1n && !kernel.has("D01")) return -E.EINVAL;
  if (ctx.persistentId !== 0 && !kernel.has("D02")) return -E.EBUSY;
  if (!ctx.objects.empty) {
    kernel.dmesg.warn("iommufd: can only be marked persistent when unused");
    return -E.EFAULT;
  }
  // As posted no lock is held from the look to the mark.
  if (kernel.has("D05")) kernel.scheduler.preempt();
  cmd.val64 = BigInt(kernel.iommufd.markPersistent(ctx));
  return 0;
}
