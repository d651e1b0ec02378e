import { EINVAL } from "../../../uapi/errno.ts";
import { agawToLevels, agawToWidth, DMA_PTE_SNP } from "../../../uapi/vtd_regs.ts";
import type { Kernel } from "../../kernel.ts";
import { IommuDomain, PagingDomain } from "../domain.ts";
import { DMA_PTE_READ, DMA_PTE_WRITE, DmarPageTable } from "./pgtable.ts";
import type { IntelUnit } from "./unit.ts";

/** Blocks: no context entry at all. */
export class IntelBlockingDomain extends IommuDomain {
  readonly type = "blocking";
}

/** A dmar_domain: second-level tables of one unit, under one DID. */
export class DmarDomain extends PagingDomain {
  readonly table: DmarPageTable;
  readonly lastPage: number;
  /** Source ids of attached devices. */
  readonly devices = new Set<number>();
  /** What every leaf has beside its permissions: SNP once coherency is enforced. */
  #leafBits = 0;

  constructor(
    readonly kernel: Kernel,
    readonly unit: IntelUnit,
    readonly agaw: number,
    readonly did: number,
    pgd: number,
  ) {
    super();
    const width = Math.min(agawToWidth(agaw), unit.cap.mgaw);
    this.lastPage = 2 ** (width - 12) - 1;
    this.table = new DmarPageTable(
      kernel.machine.memory,
      kernel.pages,
      agawToLevels(agaw),
      unit.cap.superpages,
      pgd,
    );
  }

  /** EINVAL beyond the width of the tables; a failure leaves everything mapped as it was. */
  map(page: number, pfn: number, count: number, prot: number): number {
    if (page + count - 1 > this.lastPage) return -EINVAL;
    const bits = (prot & (DMA_PTE_READ | DMA_PTE_WRITE)) | this.#leafBits;
    const rc = this.table.map(page, pfn, count, bits);
    if (rc < 0) this.unmap(page, this.table.mapped);
    // A unit in caching mode may remember that nothing was here.
    else if (this.unit.cap.cachingMode) this.unit.flushIotlbPages(this.did, page, count);
    return rc;
  }

  override enforceCacheCoherency(): boolean {
    if (this.unit.snoopControl) this.#leafBits = DMA_PTE_SNP;
    return this.unit.snoopControl;
  }

  unmap(page: number, count: number): number {
    if (page > this.lastPage) return 0;
    const freed: number[] = [];
    const unmapped = this.table.unmap(page, count, freed);
    if (unmapped > 0 || freed.length > 0) this.unit.flushIotlbPages(this.did, page, count);
    // Only now can no cached walk lead into these tables any more.
    for (const pfn of freed) this.kernel.pages.freePage(pfn);
    return unmapped;
  }

  translate(page: number): number {
    return page > this.lastPage ? -1 : this.table.translate(page);
  }

  free(): void {
    this.unit.flushIotlbDomain(this.did);
    for (const pfn of this.table.tables()) this.kernel.pages.freePage(pfn);
    this.unit.freeDid(this.did);
    this.kernel.intel?.forget(this);
  }
}
