import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import { checkMap, getIoas, iommuProt } from "./ioas.ts";
import type { Ucmd } from "./ioctls.ts";

/**
 * IOMMU_IOAS_COPY: maps what another IOAS has at src_iova, or this one elsewhere. The copy shares
 * the pages object: one pin, counted once. Errors in order: the flags; ENOENT for an id; EINVAL for
 * length 0; EOVERFLOW; ENOENT where the source has a gap; then as MAP, with EPERM for writing to
 * memory that was mapped to be read (FACTS 1.3, IOAS_COPY).
 */
export function ioasCopy({ ctx, payload }: Ucmd): number {
  const cmd = U.iommu_ioas_copy.decode(payload);
  const rc = checkMap(cmd.flags, cmd.length, cmd.dst_iova, cmd.src_iova);
  if (rc < 0) return rc;
  const src = getIoas(ctx, cmd.src_ioas_id), dst = getIoas(ctx, cmd.dst_ioas_id);
  if (src === undefined || dst === undefined) return -E.ENOENT;
  if (cmd.length === 0n) return -E.EINVAL;
  const last = cmd.src_iova + cmd.length - 1n;
  if (last > U.U64_MAX) return -E.EOVERFLOW;
  const pieces = src.iopt.pieces(cmd.src_iova, last);
  if (typeof pieces === "number") return pieces;
  if (ctx.mapsRefused !== 0) return ctx.mapsRefused;
  const fixed = (cmd.flags & U.IOMMU_IOAS_MAP_FIXED_IOVA) !== 0;
  const at = dst.iopt.map(pieces, cmd.dst_iova, iommuProt(cmd.flags), fixed);
  if (typeof at === "number") return at;
  cmd.dst_iova = at;
  U.iommu_ioas_copy.update(payload, cmd);
  return 0;
}
