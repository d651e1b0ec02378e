import { assert } from "../../base/assert.ts";
import * as E from "../../uapi/errno.ts";
import type { Kernel } from "../kernel.ts";
import type { PciDev } from "../pci/pci.ts";
import type { IommuDomain, PagingDomain } from "./domain.ts";

/** What an IOMMU driver does for the core. */
export interface IommuOps {
  readonly name: string;
  /** True when a unit of this driver translates for the device. */
  covers(dev: PciDev): boolean;
  /** `persistentId` != 0: the domain must survive kexec. EOPNOTSUPP where it cannot. */
  allocPaging(dev: PciDev, persistentId: number): PagingDomain | number;
  readonly blocking: IommuDomain;
  /** Puts the domain into hardware for the device. */
  attach(domain: IommuDomain, dev: PciDev): number;
  /** The domain the previous kernel left this device running on. */
  restored(dev: PciDev): PagingDomain | undefined;
  /** Last act before a kexec. */
  shutdown(): void;
}

/** Owner of a group whose device was handed over and waits for its heir. */
export const HELD = Symbol("held");

/**
 * The devices that cannot be told apart by the IOMMU, here always one. `domain` is what hardware
 * translates with, and is never null: a device is on its default domain, on its owner's, blocked,
 * or on the one the previous kernel left it with (seed lines 2232-2235).
 */
export class IommuGroup {
  #domain: IommuDomain;
  #defaultDomain: IommuDomain | undefined;
  #owner: unknown = undefined;
  #ownerCount = 0;

  private constructor(
    readonly id: number,
    readonly dev: PciDev,
    readonly ops: IommuOps,
    defaultDomain: PagingDomain | undefined,
    first: IommuDomain,
  ) {
    this.#defaultDomain = defaultDomain;
    this.#domain = first;
  }

  /** Where the device is when nobody owns it; undefined before a held group first needs one. */
  get defaultDomain(): IommuDomain | undefined {
    return this.#defaultDomain;
  }

  /** Makes the group; a handed-over device starts on its restored domain, untouched. */
  static probe(id: number, dev: PciDev, ops: IommuOps): IommuGroup | number {
    const restored = ops.restored(dev);
    if (restored !== undefined) {
      const group = new IommuGroup(id, dev, ops, undefined, restored);
      group.#owner = HELD;
      group.#ownerCount = 1;
      return group;
    }
    const domain = ops.allocPaging(dev, 0);
    if (typeof domain === "number") return domain;
    const rc = ops.attach(domain, dev);
    if (rc < 0) {
      domain.free();
      return rc;
    }
    return new IommuGroup(id, dev, ops, domain, domain);
  }

  get domain(): IommuDomain {
    return this.#domain;
  }

  /** True while the device waits for the process that had it before the kexec. */
  get held(): boolean {
    return this.#owner === HELD;
  }

  get owned(): boolean {
    return this.#ownerCount > 0;
  }

  /**
   * A user takes the DMA of the group (FACTS 1.5). EPERM: somebody else has it. EBUSY: a domain
   * is attached. The group is blocked from here on, unless `owner` is the heir of a held group:
   * then the device simply goes on with the domain it has.
   */
  claim(owner: unknown, isHeir: (domain: PagingDomain) => boolean): number {
    if (this.held) {
      if (!isHeir(this.#domain as PagingDomain)) return -E.EPERM;
      this.#owner = owner;
      return 0;
    }
    if (this.#ownerCount > 0) {
      if (this.#owner !== owner) return -E.EPERM;
      this.#ownerCount++;
      return 0;
    }
    if (this.#domain !== this.#defaultDomain) return -E.EBUSY;
    const rc = this.#set(this.ops.blocking);
    if (rc < 0) return rc;
    this.#owner = owner;
    this.#ownerCount = 1;
    return 0;
  }

  /** The user lets go: back to the default domain. */
  release(): void {
    assert(this.#ownerCount > 0, "release of a group nobody owns");
    if (--this.#ownerCount > 0) return;
    this.#owner = undefined;
    this.#set(this.#default());
  }

  attach(domain: IommuDomain): number {
    return domain === this.#domain ? 0 : this.#set(domain);
  }

  /** Back to blocked, as an owned group without a page table is. */
  detach(): void {
    this.#set(this.ops.blocking);
  }

  /** A formerly held group makes its default domain when it first needs one. */
  #default(): IommuDomain {
    if (this.#defaultDomain === undefined) {
      const made = this.ops.allocPaging(this.dev, 0);
      this.#defaultDomain = typeof made === "number" ? this.ops.blocking : made;
    }
    return this.#defaultDomain;
  }

  #set(domain: IommuDomain): number {
    const rc = this.ops.attach(domain, this.dev);
    if (rc === 0) this.#domain = domain;
    return rc;
  }
}

/** The IOMMU core of one boot: drivers and groups. */
export class IommuCore {
  readonly groups: IommuGroup[] = [];
  readonly #drivers: IommuOps[] = [];

  constructor(readonly kernel: Kernel) {}

  registerDriver(ops: IommuOps): void {
    this.#drivers.push(ops);
  }

  /** Called once for each device found. A device no unit covers gets no group. */
  probeDevice(dev: PciDev): void {
    const ops = this.#drivers.find((d) => d.covers(dev));
    if (ops === undefined) return;
    const group = IommuGroup.probe(this.groups.length, dev, ops);
    if (typeof group === "number") {
      this.kernel.dmesg.err(`iommu: ${dev.name}: no domain (${group})`);
      return;
    }
    this.groups.push(group);
    dev.group = group;
    const how = group.held ? " (held over from the previous kernel)" : "";
    this.kernel.dmesg.info(`pci ${dev.name}: Adding to iommu group ${group.id}${how}`);
  }

  /**
   * True when the device's DMA is to go on through the jump: the next kernel gets the dump, and the
   * device is on a domain that is in it.
   */
  handsOver(dev: PciDev): boolean {
    return this.kernel.kexec.carriesDump && (dev.group?.domain.dumped ?? false);
  }

  shutdown(): void {
    for (const driver of this.#drivers) driver.shutdown();
  }
}
