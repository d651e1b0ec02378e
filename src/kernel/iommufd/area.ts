import { PAGE_SIZE } from "../../base/units.ts";
import { IOMMU_READ, IOMMU_WRITE } from "../../uapi/iommufd.ts";
import type { PagingDomain } from "../iommu/domain.ts";
import type { IoptPages, Run } from "./pages.ts";

/** A mapped range of IOVAs, both ends inside: part of a pages object. */
export class Area {
  /** The domain that holds the frame numbers for everybody (FACTS 1.4). */
  storage: PagingDomain | undefined;
  /** Accesses that hold pages of this area. */
  accesses = 0;
  /** UNMAP has begun: no access may take hold of it again. */
  preventAccess = false;
  /** Page of the pages object at which the area begins. */
  readonly first: number;
  /** Byte in that page at which it begins. */
  readonly pageOffset: number;
  /** First page number of its IOVAs. */
  readonly page: number;
  /** Pages it shows. */
  readonly count: number;

  /**
   * `startByte`: of the pages object. `prot`: IOMMU_READ, _WRITE, _CACHE … `pages`: null while the
   * area is being made; nobody maps it, unmaps it or copies it then (FACTS 1.3, IOAS_UNMAP).
   */
  constructor(
    readonly start: bigint,
    readonly last: bigint,
    readonly prot: number,
    readonly pages: IoptPages | null,
    startByte: number,
  ) {
    this.first = Math.floor(startByte / PAGE_SIZE);
    this.pageOffset = startByte % PAGE_SIZE;
    this.page = Number(start / BigInt(PAGE_SIZE));
    this.count = Math.ceil((Number(last - start) + 1 + this.pageOffset) / PAGE_SIZE);
  }

  /**
   * Maps the area into a domain; `single`: in single pages, no superpage. The
   * frames come from the storage domain when there is one; else the pages are pinned now, and this
   * domain becomes the storage. Nothing stays mapped on failure.
   */
  fill(domain: PagingDomain, single: boolean): number {
    const { pages } = this;
    if (pages === null) return 0;
    const first = this.storage === undefined;
    const runs = this.storage
      ? this.#readBack(this.storage)
      : pages.acquire(this.first, this.count);
    if (typeof runs === "number") return runs;
    const prot = this.prot & (IOMMU_READ | IOMMU_WRITE);
    let at = this.page;
    for (const { pfn, count } of runs) {
      const rc = domain.map(at, pfn, count, prot, single);
      if (rc !== 0) {
        domain.unmap(this.page, at - this.page);
        if (first) pages.letGo(this.first, runs);
        return rc;
      }
      at += count;
    }
    if (first) this.#store(domain);
    return 0;
  }

  /**
   * Takes the area out of a domain. `heir`: the domain that becomes storage when `domain` was it;
   * with no heir the frames are read back from the domain one last time and let go. Pages that
   * were there to be unmapped.
   */
  unfill(domain: PagingDomain, heir: PagingDomain | undefined): number {
    const { pages } = this;
    // It was left out when the domain was filled.
    if (pages === null) return this.count;
    if (this.storage !== domain) return domain.unmap(this.page, this.count);
    if (heir !== undefined) {
      this.storage = heir;
      return domain.unmap(this.page, this.count);
    }
    const runs = this.#readBack(domain);
    const unmapped = domain.unmap(this.page, this.count);
    this.storage = undefined;
    pages.unstore(this);
    pages.letGo(this.first, runs);
    return unmapped;
  }

  /** Two areas in its place, the second one from IOVA `at` on. Nothing in the tables changes. */
  split(at: bigint): [Area, Area] {
    const byte = this.first * PAGE_SIZE + this.pageOffset;
    const { start, last, prot, pages, storage } = this;
    const left = new Area(start, at - 1n, prot, pages, byte);
    const right = new Area(at, last, prot, pages, byte + Number(at - start));
    // One area goes and two come.
    pages?.get();
    if (storage !== undefined) {
      pages?.unstore(this);
      left.#store(storage);
      right.#store(storage);
    }
    return [left, right];
  }

  /**
   * A restored domain has the area's frames: it is the storage, unless another one is already. The
   * pages are pinned anew: 0, or what that answers.
   */
  adopt(domain: PagingDomain): number {
    const { pages } = this;
    if (this.storage !== undefined || pages === null) return 0;
    const runs = pages.acquire(this.first, this.count);
    if (typeof runs === "number") return runs;
    this.#store(domain);
    return 0;
  }

  #store(domain: PagingDomain): void {
    this.storage = domain;
    this.pages?.store(this);
  }

  /** The frames as a domain has them, in contiguous runs. */
  #readBack(domain: PagingDomain): Run[] {
    const runs: { pfn: number; count: number }[] = [];
    for (let i = 0; i < this.count;) {
      const { pfn, count } = domain.translateRun(this.page + i, this.count - i);
      const last = runs[runs.length - 1];
      if (last !== undefined && last.pfn + last.count === pfn) last.count += count;
      else runs.push({ pfn, count });
      i += count;
    }
    return runs;
  }
}
