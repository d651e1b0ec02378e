import { assert } from "../../base/assert.ts";
import type { Frames } from "../../machine/frame_runs.ts";
import type { PageAllocator } from "./page_alloc.ts";
import { FrameUse } from "./frames.ts";

/** What a user page belongs to: anonymous memory or a memfd, which finds it by its index. */
export interface PageOwner {
  /** The page is in this frame from now on, with all that was in it. */
  moved(index: number, pfn: number): void;
}

/** Whoever has frame numbers in tables of its own and must follow when a page moves. */
export type MoveNotifier = (from: number, to: number) => void;

const SHIFT = 10;
const CHUNK = 1 << SHIFT;

/** The books of neighbouring frames. */
class Chunk {
  /** References, 0: no user page. */
  readonly refs = new Int32Array(CHUNK);
  /** Those of them that are pins. */
  readonly pins = new Int32Array(CHUNK);
  readonly owners: (PageOwner | undefined)[] = new Array(CHUNK).fill(undefined);
  readonly indexes = new Int32Array(CHUNK);
}

/**
 * Reference counts of user pages (anonymous memory and memfds). A page lives while a mapping or
 * a long-term pin holds it: unmapping memory under a device's DMA does not free the frames. It
 * stays where it is only while it is pinned.
 */
export class UserPages {
  readonly #chunks: (Chunk | undefined)[] = [];
  /** Tables beside the owners': of processors, of virtual machines (MMU notifiers). */
  readonly notifiers = new Set<MoveNotifier>();
  #pinned = 0;

  constructor(readonly allocator: PageAllocator) {}

  /** A zeroed page with one reference, the owner's, or -1. */
  alloc(owner: PageOwner, index: number): number {
    const pfn = this.allocator.allocPage(FrameUse.user);
    if (pfn >= 0) this.adopt(pfn, owner, index);
    return pfn;
  }

  /** The same for as many of `count` pages as come side by side; `pfn` -1: there is no memory. */
  allocRun(owner: PageOwner, index: number, count: number): Frames {
    const run = this.allocator.allocRun(count, FrameUse.user);
    for (let i = 0; i < run.count; i++) this.adopt(run.pfn + i, owner, index + i);
    return run;
  }

  /** The frame is a user page of this kernel's. */
  has(pfn: number): boolean {
    return this.#refsOf(pfn) > 0;
  }

  /** A frame that holds an owner's page already: handed over by the previous kernel. */
  adopt(pfn: number, owner: PageOwner, index: number): void {
    const chunk = this.#chunks[pfn >>> SHIFT] ??= new Chunk(), i = pfn & (CHUNK - 1);
    chunk.refs[i] = 1;
    chunk.owners[i] = owner;
    chunk.indexes[i] = index;
  }

  /** Frames whose page may be moved: nobody but its owner holds it. Ascending. */
  movable(): number[] {
    const found: number[] = [];
    this.#chunks.forEach((chunk, n) => {
      for (let i = 0; i < CHUNK; i++) {
        if (chunk?.refs[i] === 1 && chunk.pins[i] === 0) found.push(n * CHUNK + i);
      }
    });
    return found;
  }

  /** Moves a page into a frame that was allocated for it; the old one is free afterwards. */
  move(from: number, to: number): void {
    const chunk = this.#chunkOf(from), i = from & (CHUNK - 1);
    const owner = chunk.owners[i], index = chunk.indexes[i];
    const isMovable = chunk.refs[i] === 1 && chunk.pins[i] === 0;
    assert(owner !== undefined && isMovable, `frame ${from} cannot be moved`);
    this.allocator.memory.copyFrame(from, to);
    chunk.refs[i] = 0;
    chunk.owners[i] = undefined;
    this.adopt(to, owner, index);
    owner.moved(index, to);
    for (const notify of this.notifiers) notify(from, to);
    this.allocator.freeRange(from, 1);
  }

  get(pfn: number): void {
    this.#chunkOf(pfn).refs[pfn & (CHUNK - 1)]++;
  }

  /** Drops a reference; the last one frees the page. */
  put(pfn: number): void {
    const chunk = this.#chunkOf(pfn), i = pfn & (CHUNK - 1);
    if (--chunk.refs[i] > 0) return;
    chunk.owners[i] = undefined;
    this.allocator.freePage(pfn);
  }

  /** Long-term pins: references that are also counted as pins (FOLL_LONGTERM), a frame one. */
  pin(pfn: number, count = 1): void {
    for (let at = pfn; at < pfn + count; at++) {
      const chunk = this.#chunkOf(at), i = at & (CHUNK - 1);
      chunk.refs[i]++;
      if (chunk.pins[i]++ === 0) this.#pinned++;
    }
  }

  unpin(pfn: number, count = 1): void {
    for (let at = pfn; at < pfn + count; at++) {
      const chunk = this.#chunkOf(at), i = at & (CHUNK - 1);
      if (chunk.pins[i] === 0) assert(false, `frame ${at} is not pinned`);
      if (--chunk.pins[i] === 0) this.#pinned--;
      this.put(at);
    }
  }

  /** Frames pinned at least once. */
  get pinned(): number {
    return this.#pinned;
  }

  pinsOf(pfn: number): number {
    return this.#chunks[pfn >>> SHIFT]?.pins[pfn & (CHUNK - 1)] ?? 0;
  }

  #refsOf(pfn: number): number {
    return this.#chunks[pfn >>> SHIFT]?.refs[pfn & (CHUNK - 1)] ?? 0;
  }

  #chunkOf(pfn: number): Chunk {
    const chunk = this.#chunks[pfn >>> SHIFT];
    if (chunk === undefined || chunk.refs[pfn & (CHUNK - 1)] === 0) {
      assert(false, `frame ${pfn} is no user page`);
    }
    return chunk;
  }
}
