import { PAGE_SIZE } from "../../../base/units.ts";
import * as V from "../../../uapi/vtd_regs.ts";
import type { Kernel } from "../../kernel.ts";
import { FrameUse } from "../../mm/frames.ts";

/**
 * The driver's side of one remapping unit: registers through the bus, root and context tables as
 * words in memory, domain ids. Knows nothing of the hardware model behind the registers.
 */
export class IntelUnit {
  readonly cap: V.CapFields;
  readonly iotlbOffset: number;
  /** ECAP.SC: page-table entries may have SNP. */
  readonly snoopControl: boolean;
  /** Frame of the root table; -1 before there is one. */
  root = -1;
  /** The unit was taken over running, with the tables of the previous kernel. */
  adopted = false;
  readonly #dids = new Set<number>();

  constructor(readonly kernel: Kernel, readonly index: number, readonly regBase: number) {
    const [capLow, capHigh] = kernel.machine.bus.read64(regBase + V.DMAR_CAP_REG);
    this.cap = V.decodeCap(capLow, capHigh);
    const ecap = V.decodeEcap(this.read(V.DMAR_ECAP_REG));
    this.iotlbOffset = ecap.iotlbOffset * 16;
    this.snoopControl = ecap.snoopControl;
    // With caching mode, DID 0 tags entries that are not present (FACTS 3.7).
    if (this.cap.cachingMode) this.#dids.add(0);
  }

  get name(): string {
    return `dmar${this.index}`;
  }

  read(offset: number): number {
    return this.kernel.machine.bus.read32(this.regBase + offset);
  }

  write(offset: number, value: number): void {
    this.kernel.machine.bus.write32(this.regBase + offset, value);
  }

  get translationEnabled(): boolean {
    return (this.read(V.DMAR_GSTS_REG) & V.DMA_GSTS_TES) !== 0;
  }

  /** Physical address the hardware has latched as its root table. */
  get latchedRoot(): number {
    const [low, high] = this.kernel.machine.bus.read64(this.regBase + V.DMAR_RTADDR_REG);
    return ((low & ~0xfff) >>> 0) + high * 4294967296;
  }

  /** The largest table the unit can walk: agaw (FACTS 3.2). */
  get agaw(): number {
    return 31 - Math.clz32(this.cap.sagaw);
  }

  /** Lowest free domain id; -1 when the unit has no more. */
  allocDid(): number {
    for (let did = 1; did < this.cap.domains; did++) {
      if (!this.#dids.has(did)) {
        this.#dids.add(did);
        return did;
      }
    }
    return -1;
  }

  /** Keeps an id that hardware uses already. False when it is taken. */
  reserveDid(did: number): boolean {
    if (this.#dids.has(did)) return false;
    this.#dids.add(did);
    return true;
  }

  freeDid(did: number): void {
    this.#dids.delete(did);
  }

  /** One-shot global command: GSTS state with one bit more, or less for TE off. */
  #command(bits: number, clear = 0): void {
    const state = this.read(V.DMAR_GSTS_REG) & (V.DMA_GSTS_TES | V.DMA_GSTS_QIES | V.DMA_GSTS_IRES);
    this.write(V.DMAR_GCMD_REG, (state & ~clear) | bits);
  }

  enableTranslation(): void {
    this.#command(V.DMA_GCMD_TE);
  }

  disableTranslation(): void {
    this.#command(0, V.DMA_GCMD_TE);
  }

  /** Latches a root table and forgets everything cached from an older one. */
  setRoot(pfn: number): void {
    this.root = pfn;
    this.kernel.machine.bus.write64(
      this.regBase + V.DMAR_RTADDR_REG,
      (pfn << 12) >>> 0,
      pfn >>> 20,
    );
    this.#command(V.DMA_GCMD_SRTP);
    this.flushContextGlobal();
    this.flushIotlbGlobal();
  }

  /** Blocks every device without a page of memory: a root table that is no RAM cannot be read. */
  blockAll(): void {
    this.setRoot(this.regBase / PAGE_SIZE);
    this.root = -1;
  }

  flushContextGlobal(): void {
    this.#context(V.GRANU_GLOBAL, 0, 0);
  }

  /** Device-selective, with the DID the entry HAD (FACTS 3.4). */
  flushContextDevice(sid: number, oldDid: number): void {
    this.#context(V.GRANU_DEVICE, sid, oldDid);
  }

  #context(granularity: number, sid: number, did: number): void {
    const high = V.DMA_CCMD_ICC_HI | (granularity << V.DMA_CCMD_CIRG_SHIFT_HI);
    const low = (sid << V.DMA_CCMD_SID_SHIFT) | did;
    this.kernel.machine.bus.write64(this.regBase + V.DMAR_CCMD_REG, low >>> 0, high >>> 0);
  }

  flushIotlbGlobal(): void {
    this.#iotlb(V.GRANU_GLOBAL, 0);
  }

  flushIotlbDomain(did: number): void {
    this.#iotlb(V.GRANU_DOMAIN, did);
  }

  /** Flushes [page, page + count) of a domain, by page if the unit can, else the whole domain. */
  flushIotlbPages(did: number, page: number, count: number): void {
    let order = 0;
    while (2 ** order < count || page % 2 ** order + count > 2 ** order) order++;
    if (!this.cap.pageSelective || order > this.cap.maxAddressMask) {
      this.flushIotlbDomain(did);
      return;
    }
    const first = page - page % 2 ** order;
    const low = ((first % 1048576) * PAGE_SIZE + order) >>> 0;
    const high = Math.floor(first / 1048576);
    this.kernel.machine.bus.write64(this.regBase + this.iotlbOffset + V.DMAR_IVA_REG, low, high);
    this.#iotlb(V.GRANU_PAGE, did);
  }

  #iotlb(granularity: number, did: number): void {
    const high = V.DMA_TLB_IVT_HI | (granularity << V.DMA_TLB_IIRG_SHIFT_HI) |
      V.DMA_TLB_READ_DRAIN_HI | V.DMA_TLB_WRITE_DRAIN_HI | did;
    const at = this.regBase + this.iotlbOffset + V.DMAR_IOTLB_REG;
    this.kernel.machine.bus.write64(at, 0, high >>> 0);
  }

  /** Frame of a bus's context table; -1 when there is none and `make` is not set, or no memory. */
  contextTable(bus: number, make: boolean): number {
    const { memory } = this.kernel.machine;
    const lo = memory.load(this.root, bus * 4);
    if (lo & V.ROOT_ENTRY_P) return (memory.load(this.root, bus * 4 + 1) << 20) | (lo >>> 12);
    if (!make) return -1;
    const pfn = this.kernel.pages.allocPage(FrameUse.iommuTable);
    if (pfn < 0) return -1;
    memory.store(this.root, bus * 4 + 1, pfn >>> 20);
    memory.store(this.root, bus * 4, (pfn << 12) | V.ROOT_ENTRY_P);
    return pfn;
  }

  /** Root table and every context table. */
  tables(): number[] {
    const found = [this.root];
    for (let bus = 0; bus < 256; bus++) {
      const table = this.contextTable(bus, false);
      if (table >= 0) found.push(table);
    }
    return found;
  }

  /** Points the device's context entry at page tables. False without memory for a table. */
  setContext(sid: number, pgd: number, agaw: number, did: number): boolean {
    const table = this.contextTable(sid >> 8, true);
    if (table < 0) return false;
    const { memory } = this.kernel.machine;
    const word = (sid & 0xff) * 4;
    // The half with P goes last: hardware must never see a present entry that is half written.
    memory.store(table, word + 2, agaw | (did << V.CONTEXT_DID_SHIFT_WORD2));
    memory.store(table, word + 3, 0);
    memory.store(table, word + 1, pgd >>> 20);
    memory.store(table, word, (pgd << 12) | V.CONTEXT_P);
    if (this.cap.cachingMode) {
      this.flushContextDevice(sid, 0);
      this.flushIotlbDomain(did);
    }
    return true;
  }

  /** True when the device's context entry leads to these page tables. */
  leadsTo(sid: number, pgd: number, agaw: number, did: number): boolean {
    const table = this.contextTable(sid >> 8, false);
    if (table < 0) return false;
    const { memory } = this.kernel.machine;
    const word = (sid & 0xff) * 4;
    return memory.load(table, word) === ((pgd << 12) | V.CONTEXT_P) &&
      memory.load(table, word + 1) === pgd >>> 20 &&
      memory.load(table, word + 2) === (agaw | (did << V.CONTEXT_DID_SHIFT_WORD2));
  }

  /** Blocks the device: entry cleared, then caches flushed by the DID it had. */
  clearContext(sid: number): void {
    const table = this.contextTable(sid >> 8, false);
    if (table < 0) return;
    const { memory } = this.kernel.machine;
    const word = (sid & 0xff) * 4;
    if ((memory.load(table, word) & V.CONTEXT_P) === 0) return;
    const oldDid = (memory.load(table, word + 2) >>> V.CONTEXT_DID_SHIFT_WORD2) & 0xffff;
    for (let i = 0; i < 4; i++) memory.store(table, word + i, 0);
    this.flushContextDevice(sid, oldDid);
    this.flushIotlbDomain(oldDid);
  }
}
