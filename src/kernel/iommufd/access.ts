import { PAGE_SIZE } from "../../base/units.ts";
import * as E from "../../uapi/errno.ts";
import { IOMMU_READ, IOMMU_WRITE, U64_MAX } from "../../uapi/iommufd.ts";
import type { Area } from "./area.ts";
import type { IommufdCtx } from "./ctx.ts";
import type { Accessor } from "./io_pagetable.ts";
import { getIoas, type Ioas } from "./ioas.ts";
import { IommufdObject, ObjectKind } from "./objects.ts";
import type { IoptPages } from "./pages.ts";

/** What a driver that uses an access has to be able to do. */
export interface AccessOps {
  /** It holds pages for longer than a call, so it must have {@link unmap}. */
  readonly needsPinPages: boolean;
  /** The IOVAs [iova, iova + length) go: everything pinned there must be unpinned now. */
  unmap?(iova: bigint, length: bigint): void;
}

/**
 * Use of an IOAS by kernel code instead of a device's IOMMU: it reads and writes the memory, or pins
 * pages of it. The driver that made it is a user, so DESTROY answers EBUSY (FACTS 1.5, access
 * objects).
 */
export class IommufdAccess extends IommufdObject implements Accessor {
  readonly kind = ObjectKind.access;
  #ioas: Ioas | undefined;

  private constructor(readonly ctx: IommufdCtx, readonly ops: AccessOps) {
    super();
  }

  /** EINVAL: it wants to pin but has no hook to let go. `id`: one that is reserved for it. */
  static create(ctx: IommufdCtx, ops: AccessOps, id?: number): IommufdAccess | number {
    if (ops.needsPinPages && ops.unmap === undefined) return -E.EINVAL;
    const made = new IommufdAccess(ctx, ops);
    const access = id === undefined ? ctx.objects.add(made) : ctx.objects.addAt(id, made);
    access.users++;
    ctx.get();
    return access;
  }

  /** The driver is done with it. */
  release(): void {
    this.detach();
    this.users--;
    this.ctx.objects.remove(this.id);
    this.ctx.put();
  }

  override destroy(): void {}

  get pinsPages(): boolean {
    return this.ops.needsPinPages;
  }

  unmapped(start: bigint, last: bigint): void {
    this.ops.unmap?.(start, last - start + 1n);
  }

  /** EINVAL while attached; ENOENT; EADDRINUSE where the IOAS has areas that are no whole pages. */
  attach(ioasId: number): number {
    return this.#ioas === undefined ? this.#change(ioasId) : -E.EINVAL;
  }

  /** Another IOAS instead. ENOENT while not attached, or for the id. */
  replace(ioasId: number): number {
    return this.#ioas === undefined ? -E.ENOENT : this.#change(ioasId);
  }

  /** Attaches it, or moves it from another IOAS. */
  use(ioasId: number): number {
    return this.#ioas === undefined ? this.attach(ioasId) : this.replace(ioasId);
  }

  /** The IOAS it is attached to. */
  get ioas(): Ioas | undefined {
    return this.#ioas;
  }

  /** Whatever it holds it is asked to let go first. */
  detach(): void {
    const ioas = this.#ioas;
    if (ioas === undefined) return;
    this.ops.unmap?.(0n, U64_MAX);
    this.#ioas = undefined;
    ioas.iopt.removeAccessor(this);
    ioas.users--;
  }

  #change(ioasId: number): number {
    const ioas = getIoas(this.ctx, ioasId);
    if (ioas === undefined) return -E.ENOENT;
    if (ioas === this.#ioas) return 0;
    const rc = ioas.iopt.addAccessor(this);
    if (rc < 0) return rc;
    this.detach();
    ioas.users++;
    this.#ioas = ioas;
    return 0;
  }

  /**
   * Frames of the pages of [iova, iova + length), pinned until {@link unpinPages}. EINVAL: the range
   * is empty or no whole pages; ENOENT: not attached, not all of it is mapped, or it is going away;
   * EPERM: to be written, but mapped to be read; else what pinning answers.
   */
  pinPages(iova: bigint, length: bigint, write: boolean): number[] | number {
    if (!this.pinsPages || length <= 0n) return -E.EINVAL;
    const spans = this.#spans(iova, length, write);
    if (typeof spans === "number") return spans;
    if (spans.some(({ whole }) => !whole)) return -E.EINVAL;
    const frames: number[] = [];
    for (const [i, { area, pages, first, count }] of spans.entries()) {
      const some = pages.hold(first, count);
      if (typeof some === "number") {
        for (const done of spans.slice(0, i)) drop(done);
        return some;
      }
      area.accesses++;
      frames.push(...some);
    }
    return frames;
  }

  /** Undoes one {@link pinPages} of the same range. */
  unpinPages(iova: bigint, length: bigint): void {
    const last = iova + length - 1n;
    for (const area of this.#ioas?.iopt.areas.overlapping(iova, last) ?? []) {
      if (area.pages !== null) drop(spanOf(area, area.pages, iova, last));
    }
  }

  /**
   * Copies `bytes` to the memory behind the IOVA, or from it into `bytes`. ENOENT where something
   * is not mapped, EPERM, or what pinning answers.
   */
  rw(iova: bigint, bytes: Uint8Array, write: boolean): number {
    if (bytes.length === 0) return -E.EINVAL;
    const spans = this.#spans(iova, BigInt(bytes.length), write);
    if (typeof spans === "number") return spans;
    const { memory } = this.ctx.kernel.machine;
    let done = 0;
    for (const { pages, first, count, offset } of spans) {
      const frames = pages.hold(first, count);
      if (typeof frames === "number") return frames;
      for (const [i, pfn] of frames.entries()) {
        const at = i === 0 ? offset : 0;
        const part = bytes.subarray(done, done + PAGE_SIZE - at);
        if (write) memory.write(pfn * PAGE_SIZE + at, part);
        else part.set(memory.read(pfn * PAGE_SIZE + at, part.length));
        done += part.length;
      }
      pages.unhold(first, count);
    }
    return 0;
  }

  #spans(iova: bigint, length: bigint, write: boolean): Span[] | number {
    const last = iova + length - 1n;
    if (last > U64_MAX) return -E.EOVERFLOW;
    const spans: Span[] = [];
    let at = iova;
    for (const area of this.#ioas?.iopt.areas.overlapping(iova, last) ?? []) {
      const { pages } = area;
      if (area.start > at || area.preventAccess || pages === null) return -E.ENOENT;
      if ((area.prot & (write ? IOMMU_WRITE : IOMMU_READ)) === 0) return -E.EPERM;
      spans.push(spanOf(area, pages, iova, last));
      at = area.last + 1n;
    }
    return at > last ? spans : -E.ENOENT;
  }
}

/** Part of an area as pages of its pages object. */
interface Span {
  readonly area: Area;
  readonly pages: IoptPages;
  readonly first: number;
  readonly count: number;
  /** Byte in the first page. */
  readonly offset: number;
  readonly whole: boolean;
}

function spanOf(area: Area, pages: IoptPages, start: bigint, last: bigint): Span {
  const from = start > area.start ? start : area.start;
  const to = last < area.last ? last : area.last;
  const byte = area.first * PAGE_SIZE + area.pageOffset + Number(from - area.start);
  const end = byte + Number(to - from) + 1;
  const first = Math.floor(byte / PAGE_SIZE);
  return {
    area,
    pages,
    first,
    count: Math.ceil(end / PAGE_SIZE) - first,
    offset: byte % PAGE_SIZE,
    whole: byte % PAGE_SIZE === 0 && end % PAGE_SIZE === 0,
  };
}

function drop({ area, pages, first, count }: Span): void {
  pages.unhold(first, count);
  area.accesses--;
}
