import { assert } from "../../base/assert.ts";
import type { PageAllocator } from "./page_alloc.ts";
import { FrameUse } from "./frames.ts";

/** What a user page belongs to: anonymous memory or a memfd, which finds it by its index. */
export interface PageOwner {
  /** The page is in this frame from now on, with all that was in it. */
  moved(index: number, pfn: number): void;
}

/** Whoever has frame numbers in tables of its own and must follow when a page moves. */
export type MoveNotifier = (from: number, to: number) => void;

/**
 * Reference counts of user pages (anonymous memory and memfds). A page lives while a mapping or
 * a long-term pin holds it: unmapping memory under a device's DMA does not free the frames. It
 * stays where it is only while it is pinned.
 */
export class UserPages {
  #refs = new Map<number, number>();
  #pins = new Map<number, number>();
  readonly #owners = new Map<number, { readonly owner: PageOwner; readonly index: number }>();
  /** Tables beside the owners': of processors, of virtual machines (MMU notifiers). */
  readonly notifiers = new Set<MoveNotifier>();

  constructor(readonly allocator: PageAllocator) {}

  /** A zeroed page with one reference, the owner's, or -1. */
  alloc(owner: PageOwner, index: number): number {
    const pfn = this.allocator.allocPage(FrameUse.user);
    if (pfn >= 0) this.adopt(pfn, owner, index);
    return pfn;
  }

  /** The frame is a user page of this kernel's. */
  has(pfn: number): boolean {
    return this.#refs.has(pfn);
  }

  /** A frame that holds an owner's page already: handed over by the previous kernel. */
  adopt(pfn: number, owner: PageOwner, index: number): void {
    this.#refs.set(pfn, 1);
    this.#owners.set(pfn, { owner, index });
  }

  /** Frames whose page may be moved: nobody but its owner holds it. Ascending. */
  movable(): number[] {
    return [...this.#owners.keys()].filter((pfn) => this.#isMovable(pfn)).sort((a, b) => a - b);
  }

  #isMovable(pfn: number): boolean {
    return this.#refs.get(pfn) === 1 && !this.#pins.has(pfn);
  }

  /** Moves a page into a frame that was allocated for it; the old one is free afterwards. */
  move(from: number, to: number): void {
    const page = this.#owners.get(from);
    assert(page !== undefined && this.#isMovable(from), `frame ${from} cannot be moved`);
    this.allocator.memory.copyFrame(from, to);
    this.#owners.delete(from);
    this.#refs.delete(from);
    this.adopt(to, page.owner, page.index);
    page.owner.moved(page.index, to);
    for (const notify of this.notifiers) notify(from, to);
    this.allocator.freeRange(from, 1);
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
      this.#owners.delete(pfn);
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
