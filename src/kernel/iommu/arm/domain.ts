import { GiB, MiB, PAGE_SIZE } from "../../../base/units.ts";
import { EINVAL, ENOMEM, ENOSPC } from "../../../uapi/errno.ts";
import {
  STE_S2_WALK_CACHED_WORD5,
  STE_S2PS_SHIFT_WORD5,
  STE_S2SL0_SHIFT_WORD5,
} from "../../../uapi/smmuv3_tables.ts";
import type { Kernel } from "../../kernel.ts";
import { FrameUse } from "../../mm/frames.ts";
import type { Radix } from "../compare.ts";
import { IommuDomain, PagingDomain } from "../domain.ts";
import type { Entry } from "./entry_update.ts";
import { stage2Ste } from "./entries.ts";
import { Stage2Table } from "./pgtable.ts";
import type { SmmuDevice } from "./smmu.ts";

/** Bits below the first table, which is one page for each 9 bits more and up to 16 side by side. */
const BELOW_START = 30;

/** Blocks: an entry that says abort. */
export class SmmuBlockingDomain extends IommuDomain {
  readonly type = "blocking";
}

/** An arm_smmu_domain of stage 2: tables of one unit, under one VMID. */
export class SmmuDomain extends PagingDomain {
  readonly table: Stage2Table;
  readonly lastPage: number;
  override readonly pageSizes = PAGE_SIZE | 2 * MiB | GiB;

  private constructor(
    readonly kernel: Kernel,
    readonly smmu: SmmuDevice,
    /** The VMID. */
    readonly did: number,
    root: number,
    rootPages: number,
  ) {
    super();
    this.lastPage = 2 ** (smmu.addressBits - 12) - 1;
    this.table = new Stage2Table(
      kernel.machine.memory,
      kernel.pages,
      root,
      rootPages,
      (page, count) => smmu.commands.invalidatePages(did, page, count),
      smmu.bbml < 2,
    );
  }

  /** ENOSPC without a VMID, ENOMEM without a first table. */
  static make(kernel: Kernel, smmu: SmmuDevice): SmmuDomain | number {
    const vmid = smmu.allocVmid();
    if (vmid < 0) return -ENOSPC;
    const pages = Math.max(1, 2 ** (smmu.addressBits - BELOW_START - 9));
    const root = pages === 1
      ? kernel.pages.allocPage(FrameUse.iommuTable)
      : kernel.pages.allocRange(pages, pages, FrameUse.iommuTable);
    if (root < 0) {
      smmu.freeVmid(vmid);
      return -ENOMEM;
    }
    return new SmmuDomain(kernel, smmu, vmid, root, pages);
  }

  override get radix(): Radix {
    return this.table.radix;
  }

  get pgd(): number {
    return this.table.root;
  }

  /** The stream table entry of a device on this domain. */
  get ste(): Entry {
    const { addressBits, addressCode } = this.smmu;
    // SL0 1: tables start at level 1.
    const vtcr = (64 - addressBits) | 1 << STE_S2SL0_SHIFT_WORD5 | STE_S2_WALK_CACHED_WORD5 |
      addressCode << STE_S2PS_SHIFT_WORD5;
    return stage2Ste(this.did, vtcr, this.table.root);
  }

  /** EINVAL beyond the tables' width; a failure leaves everything mapped as it was. */
  map(page: number, pfn: number, count: number, prot: number): number {
    if (page + count - 1 > this.lastPage) return -EINVAL;
    if ((prot & 3) === 0) return -EINVAL;
    const rc = this.table.map(page, pfn, count, prot);
    // Nothing that is absent is ever cached: only a failure leaves anything to flush.
    if (rc < 0) this.unmap(page, this.table.mapped);
    return rc;
  }

  unmap(page: number, count: number): number {
    if (count === 0 || page > this.lastPage) return 0;
    const freed: number[] = [];
    const inside = Math.min(count, this.lastPage - page + 1);
    const unmapped = this.table.unmap(page, inside, freed);
    this.smmu.commands.invalidatePages(this.did, page, inside);
    // Only now can no walk lead into these tables any more.
    for (const pfn of freed) this.kernel.pages.freePage(pfn);
    return Math.max(0, unmapped);
  }

  translate(page: number): number {
    return page > this.lastPage ? -1 : this.table.translate(page);
  }

  free(): void {
    this.smmu.commands.invalidateVmid(this.did);
    for (const pfn of this.table.tables()) this.kernel.pages.freePage(pfn);
    this.smmu.freeVmid(this.did);
  }
}
