import { assert } from "../../base/assert.ts";
import type { PageAllocator } from "./page_alloc.ts";
import { FrameUse } from "./frames.ts";

/**
 * Reference counts of user pages (anonymous memory and memfds). A page lives while a mapping or
 * a long-term pin holds it: unmapping memory under a device's DMA does not free the frames.
 */
export class UserPages {
  #refs = new Map<number, number>();
  #pins = new Map<number, number>();

  constructor(readonly allocator: PageAllocator) {}

  /** A zeroed page with one reference, or -1. */
  alloc(): number {
    const pfn = this.allocator.allocPage(FrameUse.user);
    if (pfn >= 0) this.#refs.set(pfn, 1);
    return pfn;
  }

  get(pfn: number): void {
    const refs = this.#refs.get(pfn);
    assert(refs !== undefined, `frame ${pfn} is no user page`);
    this.#refs.set(pfn, refs + 1);
  }

  /** Drops a reference; the last one frees the page. */
  put(pfn: number): void {
    const refs = this.#refs.get(pfn);
    assert(refs !== undefined, `frame ${pfn} is no user page`);
    if (refs > 1) this.#refs.set(pfn, refs - 1);
    else {
      this.#refs.delete(pfn);
      this.allocator.freePage(pfn);
    }
  }

  /** A long-term pin: a reference that is also counted as a pin (FOLL_LONGTERM). */
  pin(pfn: number): void {
    this.get(pfn);
    this.#pins.set(pfn, (this.#pins.get(pfn) ?? 0) + 1);
  }

  unpin(pfn: number): void {
    const pins = this.#pins.get(pfn);
    assert(pins !== undefined, `frame ${pfn} is not pinned`);
    if (pins > 1) this.#pins.set(pfn, pins - 1);
    else this.#pins.delete(pfn);
    this.put(pfn);
  }

  /** Frames pinned at least once. */
  get pinned(): number {
    return this.#pins.size;
  }

  pinsOf(pfn: number): number {
    return this.#pins.get(pfn) ?? 0;
  }
}
