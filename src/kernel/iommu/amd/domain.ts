import { GiB, MiB, PAGE_SIZE } from "../../../base/units.ts";
import { EINVAL, ENOMEM, ENOSPC } from "../../../uapi/errno.ts";
import type { Kernel } from "../../kernel.ts";
import { FrameUse } from "../../mm/frames.ts";
import { IommuDomain, PagingDomain } from "../domain.ts";
import { type AmdIommu, type Dte, tablesDte } from "./iommu.ts";
import { AmdPageTable } from "./pgtable.ts";

/** An address has 64 bits, whatever more the tables could reach. */
const ADDRESS_BITS = 64;

/** Blocks: translation without tables, which allows nothing. */
export class AmdBlockingDomain extends IommuDomain {
  readonly type = "blocking";
}

/** A protection_domain with version 1 tables, of one unit, under one DomainID. */
export class AmdDomain extends PagingDomain {
  readonly table: AmdPageTable;
  readonly lastPage: number;
  override readonly pageSizes = PAGE_SIZE | 2 * MiB | GiB;
  /** Source ids of attached devices. */
  readonly devices = new Set<number>();

  private constructor(
    readonly kernel: Kernel,
    readonly iommu: AmdIommu,
    readonly did: number,
    root: number,
  ) {
    super();
    const bits = Math.min(ADDRESS_BITS, 12 + 9 * iommu.levels);
    this.lastPage = 2 ** (bits - 12) - 1;
    this.table = new AmdPageTable(kernel.machine.memory, kernel.pages, root);
  }

  /** ENOSPC without a DomainID, ENOMEM without a top table. */
  static make(kernel: Kernel, iommu: AmdIommu): AmdDomain | number {
    const id = iommu.allocDomainId();
    if (id < 0) return -ENOSPC;
    const root = kernel.pages.allocPage(FrameUse.iommuTable);
    if (root >= 0) return new AmdDomain(kernel, iommu, id, root);
    iommu.freeDomainId(id);
    return -ENOMEM;
  }

  get pgd(): number {
    return this.table.root;
  }

  /** The device table entry of a device on this domain. */
  get dte(): Dte {
    return tablesDte(this.table.root, this.table.mode, this.did);
  }

  /** EINVAL beyond the widest tables, ENOMEM; a failure leaves everything mapped as it was. */
  map(page: number, pfn: number, count: number, prot: number, single = false): number {
    if (page + count - 1 > this.lastPage || (prot & 3) === 0) return -EINVAL;
    const grown = this.#reach(page + count - 1);
    if (grown < 0) return grown;
    const rc = this.table.map(page, pfn, count, prot, single);
    // Nothing that is absent is ever cached: only a failure leaves anything to flush.
    if (rc < 0) this.unmap(page, this.table.mapped);
    return rc;
  }

  /** As many levels as the page needs. Devices learn of a new top through their entries. */
  #reach(page: number): number {
    const levels = AmdPageTable.levelsFor(page);
    if (this.table.mode >= levels) return 0;
    let enough = true;
    while (enough && this.table.mode < levels) enough = this.table.grow();
    for (const sid of this.devices) this.iommu.setDte(sid, this.dte);
    return enough ? 0 : -ENOMEM;
  }

  /** An AMD IOMMU snoops whenever a leaf has FC, and all of these do. */
  override enforceCacheCoherency(): boolean {
    return true;
  }

  override get coherent(): boolean {
    return true;
  }

  unmap(page: number, count: number): number {
    const inside = Math.min(count, 512 ** this.table.mode - page);
    if (inside <= 0) return 0;
    const freed: number[] = [];
    const unmapped = this.table.unmap(page, inside, freed);
    this.iommu.commands.invalidatePages(this.did, page, inside);
    // Only now can no walk lead into these tables any more.
    for (const pfn of freed) this.kernel.pages.freePage(pfn);
    return Math.max(0, unmapped);
  }

  translate(page: number): number {
    return this.table.translate(page);
  }

  free(): void {
    this.iommu.commands.invalidateDomain(this.did);
    for (const pfn of this.table.tables()) this.kernel.pages.freePage(pfn);
    this.iommu.freeDomainId(this.did);
  }
}
