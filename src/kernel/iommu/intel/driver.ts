import { EINVAL, ENOMEM, ENOSPC, EOPNOTSUPP } from "../../../uapi/errno.ts";
import {
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  iommu_hw_info_vtd,
  IOMMU_HWPT_ALLOC_PASID,
} from "../../../uapi/iommufd.ts";
import * as V from "../../../uapi/vtd_regs.ts";
import type { Kernel } from "../../kernel.ts";
import { FrameUse } from "../../mm/frames.ts";
import type { PciDev } from "../../pci/pci.ts";
import type { HwInfo, IommuOps, PagingOptions, ReservedRegion } from "../core.ts";
import type { IommuDomain, PagingDomain } from "../domain.ts";
import { DmarDomain, IntelBlockingDomain } from "./domain.ts";
import { reportFaults } from "./faults.ts";
import { adoptUnit, restoreDomains } from "./restore.ts";
import { intelNotify } from "./serialise.ts";
import { IntelUnit } from "./unit.ts";

/** The Intel IOMMU driver of one boot. */
export class IntelDriver implements IommuOps {
  readonly name = "intel-iommu";
  readonly units: IntelUnit[] = [];
  readonly blocking: IommuDomain = new IntelBlockingDomain();
  /** Persistent domains by id (seed line 1222). */
  readonly persistent = new Map<number, DmarDomain>();
  /** By source id: the domain its context entry leads to. */
  readonly #attached = new Map<number, DmarDomain>();
  /** Handed-over domains that iommufd has not taken yet. */
  readonly #unclaimed = new Map<number, DmarDomain>();

  constructor(readonly kernel: Kernel) {}

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
    if (kernel.image.handover !== "none") {
      kernel.kho.register("intel-iommu", (command, fdt) => intelNotify(this, command, fdt));
    }
    for (const unit of this.units) this.#initUnit(unit);
    for (const domain of restoreDomains(this)) {
      this.persistent.set(domain.persistentId, domain);
      this.#unclaimed.set(domain.persistentId, domain);
      for (const sid of domain.devices) this.#attached.set(sid, domain);
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
    const { dmesg, machine, image } = this.kernel;
    machine.onFault(unit.index, () => reportFaults(unit));
    if (unit.translationEnabled) {
      if (image.handover !== "none" && adoptUnit(this, unit)) {
        // Whatever is cached was walked under another kernel: from here on it is these tables.
        unit.flushContextGlobal();
        unit.flushIotlbGlobal();
        dmesg.info(`DMAR: ${unit.name}: adopted, translation stays on`);
        unit.write(V.DMAR_FECTL_REG, 0);
        return;
      }
      if (image.handover === "none") {
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
    unit.setRoot(root);
    unit.write(V.DMAR_FECTL_REG, 0);
  }

  /** The last step of bringing units up, before devices are probed: translation on. */
  start(): void {
    for (const unit of this.units) {
      if (unit.root < 0 || unit.translationEnabled) continue;
      unit.enableTranslation();
      this.kernel.dmesg.info(`DMAR: ${unit.name}: translation enabled`);
    }
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

  allocPaging(dev: PciDev, options: PagingOptions): PagingDomain | number {
    const { persistentId = 0, flags = 0 } = options;
    const unit = this.unitOf(dev.sid);
    if (unit === undefined) return -EINVAL;
    if ((flags & ~IOMMU_HWPT_ALLOC_PASID) !== 0) return -EOPNOTSUPP;
    const did = unit.allocDid();
    if (did < 0) return -ENOSPC;
    const pgd = this.kernel.pages.allocPage(FrameUse.iommuTable);
    if (pgd < 0) {
      unit.freeDid(did);
      return -ENOMEM;
    }
    const domain = new DmarDomain(this.kernel, unit, unit.agaw, did, pgd);
    if (persistentId !== 0) {
      domain.persistentId = persistentId;
      this.persistent.set(persistentId, domain);
    }
    return domain;
  }

  /** EINVAL for a domain of another unit: its tables belong to that unit's DIDs. */
  attach(domain: IommuDomain, dev: PciDev): number {
    const unit = this.unitOf(dev.sid);
    if (unit === undefined) return -EINVAL;
    if (domain instanceof DmarDomain && domain.unit !== unit) return -EINVAL;
    this.#attached.get(dev.sid)?.devices.delete(dev.sid);
    this.#attached.delete(dev.sid);
    unit.clearContext(dev.sid);
    if (!(domain instanceof DmarDomain)) return 0;
    if (!unit.setContext(dev.sid, domain.table.pgd, domain.agaw, domain.did)) return -ENOMEM;
    domain.devices.add(dev.sid);
    this.#attached.set(dev.sid, domain);
    return 0;
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
    return { type: IOMMU_HW_INFO_TYPE_INTEL_VTD, data, capabilities: 0, maxPasidLog2: 0 };
  }

  /** The window in which a write is an interrupt (FACTS 3.6). */
  reservedRegions(_dev: PciDev): ReservedRegion[] {
    return [{ start: 0xfee00000n, last: 0xfeefffffn, kind: "msi" }];
  }

  restored(dev: PciDev): PagingDomain | undefined {
    return [...this.persistent.values()].find((d) => d.devices.has(dev.sid));
  }

  /** A handed-over domain, for the iommufd that is picked up (seed line 1713). */
  restoredDomain(id: number): PagingDomain | undefined {
    return this.#unclaimed.get(id);
  }

  forget(domain: DmarDomain): void {
    if (domain.persistentId === 0) return;
    this.persistent.delete(domain.persistentId);
    this.#unclaimed.delete(domain.persistentId);
    this.kernel.iommufd.freeDomainId(domain.persistentId);
  }

  /**
   * Before a kexec. With a dump that the next kernel will find, devices that are handed over keep
   * their context entries and all others lose theirs, each flushed by its own old DID, and
   * translation stays on. Without one, translation goes off, as the next kernel expects (FACTS 3.7).
   */
  shutdown(): void {
    for (const unit of this.units) {
      unit.write(V.DMAR_PMEN_REG, 0);
      if (!this.kernel.kexec.carriesDump || this.kernel.image.handover === "none") {
        unit.disableTranslation();
      }
    }
    if (!this.kernel.kexec.carriesDump) return;
    for (const dev of this.kernel.pci.devices) {
      if (!this.kernel.iommu.handsOver(dev)) this.unitOf(dev.sid)?.clearContext(dev.sid);
    }
    for (const unit of this.units) {
      unit.flushContextGlobal();
      unit.flushIotlbGlobal();
    }
  }
}
