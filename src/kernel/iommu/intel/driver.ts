import { EINVAL, ENODEV, ENOMEM, ENOSPC, EOPNOTSUPP } from "../../../uapi/errno.ts";
import {
  IOMMU_HW_CAP_DIRTY_TRACKING,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  iommu_hw_info_vtd,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PAGE_MASK,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_ALLOC_REPLACE,
} from "../../../uapi/iommufd.ts";
import * as V from "../../../uapi/vtd_regs.ts";
import type { Kernel } from "../../kernel.ts";
import { FrameUse } from "../../mm/frames.ts";
import { asksForPages, disablePageRequests, enablePageRequests } from "../../pci/ats.ts";
import type { PciDev } from "../../pci/pci.ts";
import type {
  HwInfo,
  IommuCap,
  IommuDriver,
  PagingOptions,
  ReservedRegion,
  Restored,
} from "../core.ts";
import type { IommuDomain, NestedDomain, PagingDomain } from "../domain.ts";
import { firmwareRegions } from "../reserved.ts";
import { IOMMU_NO_PASID } from "./contexts.ts";
import { DmarDomain, IntelBlockingDomain } from "./domain.ts";
import { reportFaults } from "./faults.ts";
import { largestPage } from "../page_limit.ts";
import { type Attachment, leave, succeed } from "../succession.ts";
import { allocNested, IntelNestedDomain } from "./nested.ts";
import { adoptUnit, restoreDomains } from "./restore.ts";
import { PersistentDomains } from "./persistent.ts";
import { intelNotify } from "./serialise.ts";
import { shutdownUnits } from "./shutdown.ts";
import { IntelUnit } from "./unit.ts";
import { listDomain } from "./zap.ts";

/** The Intel IOMMU driver of one boot. */
export class IntelDriver implements IommuDriver {
  readonly name = "intel-iommu";
  readonly nests = true;
  readonly units: IntelUnit[] = [];
  readonly blocking: IommuDomain = new IntelBlockingDomain();
  readonly persistent: PersistentDomains;
  /** The domain that the entry of a requester leads to: by source id, then by PASID. */
  readonly #attached = new Map<number, Map<number, DmarDomain>>();
  /** Handed-over domains that iommufd has not taken yet. */
  readonly #unclaimed = new Map<number, DmarDomain>();

  constructor(readonly kernel: Kernel) {
    this.persistent = new PersistentDomains(kernel);
  }

  /** intel_iommu_init: KHO subscriber, then the units, then what was handed over. */
  init(): void {
    const { kernel } = this;
    for (const drhd of kernel.machine.firmware.drhds) {
      const unit = new IntelUnit(kernel, this.units.length, drhd.regBase);
      this.units.push(unit);
      const hex8 = (n: number) => (n >>> 0).toString(16);
      kernel.dmesg.info(
        `DMAR: ${unit.name}: reg_base_addr ${hex8(drhd.regBase)} ver 1:0 ` +
          `cap ${hex8(unit.read(V.DMAR_CAP_REG + 4))}${hex8(unit.read(V.DMAR_CAP_REG))}`,
      );
    }
    if (kernel.design.persists) {
      kernel.kho.register("intel-iommu", (command, fdt) => intelNotify(this, command, fdt));
    }
    for (const unit of this.units) this.#initUnit(unit);
    for (const domain of restoreDomains(this)) {
      if (!kernel.has("G6")) this.persistent.insert(domain.persistentId, domain);
      this.#unclaimed.set(domain.persistentId, domain);
      for (const { sid, pasid } of domain.attachments) this.domainsOf(sid).set(pasid, domain);
      kernel.iommufd.reserveDomainId(domain.persistentId);
    }
    kernel.iommu.registerDriver(this);
  }

  /**
   * Brings a unit up. One that translates already is adopted as it stands if the previous kernel
   * handed its tables over: TE is never cleared, since with TE off a device's IOVAs would be taken
   * for physical addresses. Where nothing usable came over, an empty root blocks everything first.
   */
  #initUnit(unit: IntelUnit): void {
    const { dmesg, machine, design } = this.kernel;
    machine.onFault(unit.index, () => reportFaults(unit));
    if (!unit.startQueue()) {
      dmesg.err(`DMAR: ${unit.name}: no memory for an invalidation queue`);
      if (unit.translationEnabled) unit.blockAll();
      return;
    }
    const { kernel } = this;
    if (unit.translationEnabled) {
      if (design.persists && !kernel.has("D29") && adoptUnit(this, unit)) {
        // Whatever is cached was walked under another kernel: from here on it is these tables.
        unit.flushAll();
        dmesg.info(`DMAR: ${unit.name}: adopted, translation stays on`);
        unit.write(V.DMAR_FECTL_REG, 0);
        return;
      }
      if (!design.persists || kernel.has("D29")) {
        dmesg.warn(`DMAR: Translation was enabled for ${unit.name} but we are not in kdump mode`);
        unit.disableTranslation();
      } else {
        dmesg.warn(`DMAR: ${unit.name}: translates, but nothing usable was handed over: blocking`);
      }
    }
    const root = this.kernel.pages.allocPage(FrameUse.iommuTable);
    if (root < 0) {
      dmesg.err(`DMAR: ${unit.name}: no memory for a root table`);
      if (unit.translationEnabled) unit.blockAll();
      return;
    }
    if (unit.translationEnabled && kernel.has("G10")) {
      // In its own good time: until then hardware goes by the previous kernel's.
      unit.root = root;
      return;
    }
    unit.setRoot(root);
    unit.write(V.DMAR_FECTL_REG, 0);
  }

  /** The last step of bringing units up, before devices are probed: translation on. */
  start(): void {
    for (const unit of this.units) {
      if (unit.root >= 0 && !unit.isLatched) {
        unit.setRoot(unit.root);
        unit.write(V.DMAR_FECTL_REG, 0);
      }
      if (unit.root < 0) continue;
      if (!unit.translationEnabled) {
        unit.enableTranslation();
        this.kernel.dmesg.info(`DMAR: ${unit.name}: translation enabled`);
      }
      // What firmware protected from DMA is under translation now.
      unit.write(V.DMAR_PMEN_REG, 0);
    }
  }

  roots(): readonly IntelUnit[] {
    return this.units;
  }

  /** The unit in charge of a source id; undefined without one, or if it could not be brought up. */
  unitOf(sid: number): IntelUnit | undefined {
    const index = this.kernel.machine.firmware.drhds.findIndex((d) => d.covers(sid));
    const unit = this.units[index];
    return unit !== undefined && unit.root >= 0 ? unit : undefined;
  }

  covers(dev: PciDev): boolean {
    return this.unitOf(dev.sid) !== undefined;
  }

  /**
   * EOPNOTSUPP for flags beside NEST_PARENT, DIRTY_TRACKING and PASID (FACTS 1.3), and for the first
   * two where the unit lacks NEST or SLADS. A parent of nested tables is second-level tables like
   * any other; no unit here has the erratum for which they could have no read-only pages.
   */
  allocPaging(dev: PciDev, options: PagingOptions): PagingDomain | number {
    const { persistentId = 0, flags = 0 } = options;
    const unit = this.unitOf(dev.sid);
    if (unit === undefined) return -EINVAL;
    const known = IOMMU_HWPT_ALLOC_REPLACE | IOMMU_HWPT_ALLOC_PAGE_MASK | IOMMU_HWPT_ALLOC_PASID |
      IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
      IOMMU_HWPT_ALLOC_NEST_PARENT;
    if ((flags & ~known) !== 0) return -EOPNOTSUPP;
    const dirty = (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
    if (dirty && !unit.features.slads) return -EOPNOTSUPP;
    if ((flags & IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0 && !unit.features.nested) return -EOPNOTSUPP;
    const did = unit.allocDid();
    if (did < 0) return -ENOSPC;
    const pgd = this.kernel.pages.allocPage(FrameUse.iommuTable);
    if (pgd < 0) {
      unit.freeDid(did);
      return -ENOMEM;
    }
    const domain = new DmarDomain(
      this.kernel,
      unit,
      unit.agaw,
      did,
      pgd,
      dirty,
      largestPage(this.kernel, flags),
    );
    domain.replaces = !this.kernel.design.validates || (flags & IOMMU_HWPT_ALLOC_REPLACE) !== 0;
    const rc = persistentId === 0 ? 0 : this.persistent.insert(persistentId, domain);
    if (rc < 0) {
      domain.free();
      return rc;
    }
    domain.persistentId = persistentId;
    return domain;
  }

  /** EINVAL for a domain of another unit: its tables belong to that unit's DIDs. */
  attach(domain: IommuDomain, dev: PciDev): number {
    const unit = this.unitOf(dev.sid);
    if (unit === undefined) return -EINVAL;
    if (domain instanceof IntelNestedDomain) return this.#nest(unit, dev, domain);
    if (domain instanceof DmarDomain && domain.unit !== unit) return -EINVAL;
    return this.#put(unit, dev, IOMMU_NO_PASID, domain instanceof DmarDomain ? domain : undefined);
  }

  allocNested(parent: PagingDomain, data: Uint8Array): NestedDomain | number {
    return parent instanceof DmarDomain ? allocNested(parent, data) : -EINVAL;
  }

  #nest(unit: IntelUnit, dev: PciDev, domain: IntelNestedDomain): number {
    if (domain.parent.unit !== unit) return -EINVAL;
    const rc = this.#put(unit, dev, IOMMU_NO_PASID, undefined);
    if (rc < 0) return rc;
    const set = (sid: number) => unit.contexts.set(sid, IOMMU_NO_PASID, domain.target);
    return dev.requesters.every(set) ? 0 : -ENOMEM;
  }

  /**
   * EOPNOTSUPP where unit or device has no PASIDs; EINVAL for PASID 0, one that is too large, or a
   * domain of another unit.
   */
  attachPasid(domain: PagingDomain | undefined, dev: PciDev, pasid: number): number {
    const unit = this.unitOf(dev.sid);
    if (unit === undefined) return -EINVAL;
    const bits = Math.min(unit.pasidBits, dev.pasidBits);
    if (bits === 0) return -EOPNOTSUPP;
    if (pasid <= IOMMU_NO_PASID || pasid >= 2 ** bits) return -EINVAL;
    if (domain === undefined) return this.#put(unit, dev, pasid, undefined);
    if (!(domain instanceof DmarDomain) || domain.unit !== unit) return -EINVAL;
    return this.#put(unit, dev, pasid, domain);
  }

  /** Makes the entries of all a device's requests lead to the domain, or nowhere. */
  #put(unit: IntelUnit, dev: PciDev, pasid: number, domain: DmarDomain | undefined): number {
    for (const sid of dev.requesters) {
      const rc = this.#putOne(unit, dev, { sid, pasid }, domain);
      if (rc < 0) return rc;
    }
    if (domain !== undefined && pasid !== IOMMU_NO_PASID) dev.enablePasid();
    return 0;
  }

  #putOne(
    unit: IntelUnit,
    dev: PciDev,
    requester: Attachment,
    domain: DmarDomain | undefined,
  ): number {
    const { sid, pasid } = requester;
    const domains = this.domainsOf(sid);
    const old = domains.get(pasid);
    const how = domain !== undefined && old?.inherited === true
      ? succeed(old, domain, {
        name: dev.name,
        swap: () => unit.contexts.replace(sid, pasid, domain.target),
        // VT-d knows no rules of break-before-make.
        sizesStay: false,
      })
      : undefined;
    if (typeof how === "number") return how;
    old?.detached(requester);
    domains.delete(pasid);
    if (domain === undefined) unit.contexts.clear(sid, pasid);
    else {
      const inPlace = how === "adopted" || how === "swapped";
      if (!inPlace && !unit.contexts.set(sid, pasid, domain.target)) return -ENOMEM;
      if (this.kernel.has("D20") && domain.attachments.length === 0) listDomain(unit, domain);
      domain.attached(requester);
      domains.set(pasid, domain);
    }
    if (old?.inherited === true) leave(old, dev.name, how);
    return 0;
  }

  /**
   * Context entry first, so that what the device asks is taken; the device last. Off is the other way
   * round. A device that was handed over asking goes on undisturbed.
   */
  pageRequests(dev: PciDev, on: boolean): number {
    const unit = this.unitOf(dev.sid);
    if (unit === undefined || !dev.pageRequests) return -ENODEV;
    if (!on) {
      // What it has asked for is answered while it still knows.
      unit.requests?.service();
      disablePageRequests(dev);
      unit.contexts.setDeviceTlb(dev.sid, false);
      return 0;
    }
    const rc = unit.startRequests();
    if (rc < 0) return rc;
    if (!unit.contexts.setDeviceTlb(dev.sid, true)) return -ENOMEM;
    if (!asksForPages(dev)) enablePageRequests(dev);
    unit.requests?.listen();
    return 0;
  }

  /** By PASID, what the requests of a source id are led to. */
  domainsOf(sid: number): Map<number, DmarDomain> {
    let domains = this.#attached.get(sid);
    if (domains === undefined) this.#attached.set(sid, domains = new Map());
    return domains;
  }

  /** The unit's capability registers, as they are. */
  hwInfo(dev: PciDev): HwInfo {
    const unit = this.unitOf(dev.sid) as IntelUnit;
    const register = (offset: number) =>
      BigInt(unit.read(offset) >>> 0) | BigInt(unit.read(offset + 4) >>> 0) << 32n;
    const data = iommu_hw_info_vtd.encode({
      cap_reg: register(V.DMAR_CAP_REG),
      ecap_reg: register(V.DMAR_ECAP_REG),
    });
    const capabilities = unit.features.slads && unit.scalable ? IOMMU_HW_CAP_DIRTY_TRACKING : 0;
    const maxPasidLog2 = Math.min(unit.pasidBits, dev.pasidBits);
    return { type: IOMMU_HW_INFO_TYPE_INTEL_VTD, data, capabilities, maxPasidLog2 };
  }

  /** Interrupts are isolated by remapping them. */
  capable(dev: PciDev, cap: IommuCap): boolean {
    return cap === "cache-coherency" || (this.unitOf(dev.sid)?.remapsInterrupts ?? false);
  }

  /** The window in which a write is an interrupt, and RMRRs (FACTS 3.6). */
  reservedRegions(dev: PciDev): ReservedRegion[] {
    const window: ReservedRegion = { start: 0xfee00000n, last: 0xfeefffffn, kind: "msi" };
    return [window, ...firmwareRegions(dev)];
  }

  restored(dev: PciDev): Restored | undefined {
    // Where it should be done there is a comment that it should (seed lines 1591-1594).
    if (this.kernel.has("D66")) return undefined;
    const pasids = new Map<number, DmarDomain>();
    for (const [pasid, domain] of this.domainsOf(dev.sid)) {
      if (this.#unclaimed.get(domain.persistentId) === domain) pasids.set(pasid, domain);
    }
    if (pasids.size === 0) return undefined;
    const domain = pasids.get(IOMMU_NO_PASID);
    pasids.delete(IOMMU_NO_PASID);
    return { domain, pasids };
  }

  /** A handed-over domain, for the iommufd that is picked up (seed line 1713). */
  restoredDomain(id: number): PagingDomain | undefined {
    const domain = this.#unclaimed.get(id);
    if (domain === undefined) {
      this.kernel.dmesg.warn(`DMAR: No such persisted domain id ${id}`);
    }
    return domain;
  }

  /** Domains in use that go over by device, each once. */
  toHandOver(): DmarDomain[] {
    const all = [...this.#attached.values()].flatMap((domains) => [...domains.values()]);
    return [...new Set(all)].filter((domain) => this.kernel.iommu.goesOver(domain));
  }

  forget(domain: DmarDomain): void {
    if (domain.persistentId === 0) return;
    this.persistent.erase(domain);
    if (this.#unclaimed.get(domain.persistentId) === domain) {
      this.#unclaimed.delete(domain.persistentId);
    }
    this.kernel.iommufd.freeDomainId(domain.persistentId);
  }

  shutdown(): void {
    shutdownUnits(this);
  }
}
