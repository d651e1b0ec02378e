import { EINVAL, EOPNOTSUPP } from "../../../uapi/errno.ts";
import { IOMMU_HW_INFO_TYPE_NONE } from "../../../uapi/iommufd.ts";
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
import { firmwareRegions } from "../reserved.ts";
import { AmdBlockingDomain, AmdDomain } from "./domain.ts";
import { AmdIommu, BLOCKED_DTE } from "./iommu.ts";

/** The AMD-Vi driver of one boot. Nothing of it survives a kexec (seed lines 589-603). */
export class AmdDriver implements IommuDriver {
  readonly name = "amd-vi";
  readonly iommus: AmdIommu[] = [];
  readonly blocking: IommuDomain = new AmdBlockingDomain();
  readonly #attached = new Map<number, AmdDomain>();

  constructor(readonly kernel: Kernel) {}

  /** Everything up to the last bit. A unit a previous kernel left on is turned off first. */
  init(): void {
    const { kernel } = this;
    for (const { regBase } of kernel.machine.firmware.ivhds) {
      const iommu = new AmdIommu(kernel, this.iommus.length, regBase);
      this.iommus.push(iommu);
      kernel.machine.onFault(iommu.index, () => iommu.interrupt());
      iommu.disable();
      if (iommu.allocate()) iommu.prepare();
      else kernel.dmesg.err(`AMD-Vi: ${iommu.name}: no memory for device table and buffers`);
    }
    kernel.iommu.registerDriver(this);
  }

  start(): void {
    for (const iommu of this.iommus) {
      if (!iommu.ready) continue;
      iommu.enable();
      this.kernel.dmesg.info(`AMD-Vi: ${iommu.name}: enabled, up to ${iommu.levels} levels`);
    }
  }

  roots(): { regBase: number; root: number }[] {
    return this.iommus.map(({ regBase, root }) => ({ regBase, root }));
  }

  #iommuOf(dev: PciDev): AmdIommu | undefined {
    const index = this.kernel.machine.firmware.ivhds.findIndex((i) => i.covers(dev.sid));
    const iommu = this.iommus[index];
    return iommu?.ready ? iommu : undefined;
  }

  covers(dev: PciDev): boolean {
    return this.#iommuOf(dev) !== undefined;
  }

  /**
   * EOPNOTSUPP for a persistent domain (seed lines 595-603) and for every flag: the unit notes no
   * dirty pages, and PASIDs and nesting need guest tables (FACTS 4.4).
   */
  allocPaging(dev: PciDev, options: PagingOptions): PagingDomain | number {
    const { persistentId = 0, flags = 0 } = options;
    const iommu = this.#iommuOf(dev);
    if (iommu === undefined) return -EINVAL;
    if (persistentId !== 0) {
      this.kernel.dmesg.warn(`AMD-Vi: ${dev.name}: no domain of an AMD IOMMU is handed over`);
    }
    if (flags !== 0 || persistentId !== 0) return -EOPNOTSUPP;
    return AmdDomain.make(this.kernel, iommu);
  }

  /** EINVAL for a domain of another unit: its DomainID belongs to that one. */
  attach(domain: IommuDomain, dev: PciDev): number {
    const iommu = this.#iommuOf(dev);
    if (iommu === undefined) return -EINVAL;
    if (domain instanceof AmdDomain && domain.iommu !== iommu) return -EINVAL;
    const old = this.#attached.get(dev.sid);
    old?.devices.delete(dev.sid);
    this.#attached.delete(dev.sid);
    iommu.setDte(dev.sid, domain instanceof AmdDomain ? domain.dte : BLOCKED_DTE);
    if (old !== undefined) iommu.commands.invalidateDomain(old.did);
    if (domain instanceof AmdDomain) {
      domain.devices.add(dev.sid);
      this.#attached.set(dev.sid, domain);
    }
    return 0;
  }

  /** The driver of the series' time reports nothing. */
  hwInfo(_dev: PciDev): HwInfo {
    const data = new Uint8Array(0);
    return { type: IOMMU_HW_INFO_TYPE_NONE, data, capabilities: 0, maxPasidLog2: 0 };
  }

  /** Interrupts would be isolated by remapping them, which these units do not. */
  capable(_dev: PciDev, cap: IommuCap): boolean {
    return cap === "cache-coherency";
  }

  /** The interrupt window, and what HyperTransport keeps for itself (FACTS 1.4). */
  reservedRegions(dev: PciDev): ReservedRegion[] {
    return [
      { start: 0xfee00000n, last: 0xfeefffffn, kind: "msi" },
      { start: 0xfd00000000n, last: 0xffffffffffn, kind: "reserved" },
      ...firmwareRegions(dev),
    ];
  }

  restored(_dev: PciDev): Restored | undefined {
    return undefined;
  }

  restoredDomain(_id: number): PagingDomain | undefined {
    return undefined;
  }

  /**
   * Off, as the real driver does before a kexec. A device that still did DMA would reach memory
   * untranslated, here as there; the PCI core has taken bus mastering from all of them by now.
   */
  shutdown(): void {
    for (const iommu of this.iommus) iommu.disable();
  }
}
