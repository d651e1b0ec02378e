import * as E from "../../uapi/errno.ts";
import type { OpenFile } from "../fs/vfs.ts";
import type { IommuGroup } from "../iommu/core.ts";
import type { PciDev } from "../pci/pci.ts";
import type { IommufdCtx } from "./ctx.ts";
import { HwptPaging, makeHwpt } from "./hwpt.ts";
import { Ioas } from "./ioas.ts";
import { IommufdObject, ObjectKind } from "./objects.ts";

/** IOVAs that are interrupts on x86 and never memory: 0xfee00000-0xfeefffff. */
const MSI_START = 0xfee00000n;
const MSI_LAST = 0xfeefffffn;

/** A device bound to an iommufd. VFIO holds one user of it, so DESTROY answers EBUSY. */
export class IommufdDevice extends IommufdObject {
  readonly kind = ObjectKind.device;
  hwpt: HwptPaging | undefined;
  /** HWPTs by PASID. */
  readonly #pasids = new Map<number, HwptPaging>();

  /** `file`: the open device file that bound it. */
  constructor(
    readonly ctx: IommufdCtx,
    readonly dev: PciDev,
    readonly group: IommuGroup,
    readonly file: OpenFile,
  ) {
    super();
  }

  override destroy(): void {}

  /**
   * Attaches to an IOAS (an automatic HWPT is found or made) or to a HWPT; while attached it is a
   * replace. The HWPT's id, or: ENOENT, EINVAL for another kind, what the driver says, EADDRINUSE
   * where the device's reserved IOVAs are mapped.
   */
  attach(ptId: number): number {
    const target = this.ctx.objects.get(ptId);
    if (target === undefined) return -E.ENOENT;
    if (target instanceof HwptPaging) {
      const rc = this.#attachHwpt(target);
      return rc < 0 ? rc : target.id;
    }
    if (!(target instanceof Ioas)) return -E.EINVAL;
    for (const hwpt of target.hwpts) {
      if (!hwpt.auto) continue;
      const rc = this.#attachHwpt(hwpt);
      if (rc === 0) return hwpt.id;
      // Not compatible with this device's IOMMU: try the next one.
      if (rc !== -E.EINVAL) return rc;
    }
    if (this.ctx.immutable) return -E.EBUSY;
    const hwpt = makeHwpt(this.ctx, target, this, true);
    if (typeof hwpt === "number") return hwpt;
    const rc = this.#attachHwpt(hwpt);
    if (rc < 0) {
      this.ctx.objects.remove(hwpt.id);
      return rc;
    }
    return hwpt.id;
  }

  #attachHwpt(hwpt: HwptPaging): number {
    if (this.hwpt === hwpt) return 0;
    if (this.ctx.frozen) return -E.EBUSY;
    const old = this.hwpt;
    if (old?.ioas !== hwpt.ioas) {
      const rc = hwpt.ioas.iopt.space.reserve(MSI_START, MSI_LAST, this);
      if (rc < 0) return rc;
    }
    const rc = this.group.attach(hwpt.domain);
    if (rc < 0) {
      if (old?.ioas !== hwpt.ioas) hwpt.ioas.iopt.space.release(this);
      return rc;
    }
    hwpt.users++;
    this.hwpt = hwpt;
    if (old !== undefined) this.#drop(old, old.ioas !== hwpt.ioas);
    return 0;
  }

  /**
   * Takes over a held device: it is attached already, to the HWPT whose user it has been since the
   * context was picked up.
   */
  inherit(hwpt: HwptPaging): void {
    this.hwpt = hwpt;
    hwpt.ioas.iopt.space.reserve(MSI_START, MSI_LAST, this);
  }

  /** Back to the blocking domain. Harmless when nothing is attached. */
  detach(): void {
    const hwpt = this.hwpt;
    if (hwpt === undefined) return;
    this.group.detach();
    this.hwpt = undefined;
    this.#drop(hwpt, true);
  }

  /**
   * A page table for one PASID of the device; a second one replaces it. The HWPT's id, or the errno
   * of {@link attach}; EOPNOTSUPP where device or IOMMU has no PASIDs, EINVAL for one too large.
   */
  attachPasid(pasid: number, ptId: number): number {
    const target = this.ctx.objects.get(ptId);
    if (target === undefined) return -E.ENOENT;
    if (this.ctx.frozen) return -E.EBUSY;
    const found = target instanceof Ioas ? target.hwpts.find((h) => h.auto) : target;
    const hwpt = found ?? makeHwpt(this.ctx, target as Ioas, this, true);
    if (typeof hwpt === "number") return hwpt;
    if (!(hwpt instanceof HwptPaging)) return -E.EINVAL;
    const old = this.#pasids.get(pasid);
    const rc = old === undefined
      ? this.group.attachPasid(pasid, hwpt.domain)
      : this.group.replacePasid(pasid, hwpt.domain);
    if (rc < 0) {
      if (found === undefined) this.ctx.objects.remove(hwpt.id);
      return rc;
    }
    hwpt.users++;
    this.#pasids.set(pasid, hwpt);
    if (old !== undefined) this.#drop(old, false);
    return hwpt.id;
  }

  /** Harmless where the PASID has none. */
  detachPasid(pasid: number): void {
    const hwpt = this.#pasids.get(pasid);
    if (hwpt === undefined) return;
    this.group.detachPasid(pasid);
    this.#pasids.delete(pasid);
    this.#drop(hwpt, false);
  }

  detachAllPasids(): void {
    for (const pasid of [...this.#pasids.keys()]) this.detachPasid(pasid);
  }

  #drop(hwpt: HwptPaging, releaseReserved: boolean): void {
    if (releaseReserved) hwpt.ioas.iopt.space.release(this);
    hwpt.users--;
    if (hwpt.auto && hwpt.users === 1) this.ctx.objects.remove(hwpt.id);
  }
}

/**
 * Binds a device: its group's DMA is claimed for the context. ENODEV without a group; EPERM and
 * EBUSY from {@link IommuGroup.claim}. The heir of a held device is the context that has the HWPT
 * it runs on; it gets the device under the object id it had, attached as it was.
 */
export function bindDevice(
  ctx: IommufdCtx,
  dev: PciDev,
  file: OpenFile,
): IommufdDevice | number {
  const group = dev.group;
  if (group === undefined) return -E.ENODEV;
  const inherited = group.held ? ctx.hwptOf(group.domain) : undefined;
  const rc = group.claim(ctx, () => inherited !== undefined);
  if (rc < 0) return rc;
  const idev = new IommufdDevice(ctx, dev, group, file);
  if (inherited !== undefined) idev.inherit(inherited);
  const id = ctx.kernel.iommufd.takeReservedId(ctx, dev);
  if (id === undefined) ctx.objects.add(idev);
  else ctx.objects.addAt(id, idev);
  ctx.get();
  idev.users++;
  return idev;
}

/** Undoes {@link bindDevice}. */
export function unbindDevice(idev: IommufdDevice): void {
  idev.detachAllPasids();
  idev.detach();
  idev.users--;
  idev.ctx.objects.remove(idev.id);
  idev.group.release();
  idev.ctx.put();
}
