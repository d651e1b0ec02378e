import { GiB, MiB, PAGE_SIZE, PAGE_WORDS } from "../base/units.ts";

/** Bytes of a part of physical memory, whole frames, with a note of what was written. */
export class MemoryBuffer {
  readonly bytes: ArrayBuffer;
  /** One byte per frame: 1 = has been written since the machine was made that has it. */
  readonly written: Uint8Array;
  /** The same for all machines that have had it: frames that the host keeps a page for. */
  #touched: Uint8Array | undefined;
  #resident = 0;

  constructor(size: number) {
    this.bytes = new ArrayBuffer(size);
    this.written = new Uint8Array(size / PAGE_SIZE);
  }

  /** Bytes the host keeps pages for, as of the last {@link clear}. */
  get resident(): number {
    return this.#resident * PAGE_SIZE;
  }

  /**
   * As new: zeros everywhere, nothing written. False: the host keeps more than `limit` bytes of it, and
   * the rest of the work was not worth it.
   */
  clear(limit: number): boolean {
    const { written } = this, words = new Uint32Array(this.bytes);
    const touched = this.#touched ??= new Uint8Array(written.length);
    for (let first = this.#next(0); first < written.length;) {
      const found = written.indexOf(0, first), end = found < 0 ? written.length : found;
      words.fill(0, first * PAGE_WORDS, end * PAGE_WORDS);
      written.fill(0, first, end);
      for (let i = first; i < end; i++) {
        if (touched[i] !== 0) continue;
        touched[i] = 1;
        this.#resident++;
      }
      if (this.resident > limit) return false;
      first = this.#next(end);
    }
    return true;
  }

  /** The first frame from one on that was written, looked for eight by eight. */
  #next(from: number): number {
    const { written } = this, eights = new Float64Array(written.buffer, 0, written.length >>> 3);
    let at = Math.ceil(from / 8);
    const before = written.subarray(from, at * 8).indexOf(1);
    if (before >= 0) return from + before;
    while (at < eights.length && eights[at] === 0) at++;
    const found = written.indexOf(1, at * 8);
    return found < 0 ? written.length : found;
  }
}

/**
 * Memory of machines that are gone, for those to come. A new buffer costs a page fault of the host's
 * for each frame, and a run of the garbage collector when it is large: many times what it takes to
 * clear what a small machine has written.
 */
export class MemoryPool {
  /** Those given back last are at the end. */
  readonly #spares: MemoryBuffer[] = [];

  /**
   * At most so many bytes wait. `resident`: that the host keeps pages for, what two kernels write
   * for a guest of 64 GiB in pages of 4 KiB. `space`: of buffers, which is what the garbage collector goes by.
   */
  constructor(readonly limit = { resident: 384 * MiB, space: 16 * GiB }) {}

  /** What waits, in bytes. */
  get resident(): number {
    return this.#spares.reduce((sum, spare) => sum + spare.resident, 0);
  }
  get space(): number {
    return this.#spares.reduce((sum, spare) => sum + spare.bytes.byteLength, 0);
  }

  /**
   * At least `size` bytes of zeros: the smallest buffer that waits and is large enough, or a new one. Of
   * several the one that the host keeps most of: what is asked for first is written to most.
   */
  take(size: number): MemoryBuffer {
    const fitting = this.#spares.filter(({ bytes }) => bytes.byteLength >= size);
    if (fitting.length === 0) return new MemoryBuffer(size);
    const best = fitting.reduce((a, b) => {
      const larger = b.bytes.byteLength - a.bytes.byteLength;
      return larger < 0 || (larger === 0 && b.resident > a.resident) ? b : a;
    });
    this.#spares.splice(this.#spares.indexOf(best), 1);
    return best;
  }

  /** Takes back what nobody looks at any more. What is too much goes, the oldest first. */
  give(buffer: MemoryBuffer): void {
    const { resident, space } = this.limit;
    if (buffer.bytes.byteLength > space || !buffer.clear(resident)) return;
    this.#spares.push(buffer);
    while (this.resident > resident || this.space > space) this.#spares.shift();
  }
}

/** Where machines take their memory from. */
export const MACHINE_MEMORY = new MemoryPool();
