import { PAGE_SIZE } from "../../base/units.ts";
import { EINVAL, ENOMEM, EOPNOTSUPP, EPERM } from "../../uapi/errno.ts";
import { IOMMU_HW_INFO_TYPE_NONE } from "../../uapi/iommufd.ts";
import { AmdPageTable } from "../iommu/amd/pgtable.ts";
import type { HwInfo, PagingOptions } from "../iommu/core.ts";
import { type IommuDomain, PagingDomain } from "../iommu/domain.ts";
import type { Kernel } from "../kernel.ts";
import { FrameUse } from "../mm/frames.ts";
import type { IommufdCtx } from "./ctx.ts";
import type { DmaGroup } from "./device.ts";
import { IommufdAccess } from "./access.ts";

const PAGE = BigInt(PAGE_SIZE);

/**
 * Page tables that no hardware walks: AMD's version 1 format, three levels to begin with, 64 bits
 * of IOVA (FACTS 2.3). MAP pins pages and notes their frames here, GET_PA reads them back; the
 * device itself goes by physical addresses, and an IOVA is nothing but a key.
 */
export class NoiommuDomain extends PagingDomain {
  readonly did = -1;
  readonly lastPage = 2 ** 52 - 1;
  readonly #table: AmdPageTable;

  private constructor(readonly kernel: Kernel, root: number) {
    super();
    this.#table = new AmdPageTable(kernel.machine.memory, kernel.pages, root);
  }

  /** ENOMEM without a top table. */
  static make(kernel: Kernel): NoiommuDomain | number {
    const root = kernel.pages.allocPage(FrameUse.iommuTable);
    return root < 0 ? -ENOMEM : new NoiommuDomain(kernel, root);
  }

  get pgd(): number {
    return this.#table.root;
  }

  map(page: number, pfn: number, count: number, prot: number, single = false): number {
    if (page + count - 1 > this.lastPage || (prot & 3) === 0) return -EINVAL;
    while (this.#table.mode < AmdPageTable.levelsFor(page + count - 1)) {
      if (!this.#table.grow()) return -ENOMEM;
    }
    const rc = this.#table.map(page, pfn, count, prot, single);
    if (rc < 0) this.unmap(page, this.#table.mapped);
    return rc;
  }

  unmap(page: number, count: number): number {
    const inside = Math.min(count, 512 ** this.#table.mode - page);
    if (inside <= 0) return 0;
    const freed: number[] = [];
    const unmapped = this.#table.unmap(page, inside, freed);
    for (const pfn of freed) this.kernel.pages.freePage(pfn);
    return Math.max(0, unmapped);
  }

  translate(page: number): number {
    return this.#table.translate(page);
  }

  override enforceCacheCoherency(): boolean {
    return true;
  }

  free(): void {
    for (const pfn of this.#table.tables()) this.kernel.pages.freePage(pfn);
  }
}

/** What stands in the place of a group for a device that no IOMMU covers: nothing is claimed. */
export class NoiommuGroup implements DmaGroup {
  readonly pasids: ReadonlyMap<number, PagingDomain> = new Map();
  domain: IommuDomain | undefined;

  constructor(readonly kernel: Kernel) {}

  readonly ops = {
    /** EOPNOTSUPP for any flag: tables that nobody walks can do nothing special. */
    allocPaging: (_dev: unknown, { flags = 0 }: PagingOptions) =>
      flags !== 0 ? -EOPNOTSUPP : NoiommuDomain.make(this.kernel),
    hwInfo: (): HwInfo => ({
      type: IOMMU_HW_INFO_TYPE_NONE,
      data: new Uint8Array(0),
      capabilities: 0,
      maxPasidLog2: 0,
    }),
    reservedRegions: () => [],
  };

  /** EINVAL for a domain that hardware is to walk: no hardware does it for this device. */
  attach(domain: IommuDomain): number {
    if (!(domain instanceof NoiommuDomain)) return -EINVAL;
    this.domain = domain;
    return 0;
  }

  detach(): void {
    this.domain = undefined;
  }

  attachPasid(): number {
    return -EOPNOTSUPP;
  }

  replacePasid(): number {
    return -EOPNOTSUPP;
  }

  detachPasid(): void {}

  release(): void {}
}

/**
 * The access that BIND makes beside the device (seed lines 3360-3372): attached to the IOAS the
 * device is attached to, it holds every page whose physical address was told, until it is unmapped.
 */
export class NoiommuAccess {
  readonly access: IommufdAccess;
  /** Pages of IOVA that are held. */
  readonly #told = new Set<number>();

  /** `id`: the object id it had before a kexec. */
  constructor(readonly ctx: IommufdCtx, readonly name: string, id?: number) {
    const unmap = (iova: bigint, length: bigint) => this.#unmap(iova, length);
    this.access = IommufdAccess.create(ctx, { needsPinPages: true, unmap }, id) as IommufdAccess;
  }

  /** Physical addresses of these pages are known to the program from now on. */
  tell(page: number, count: number): number {
    for (let i = page; i < page + count; i++) {
      if (this.#told.has(i)) continue;
      const at = BigInt(i) * PAGE;
      let held = this.access.pinPages(at, PAGE, false);
      if (held === -EPERM) held = this.access.pinPages(at, PAGE, true);
      if (typeof held === "number") return held;
      this.#told.add(i);
    }
    return 0;
  }

  #unmap(iova: bigint, length: bigint): void {
    const last = iova + length - 1n;
    const gone = [...this.#told].filter((page) => {
      const at = BigInt(page) * PAGE;
      return at + PAGE - 1n >= iova && at <= last;
    });
    for (const page of gone) {
      this.#told.delete(page);
      this.access.unpinPages(BigInt(page) * PAGE, PAGE);
    }
    if (gone.length === 0) return;
    // Nothing stands between the device and these pages: only its user can make it stop.
    this.ctx.kernel.dmesg.warn(
      `iommufd: ${this.name}: ${gone.length} pages unmapped whose physical addresses were told`,
    );
  }
}
