import { assert } from "../../base/assert.ts";
import { PAGE_SIZE } from "../../base/units.ts";
import * as E from "../../uapi/errno.ts";
import { IOMMU_READ, IOMMU_WRITE, IOMMUFD_PAGE_RESP_INVALID } from "../../uapi/iommufd.ts";
import type { Kernel } from "../kernel.ts";
import type { PciDev } from "../pci/pci.ts";
import { type IommuDomain, PagingDomain } from "./domain.ts";
import type { IommuOps } from "./ops.ts";
import { PageFaults } from "./page_faults.ts";
import type { PageRequestGroup } from "./page_requests.ts";
import { isDirect } from "./reserved.ts";

export type * from "./ops.ts";

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
  readonly #pasids = new Map<number, PagingDomain>();
  #faults: PageFaults | undefined;
  /** While set, hardware is still as it is said here. */
  #noted: { domain: IommuDomain; pasids: Map<number, PagingDomain> } | undefined;

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

  /** Pages the device asks for. */
  get faults(): PageFaults {
    return this.#faults ??= new PageFaults(this.dev, this.ops);
  }

  /** Where the device is when nobody owns it; undefined before a held group first needs one. */
  get defaultDomain(): IommuDomain | undefined {
    return this.#defaultDomain;
  }

  /** Makes the group; a handed-over device starts on its restored domain, untouched. */
  static probe(id: number, dev: PciDev, ops: IommuOps): IommuGroup | number {
    const restored = ops.restored(dev);
    // What firmware counts on is nobody's.
    const firmwares = restored?.domain?.persistentOwner === 0 ? restored.domain : undefined;
    if (restored !== undefined && firmwares === undefined) {
      const group = new IommuGroup(id, dev, ops, undefined, restored.domain ?? ops.blocking);
      for (const [pasid, domain] of restored.pasids) group.#pasids.set(pasid, domain);
      group.#owner = HELD;
      group.#ownerCount = 1;
      return group;
    }
    // It goes on; where it only came over as tables, a default domain takes its place at once.
    if (firmwares !== undefined && !firmwares.inherited) {
      return new IommuGroup(id, dev, ops, firmwares, firmwares);
    }
    const domain = makeDefault(dev, ops);
    if (typeof domain === "number") return domain;
    const rc = ops.attach(domain, dev);
    if (rc < 0) {
      domain.free();
      return rc;
    }
    return new IommuGroup(id, dev, ops, domain, domain);
  }

  /** Firmware counts on a mapping of the device: it must never be without. */
  get requiresDirect(): boolean {
    return this.ops.reservedRegions(this.dev).some(({ kind }) => kind === "direct");
  }

  get domain(): IommuDomain {
    return this.#domain;
  }

  /** True while the device waits for the process that had it before the kexec. */
  get held(): boolean {
    return this.#owner === HELD;
  }

  /** The domains a held group runs on, without and with PASIDs. */
  get heldDomains(): PagingDomain[] {
    return this.held ? this.#pagingDomains() : [];
  }

  /** The domains of the previous kernel the device still runs on, whoever has it. */
  get inheritedDomains(): PagingDomain[] {
    return this.#pagingDomains().filter((domain) => domain.inherited);
  }

  #pagingDomains(): PagingDomain[] {
    const first = this.#domain instanceof PagingDomain ? [this.#domain] : [];
    return [...first, ...this.#pasids.values()];
  }

  get owned(): boolean {
    return this.#ownerCount > 0;
  }

  /**
   * A user takes the DMA of the group (FACTS 1.5). EPERM: somebody else has it. EBUSY: a domain
   * is attached. EINVAL: firmware does not let the device be blocked. The group is blocked from here on, unless `owner` is the heir of a held group:
   * then the device simply goes on with the domain it has.
   */
  claim(owner: unknown, isHeir: (domain: PagingDomain) => boolean): number {
    if (this.held) {
      if (!this.heldDomains.every(isHeir)) return -E.EPERM;
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

  /**
   * The user lets go: back to the default domain, or, where the device never left the previous
   * kernel's tables, back to waiting for an heir.
   */
  release(): void {
    assert(this.#ownerCount > 0, "release of a group nobody owns");
    if (--this.#ownerCount > 0) return;
    if (this.inheritedDomains.length > 0) {
      this.#owner = HELD;
      this.#ownerCount = 1;
      return;
    }
    this.#owner = undefined;
    this.#set(this.#default());
  }

  /** Nothing of the device is handed over: whoever has it, it does no more DMA. */
  blockForKexec(): void {
    this.blockPasids();
    this.#set(this.ops.blocking);
  }

  /** Takes away the PASIDs that are not handed over. */
  blockPasids(): void {
    for (const [pasid, domain] of [...this.#pasids]) {
      if (!domain.dumped) this.detachPasid(pasid);
    }
  }

  /** A held device is given up: blocked, with and without PASIDs. EBUSY where it is not held. */
  discard(): number {
    if (!this.held) return -E.EBUSY;
    const rc = this.#set(this.ops.blocking);
    if (rc < 0) return rc;
    for (const pasid of [...this.#pasids.keys()]) this.detachPasid(pasid);
    this.#owner = undefined;
    this.#ownerCount = 0;
    this.faults.give(undefined);
    this.faults.disable();
    return 0;
  }

  /** A device that was given up is anybody's from here on. */
  toDefault(): void {
    if (this.#ownerCount === 0) this.#set(this.#default());
  }

  attach(domain: IommuDomain): number {
    return domain === this.#domain ? 0 : this.#set(domain);
  }

  /** Back to blocked, as an owned group without a page table is. */
  detach(): void {
    this.#set(this.ops.blocking);
  }

  /**
   * A domain for one PASID, beside the group's own. EOPNOTSUPP without PASIDs; EBUSY where the
   * PASID has a domain already.
   */
  attachPasid(pasid: number, domain: PagingDomain): number {
    if (this.ops.attachPasid === undefined) return -E.EOPNOTSUPP;
    const there = this.#pasids.get(pasid);
    if (there !== undefined && !there.inherited) return -E.EBUSY;
    return this.#setPasid(pasid, domain);
  }

  /** Another domain for a PASID that has one: EINVAL where it has none. */
  replacePasid(pasid: number, domain: PagingDomain): number {
    return this.#pasids.has(pasid) ? this.#setPasid(pasid, domain) : -E.EINVAL;
  }

  detachPasid(pasid: number): void {
    if (!this.#pasids.delete(pasid) || this.#noted !== undefined) return;
    this.ops.attachPasid?.(undefined, this.dev, pasid);
  }

  /** From here on what is attached is only noted, until {@link settle}. */
  defer(): void {
    this.#noted ??= { domain: this.#domain, pasids: new Map(this.#pasids) };
  }

  /** Hardware is brought to where it was meant to end up, in one step; or nothing was ever noted. */
  settle(commit: boolean): number {
    const noted = this.#noted;
    if (noted === undefined) return 0;
    const domain = this.#domain, pasids = new Map(this.#pasids);
    this.#noted = undefined;
    this.#domain = noted.domain;
    this.#pasids.clear();
    for (const [pasid, was] of noted.pasids) this.#pasids.set(pasid, was);
    if (!commit) {
      if (this.inheritedDomains.length > 0) {
        this.#owner = HELD;
        this.#ownerCount = 1;
      }
      return 0;
    }
    let rc = this.attach(domain);
    for (const pasid of noted.pasids.keys()) if (!pasids.has(pasid)) this.detachPasid(pasid);
    for (const [pasid, to] of pasids) if (rc === 0) rc = this.#setPasid(pasid, to);
    return rc;
  }

  /** Domains by PASID. */
  get pasids(): ReadonlyMap<number, PagingDomain> {
    return this.#pasids;
  }

  #setPasid(pasid: number, domain: PagingDomain): number {
    const rc = this.#noted !== undefined
      ? 0
      : this.ops.attachPasid?.(domain, this.dev, pasid) ?? -E.EOPNOTSUPP;
    if (rc === 0) this.#pasids.set(pasid, domain);
    return rc;
  }

  /** A formerly held group makes its default domain when it first needs one. */
  #default(): IommuDomain {
    if (this.#defaultDomain === undefined) {
      const made = makeDefault(this.dev, this.ops);
      this.#defaultDomain = typeof made === "number" ? this.ops.blocking : made;
    }
    return this.#defaultDomain;
  }

  #set(domain: IommuDomain): number {
    if (domain.type === "blocking" && this.requiresDirect) {
      this.dev.pci.kernel.dmesg.warn(
        `pci ${this.dev.name}: Firmware has requested this device have a 1:1 IOMMU mapping, ` +
          "rejecting configuring the device without a 1:1 mapping",
      );
      return -E.EINVAL;
    }
    const rc = this.#noted !== undefined ? 0 : this.ops.attach(domain, this.dev);
    if (rc === 0) this.#domain = domain;
    return rc;
  }
}

/**
 * A default domain, which maps what firmware wants mapped before anything is attached (FACTS 3.6).
 * ENOMEM and the like.
 */
function makeDefault(dev: PciDev, ops: IommuOps): PagingDomain | number {
  const domain = allocDefault(dev, ops);
  if (typeof domain === "number") return domain;
  for (const { start, last } of ops.reservedRegions(dev).filter(isDirect)) {
    const page = Number(start) / PAGE_SIZE, count = Number(last - start + 1n) / PAGE_SIZE;
    const rc = domain.map(page, page, count, IOMMU_READ | IOMMU_WRITE);
    if (rc === 0) continue;
    domain.free();
    return rc;
  }
  return domain;
}

/**
 * Where domains are handed over by id, the mapping firmware counts on has one: it goes on through a
 * kexec, nobody's, if the driver can do that.
 */
function allocDefault(dev: PciDev, ops: IommuOps): PagingDomain | number {
  const { kernel } = dev.pci;
  const direct = ops.reservedRegions(dev).some(({ kind }) => kind === "direct");
  const { persists, byDevice } = kernel.design;
  if (!direct || !persists || byDevice || kernel.has("D24")) return ops.allocPaging(dev, {});
  const persistentId = kernel.iommufd.allocDomainId();
  const domain = ops.allocPaging(dev, { persistentId });
  if (typeof domain !== "number") return domain;
  kernel.iommufd.freeDomainId(persistentId);
  return domain === -E.EOPNOTSUPP ? ops.allocPaging(dev, {}) : domain;
}

/** The IOMMU core of one boot: drivers and groups. */
export class IommuCore {
  readonly groups: IommuGroup[] = [];
  readonly #drivers: IommuOps[] = [];

  constructor(readonly kernel: Kernel) {}

  /** A persistent domain the previous kernel handed over. */
  restoredDomain(id: number): PagingDomain | undefined {
    for (const driver of this.#drivers) {
      const domain = driver.restoredDomain(id);
      if (domain !== undefined) return domain;
    }
    return undefined;
  }

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
   * device is on a domain that is in it, or, where no IOMMU covers it, is in it itself.
   */
  handsOver(dev: PciDev): boolean {
    return this.kernel.kexec.carriesDump && this.isDumped(dev);
  }

  /** The device is in the dump that stands. */
  isDumped(dev: PciDev): boolean {
    const { group } = dev;
    if (group === undefined) return dev.dumped;
    return group.domain.dumped || [...group.pasids.values()].some((domain) => domain.dumped);
  }

  /** A device asks for pages. Nobody's device gets none. */
  pageRequest(sid: number, group: PageRequestGroup): void {
    const owner = this.groups.find(({ dev }) => dev.requesters.includes(sid));
    if (owner === undefined) group.respond(IOMMUFD_PAGE_RESP_INVALID);
    else owner.faults.report(group, owner.held || owner.inheritedDomains.length > 0);
  }

  /** The domain, or the mapping that firmware counts on, goes over to the next kernel. */
  goesOver(domain: PagingDomain): boolean {
    if (domain.persistentId !== 0) return true;
    return this.groups.some((group) => group.domain === domain && group.requiresDirect);
  }

  shutdown(): void {
    const { design, kexec } = this.kernel;
    if (design.coreBlocks && kexec.carriesDump) {
      for (const group of this.groups) {
        if (!this.handsOver(group.dev)) group.blockForKexec();
        else group.blockPasids();
      }
    }
    for (const driver of this.#drivers) driver.shutdown();
  }
}
