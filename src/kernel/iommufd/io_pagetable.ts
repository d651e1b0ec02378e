import { IntervalTree } from "../../base/interval_tree.ts";
import { PAGE_SIZE } from "../../base/units.ts";
import * as E from "../../uapi/errno.ts";
import { IOMMU_WRITE, U64_MAX } from "../../uapi/iommufd.ts";
import type { Dmesg } from "../dmesg.ts";
import type { PagingDomain } from "../iommu/domain.ts";
import { Area } from "./area.ts";
import type { Parting } from "./file_pin.ts";
import { IovaSpace } from "./iova_space.ts";
import type { IoptPages } from "./pages.ts";

const PAGE = BigInt(PAGE_SIZE);

/** A part of a pages object that is to be mapped: `length` bytes from `startByte`. */
export interface Piece {
  readonly pages: IoptPages;
  readonly startByte: number;
  readonly length: bigint;
}

/** It would end behind the last address or file offset there is. */
function endsNowhere({ pages, startByte, length }: Piece): boolean {
  return pages.uptr + BigInt(startByte) + length > U64_MAX;
}

/** Kernel code that may hold pages of an IOAS, as UNMAP sees it. */
export interface Accessor {
  /** True where it takes pages for longer than a call: it wants whole ones. */
  readonly pinsPages: boolean;
  /** The IOVAs go: it must let go of what it holds there. */
  unmapped(start: bigint, last: bigint): void;
}

/** How often UNMAP asks accesses to let go (FACTS 1.3, IOAS_UNMAP). */
const UNMAP_TRIES = 100;

/** The areas of one IOAS and the domains they are mapped into. */
export class IoPageTable {
  readonly areas = new IntervalTree<bigint, Area>();
  readonly space = new IovaSpace(this.areas);
  readonly domains: PagingDomain[] = [];
  readonly #accessors: Accessor[] = [];
  #largePages = true;

  constructor(readonly log: Dmesg) {}

  /** Bytes to which IOVAs, lengths and memory must be aligned: 1 while nobody wants whole pages. */
  get alignment(): bigint {
    const whole = this.domains.length > 0 || !this.#largePages ||
      this.#accessors.some((a) => a.pinsPages);
    return whole ? PAGE : 1n;
  }

  get largePages(): boolean {
    return this.#largePages;
  }

  /** OPTION_HUGE_PAGES. EINVAL: something is mapped already; EADDRINUSE: an area is no whole pages. */
  setLargePages(on: boolean): number {
    if (on || !this.#largePages) {
      this.#largePages = on;
      return 0;
    }
    if (this.domains.length > 0 && this.areas.size > 0) return -E.EINVAL;
    if (!this.#wholePages) return -E.EADDRINUSE;
    this.#largePages = false;
    return 0;
  }

  /** Sizes of pages that every domain can have; without one, all there are. */
  get pageSizes(): bigint {
    const sizes = this.domains.reduce((all, d) => all & BigInt(d.pageSizes), U64_MAX - PAGE + 1n);
    return sizes > this.alignment ? sizes : this.alignment;
  }

  /** Bytes that are mapped. */
  get mapped(): bigint {
    return this.areas.items.reduce((sum, a) => sum + (a.last - a.start + 1n), 0n);
  }

  /**
   * Maps pieces one behind the other. `fixed`: at `iova`, else somewhere free. The IOVA, or
   * an errno; the order of checks is FACTS 1.3, IOAS_MAP 5 to 10. On failure nothing is left mapped.
   */
  map(
    pieces: readonly Piece[],
    iova: bigint,
    prot: number,
    fixed: boolean,
  ): bigint | number {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0n);
    if (length === 0n || length > U64_MAX - PAGE) return -E.EINVAL;
    if (pieces.some(endsNowhere)) return -E.EOVERFLOW;
    if (length % this.alignment !== 0n) return -E.EINVAL;
    let start = iova;
    if (fixed) {
      if (iova % this.alignment !== 0n) return -E.EINVAL;
      if (iova + length - 1n > U64_MAX) return -E.EOVERFLOW;
      const last = iova + length - 1n;
      if (this.space.isReserved(iova, last)) return -E.EINVAL;
      if (this.areas.first(iova, last) !== undefined) return -E.EEXIST;
    } else {
      const [{ pages, startByte }] = pieces;
      const found = this.space.find(pages.uptr + BigInt(startByte), length, this.alignment);
      if (typeof found === "number") return found;
      start = found;
    }
    const areas: Area[] = [];
    let at = start;
    for (const { pages, startByte, length } of pieces) {
      const pageOffset = BigInt(startByte % PAGE_SIZE);
      if (pageOffset % this.alignment !== at % this.alignment) return -E.EINVAL;
      if ((prot & IOMMU_WRITE) !== 0 && !pages.writable) return -E.EPERM;
      areas.push(new Area(at, at + length - 1n, prot, pages, startByte));
      at += length;
    }
    const rc = this.#fillAll(areas);
    if (rc < 0) return rc;
    for (const area of areas) {
      area.pages?.get();
      this.areas.insert(area);
    }
    return start;
  }

  /** Every area into every domain, or none into any. */
  #fillAll(areas: readonly Area[]): number {
    const filled: [Area, PagingDomain][] = [];
    for (const area of areas) {
      for (const domain of this.domains) {
        const rc = area.fill(domain, !this.#largePages);
        if (rc < 0) {
          // The storage went in first: it comes out last.
          for (const [a, d] of filled.reverse()) this.#unfill(a, d, undefined);
          return rc;
        }
        filled.push([area, domain]);
      }
    }
    return 0;
  }

  /**
   * The pieces behind [start, last], in order. ENOENT where an area is missing, or is going away.
   */
  pieces(start: bigint, last: bigint): Piece[] | number {
    const pieces: Piece[] = [];
    let at = start;
    for (const area of this.areas.overlapping(start, last)) {
      const { pages } = area;
      if (area.start > at || area.preventAccess || pages === null) return -E.ENOENT;
      const end = area.last < last ? area.last : last;
      const startByte = area.first * PAGE_SIZE + area.pageOffset + Number(at - area.start);
      pieces.push({ pages, startByte, length: end - at + 1n });
      at = end + 1n;
    }
    return at > last ? pieces : -E.ENOENT;
  }

  /**
   * Unmaps every area inside [start, last]. Bytes unmapped, or: ENOENT, nothing is there, or the
   * range would cut an area; EBUSY, an area is being made; EDEADLOCK, an access does not let go. Not
   * atomic: what was unmapped before an error stays unmapped. `how`: for the pins of files.
   */
  unmap(start: bigint, last: bigint, how: Parting = "range"): bigint | number {
    let bytes = 0n;
    for (const area of this.areas.overlapping(start, last)) {
      if (area.start < start || area.last > last) return -E.ENOENT;
      if (area.pages === null) return -E.EBUSY;
      if (!this.#released(area)) {
        this.log.warn("WARNING: iommufd: an access does not let go of what is to be unmapped");
        return -E.EDEADLOCK;
      }
      this.#drop(area, how);
      bytes += area.last - area.start + 1n;
    }
    return bytes === 0n ? -E.ENOENT : bytes;
  }

  /**
   * Cuts the area that `iova` is in behind it, if it goes on there. Only VFIO's first type 1 may:
   * with it nothing is mapped by superpages. EBUSY: the area is going away; EINVAL: the cut would
   * leave no whole pages, an access holds some, or there may be superpages.
   */
  cut(iova: bigint): number {
    const area = this.areas.first(iova, iova), at = iova + 1n;
    if (area === undefined || area.last === iova) return 0;
    if (area.preventAccess || area.pages === null) return -E.EBUSY;
    const byte = BigInt(area.pageOffset) + (at - area.start);
    if (at % this.alignment !== 0n || byte % this.alignment !== 0n) return -E.EINVAL;
    if (area.accesses > 0 || (area.storage !== undefined && this.#largePages)) return -E.EINVAL;
    this.areas.remove(area);
    for (const part of area.split(at)) this.areas.insert(part);
    return 0;
  }

  /** Nothing there is fine here. Bytes unmapped, EBUSY or EDEADLOCK. */
  unmapAll(): bigint | number {
    return this.areas.size === 0 ? 0n : this.unmap(0n, U64_MAX, "all");
  }

  /** Has every access let go of the area? */
  #released(area: Area): boolean {
    for (let tries = 0; area.accesses > 0; tries++) {
      if (tries === UNMAP_TRIES) return false;
      area.preventAccess = true;
      for (const accessor of [...this.#accessors]) accessor.unmapped(area.start, area.last);
    }
    return true;
  }

  #drop(area: Area, how: Parting): void {
    this.areas.remove(area);
    for (const domain of this.domains) {
      if (domain !== area.storage) this.#unfill(area, domain, undefined);
    }
    if (area.storage !== undefined) this.#unfill(area, area.storage, undefined);
    area.pages?.put(how);
  }

  /** What is in an area is in every table; where it is not, something was at them (FACTS 1.4). */
  #unfill(area: Area, domain: PagingDomain, heir: PagingDomain | undefined): void {
    const missing = area.count - area.unfill(domain, heir);
    if (missing === 0) return;
    const at = `0x${area.start.toString(16)}`;
    this.log.warn(`WARNING: iommufd: ${missing} pages of the area at ${at} were not in the tables`);
  }

  /** Kernel code begins to use the IOAS. EADDRINUSE: it wants whole pages, an area is none. */
  addAccessor(accessor: Accessor): number {
    if (accessor.pinsPages && !this.#wholePages) return -E.EADDRINUSE;
    this.#accessors.push(accessor);
    return 0;
  }

  removeAccessor(accessor: Accessor): void {
    this.#accessors.splice(this.#accessors.indexOf(accessor), 1);
  }

  /** A domain joins: alignment, aperture, then every area is mapped into it. */
  addDomain(domain: PagingDomain): number {
    if (!this.#wholePages) return -E.EADDRINUSE;
    const rc = this.#reserveBeyond(domain);
    if (rc < 0) return rc;
    const done: Area[] = [];
    for (const area of this.areas.items) {
      const filled = area.fill(domain, !this.#largePages);
      if (filled < 0) {
        for (const a of done) this.#unfill(a, domain, this.domains[0]);
        this.space.release(domain);
        return filled;
      }
      done.push(area);
    }
    this.domains.push(domain);
    return 0;
  }

  /** Enters an area as it was before a kexec; false where it overlaps another. */
  restore(area: Area): boolean {
    if (this.areas.first(area.start, area.last) !== undefined) return false;
    area.pages?.get();
    this.areas.insert(area);
    return true;
  }

  /** A domain that holds every area already: restored from the previous kernel. */
  adoptDomain(domain: PagingDomain): number {
    const rc = this.#reserveBeyond(domain);
    if (rc < 0) return rc;
    for (const area of this.areas.items) {
      const adopted = area.adopt(domain);
      if (adopted < 0) return adopted;
    }
    this.domains.push(domain);
    return 0;
  }

  /** A domain leaves; the storage role goes to another one, or the pages are unpinned. */
  removeDomain(domain: PagingDomain): void {
    const at = this.domains.indexOf(domain);
    if (at < 0) return;
    this.domains.splice(at, 1);
    for (const area of this.areas.items) this.#unfill(area, domain, this.domains[0]);
    this.space.release(domain);
  }

  /** What the domain's tables do not reach is out of use while it is there. */
  #reserveBeyond(domain: PagingDomain): number {
    const beyond = (BigInt(domain.lastPage) + 1n) * PAGE;
    return beyond <= U64_MAX ? this.space.reserve(beyond, U64_MAX, domain) : 0;
  }

  get #wholePages(): boolean {
    return this.areas.items.every((a) =>
      a.start % PAGE === 0n && (a.last + 1n) % PAGE === 0n && a.pageOffset === 0
    );
  }
}
