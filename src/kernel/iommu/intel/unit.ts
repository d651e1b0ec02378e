import { PAGE_SIZE } from "../../../base/units.ts";
import { ENODEV, ENOMEM } from "../../../uapi/errno.ts";
import * as V from "../../../uapi/vtd_regs.ts";
import { decodeScalable, DMA_RTADDR_SMT, type ScalableFields } from "../../../uapi/vtd_scalable.ts";
import type { Kernel } from "../../kernel.ts";
import { FrameUse } from "../../mm/frames.ts";
import { type Contexts, LegacyContexts } from "./contexts.ts";
import type { DmarDomain } from "./domain.ts";
import { type Invalidation, RegisterInvalidation } from "./invalidation.ts";
import { PageRequests } from "./page_requests.ts";
import { QueueInvalidation } from "./queue.ts";
import { ScalableContexts } from "./scalable.ts";

/**
 * The driver's side of one remapping unit: registers through the bus, domain ids, and which way
 * its tables are written and its caches emptied. Knows nothing of the hardware model behind the
 * registers.
 */
export class IntelUnit {
  readonly cap: V.CapFields;
  readonly iotlbOffset: number;
  /** ECAP.SC: page-table entries may have SNP. */
  readonly snoopControl: boolean;
  readonly remapsInterrupts: boolean;
  /** What the unit offers beyond legacy mode. */
  readonly features: ScalableFields;
  readonly contexts: Contexts;
  /** By registers, until {@link startQueue}. */
  invalidation: Invalidation;
  /** Frame of the root table; -1 before there is one. */
  root = -1;
  /** The unit was taken over running, with the tables of the previous kernel. */
  adopted = false;
  /** Where devices ask for pages, once one may. */
  requests: PageRequests | undefined;
  /** Domains in the order of a kernel's list, newest first: only where that list is walked. */
  readonly listed: DmarDomain[] = [];
  readonly #queued: boolean;
  /** Ids in use, and by how many domains: one that is replaced shares its own with its heir. */
  readonly #dids = new Map<number, number>();
  /** No id below it is free. */
  #lowestDid = 1;

  constructor(readonly kernel: Kernel, readonly index: number, readonly regBase: number) {
    const { bus, memory } = kernel.machine;
    const [capLow, capHigh] = bus.read64(regBase + V.DMAR_CAP_REG);
    this.cap = V.decodeCap(capLow, capHigh);
    const [ecapLow, ecapHigh] = bus.read64(regBase + V.DMAR_ECAP_REG);
    const ecap = V.decodeEcap(ecapLow);
    this.iotlbOffset = ecap.iotlbOffset * 16;
    this.snoopControl = ecap.snoopControl;
    this.remapsInterrupts = ecap.interruptRemapping;
    this.features = decodeScalable(capHigh, ecapLow, ecapHigh);
    this.#queued = ecap.queuedInvalidation;
    this.invalidation = new RegisterInvalidation(this);
    this.contexts = this.scalable
      ? new ScalableContexts(this, memory, kernel.pages, this.features.pasidBits)
      : new LegacyContexts(this, memory, kernel.pages);
    // With caching mode, DID 0 tags entries that are not present; in scalable mode DID 1 is that
    // of first-level and pass-through entries without a domain (FACTS 3.7).
    if (this.cap.cachingMode) this.#dids.set(0, 1);
    if (this.scalable) this.#dids.set(1, 1);
  }

  get name(): string {
    return `dmar${this.index}`;
  }

  /** The unit is run in scalable mode, with second-level tables. */
  get scalable(): boolean {
    return this.features.scalable && this.features.secondLevel;
  }

  get cachingMode(): boolean {
    return this.cap.cachingMode;
  }

  /** Bits of the PASIDs a device behind this unit can use. */
  get pasidBits(): number {
    return this.contexts instanceof ScalableContexts ? this.contexts.deviceBits : 0;
  }

  read(offset: number): number {
    return this.kernel.machine.bus.read32(this.regBase + offset);
  }

  write(offset: number, value: number): void {
    this.kernel.machine.bus.write32(this.regBase + offset, value);
  }

  write64(offset: number, low: number, high: number): void {
    this.kernel.machine.bus.write64(this.regBase + offset, low, high);
  }

  get translationEnabled(): boolean {
    return (this.read(V.DMAR_GSTS_REG) & V.DMA_GSTS_TES) !== 0;
  }

  /** Physical address the hardware has latched as its root table, and in which mode. */
  get latchedRoot(): { address: number; scalable: boolean } {
    const [low, high] = this.kernel.machine.bus.read64(this.regBase + V.DMAR_RTADDR_REG);
    const address = ((low & ~0xfff) >>> 0) + high * 4294967296;
    return { address, scalable: (low & DMA_RTADDR_SMT) !== 0 };
  }

  /** Hardware walks the root table this kernel means it to. */
  get isLatched(): boolean {
    return this.latchedRoot.address === this.root * PAGE_SIZE;
  }

  /** The largest table the unit can walk: agaw (FACTS 3.2). */
  get agaw(): number {
    return 31 - Math.clz32(this.cap.sagaw);
  }

  /** Lowest free domain id; -1 when the unit has no more. */
  allocDid(): number {
    while (this.#dids.has(this.#lowestDid)) this.#lowestDid++;
    if (this.#lowestDid >= this.cap.domains) return -1;
    this.#dids.set(this.#lowestDid, 1);
    return this.#lowestDid;
  }

  /** Keeps an id that hardware uses already. False when it is taken. */
  reserveDid(did: number): boolean {
    if (this.#dids.has(did)) return false;
    this.#dids.set(did, 1);
    return true;
  }

  /** One more domain goes by an id that is in use. */
  shareDid(did: number): void {
    this.#dids.set(did, (this.#dids.get(did) ?? 0) + 1);
  }

  freeDid(did: number): void {
    const users = (this.#dids.get(did) ?? 0) - 1;
    if (users > 0) this.#dids.set(did, users);
    else {
      this.#dids.delete(did);
      if (did > 0) this.#lowestDid = Math.min(this.#lowestDid, did);
    }
  }

  /** GCMD with the state as GSTS shows it, `set` added and `clear` left out. */
  command(set: number, clear = 0): void {
    const levels = V.DMA_GSTS_TES | V.DMA_GSTS_QIES | V.DMA_GSTS_IRES;
    this.write(V.DMAR_GCMD_REG, (this.read(V.DMAR_GSTS_REG) & levels & ~clear) | set);
  }

  enableTranslation(): void {
    this.command(V.DMA_GCMD_TE);
  }

  disableTranslation(): void {
    this.command(0, V.DMA_GCMD_TE);
  }

  /**
   * Takes invalidation over from whoever had the unit before: a queue of its own where the unit
   * has queues, registers otherwise. False without memory for the queue.
   */
  startQueue(): boolean {
    // While a queue of the previous kernel is on, registers are refused.
    this.command(0, V.DMA_GSTS_QIES);
    if (!this.#queued) return true;
    const { machine, pages, dmesg } = this.kernel;
    const ring = pages.allocPage(FrameUse.kernel), status = pages.allocPage(FrameUse.kernel);
    if (ring < 0 || status < 0) {
      if (ring >= 0) pages.freePage(ring);
      return false;
    }
    const { memory } = machine;
    this.invalidation = new QueueInvalidation(this, memory, dmesg, ring, status, this.scalable);
    return true;
  }

  /** Latches a root table and forgets everything cached from an older one. */
  setRoot(pfn: number): void {
    this.root = pfn;
    const mode = this.scalable ? DMA_RTADDR_SMT : 0;
    this.write64(V.DMAR_RTADDR_REG, ((pfn << 12) | mode) >>> 0, pfn >>> 20);
    this.command(V.DMA_GCMD_SRTP);
    this.flushAll();
  }

  /** Blocks every device without a page of memory: a root table that is no RAM cannot be read. */
  blockAll(): void {
    this.setRoot(this.regBase / PAGE_SIZE);
    this.root = -1;
  }

  /** Context cache, PASID cache, IOTLB: everything, in the order hardware wants. */
  flushAll(): void {
    this.invalidation.contextGlobal();
    this.invalidation.pasidGlobal();
    this.invalidation.iotlbGlobal();
  }

  /** The page request queue is there, made now if need be. ENODEV where the unit has none; ENOMEM. */
  startRequests(): number {
    if (!this.scalable || !this.features.pageRequests) return -ENODEV;
    this.requests ??= PageRequests.start(this);
    return this.requests === undefined ? -ENOMEM : 0;
  }

  /** What a device itself remembers of [page, page + count). */
  flushDeviceTlb(sid: number, pasid: number, page: number, count: number): void {
    this.invalidation.deviceTlb(sid, pasid, page, orderOf(page, count));
  }

  /** Flushes [page, page + count) of a domain, by page if the unit can, else the whole domain. */
  flushIotlbPages(did: number, page: number, count: number): void {
    const order = orderOf(page, count);
    if (!this.cap.pageSelective || order > this.cap.maxAddressMask) {
      this.invalidation.iotlbDomain(did);
    } else this.invalidation.iotlbPages(did, page - page % 2 ** order, order);
  }
}

/** Of the smallest aligned power of two of pages that holds [page, page + count). */
function orderOf(page: number, count: number): number {
  let order = 0;
  while (2 ** order < count || page % 2 ** order + count > 2 ** order) order++;
  return order;
}
