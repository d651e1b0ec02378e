import { GiB, MiB, PAGE_SIZE, PAGE_WORDS } from "../base/units.ts";
import { fillWide } from "./fill.ts";

/** Bytes of a part of physical memory, whole frames, with a note of what was written. */
export class MemoryBuffer {
  readonly bytes: ArrayBuffer | SharedArrayBuffer;
  /** One byte per frame: 1 = has been written since the machine was made that has it. */
  readonly written: Uint8Array;
  /** The same for all machines that have had it: frames that the host keeps a page for. */
  #touched: Uint8Array | undefined;
  #resident = 0;

  /**
   * `uncounted`: of the kind that could be shared, though nobody does. The garbage collector does not
   * count it, and the other kind of this size makes it run at once; but clearing it takes half as long
   * again.
   */
  constructor(size: number, uncounted: boolean) {
    this.bytes = uncounted ? new SharedArrayBuffer(size) : new ArrayBuffer(size);
    const frames = size / PAGE_SIZE;
    // So that eight can be looked at at once.
    this.written = new Uint8Array(new ArrayBuffer(Math.ceil(frames / 8) * 8), 0, frames);
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
    const { written } = this, words = new Float64Array(this.bytes);
    const frames = written.length;
    this.#touched ??= new Uint8Array(frames);
    for (let at = nextWritten(written, 0); at < frames; at = nextWritten(written, at)) {
      const first = at;
      while (at < frames && written[at] === 1) this.#touch(at++);
      fillWide(words, first * PAGE_WORDS / 2, at * PAGE_WORDS / 2, 0);
      if (this.resident > limit) return false;
    }
    written.fill(0);
    return true;
  }

  #touch(frame: number): void {
    const touched = this.#touched as Uint8Array;
    if (touched[frame] === 0) this.#resident++;
    touched[frame] = 1;
  }
}

/** Index of the first 1 in [from, end), `end` where none is. `written` begins where 8 bytes do. */
export function nextWritten(written: Uint8Array, from: number, end = written.length): number {
  let at = from;
  for (const near = Math.min(end, from + FEW); at < near; at++) if (written[at] !== 0) return at;
  if (at < end) {
    while ((at & 7) !== 0 && written[at] === 0) at++;
    if ((at & 7) === 0) {
      const eights = new Float64Array(written.buffer, written.byteOffset, end >>> 3);
      let i = at >>> 3;
      while (i < eights.length && eights[i] === 0) i++;
      at = i << 3;
    }
  }
  while (at < end && written[at] === 0) at++;
  return Math.min(at, end);
}

/** Frames that are looked at one by one: no view is made for those. */
const FEW = 64;

/**
 * Memory of machines that are gone, for those to come. A new buffer costs a page fault of the host's
 * for each frame: many times what it takes to clear what a machine has written.
 */
export class MemoryPool {
  /** Those given back last are at the end. */
  readonly #spares: MemoryBuffer[] = [];

  /**
   * At most so many bytes wait. `resident`: that the host keeps pages for, what two kernels write
   * for a guest of 64 GiB in pages of 4 KiB. `space`: of all buffers, used or not.
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
   * several the one that the host keeps most of: what is asked for first is written to most. `uncounted`:
   * see {@link MemoryBuffer}, of a new one.
   */
  take(size: number, uncounted = false): MemoryBuffer {
    const fitting = this.#spares.filter(({ bytes }) => bytes.byteLength >= size);
    if (fitting.length === 0) return new MemoryBuffer(size, uncounted);
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
