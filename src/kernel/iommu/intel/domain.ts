import { GiB, MiB, PAGE_SIZE } from "../../../base/units.ts";
import { EBUSY, EINVAL } from "../../../uapi/errno.ts";
import { agawToLevels, agawToWidth, DMA_PTE_SNP } from "../../../uapi/vtd_regs.ts";
import type { Kernel } from "../../kernel.ts";
import { nullDereference } from "../../oops.ts";
import type { Radix } from "../compare.ts";
import type { Resized } from "../resize.ts";
import { type DirtyTracking, IommuDomain } from "../domain.ts";
import { HeritableDomain } from "../succession.ts";
import type { Target } from "./contexts.ts";
import { DirtyBits } from "./dirty.ts";
import { DMA_PTE_READ, DMA_PTE_WRITE, DmarPageTable } from "./pgtable.ts";
import type { IntelNestedDomain } from "./nested.ts";
import type { IntelUnit } from "./unit.ts";

/** Bytes into struct iommu_domain_ops. */
const MAP_PAGES = 0x10, UNMAP_PAGES = 0x18, IOVA_TO_PHYS = 0x38, FREE = 0x60;

/** Blocks: no entry that leads anywhere. */
export class IntelBlockingDomain extends IommuDomain {
  readonly type = "blocking";
}

/** Bytes of the pages that CAP.SLLPS bits allow, joined by or. */
function sizesOf(superpages: number): number {
  return PAGE_SIZE | (superpages & 1 && 2 * MiB) | (superpages & 2 && GiB);
}

/** A dmar_domain: second-level tables of one unit, under one DID. */
export class DmarDomain extends HeritableDomain {
  table: DmarPageTable;
  readonly lastPage: number;
  #did: number;
  /** What every leaf has beside its permissions: SNP once coherency is enforced. */
  #leafBits = 0;
  #noting = false;
  /** What is nested over it: there its addresses are cached under other ids. */
  readonly nested = new Set<IntelNestedDomain>();
  /** As a sanitizer sees the structure. */
  readonly name = "dmar_domain";
  readonly size = 512;
  freed = false;
  /** It was put together by hand, without a driver's operations: every call through them is one too many. */
  bare = false;

  constructor(
    readonly kernel: Kernel,
    readonly unit: IntelUnit,
    readonly agaw: number,
    did: number,
    pgd: number,
    dirty: boolean,
    largest = Infinity,
  ) {
    super();
    this.#did = did;
    const width = Math.min(agawToWidth(agaw), unit.cap.mgaw);
    this.lastPage = 2 ** (width - 12) - 1;
    const superpages = this.#superpages(largest);
    this.pageSizes = sizesOf(superpages);
    this.table = new DmarPageTable(
      kernel.machine.memory,
      kernel.pages,
      agawToLevels(agaw),
      superpages,
      pgd,
    );
    if (dirty) this.dirty = this.#dirtyTracking();
  }

  /** CAP.SLLPS bits of pages of up to so many pages. */
  #superpages(largest: number): number {
    return this.unit.cap.superpages & (largest < 512 ? 0 : largest < 512 * 512 ? 1 : 3);
  }

  /** A page in use may change its size at any time: its entry is one store (FACTS 4.3). */
  override limitPages(largest: number): Resized | number {
    if (this.dirty?.on) return -EBUSY;
    const superpages = this.#superpages(largest);
    const invalidate = (page: number, count: number) => this.#flush(page, count);
    const done = this.table.limit(superpages, { mark: 0, invalidate });
    if (typeof done === "number") return done;
    this.pageSizes = sizesOf(superpages);
    this.kernel.costs.countResized(done);
    return done;
  }

  override get radix(): Radix {
    return this.table.radix;
  }

  get did(): number {
    return this.#did;
  }

  override takeId(from: DmarDomain): void {
    this.unit.freeDid(this.#did);
    this.#did = from.did;
    this.unit.shareDid(this.#did);
  }

  override adoptTables(from: DmarDomain): void {
    this.takeId(from);
    from.heir = this;
    for (const pfn of this.table.tables()) this.kernel.pages.freePage(pfn);
    // The tables are the old ones, what may be put into them is as it was asked for.
    const { superpages } = this.table;
    this.table = from.table;
    this.table.superpages = superpages;
    from.handedOver = [];
    if (this.dirty !== undefined) this.dirty = this.#dirtyTracking();
  }

  override get pages(): readonly number[] {
    return this.handedOver ?? this.table.tables();
  }

  /** What an entry that leads here says. */
  get target(): Target {
    return { pgd: this.table.pgd, agaw: this.agaw, did: this.did, dirty: this.#noting };
  }

  get pgd(): number {
    return this.table.pgd;
  }

  /** EINVAL beyond the width of the tables; a failure leaves everything mapped as it was. */
  map(page: number, pfn: number, count: number, prot: number, single = false): number {
    if (this.bare) nullDereference("__iommu_map", MAP_PAGES);
    if (page + count - 1 > this.lastPage) return -EINVAL;
    const bits = (prot & (DMA_PTE_READ | DMA_PTE_WRITE)) | this.#leafBits;
    const { costs } = this.kernel, before = this.table.written;
    const rc = this.table.map(page, pfn, count, bits, single);
    costs.ptesWritten += this.table.written - before;
    if (rc < 0) this.unmap(page, this.table.mapped);
    // A unit in caching mode may remember that nothing was here.
    else if (this.unit.cachingMode) this.#flush(page, count);
    return rc;
  }

  override enforceCacheCoherency(): boolean {
    if (this.unit.snoopControl) this.#leafBits = DMA_PTE_SNP;
    return this.unit.snoopControl;
  }

  override get coherent(): boolean {
    return this.#leafBits !== 0;
  }

  unmap(page: number, count: number): number {
    if (this.bare) nullDereference("__iommu_unmap", UNMAP_PAGES);
    if (page > this.lastPage) return 0;
    const freed: number[] = [];
    const unmapped = this.table.unmap(page, count, freed);
    if (unmapped > 0 || freed.length > 0) this.#flush(page, count);
    // Only now can no cached walk lead into these tables any more.
    for (const pfn of freed) this.kernel.pages.freePage(pfn);
    return unmapped;
  }

  /**
   * Devices with caches of their own are told too. Of a nested domain everything: which of a guest's
   * addresses led here nobody knows.
   */
  #flush(page: number, count: number): void {
    const { unit } = this;
    this.kernel.costs.flushes++;
    unit.flushIotlbPages(this.did, page, count);
    for (const { sid, pasid } of unit.requests === undefined ? [] : this.attachments) {
      if (unit.contexts.hasDeviceTlb(sid)) unit.flushDeviceTlb(sid, pasid, page, count);
    }
    for (const { did } of this.nested) this.unit.invalidation.iotlbDomain(did);
  }

  translate(page: number): number {
    if (this.bare) nullDereference("iommu_iova_to_phys", IOVA_TO_PHYS);
    return page > this.lastPage ? -1 : this.table.translate(page);
  }

  free(): void {
    if (this.bare) nullDereference("iommu_domain_free", FREE);
    if (this.freed) this.kernel.kasan.doubleFree(this, "domain_exit");
    this.freed = true;
    this.kernel.costs.flushes++;
    this.unit.invalidation.iotlbDomain(this.did);
    for (const pfn of this.pages) this.kernel.pages.freePage(pfn);
    this.unit.freeDid(this.did);
    this.kernel.intel?.forget(this);
  }

  /** Restored with noting on: entries and leaves stay as they are. */
  adoptNoting(): void {
    this.#noting = true;
  }

  #dirtyTracking(): DirtyTracking {
    const noting = () => this.#noting;
    const bits = new DirtyBits(this.kernel.machine.memory, this.table.pgd, this.table.levels);
    return {
      get on() {
        return noting();
      },
      set: (on) => {
        if (on === this.#noting) return 0;
        if (on) bits.clearAll();
        this.#noting = on;
        // Every entry that leads here says whether hardware is to note.
        for (const { sid, pasid } of this.attachments) {
          this.unit.contexts.set(sid, pasid, this.target);
        }
        return 0;
      },
      read: (page, count, clear, seen) => {
        bits.read(page, count, clear, seen);
        // Hardware does not look again at what it remembers as dirty.
        if (clear) this.#flush(page, count);
      },
    };
  }
}
