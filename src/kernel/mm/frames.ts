import type { Memory } from "../../machine/memory.ts";

/** What this kernel believes a frame is used for. A belief: the next kernel starts with none. */
export const enum FrameUse {
  /** Not RAM, or RAM this kernel never heard of. */
  none = 0,
  free = 1,
  /** Kernel text, data, and whatever boot or a driver keeps for itself. */
  kernel = 2,
  /** A page of I/O page tables, or a root or context table. */
  iommuTable = 3,
  /** Pages of a process or a memfd. */
  user = 4,
  /** Reserved for guestmemfs: not in the allocator, no struct page. */
  guestmemfs = 5,
  /** The KHO scratch region: early boot and kexec images only. */
  scratch = 6,
  /** Handed over by the previous kernel, not claimed by anyone yet. */
  preserved = 7,
}

const CHUNK_SHIFT = 18;
const CHUNK = 1 << CHUNK_SHIFT;

/**
 * One byte per frame: its {@link FrameUse}. A chunk is made when a part of it is set, so a terabyte of
 * memory that nobody touched, or that is all for one use, costs nothing. The last one ends with memory.
 */
export class FrameMap {
  #chunks: (Uint8Array | undefined)[];
  /** Use of all frames of a chunk that was never made. */
  readonly #whole: Uint8Array;
  /** Use of frames that nothing was set for. */
  #default: (pfn: number) => FrameUse;
  readonly #frames: number;

  constructor(memory: Memory, untouched: (pfn: number) => FrameUse) {
    this.#frames = memory.frames;
    this.#chunks = new Array(Math.ceil(memory.frames / CHUNK)).fill(undefined);
    this.#whole = new Uint8Array(this.#chunks.length);
    this.#default = untouched;
  }

  use(pfn: number): FrameUse {
    const index = pfn >>> CHUNK_SHIFT, chunk = this.#chunks[index];
    const use = chunk === undefined ? this.#whole[index] : chunk[pfn & (CHUNK - 1)];
    return (use ?? 0) === 0 ? this.#default(pfn) : use;
  }

  /** Frames from one on that have the same use, as far as that takes no looking: at least 1. */
  alike(pfn: number): number {
    const index = pfn >>> CHUNK_SHIFT;
    const isWhole = this.#chunks[index] === undefined && (this.#whole[index] ?? 0) !== 0;
    return isWhole ? CHUNK - (pfn & (CHUNK - 1)) : 1;
  }

  /** The use of every `stride`-th frame from `pfn` on; 0 of those that nothing was set for. */
  copy(pfn: number, stride: number, into: Uint8Array): void {
    for (let i = 0; i < into.length;) {
      const at = pfn + i * stride, first = at & (CHUNK - 1);
      const n = Math.min(into.length - i, Math.ceil((CHUNK - first) / stride));
      const index = at >>> CHUNK_SHIFT, chunk = this.#chunks[index];
      if (chunk === undefined) into.fill(this.#whole[index] ?? 0, i, i + n);
      else if (stride === 1 && first + n <= chunk.length) {
        into.set(chunk.subarray(first, first + n), i);
      } else for (let k = 0; k < n; k++) into[i + k] = chunk[first + k * stride] ?? 0;
      i += n;
    }
  }

  setOne(pfn: number, use: FrameUse): void {
    const chunk = this.#chunks[pfn >>> CHUNK_SHIFT];
    if (chunk === undefined) this.set(pfn, 1, use);
    else chunk[pfn & (CHUNK - 1)] = use;
  }

  set(pfn: number, count: number, use: FrameUse): void {
    for (let i = 0; i < count;) {
      const at = pfn + i;
      const n = Math.min(count - i, CHUNK - (at & (CHUNK - 1)));
      const index = at >>> CHUNK_SHIFT;
      if (n === CHUNK) {
        this.#chunks[index] = undefined;
        this.#whole[index] = use;
      } else {
        const chunk = this.#chunks[index] ??= this.#makeChunk(index);
        chunk.fill(use, at & (CHUNK - 1), (at & (CHUNK - 1)) + n);
      }
      i += n;
    }
  }
  #makeChunk(index: number): Uint8Array {
    const chunk = new Uint8Array(Math.min(CHUNK, this.#frames - index * CHUNK));
    const whole = this.#whole[index];
    return whole === 0 ? chunk : chunk.fill(whole);
  }
}
