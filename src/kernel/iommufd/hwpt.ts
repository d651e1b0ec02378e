import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import type { PagingDomain } from "../iommu/domain.ts";
import type { IommufdCtx } from "./ctx.ts";
import type { IommufdDevice } from "./device.ts";
import { type FaultQueue, refuseRequests } from "./fault.ts";
import { Ioas } from "./ioas.ts";
import type { Ucmd } from "./ioctls.ts";
import { nestedAlloc } from "./nesting.ts";
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
  #fault: FaultQueue | undefined;

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

  /** Where page requests of attached devices go. */
  get fault(): FaultQueue | undefined {
    return this.#fault;
  }

  reportTo(queue: FaultQueue): void {
    queue.users++;
    this.#fault = queue;
  }

  override destroy(): void {
    if (this.#fault !== undefined) this.#fault.users--;
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
  // Tables that no hardware walks are filled anew by the next kernel: they need no name.
  const named = ctx.persistentId !== 0 && idev.noiommu === undefined;
  const id = named ? domainId(ctx) : 0;
  // The fault queue is iommufd's own business.
  const flags = options.flags & ~U.IOMMU_HWPT_FAULT_ID_VALID;
  const domain = idev.group.ops.allocPaging(idev.dev, { persistentId: id, flags });
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

/** Each domain of a context has an id of its own; posted, they all have the context's. */
function domainId({ kernel, persistentId }: IommufdCtx): number {
  return kernel.has("D33") ? persistentId : kernel.iommufd.allocDomainId();
}

const FLAGS = U.IOMMU_HWPT_ALLOC_NEST_PARENT | U.IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
  U.IOMMU_HWPT_FAULT_ID_VALID | U.IOMMU_HWPT_ALLOC_PASID;

/** IOMMU_HWPT_ALLOC; the order of checks is FACTS 1.3. */
export function hwptAlloc(ucmd: Ucmd): number {
  const { ctx, payload } = ucmd;
  const cmd = U.iommu_hwpt_alloc.decode(payload);
  if (cmd.rsvd !== 0 || cmd.rsvd2 !== 0) return -E.EOPNOTSUPP;
  if ((cmd.data_type === U.IOMMU_HWPT_DATA_NONE) !== (cmd.data_len === 0)) return -E.EINVAL;
  const idev = ctx.objects.get(cmd.dev_id, ObjectKind.device) as IommufdDevice | undefined;
  if (idev === undefined) return -E.ENOENT;
  const tell = ({ id }: IommufdObject): number => {
    ucmd.abort = () => ctx.objects.remove(id);
    cmd.out_hwpt_id = id;
    U.iommu_hwpt_alloc.update(payload, cmd);
    return 0;
  };
  const target = ctx.objects.get(cmd.pt_id);
  if (target instanceof HwptPaging) {
    const nested = nestedAlloc(ucmd, cmd, idev, target);
    return typeof nested === "number" ? nested : tell(nested);
  }
  if (!(target instanceof Ioas)) return -E.EINVAL;
  const refused = refusedFlags(ctx, cmd.flags);
  if (refused && losesRequests(ctx, cmd.flags)) refuseRequests(ctx.kernel);
  // No driver here takes user data for tables of its own.
  if (refused || cmd.data_type !== U.IOMMU_HWPT_DATA_NONE) return -E.EOPNOTSUPP;
  if (ctx.immutable) return -E.EBUSY;
  const hwpt = makeHwpt(ctx, target, idev, { auto: false, flags: cmd.flags });
  if (typeof hwpt === "number") return hwpt;
  if (cmd.flags & U.IOMMU_HWPT_FAULT_ID_VALID) {
    const fault = ctx.objects.get(cmd.fault_id, ObjectKind.fault) as FaultQueue | undefined;
    if (fault === undefined) {
      ctx.objects.remove(hwpt.id);
      return -E.ENOENT;
    }
    hwpt.reportTo(fault);
  }
  return tell(hwpt);
}

/** Page requests in a persistent context, of a kernel whose successor would not answer them. */
function losesRequests({ persistentId, kernel }: IommufdCtx, flags: number): boolean {
  const faults = (flags & U.IOMMU_HWPT_FAULT_ID_VALID) !== 0;
  return faults && persistentId !== 0 && !kernel.design.pageRequests;
}

/**
 * Flags that do not go whatever the driver says: unknown ones; page requests of a nesting parent;
 * and in a persistent context page requests, where who would answer them after a kexec is unknown,
 * and nesting parents, since tables of a guest's own would not come over (seed line 2150).
 */
function refusedFlags(ctx: IommufdCtx, flags: number): boolean {
  const persistent = ctx.persistentId !== 0;
  const heir = persistent && ctx.kernel.design.inherits;
  const known = FLAGS | (heir ? U.IOMMU_HWPT_ALLOC_REPLACE | U.IOMMU_HWPT_ALLOC_PAGE_MASK : 0);
  if ((flags & ~known) !== 0) return true;
  const faults = (flags & U.IOMMU_HWPT_FAULT_ID_VALID) !== 0;
  const parent = (flags & U.IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0;
  const lost = parent && !ctx.kernel.has("D34");
  return (faults && parent) || losesRequests(ctx, flags) || (persistent && lost);
}
