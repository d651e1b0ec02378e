import { IntervalTree } from "../../base/interval_tree.ts";
import { MiB, PAGE_SIZE } from "../../base/units.ts";
import * as E from "../../uapi/errno.ts";
import { U64_MAX } from "../../uapi/iommufd.ts";
import type { Area } from "./area.ts";

const PAGE = BigInt(PAGE_SIZE);

/** A range of IOVAs, both ends inside. */
export interface IovaRange {
  readonly start: bigint;
  readonly last: bigint;
}

interface Reserved extends IovaRange {
  readonly owner: unknown;
}

/** Which IOVAs of an IOAS may be used: what is reserved, what the user allows, and what is free. */
export class IovaSpace {
  readonly #reserved = new IntervalTree<bigint, Reserved>();
  /** Empty: no restriction. */
  readonly #allowed = new IntervalTree<bigint, IovaRange>();

  constructor(readonly areas: IntervalTree<bigint, Area>) {}

  /** Maximal ranges that nothing reserves: what IOVA_RANGES reports. */
  usable(): IovaRange[] {
    const ranges: IovaRange[] = [];
    let at = 0n;
    for (const r of this.#reserved.items) {
      if (r.start > at) ranges.push({ start: at, last: r.start - 1n });
      if (r.last >= at) at = r.last + 1n;
    }
    if (at <= U64_MAX) ranges.push({ start: at, last: U64_MAX });
    return ranges;
  }

  get allowed(): readonly IovaRange[] {
    return this.#allowed.items;
  }

  /** Replaces the allowed list as a whole. EADDRINUSE where it meets a reserved range. */
  allow(ranges: readonly IovaRange[]): number {
    if (ranges.some((r) => this.isReserved(r.start, r.last))) return -E.EADDRINUSE;
    this.#allowed.clear();
    for (const r of ranges) this.#allowed.insert(r);
    return 0;
  }

  isReserved(start: bigint, last: bigint): boolean {
    return this.#reserved.first(start, last) !== undefined;
  }

  /** Takes IOVAs out of use for `owner`. EADDRINUSE where something is mapped, or was promised. */
  reserve(start: bigint, last: bigint, owner: unknown): number {
    const taken = this.areas.first(start, last) ?? this.#allowed.first(start, last);
    if (taken !== undefined) return -E.EADDRINUSE;
    this.#reserved.insert({ start, last, owner });
    return 0;
  }

  release(owner: unknown): void {
    for (const r of [...this.#reserved]) if (r.owner === owner) this.#reserved.remove(r);
  }

  /**
   * First fit from low addresses, never 0 (FACTS 1.3, auto IOVA). EOVERFLOW for half the space or
   * more, EINVAL for memory that is not aligned as the domains want it, ENOSPC when none is left.
   */
  find(uptr: bigint, length: bigint, alignment: bigint): bigint | number {
    if (length >= U64_MAX / 2n) return -E.EOVERFLOW;
    let align = 1n;
    while (align < length) align *= 2n;
    const lowBit = uptr === 0n ? align : uptr & -uptr;
    if (lowBit < align) align = lowBit;
    if (align > BigInt(2 * MiB)) align = BigInt(2 * MiB);
    if (align < alignment) return -E.EINVAL;
    const offset = uptr % PAGE;
    return this.#firstFit(length, align, offset) ??
      this.#firstFit(length, alignment, offset) ??
      -E.ENOSPC;
  }

  #firstFit(length: bigint, align: bigint, offset: bigint): bigint | undefined {
    for (const range of this.#candidates()) {
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

  /** What is usable and, where there is a list, allowed; ascending. */
  *#candidates(): Generator<IovaRange> {
    for (const range of this.usable()) {
      if (this.#allowed.size === 0) yield range;
      for (const a of this.#allowed.overlapping(range.start, range.last)) {
        yield {
          start: a.start > range.start ? a.start : range.start,
          last: a.last < range.last ? a.last : range.last,
        };
      }
    }
  }
}
