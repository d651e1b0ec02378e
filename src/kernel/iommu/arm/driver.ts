import { EINVAL, ENOMEM, EOPNOTSUPP } from "../../../uapi/errno.ts";
import {
  iommu_hw_info_arm_smmuv3,
  IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PAGE_MASK,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_ALLOC_REPLACE,
} from "../../../uapi/iommufd.ts";
import * as R from "../../../uapi/smmuv3_regs.ts";
import type { Kernel } from "../../kernel.ts";
import type { PciDev } from "../../pci/pci.ts";
import type {
  HwInfo,
  IommuCap,
  IommuDriver,
  PagingOptions,
  ReservedRegion,
  Restored,
} from "../core.ts";
import type { IommuDomain, PagingDomain } from "../domain.ts";
import { largestPage } from "../page_limit.ts";
import { leave, succeed } from "../succession.ts";
import { firmwareRegions } from "../reserved.ts";
import { SmmuBlockingDomain, SmmuDomain } from "./domain.ts";
import { abortSte } from "./entries.ts";
import { adoptUnit, restoreDomains, smmuNotify } from "./handover.ts";
import { SmmuDevice } from "./smmu.ts";

/** Where the kernel would put the doorbell for MSIs of translated devices (FACTS 1.4). */
const SW_MSI_BASE = 0x8000000n, SW_MSI_LENGTH = 0x100000n;

/**
 * The Arm SMMUv3 driver of one boot. Nothing of it survives a kexec (seed lines 604-621), but where
 * tables go by device: then stream table and page tables are handed over.
 */
export class SmmuDriver implements IommuDriver {
  readonly name = "arm-smmu-v3";
  readonly smmus: SmmuDevice[] = [];
  readonly blocking: IommuDomain = new SmmuBlockingDomain();
  /** The domain that a stream's entry leads to. */
  readonly #attached = new Map<number, SmmuDomain>();

  constructor(readonly kernel: Kernel) {}

  /** Probe: everything up to the last bit. */
  init(): void {
    const { kernel } = this;
    for (const { regBase } of kernel.machine.firmware.smmus) {
      const index = this.smmus.length;
      const smmu = new SmmuDevice(this, kernel, index, regBase);
      this.smmus.push(smmu);
      kernel.machine.onFault(index, () => smmu.interrupt());
      smmu.info(`ias ${smmu.addressBits}-bit, oas ${smmu.addressBits}-bit, bbml ${smmu.bbml}`);
      if (kernel.design.smmu && smmu.enabled && adoptUnit(this, smmu)) {
        smmu.info("adopted, translation stays on");
      } else if (smmu.allocate()) smmu.reset();
      else {
        smmu.err("no memory for stream table and queues");
        // Devices that nobody can translate for must not reach memory by themselves.
        smmu.abortAll();
        smmu.disable();
      }
    }
    if (kernel.design.smmu) {
      kernel.kho.register("arm-smmu-v3", (command, fdt) => smmuNotify(this, command, fdt));
    }
    for (const domain of restoreDomains(this)) {
      for (const { sid } of domain.attachments) this.#attached.set(sid, domain);
    }
    kernel.iommu.registerDriver(this);
  }

  /** Domains that go over, each once, in the order of their devices. */
  toHandOver(): SmmuDomain[] {
    const bySid = [...this.#attached].sort(([a], [b]) => a - b).map(([, domain]) => domain);
    return [...new Set(bySid)].filter((domain) => this.kernel.iommu.goesOver(domain));
  }

  /** A stream aborts. */
  block(sid: number): void {
    const index = this.kernel.machine.firmware.smmus.findIndex((s) => s.covers(sid));
    this.smmus[index]?.writeSte(sid, abortSte());
  }

  forget(domain: SmmuDomain): void {
    if (domain.persistentId !== 0) this.kernel.iommufd.freeDomainId(domain.persistentId);
  }

  start(): void {
    for (const smmu of this.smmus) if (smmu.ready) smmu.enable();
  }

  get sizesStay(): boolean {
    return this.smmus.some(({ bbml }) => bbml < 2);
  }

  roots(): { regBase: number; root: number }[] {
    return this.smmus.map(({ regBase, ready, streams }) => ({
      regBase,
      root: ready ? streams.pfn : -1,
    }));
  }

  #smmuOf(dev: PciDev): SmmuDevice | undefined {
    const index = this.kernel.machine.firmware.smmus.findIndex((s) => s.covers(dev.sid));
    const smmu = this.smmus[index];
    // A StreamID that the stream table cannot have: ERANGE in the real driver's probe.
    return smmu?.ready && dev.sid < 2 ** smmu.streamBits ? smmu : undefined;
  }

  covers(dev: PciDev): boolean {
    return this.#smmuOf(dev) !== undefined;
  }

  /**
   * EOPNOTSUPP for a persistent domain where there is no way to hand it over (seed lines 617-621),
   * and for dirty tracking, which needs HTTU. A parent of nested tables is a stage-2 domain, as all
   * are here: EOPNOTSUPP for PASIDs, whose domains are stage 1, and where the unit lacks a stage.
   */
  allocPaging(dev: PciDev, options: PagingOptions): PagingDomain | number {
    const { persistentId = 0, flags = 0 } = options;
    const smmu = this.#smmuOf(dev);
    if (smmu === undefined) return -EINVAL;
    const parent = (flags & IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0;
    const known = IOMMU_HWPT_ALLOC_REPLACE | IOMMU_HWPT_ALLOC_PAGE_MASK |
      (parent ? IOMMU_HWPT_ALLOC_NEST_PARENT : IOMMU_HWPT_ALLOC_PASID);
    if ((flags & ~known) !== 0 || (parent && !smmu.nests)) return -EOPNOTSUPP;
    const { design } = this.kernel;
    if (persistentId !== 0 && !design.smmu) {
      this.kernel.dmesg.warn(
        `arm-smmu-v3: ${dev.name}: this kernel hands no domain of an SMMU over`,
      );
      return -EOPNOTSUPP;
    }
    const domain = SmmuDomain.make(this.kernel, smmu, largestPage(this.kernel, flags));
    if (!(domain instanceof SmmuDomain)) return domain;
    domain.persistentId = persistentId;
    domain.replaces = !design.validates || (flags & IOMMU_HWPT_ALLOC_REPLACE) !== 0;
    return domain;
  }

  /**
   * EINVAL for a domain of another unit: its VMID and tables belong to that one; and where page sizes
   * under way would change below BBML 2. From one domain to another both VMID and table change, so that
   * requests in between find an invalid entry, unless the new one can go by the VMID of the old.
   */
  attach(domain: IommuDomain, dev: PciDev): number {
    const smmu = this.#smmuOf(dev);
    if (smmu === undefined) return -EINVAL;
    if (domain instanceof SmmuDomain && domain.smmu !== smmu) return -EINVAL;
    const next = domain instanceof SmmuDomain ? domain : undefined;
    const at = { sid: dev.sid, pasid: 0 }, old = this.#attached.get(dev.sid);
    const how = next !== undefined && old?.inherited === true
      ? succeed(old, next, {
        name: dev.name,
        swap: () => smmu.swapSte(dev.sid, next.ste, next.did),
        sizesStay: smmu.bbml < 2,
      })
      : undefined;
    if (typeof how === "number") return how;
    const inPlace = how === "adopted" || how === "swapped";
    const target = next?.ste ?? abortSte();
    if (!inPlace && smmu.writeSte(dev.sid, target) === undefined) return -ENOMEM;
    old?.detached(at);
    next?.attached(at);
    if (next === undefined) this.#attached.delete(dev.sid);
    else this.#attached.set(dev.sid, next);
    if (old?.inherited === true) leave(old, dev.name, how);
    return 0;
  }

  /** The identification registers, as they are. */
  hwInfo(dev: PciDev): HwInfo {
    const smmu = this.#smmuOf(dev) as SmmuDevice;
    const data = iommu_hw_info_arm_smmuv3.encode({
      idr0: smmu.read(R.SMMU_IDR0),
      idr1: smmu.read(R.SMMU_IDR1),
      idr2: smmu.read(R.SMMU_IDR2),
      idr3: smmu.read(R.SMMU_IDR3),
      idr4: smmu.read(R.SMMU_IDR4),
      idr5: smmu.read(R.SMMU_IDR5),
      iidr: smmu.read(R.SMMU_IIDR),
      aidr: smmu.read(R.SMMU_AIDR),
    });
    return { type: IOMMU_HW_INFO_TYPE_ARM_SMMUV3, data, capabilities: 0, maxPasidLog2: 0 };
  }

  /** Interrupts are isolated by the ITS, which knows who sends them. */
  capable(dev: PciDev, cap: IommuCap): boolean {
    return cap === "isolated-msi" || (this.#smmuOf(dev)?.coherent ?? false);
  }

  reservedRegions(dev: PciDev): ReservedRegion[] {
    const last = SW_MSI_BASE + SW_MSI_LENGTH - 1n;
    return [{ start: SW_MSI_BASE, last, kind: "sw-msi" }, ...firmwareRegions(dev)];
  }

  restored(dev: PciDev): Restored | undefined {
    const domain = this.#attached.get(dev.sid);
    return domain?.inherited === true ? { domain, pasids: new Map() } : undefined;
  }

  restoredDomain(_id: number): PagingDomain | undefined {
    return undefined;
  }

  /**
   * arm_smmu_device_shutdown: off, and GBPA as it was. With GBPA at bypass a device that still did
   * DMA would reach memory untranslated, here as on the real thing; the PCI core has taken bus
   * mastering from all of them by now. With a dump that the next kernel will find it stays on: what is
   * not handed over aborts.
   */
  shutdown(): void {
    const { design, kexec } = this.kernel;
    const goesOn = design.smmu && kexec.carriesDump;
    for (const smmu of this.smmus) {
      if (goesOn && smmu.ready) smmu.stopEvents();
      else smmu.disable();
    }
  }
}
