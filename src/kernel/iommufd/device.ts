import * as E from "../../uapi/errno.ts";
import { IOMMU_HWPT_ALLOC_PASID } from "../../uapi/iommufd.ts";
import type { OpenFile } from "../fs/vfs.ts";
import type { IommuOps } from "../iommu/core.ts";
import type { IommuDomain, PagingDomain } from "../iommu/domain.ts";
import type { PageFaults } from "../iommu/page_faults.ts";
import type { PageRequestGroup } from "../iommu/page_requests.ts";
import type { PciDev } from "../pci/pci.ts";
import type { IommufdCtx } from "./ctx.ts";
import { HwptPaging, makeHwpt } from "./hwpt.ts";
import { Ioas } from "./ioas.ts";
import type { Reserved } from "./module.ts";
import { HwptNested } from "./nesting.ts";
import { NoiommuAccess, NoiommuDomain, NoiommuGroup } from "./noiommu.ts";
import { IommufdObject, ObjectKind } from "./objects.ts";

/** The slot of requests that carry no PASID. */
const NO_PASID = 0;

/** What decides where a device's requests go: its IOMMU group, or nothing at all. */
export interface DmaGroup {
  readonly ops: Pick<
    IommuOps,
    "allocPaging" | "allocNested" | "hwInfo" | "reservedRegions" | "nests"
  >;
  readonly domain: IommuDomain | undefined;
  readonly pasids: ReadonlyMap<number, PagingDomain>;
  attach(domain: IommuDomain): number;
  detach(): void;
  attachPasid(pasid: number, domain: PagingDomain): number;
  replacePasid(pasid: number, domain: PagingDomain): number;
  detachPasid(pasid: number): void;
  release(): void;
  /** What the device asks for; missing where no hardware takes it. */
  readonly faults?: PageFaults;
}

/** A device bound to an iommufd. VFIO holds one user of it, so DESTROY answers EBUSY. */
export class IommufdDevice extends IommufdObject {
  readonly kind = ObjectKind.device;
  /** What requests without a PASID go by. */
  hwpt: HwptPaging | undefined;
  /** Over {@link hwpt}, where a guest's own tables are. */
  nested: HwptNested | undefined;
  readonly #pasids = new Map<number, HwptPaging>();
  /** What it has beside itself where no IOMMU covers it. */
  noiommu: NoiommuAccess | undefined;

  /** `file`: the open device file that bound it, or another one when that is closed. */
  constructor(
    readonly ctx: IommufdCtx,
    readonly dev: PciDev,
    readonly group: DmaGroup,
    public file: OpenFile,
  ) {
    super();
  }

  override destroy(): void {}

  /** It is on some HWPT, with or without a PASID. */
  get attached(): boolean {
    return this.hwpt !== undefined || this.#pasids.size > 0;
  }

  /** HWPTs by PASID, ascending. */
  get pasids(): [pasid: number, hwpt: HwptPaging][] {
    return [...this.#pasids].sort(([a], [b]) => a - b);
  }

  /**
   * Attaches to an IOAS (an automatic HWPT is found or made) or to a HWPT; while attached it is a
   * replace. The HWPT's id, or: ENOENT, EINVAL for another kind, what the driver says, EADDRINUSE
   * where the device's reserved IOVAs are mapped, ENODEV for a HWPT with a fault queue where the
   * device cannot make page requests, or its IOMMU cannot take them.
   */
  attach(ptId: number): number {
    return this.#recorded(NO_PASID, ptId, this.#attachTo(NO_PASID, ptId));
  }

  #recorded(pasid: number, ptId: number, rc: number): number {
    const hwpt = this.#hwptAt(pasid);
    if (rc >= 0 && hwpt?.auto) {
      this.ctx.calls?.attached(this.dev.sid, this.id, pasid, hwpt.ioas.id, hwpt.id);
    } else if (rc >= 0) this.ctx.calls?.attached(this.dev.sid, this.id, pasid, ptId, 0);
    return rc;
  }

  /**
   * The same for the requests that carry a PASID: 1 up to the width that GET_HW_INFO tells, EINVAL
   * for others. EOPNOTSUPP for a device without PASIDs; EINVAL unless this HWPT, and the one the
   * device has without a PASID, were made with IOMMU_HWPT_ALLOC_PASID. An automatic HWPT is.
   */
  attachPasid(pasid: number, ptId: number): number {
    if (this.group.ops.hwInfo(this.dev).maxPasidLog2 === 0) return -E.EOPNOTSUPP;
    if (pasid === NO_PASID) return -E.EINVAL;
    return this.#recorded(pasid, ptId, this.#attachTo(pasid, ptId));
  }

  #attachTo(pasid: number, ptId: number): number {
    const target = this.ctx.objects.get(ptId);
    if (target === undefined) return -E.ENOENT;
    if (target instanceof HwptPaging) {
      const rc = this.#attachHwpt(pasid, target);
      return rc < 0 ? rc : target.id;
    }
    if (target instanceof HwptNested && pasid === NO_PASID) return this.#attachNested(target);
    if (!(target instanceof Ioas)) return -E.EINVAL;
    for (const hwpt of target.hwpts) {
      if (!hwpt.auto) continue;
      const rc = this.#attachHwpt(pasid, hwpt);
      if (rc === 0) return hwpt.id;
      // Not compatible with this device's IOMMU, or with PASIDs: try the next one.
      if (rc !== -E.EINVAL) return rc;
    }
    if (this.ctx.immutable) return -E.EBUSY;
    if (pasid === NO_PASID && this.hwpt === undefined) {
      // A first attach reserves before the new tables are filled, a replace after (FACTS 1.5).
      const rc = this.#reserve(target);
      if (rc < 0) return rc;
      target.iopt.space.release(this);
    }
    const flags = pasid === NO_PASID ? 0 : IOMMU_HWPT_ALLOC_PASID;
    const hwpt = makeHwpt(this.ctx, target, this, { auto: true, flags });
    if (typeof hwpt === "number") return hwpt;
    const rc = this.#attachHwpt(pasid, hwpt);
    if (rc < 0) {
      this.ctx.objects.remove(hwpt.id);
      return rc;
    }
    return hwpt.id;
  }

  /** First to its parent, whose IOVAs are the ones that are reserved, then to the tables over it. */
  #attachNested(hwpt: HwptNested): number {
    if (this.nested === hwpt) return hwpt.id;
    const below = this.#attachHwpt(NO_PASID, hwpt.parent);
    const rc = below < 0 ? below : this.group.attach(hwpt.domain);
    if (rc < 0) return rc;
    this.nested = hwpt;
    hwpt.users++;
    return hwpt.id;
  }

  #leaveNested(): void {
    if (this.nested !== undefined) this.nested.users--;
    this.nested = undefined;
  }

  #attachHwpt(pasid: number, hwpt: HwptPaging): number {
    const old = this.#hwptAt(pasid);
    if (old === hwpt) {
      if (pasid !== NO_PASID || this.nested === undefined) return 0;
      const rc = this.group.attach(hwpt.domain);
      if (rc === 0) this.#leaveNested();
      return rc;
    }
    if (this.ctx.frozen) return -E.EBUSY;
    if (hwpt.fault !== undefined) {
      const rc = this.dev.pageRequests ? this.group.faults?.enable() ?? -E.ENODEV : -E.ENODEV;
      if (rc < 0) return rc;
    }
    const rc = this.#moveTo(pasid, hwpt, old);
    if (rc < 0) {
      if (hwpt.fault !== undefined) this.group.faults?.undo();
      return rc;
    }
    this.#listen(pasid, hwpt);
    if (old !== undefined) this.#letGo(pasid, old);
    return 0;
  }

  /** Pages it asks for under this PASID are the queue's from here on, where the HWPT has one. */
  #listen(pasid: number, hwpt: HwptPaging | undefined): void {
    const { fault } = hwpt ?? {};
    const report = (group: PageRequestGroup) =>
      fault?.report({ ...group, hwpt: hwpt as HwptPaging, devId: this.id });
    this.group.faults?.listen(pasid, fault && report);
  }

  #moveTo(pasid: number, hwpt: HwptPaging, old: HwptPaging | undefined): number {
    if (!this.#fitsPasids(pasid, hwpt)) return -E.EINVAL;
    // Only requests without a PASID can be interrupts, or what else the regions are reserved for.
    const reserves = pasid === NO_PASID && old?.ioas !== hwpt.ioas;
    if (reserves) {
      const rc = this.#reserve(hwpt.ioas);
      if (rc < 0) return rc;
    }
    const used = this.noiommu?.access.use(hwpt.ioas.id) ?? 0;
    const rc = used < 0 ? used : this.#setDomain(pasid, hwpt, old !== undefined);
    if (rc < 0) {
      if (reserves) hwpt.ioas.iopt.space.release(this);
      return rc;
    }
    hwpt.users++;
    if (pasid === NO_PASID) {
      this.#leaveNested();
      this.hwpt = hwpt;
    } else this.#pasids.set(pasid, hwpt);
    if (old !== undefined && reserves) old.ioas.iopt.space.release(this);
    return 0;
  }

  #hwptAt(pasid: number): HwptPaging | undefined {
    return pasid === NO_PASID ? this.hwpt : this.#pasids.get(pasid);
  }

  /** With a PASID in use every HWPT of the device must have been made for that. */
  #fitsPasids(pasid: number, hwpt: HwptPaging): boolean {
    if (pasid === NO_PASID) return hwpt.forPasids || this.#pasids.size === 0;
    return hwpt.forPasids && (this.hwpt?.forPasids ?? true);
  }

  /** EINVAL for tables that no hardware walks, where hardware has to. */
  #setDomain(pasid: number, { domain }: HwptPaging, replace: boolean): number {
    if (domain instanceof NoiommuDomain && this.noiommu === undefined) return -E.EINVAL;
    if (pasid === NO_PASID) return this.group.attach(domain);
    return replace ? this.group.replacePasid(pasid, domain) : this.group.attachPasid(pasid, domain);
  }

  /**
   * Takes the IOVAs that mean something else to this device out of use (FACTS 1.4). EADDRINUSE
   * where one is mapped; EINVAL for a driver that has both kinds of window for interrupts.
   */
  #reserve({ iopt }: Ioas): number {
    const regions = this.group.ops.reservedRegions(this.dev)
      .filter(({ kind }) => kind !== "direct-relaxable");
    let rc = 0;
    for (const { start, last } of regions) {
      rc = iopt.space.reserve(start, last, this);
      if (rc < 0) break;
    }
    const has = (wanted: string) => regions.some(({ kind }) => kind === wanted);
    if (rc === 0 && has("msi") && has("sw-msi")) rc = -E.EINVAL;
    if (rc < 0) iopt.space.release(this);
    return rc;
  }

  /**
   * Takes over a held device: it is attached already, without and with PASIDs, to HWPTs whose user
   * it has been since the context was picked up.
   */
  inherit(): void {
    if (this.group.domain === undefined) return;
    this.hwpt = this.ctx.hwptOf(this.group.domain);
    if (this.hwpt !== undefined) this.#reserve(this.hwpt.ioas);
    for (const [pasid, domain] of this.group.pasids) {
      const hwpt = this.ctx.hwptOf(domain);
      if (hwpt !== undefined) this.#pasids.set(pasid, hwpt);
    }
  }

  /** A device that was handed over is blocked by its claim like any other; its HWPTs stay. */
  block(): void {
    for (const [pasid, hwpt] of this.#pasids) {
      this.group.detachPasid(pasid);
      hwpt.users--;
    }
    this.#pasids.clear();
    this.group.detach();
    if (this.hwpt === undefined) return;
    this.hwpt.ioas.iopt.space.release(this);
    this.hwpt.users--;
    this.hwpt = undefined;
  }

  /** Back to the blocking domain; PASIDs stay. Harmless when nothing is attached. */
  detach(): void {
    const hwpt = this.hwpt;
    if (hwpt === undefined) return;
    this.#listen(NO_PASID, undefined);
    this.group.detach();
    this.noiommu?.access.detach();
    this.#leaveNested();
    this.hwpt = undefined;
    hwpt.ioas.iopt.space.release(this);
    this.#letGo(NO_PASID, hwpt);
    this.ctx.calls?.detached(this.id, NO_PASID);
  }

  /** Requests with this PASID lead nowhere from here on. Harmless when nothing is attached. */
  detachPasid(pasid: number): void {
    const hwpt = this.#pasids.get(pasid);
    if (hwpt === undefined) return;
    this.#listen(pasid, undefined);
    this.group.detachPasid(pasid);
    this.#pasids.delete(pasid);
    this.#letGo(pasid, hwpt);
    this.ctx.calls?.detached(this.id, pasid);
  }

  detachAll(): void {
    for (const [pasid] of this.pasids) this.detachPasid(pasid);
    this.detach();
  }

  #letGo(pasid: number, hwpt: HwptPaging): void {
    hwpt.fault?.refuse(hwpt, this.id, pasid === NO_PASID ? undefined : pasid);
    hwpt.users--;
    if (hwpt.auto && hwpt.users === 1) this.ctx.objects.remove(hwpt.id);
  }
}

/** Module parameter: a device may be bound although others could send its interrupts. */
const UNSAFE = "iommufd.allow_unsafe_interrupts";

/**
 * Binds a device: its group's DMA is claimed for the context. EINVAL for an IOMMU whose accesses are
 * not coherent; EPERM where the platform does not isolate interrupts, unless {@link UNSAFE} is set;
 * then what the group's claim answers (FACTS 1.5). The heir of a held device is the context
 * that has every HWPT it runs on; it gets the device under the object id it had, attached as it was.
 */
export function bindDevice(
  ctx: IommufdCtx,
  dev: PciDev,
  file: OpenFile,
): IommufdDevice | number {
  const group = dev.group;
  const awaited = [...ctx.awaited].find((idev) => idev.dev === dev);
  if (awaited !== undefined) return ctx.kernel.iommufd.heirs.taken(awaited, file);
  if (group === undefined) return bindNoiommu(ctx, dev, file);
  if (!group.ops.capable(dev, "cache-coherency")) return -E.EINVAL;
  if (!group.ops.capable(dev, "isolated-msi") && !ctx.kernel.isSet(UNSAFE)) {
    ctx.kernel.dmesg.warn(
      `iommufd ${dev.name}: MSI interrupts are not secure, they cannot be isolated by the ` +
        `platform; ${UNSAFE} would override this`,
    );
    return -E.EPERM;
  }
  const { held } = group;
  const rc = group.claim(ctx, (domain) => ctx.isHeirOf(domain));
  if (rc < 0) return rc;
  const idev = new IommufdDevice(ctx, dev, group, file);
  if (held) idev.inherit();
  if (held && ctx.kernel.has("G3")) idev.block();
  return enter(idev, ctx.kernel.iommufd.takeReserved(ctx, dev));
}

/**
 * The same for a device that no IOMMU covers: there is nothing to claim, and an access comes beside
 * the device. EPERM for a held one where the context is not the one that had it.
 */
function bindNoiommu(ctx: IommufdCtx, dev: PciDev, file: OpenFile): IommufdDevice | number {
  const module = ctx.kernel.iommufd;
  if (dev.held && !module.isReserved(ctx, dev)) return -E.EPERM;
  const reserved = module.takeReserved(ctx, dev);
  const idev = enter(new IommufdDevice(ctx, dev, new NoiommuGroup(ctx.kernel), file), reserved);
  idev.noiommu = new NoiommuAccess(ctx, dev.name, reserved?.access);
  if (dev.held) {
    dev.incoming = false;
    const hwpt = ctx.objects.get(reserved?.hwpt ?? 0);
    if (hwpt instanceof HwptPaging) {
      idev.group.attach(hwpt.domain);
      idev.noiommu.access.use(hwpt.ioas.id);
      idev.inherit();
    }
    module.taken(ctx);
  }
  return idev;
}

function enter(idev: IommufdDevice, reserved: Reserved | undefined): IommufdDevice {
  const { ctx } = idev;
  if (reserved === undefined) ctx.objects.add(idev);
  else ctx.objects.addAt(reserved.id, idev);
  ctx.get();
  idev.users++;
  ctx.calls?.bound(idev.dev.sid, idev.id);
  return idev;
}

/** Undoes {@link bindDevice}. */
export function unbindDevice(idev: IommufdDevice): void {
  idev.detachAll();
  idev.ctx.calls?.unbound(idev.dev.sid, idev.id);
  idev.noiommu?.access.release();
  idev.users--;
  idev.ctx.objects.remove(idev.id);
  idev.group.release();
  idev.ctx.put();
}
