import { IntervalTree } from "../../base/interval_tree.ts";
import { MiB, PAGE_SIZE } from "../../base/units.ts";
import * as E from "../../uapi/errno.ts";
import { U64_MAX } from "../../uapi/iommufd.ts";
import type { PagingDomain } from "../iommu/domain.ts";
import { fillDomain, unfillDomain } from "./area.ts";
import type { IoptPages } from "./pages.ts";

const PAGE = BigInt(PAGE_SIZE);

/** A mapped range of IOVAs, both ends inside. */
export interface Area {
  readonly start: bigint;
  readonly last: bigint;
  /** IOMMU_READ, _WRITE, _CACHE … */
  readonly prot: number;
  readonly pages: IoptPages;
  /** Byte in the first page at which the area begins. */
  readonly pageOffset: number;
  /** The domain that holds the frame numbers for everybody (FACTS 1.4). */
  storage: PagingDomain | undefined;
}

interface Reserved {
  readonly start: bigint;
  readonly last: bigint;
  readonly owner: unknown;
}

/** The areas of one IOAS and the domains they are mapped into. */
export class IoPageTable {
  readonly areas = new IntervalTree<bigint, Area>();
  readonly #reserved = new IntervalTree<bigint, Reserved>();
  readonly domains: PagingDomain[] = [];
  /** Bytes: 1 until a domain is there. */
  alignment = 1n;

  /** Maximal ranges that nothing reserves: what IOVA_RANGES reports. */
  usableRanges(): { start: bigint; last: bigint }[] {
    const ranges: { start: bigint; last: bigint }[] = [];
    let at = 0n;
    for (const r of this.#reserved.items) {
      if (r.start > at) ranges.push({ start: at, last: r.start - 1n });
      if (r.last >= at) at = r.last + 1n;
    }
    if (at <= U64_MAX) ranges.push({ start: at, last: U64_MAX });
    return ranges;
  }

  /**
   * Maps `length` bytes of `pages`. `fixed`: at `iova`, else somewhere free. The IOVA, or an errno;
   * the order of checks is FACTS 1.3, IOAS_MAP 5 to 10. On failure nothing is left mapped.
   */
  map(
    pages: IoptPages,
    uptr: bigint,
    length: bigint,
    iova: bigint,
    prot: number,
    fixed: boolean,
  ): bigint | number {
    if (length === 0n || length > U64_MAX - PAGE) return -E.EINVAL;
    if (length % this.alignment !== 0n) return -E.EINVAL;
    let start = iova;
    if (fixed) {
      if (iova % this.alignment !== 0n) return -E.EINVAL;
      if (iova + length - 1n > U64_MAX) return -E.EOVERFLOW;
      const last = iova + length - 1n;
      if (this.#reserved.first(iova, last) !== undefined) return -E.EINVAL;
      if (this.areas.first(iova, last) !== undefined) return -E.EEXIST;
    } else {
      const found = this.#findIova(uptr, length);
      if (typeof found === "number") return found;
      start = found;
    }
    const pageOffset = Number(uptr % PAGE);
    if (BigInt(pageOffset) % this.alignment !== start % this.alignment) return -E.EINVAL;
    const area: Area = {
      start,
      last: start + length - 1n,
      prot,
      pages: pages.get(),
      pageOffset,
      storage: undefined,
    };
    for (const domain of this.domains) {
      const rc = fillDomain(area, domain);
      if (rc < 0) {
        for (const done of this.domains.slice(0, this.domains.indexOf(domain))) {
          unfillDomain(area, done, undefined);
        }
        pages.put();
        return rc;
      }
    }
    this.areas.insert(area);
    return start;
  }

  /**
   * Unmaps every area inside [start, last]. Bytes unmapped, or ENOENT: nothing there, or the range
   * would cut an area. Not atomic: what was unmapped before an error stays unmapped.
   */
  unmap(start: bigint, last: bigint): bigint | number {
    let bytes = 0n;
    for (const area of this.areas.overlapping(start, last)) {
      if (area.start < start || area.last > last) return -E.ENOENT;
      this.#drop(area);
      bytes += area.last - area.start + 1n;
    }
    return bytes === 0n ? -E.ENOENT : bytes;
  }

  unmapAll(): bigint {
    const bytes = this.areas.size === 0 ? 0n : this.unmap(0n, U64_MAX);
    return typeof bytes === "number" ? 0n : bytes;
  }

  #drop(area: Area): void {
    this.areas.remove(area);
    for (const domain of this.domains) {
      if (domain !== area.storage) unfillDomain(area, domain, undefined);
    }
    if (area.storage !== undefined) unfillDomain(area, area.storage, undefined);
    area.pages.put();
  }

  /** A domain joins: alignment, aperture, then every area is mapped into it. */
  addDomain(domain: PagingDomain): number {
    const alignment = this.alignment > PAGE ? this.alignment : PAGE;
    for (const a of this.areas.items) {
      const misfit = a.start % alignment !== 0n || (a.last + 1n) % alignment !== 0n ||
        BigInt(a.pageOffset) % alignment !== 0n;
      if (misfit) return -E.EADDRINUSE;
    }
    const beyond = (BigInt(domain.lastPage) + 1n) * PAGE;
    const rc = beyond <= U64_MAX ? this.reserve(beyond, U64_MAX, domain) : 0;
    if (rc < 0) return rc;
    const done: Area[] = [];
    for (const area of this.areas.items) {
      const filled = fillDomain(area, domain);
      if (filled < 0) {
        for (const a of done) unfillDomain(a, domain, this.domains[0]);
        this.release(domain);
        return filled;
      }
      done.push(area);
    }
    this.domains.push(domain);
    this.alignment = alignment;
    return 0;
  }

  /** Enters an area as it was before a kexec; false where it overlaps another. */
  restore(area: Area): boolean {
    if (this.areas.first(area.start, area.last) !== undefined) return false;
    area.pages.get();
    area.pages.pinned = area.pages.npages;
    this.areas.insert(area);
    return true;
  }

  /** A domain that holds every area already: restored from the previous kernel. */
  adoptDomain(domain: PagingDomain): number {
    const beyond = (BigInt(domain.lastPage) + 1n) * PAGE;
    const rc = beyond <= U64_MAX ? this.reserve(beyond, U64_MAX, domain) : 0;
    if (rc < 0) return rc;
    for (const area of this.areas.items) area.storage ??= domain;
    this.domains.push(domain);
    this.alignment = PAGE;
    return 0;
  }

  /** A domain leaves; the storage role goes to another one, or the pages are unpinned. */
  removeDomain(domain: PagingDomain): void {
    const at = this.domains.indexOf(domain);
    if (at < 0) return;
    this.domains.splice(at, 1);
    for (const area of this.areas.items) unfillDomain(area, domain, this.domains[0]);
    this.release(domain);
    if (this.domains.length === 0) this.alignment = 1n;
  }

  /** Takes IOVAs out of use for `owner`. EADDRINUSE where something is mapped. */
  reserve(start: bigint, last: bigint, owner: unknown): number {
    if (this.areas.first(start, last) !== undefined) return -E.EADDRINUSE;
    this.#reserved.insert({ start, last, owner });
    return 0;
  }

  release(owner: unknown): void {
    for (const r of [...this.#reserved]) if (r.owner === owner) this.#reserved.remove(r);
  }

  /**
   * First fit from low addresses, never 0 (FACTS 1.3, auto IOVA). EINVAL for memory that is not
   * aligned as the domains want it.
   */
  #findIova(uptr: bigint, length: bigint): bigint | number {
    if (length >= U64_MAX / 2n) return -E.EOVERFLOW;
    let align = 1n;
    while (align < length) align *= 2n;
    const lowBit = uptr === 0n ? align : uptr & -uptr;
    if (lowBit < align) align = lowBit;
    if (align > BigInt(2 * MiB)) align = BigInt(2 * MiB);
    if (align < this.alignment) return -E.EINVAL;
    const offset = uptr % PAGE;
    return this.#firstFit(length, align, offset) ??
      this.#firstFit(length, this.alignment, offset) ??
      -E.ENOSPC;
  }

  #firstFit(length: bigint, align: bigint, offset: bigint): bigint | undefined {
    for (const range of this.usableRanges()) {
      let at = range.start < PAGE ? PAGE : range.start;
      for (;;) {
        at = ((at + align - 1n) / align) * align | offset;
        const last = at + length - 1n;
        if (last > range.last || last > U64_MAX - PAGE) break;
        const clash = this.areas.first(at, last);
        if (clash === undefined) return at;
        at = clash.last + 1n;
      }
    }
    return undefined;
  }
}
