import { GiB, MiB, PAGE_SIZE } from "../../../base/units.ts";
import { EINVAL, ENOMEM, ENOSPC, EOPNOTSUPP } from "../../../uapi/errno.ts";
import {
  PTE_NT,
  STE_S2_WALK_CACHED_WORD5,
  STE_S2PS_SHIFT_WORD5,
  STE_S2SL0_SHIFT_WORD5,
} from "../../../uapi/smmuv3_tables.ts";
import type { Kernel } from "../../kernel.ts";
import { FrameUse } from "../../mm/frames.ts";
import type { Radix } from "../compare.ts";
import type { Resized } from "../resize.ts";
import { IommuDomain } from "../domain.ts";
import { HeritableDomain } from "../succession.ts";
import type { Entry } from "./entry_update.ts";
import { stage2Ste } from "./entries.ts";
import { Stage2Table } from "./pgtable.ts";
import type { SmmuDevice } from "./smmu.ts";

/** Bits below the first table, which is one page for each 9 bits more and up to 16 side by side. */
const BELOW_START = 30;

/** Pages of the first table. */
function rootPagesOf(smmu: SmmuDevice): number {
  return Math.max(1, 2 ** (smmu.addressBits - BELOW_START - 9));
}

/** Blocks: an entry that says abort. */
export class SmmuBlockingDomain extends IommuDomain {
  readonly type = "blocking";
}

/** An arm_smmu_domain of stage 2: tables of one unit, under one VMID. */
export class SmmuDomain extends HeritableDomain {
  table: Stage2Table;
  readonly lastPage: number;
  override pageSizes = PAGE_SIZE | 2 * MiB | GiB;
  #vmid: number;

  private constructor(
    readonly kernel: Kernel,
    readonly smmu: SmmuDevice,
    vmid: number,
    root: number,
    rootPages: number,
    largest = Infinity,
  ) {
    super();
    this.#vmid = vmid;
    this.lastPage = 2 ** (smmu.addressBits - 12) - 1;
    this.table = new Stage2Table(
      kernel.machine.memory,
      kernel.pages,
      root,
      rootPages,
      (page, count) => this.#invalidate(page, count),
      smmu.bbml < 2,
      largest,
    );
  }

  /** `largest`: pages of the largest block. ENOSPC without a VMID, ENOMEM without a first table. */
  static make(kernel: Kernel, smmu: SmmuDevice, largest = Infinity): SmmuDomain | number {
    const vmid = smmu.allocVmid();
    if (vmid < 0) return -ENOSPC;
    const pages = rootPagesOf(smmu);
    const root = pages === 1
      ? kernel.pages.allocPage(FrameUse.iommuTable)
      : kernel.pages.allocRange(pages, pages, FrameUse.iommuTable);
    if (root < 0) {
      smmu.freeVmid(vmid);
      return -ENOMEM;
    }
    return new SmmuDomain(kernel, smmu, vmid, root, pages, largest);
  }

  /** The previous kernel's, on the tables it left. */
  static restore(kernel: Kernel, smmu: SmmuDevice, vmid: number, root: number): SmmuDomain {
    return new SmmuDomain(kernel, smmu, vmid, root, rootPagesOf(smmu));
  }

  /** The VMID. */
  get did(): number {
    return this.#vmid;
  }

  override takeId(from: SmmuDomain): void {
    this.smmu.freeVmid(this.#vmid);
    this.#vmid = from.did;
    this.smmu.shareVmid(this.#vmid);
  }

  override adoptTables(from: SmmuDomain): void {
    this.takeId(from);
    from.heir = this;
    for (const pfn of this.table.tables()) this.kernel.pages.freePage(pfn);
    // The tables are the old ones, what may be put into them is as it was asked for.
    const { largest } = this.table;
    this.table = from.table;
    this.table.largest = largest;
    from.handedOver = [];
  }

  override get pages(): readonly number[] {
    return this.handedOver ?? this.table.tables();
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

  #invalidate(page: number, count: number): void {
    this.kernel.costs.flushes++;
    this.smmu.commands.invalidatePages(this.did, page, count);
  }

  /** Level 0 has no way to do it while somebody may have a page cached; level 1 has nT (FACTS 4.3). */
  override limitPages(largest: number): Resized | number {
    const { bbml } = this.smmu;
    if (bbml === 0 && this.attachments.length > 0) {
      this.kernel.dmesg.warn(
        "arm-smmu-v3: a page in use cannot change its size: no break-before-make support (BBML 0)",
      );
      return -EOPNOTSUPP;
    }
    const invalidate = (page: number, count: number) => this.#invalidate(page, count);
    const done = this.table.limit(largest, { mark: bbml === 1 ? PTE_NT : 0, invalidate });
    if (typeof done === "number") return done;
    this.pageSizes = PAGE_SIZE | (largest >= 512 ? 2 * MiB : 0) | (largest >= 512 * 512 ? GiB : 0);
    this.kernel.costs.countResized(done);
    return done;
  }

  /** EINVAL beyond the tables' width; a failure leaves everything mapped as it was. */
  map(page: number, pfn: number, count: number, prot: number, single = false): number {
    if (page + count - 1 > this.lastPage) return -EINVAL;
    if ((prot & 3) === 0) return -EINVAL;
    const { costs } = this.kernel, before = this.table.written;
    const rc = this.table.map(page, pfn, count, prot, single);
    costs.ptesWritten += this.table.written - before;
    // Nothing that is absent is ever cached: only a failure leaves anything to flush.
    if (rc < 0) this.unmap(page, this.table.mapped);
    return rc;
  }

  unmap(page: number, count: number): number {
    if (count === 0 || page > this.lastPage) return 0;
    const freed: number[] = [];
    const inside = Math.min(count, this.lastPage - page + 1);
    const unmapped = this.table.unmap(page, inside, freed);
    this.#invalidate(page, inside);
    // Only now can no walk lead into these tables any more.
    for (const pfn of freed) this.kernel.pages.freePage(pfn);
    return Math.max(0, unmapped);
  }

  translate(page: number): number {
    return page > this.lastPage ? -1 : this.table.translate(page);
  }

  free(): void {
    this.kernel.costs.flushes++;
    this.smmu.commands.invalidateVmid(this.did);
    for (const pfn of this.pages) this.kernel.pages.freePage(pfn);
    this.smmu.freeVmid(this.did);
    this.smmu.driver.forget(this);
  }
}
