import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import type { IommufdCtx } from "./ctx.ts";
import { getIoas, Ioas } from "./ioas.ts";
import type { Ucmd } from "./ioctls.ts";

/**
 * The IOAS that stands for a VFIO container (FACTS 1.3, VFIO_IOAS): what the type 1 calls of
 * /dev/vfio/vfio map into. Undefined when none was set, or it was destroyed since. No kexec hands it
 * over.
 */
export function compatIoas(ctx: IommufdCtx): Ioas | undefined {
  const ioas = ctx.compatIoas;
  // The pointer is no user of the IOAS: DESTROY takes it away from under it.
  return ioas !== undefined && ctx.objects.get(ioas.id) === ioas ? ioas : undefined;
}

/**
 * The same, made when there is none. It is an object like others: VFIO_IOAS GET tells its id,
 * DESTROY takes it, and closing the iommufd at the latest. EINVAL: the container is for noiommu
 * groups; EBUSY while nothing may change.
 */
export function ensureCompatIoas(ctx: IommufdCtx): Ioas | number {
  if (ctx.noiommu) return -E.EINVAL;
  const ioas = compatIoas(ctx);
  if (ioas !== undefined) return ioas;
  if (ctx.immutable) return -E.EBUSY;
  ctx.compatIoas = ctx.objects.add(new Ioas(ctx.kernel));
  ctx.calls?.madeIoas(ctx.compatIoas.id);
  return ctx.compatIoas;
}

/** The container is for noiommu groups from now on, which have no IOAS. EINVAL: it has one. */
export function setNoiommu(ctx: IommufdCtx): number {
  if (compatIoas(ctx) !== undefined) return -E.EINVAL;
  ctx.noiommu = true;
  return 0;
}

/**
 * IOMMU_VFIO_IOAS: which IOAS stands for a VFIO container. EOPNOTSUPP for reserved bits and unknown
 * operations; GET: ENODEV when there is none; SET: ENOENT.
 */
export function vfioIoas({ ctx, payload }: Ucmd): number {
  const cmd = U.iommu_vfio_ioas.decode(payload);
  if (cmd.rsvd !== 0) return -E.EOPNOTSUPP;
  switch (cmd.op) {
    case U.IOMMU_VFIO_IOAS_GET: {
      const ioas = compatIoas(ctx);
      if (ioas === undefined) return -E.ENODEV;
      cmd.ioas_id = ioas.id;
      U.iommu_vfio_ioas.update(payload, cmd);
      return 0;
    }
    case U.IOMMU_VFIO_IOAS_SET: {
      const ioas = getIoas(ctx, cmd.ioas_id);
      if (ioas === undefined) return -E.ENOENT;
      ctx.compatIoas = ioas;
      return 0;
    }
    case U.IOMMU_VFIO_IOAS_CLEAR:
      ctx.compatIoas = undefined;
      return 0;
    default:
      return -E.EOPNOTSUPP;
  }
}
