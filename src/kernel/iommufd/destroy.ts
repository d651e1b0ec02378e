import { EBUSY } from "../../uapi/errno.ts";
import { iommu_destroy } from "../../uapi/iommufd.ts";
import type { Ucmd } from "./ioctls.ts";

/** IOMMU_DESTROY: ENOENT, EBUSY in use or while nothing may change (FACTS 1.3). */
export function destroy({ ctx, payload }: Ucmd): number {
  const { id } = iommu_destroy.decode(payload);
  if (ctx.immutable && ctx.objects.get(id) !== undefined) return -EBUSY;
  return ctx.objects.remove(id);
}
