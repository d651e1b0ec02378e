import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import type { PagingDomain } from "../iommu/domain.ts";
import type { IommufdCtx } from "./ctx.ts";
import type { IommufdDevice } from "./device.ts";
import { Ioas } from "./ioas.ts";
import type { Ucmd } from "./ioctls.ts";
import { IommufdObject, ObjectKind } from "./objects.ts";

export interface HwptOptions {
  readonly auto: boolean;
  readonly flags: number;
}

/** A hardware page table made from an IOAS: one iommu_domain that mirrors its areas. */
export class HwptPaging extends IommufdObject {
  readonly kind = ObjectKind.hwptPaging;

  /** Made by an attach, shared between devices, gone with the last of them. */
  readonly auto: boolean;
  /** IOMMU_HWPT_ALLOC_*, as it was made with. */
  readonly flags: number;

  constructor(readonly ioas: Ioas, readonly domain: PagingDomain, options: HwptOptions) {
    super();
    this.auto = options.auto;
    this.flags = options.flags;
    ioas.users++;
    ioas.hwpts.push(this);
  }

  get forPasids(): boolean {
    return (this.flags & U.IOMMU_HWPT_ALLOC_PASID) !== 0;
  }

  override destroy(): void {
    this.ioas.hwpts.splice(this.ioas.hwpts.indexOf(this), 1);
    this.ioas.iopt.removeDomain(this.domain);
    this.domain.free();
    this.ioas.users--;
  }
}

/**
 * Makes a HWPT for the device: a domain of its IOMMU, at once filled with every area of the IOAS,
 * which is when pages get pinned. In a persistent context the domain must be able to survive
 * (EOPNOTSUPP where the driver has no way; seed lines 589-627).
 */
export function makeHwpt(
  ctx: IommufdCtx,
  ioas: Ioas,
  idev: IommufdDevice,
  options: HwptOptions,
): HwptPaging | number {
  const id = ctx.persistentId === 0 ? 0 : ctx.kernel.iommufd.allocDomainId();
  const domain = idev.group.ops.allocPaging(idev.dev, { persistentId: id, flags: options.flags });
  if (typeof domain === "number") {
    if (id !== 0) ctx.kernel.iommufd.freeDomainId(id);
    return domain;
  }
  domain.persistentOwner = ctx.persistentId;
  domain.enforceCacheCoherency();
  const rc = ioas.iopt.addDomain(domain);
  if (rc < 0) {
    domain.free();
    return rc;
  }
  return ctx.objects.add(new HwptPaging(ioas, domain, options));
}

/** IOMMU_HWPT_ALLOC, paging only; the order of checks is FACTS 1.3. */
export function hwptAlloc({ ctx, payload }: Ucmd): number {
  const cmd = U.iommu_hwpt_alloc.decode(payload);
  if (cmd.rsvd !== 0 || cmd.rsvd2 !== 0) return -E.EOPNOTSUPP;
  if ((cmd.data_type === U.IOMMU_HWPT_DATA_NONE) !== (cmd.data_len === 0)) return -E.EINVAL;
  const idev = ctx.objects.get(cmd.dev_id, ObjectKind.device) as IommufdDevice | undefined;
  if (idev === undefined) return -E.ENOENT;
  const target = ctx.objects.get(cmd.pt_id);
  if (!(target instanceof Ioas)) {
    // A HWPT as parent means nesting, which needs user data no driver here takes.
    return target instanceof HwptPaging ? -E.EOPNOTSUPP : -E.EINVAL;
  }
  if (cmd.flags !== 0 || cmd.data_type !== U.IOMMU_HWPT_DATA_NONE) return -E.EOPNOTSUPP;
  if (ctx.immutable) return -E.EBUSY;
  const hwpt = makeHwpt(ctx, target, idev, { auto: false, flags: 0 });
  if (typeof hwpt === "number") return hwpt;
  cmd.out_hwpt_id = hwpt.id;
  U.iommu_hwpt_alloc.update(payload, cmd);
  return 0;
}
