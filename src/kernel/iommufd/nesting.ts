import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import type { IommufdCtx } from "./ctx.ts";
import type { IommufdDevice } from "./device.ts";
import type { HwptPaging } from "./hwpt.ts";
import type { NestedDomain } from "../iommu/domain.ts";
import { copyFromUser } from "../process/user_copy.ts";
import type { Ucmd } from "./ioctls.ts";
import { IommufdObject, ObjectKind } from "./objects.ts";

/** A HWPT of a guest's own tables; its parent cannot go before it. */
export class HwptNested extends IommufdObject {
  readonly kind = ObjectKind.hwptNested;

  constructor(readonly parent: HwptPaging, readonly domain: NestedDomain) {
    super();
    parent.users++;
  }

  override destroy(): void {
    this.domain.free();
    this.parent.users--;
  }
}

/**
 * Nested translation and everything about virtual IOMMUs ends here: arguments are checked as far
 * as that goes without one (FACTS 1.3), then the answer is EOPNOTSUPP, and once for each kind of
 * object the log says so. There is no vIOMMU: an id that is taken is something else's.
 */
function refuse({ kernel }: IommufdCtx, what: string): number {
  const { refused } = kernel.iommufd;
  if (!refused.has(what)) {
    refused.add(what);
    kernel.dmesg.info(`iommufd: ${what}: this kernel has no nested translation`);
  }
  return -E.EOPNOTSUPP;
}

/** Fields of IOMMU_HWPT_ALLOC. */
interface HwptAlloc {
  readonly flags: number;
  readonly data_type: number;
  readonly data_len: number;
  readonly data_uptr: bigint;
}

/**
 * HWPT_ALLOC on top of a HWPT. EOPNOTSUPP for flags that do not go with it, without user data, and
 * where the driver has no such operation; EINVAL for a parent that an attach made, or that was not
 * made as one (and a machine has one driver: its parents are all of that); then EOPNOTSUPP: such
 * tables could not be handed over. Posted, they are made, and only the persistent id gets lost: the
 * driver returns before it would have written it down.
 */
export function nestedAlloc(
  { ctx, task }: Ucmd,
  cmd: HwptAlloc,
  idev: IommufdDevice,
  parent: HwptPaging,
): HwptNested | number {
  const known = U.IOMMU_HWPT_FAULT_ID_VALID | U.IOMMU_HWPT_ALLOC_PASID;
  if ((cmd.flags & ~known) !== 0 || cmd.data_len === 0) return -E.EOPNOTSUPP;
  const isParent = (parent.flags & U.IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0 && !parent.auto;
  const { ops } = idev.group;
  if (ops.nests === true && !isParent) return -E.EINVAL;
  const { kernel } = ctx;
  const simple = cmd.flags === 0 && cmd.data_type === U.IOMMU_HWPT_DATA_VTD_S1;
  if (!kernel.has("D34") || ops.allocNested === undefined || !simple) {
    return refuse(ctx, "nested HWPT");
  }
  const at = Number(cmd.data_uptr);
  const data = copyFromUser(kernel.machine.memory, task.mm, at, cmd.data_len);
  if (data === undefined) return -E.EFAULT;
  const domain = ops.allocNested(parent.domain, data);
  return typeof domain === "number" ? domain : ctx.objects.add(new HwptNested(parent, domain));
}

/**
 * IOMMU_HWPT_INVALIDATE: what a guest invalidates in tables of its own. EOPNOTSUPP for reserved
 * bits; EINVAL for entries without length or place, or an object that has no such tables; ENOENT.
 * `entry_num` comes back as the number handled, also on error.
 */
export function hwptInvalidate({ ctx, payload }: Ucmd): number {
  const cmd = U.iommu_hwpt_invalidate.decode(payload);
  const nowhere = cmd.data_uptr === 0n || cmd.entry_len === 0;
  const rc = cmd.rsvd !== 0
    ? -E.EOPNOTSUPP
    : cmd.entry_num !== 0 && nowhere
    ? -E.EINVAL
    : ctx.objects.get(cmd.hwpt_id) === undefined
    ? -E.ENOENT
    : -E.EINVAL;
  cmd.entry_num = 0;
  U.iommu_hwpt_invalidate.update(payload, cmd);
  return rc;
}

/**
 * IOMMU_VIOMMU_ALLOC. EOPNOTSUPP for flags and the default type; ENOENT for the device; then
 * EOPNOTSUPP, since no driver here can do it, which comes before any look at the HWPT.
 */
export function viommuAlloc({ ctx, payload }: Ucmd): number {
  const cmd = U.iommu_viommu_alloc.decode(payload);
  if (cmd.flags !== 0 || cmd.type === U.IOMMU_VIOMMU_TYPE_DEFAULT) return -E.EOPNOTSUPP;
  if (ctx.objects.get(cmd.dev_id, ObjectKind.device) === undefined) return -E.ENOENT;
  return refuse(ctx, "vIOMMU");
}

/**
 * What hangs on a vIOMMU: ENOENT for an id that nothing has; whatever has it cannot be a vIOMMU,
 * since there are none.
 */
function onViommu(ctx: IommufdCtx, viommuId: number, what: string): number {
  return ctx.objects.get(viommuId) === undefined ? -E.ENOENT : refuse(ctx, what);
}

/** IOMMU_VDEVICE_ALLOC: ENOENT for device or vIOMMU, then EOPNOTSUPP. */
export function vdeviceAlloc({ ctx, payload }: Ucmd): number {
  const cmd = U.iommu_vdevice_alloc.decode(payload);
  if (ctx.objects.get(cmd.dev_id, ObjectKind.device) === undefined) return -E.ENOENT;
  return onViommu(ctx, cmd.viommu_id, "vdevice");
}

/** The default type of an event queue and of a hardware queue: none. */
const TYPE_DEFAULT = 0;

/**
 * IOMMU_VEVENTQ_ALLOC. EOPNOTSUPP for flags, reserved bits, no type; EINVAL without room; ENOENT for
 * the vIOMMU, then EOPNOTSUPP.
 */
export function veventqAlloc({ ctx, payload }: Ucmd): number {
  const cmd = U.iommu_veventq_alloc.decode(payload);
  if (cmd.flags !== 0 || cmd.rsvd !== 0 || cmd.type === TYPE_DEFAULT) return -E.EOPNOTSUPP;
  if (cmd.veventq_depth === 0) return -E.EINVAL;
  return onViommu(ctx, cmd.viommu_id, "vEVENTQ");
}

/**
 * IOMMU_HW_QUEUE_ALLOC. EOPNOTSUPP for flags and no type; EINVAL, EOVERFLOW for its range; ENOENT
 * for the vIOMMU, then EOPNOTSUPP.
 */
export function hwQueueAlloc({ ctx, payload }: Ucmd): number {
  const cmd = U.iommu_hw_queue_alloc.decode(payload);
  if (cmd.flags !== 0 || cmd.type === TYPE_DEFAULT) return -E.EOPNOTSUPP;
  if (cmd.length === 0n) return -E.EINVAL;
  if (cmd.nesting_parent_iova + cmd.length - 1n > U.U64_MAX) return -E.EOVERFLOW;
  return onViommu(ctx, cmd.viommu_id, "hardware queue");
}
