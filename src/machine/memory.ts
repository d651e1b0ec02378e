import { assert } from "../base/assert.ts";
import { PAGE_SIZE, PAGE_WORDS } from "../base/units.ts";
import { fillWide, wideOf } from "./fill.ts";
import { MACHINE_MEMORY, type MemoryBuffer, type MemoryPool, nextWritten } from "./memory_pool.ts";
import { RamMap } from "./ram_map.ts";

/** Frames in one chunk: 1 GiB. */
const CHUNK_SHIFT = 18;
const CHUNK_FRAMES = 1 << CHUNK_SHIFT;
const CHUNK_MASK = CHUNK_FRAMES - 1;
const CHUNK_BYTES = CHUNK_FRAMES * PAGE_SIZE;
/**
 * A 64-bit value below 2^52, read or written as a double through {@link Memory.writableWide}, is so
 * many times this: the bits of a small double are those of the whole number.
 */
export const WIDE_UNIT = Number.MIN_VALUE;

/** A range of physical memory in bytes, 4 KiB aligned. */
export interface PhysRange {
  readonly start: number;
  readonly size: number;
}

/**
 * Physical memory: little-endian 32-bit words in 4 KiB frames, kept in chunks of up to 1 GiB that
 * exist once something was written to them. Nothing is ever cleared by itself: a kexec leaves all
 * of it as it stands.
 *
 * Addresses at the edges are byte addresses (numbers below 2^52); inside the loops a place is a
 * frame number (`pfn`, int32) and a word index 0..1023 in it.
 */
export class Memory {
  /** RAM, by ascending start. Everything else is a hole. */
  readonly ranges: readonly PhysRange[];
  /** One past the highest frame. */
  readonly frames: number;
  readonly #ram: RamMap;
  #chunks: (Uint32Array | undefined)[] = [];
  /** Buffers from the pool. */
  #buffers: MemoryBuffer[] = [];
  #disposed = false;
  /** The same bytes as {@link readableWide} gives them. */
  #wide: (Float64Array | undefined)[] = [];
  /** And byte by byte. */
  #bytes: (Uint8Array | undefined)[] = [];
  /** One byte per frame of a chunk: 1 = has been written. */
  #written: (Uint8Array | undefined)[] = [];
  /** Sees a processor write whole frames over: nothing of what was in them is left. */
  onFill: (pfn: number, count: number) => void = () => {};

  /** Told that nobody may look at the memory any more. */
  readonly onDispose: (() => void)[] = [];
  readonly #pool: MemoryPool;

  /** `ranges`: 4 KiB aligned, ascending, not touching each other's frames; below 8 TiB. */
  constructor(ranges: readonly PhysRange[], pool = MACHINE_MEMORY) {
    this.ranges = ranges;
    this.#pool = pool;
    this.#ram = new RamMap(ranges);
    const last = ranges[ranges.length - 1];
    this.frames = (last.start + last.size) / PAGE_SIZE;
    assert(this.frames < 2 ** 31, "physical memory ends at 8 TiB");
    for (let first = 0; first < this.frames; first += CHUNK_FRAMES) {
      // Pushed, so that the arrays have no holes to be looked for.
      this.#chunks.push(undefined);
      this.#wide.push(undefined);
      this.#bytes.push(undefined);
      this.#written.push(undefined);
    }
  }

  /** Total bytes of RAM. */
  get size(): number {
    return this.ranges.reduce((sum, r) => sum + r.size, 0);
  }

  /** True when the frame is RAM. */
  isRam(pfn: number): boolean {
    return pfn < this.frames && this.#ram.has(pfn);
  }

  /** The word at frame `pfn`, index `word`. Untouched memory and holes read as 0. */
  load(pfn: number, word: number): number {
    const chunk = this.#chunks[pfn >>> CHUNK_SHIFT];
    if (chunk === undefined) return this.#absent() ?? 0;
    return chunk[((pfn & CHUNK_MASK) << 10) | word] | 0;
  }

  /** Stores one word. The caller has made sure that the frame is RAM. */
  store(pfn: number, word: number, value: number): void {
    this.writable(pfn)[((pfn & CHUNK_MASK) << 10) | word] = value;
  }

  /**
   * The chunk that holds the frame, for loops over one frame's words: index with
   * {@link base}`(pfn) | word`. Undefined where nothing was ever written.
   */
  readable(pfn: number): Uint32Array | undefined {
    return this.#chunks[pfn >>> CHUNK_SHIFT] ?? this.#absent();
  }

  /** Like {@link readable}, made on first use, and the frame counts as written. */
  writable(pfn: number): Uint32Array {
    const index = pfn >>> CHUNK_SHIFT;
    const chunk = this.#chunks[index];
    if (chunk !== undefined) {
      (this.#written[index] as Uint8Array)[pfn & CHUNK_MASK] = 1;
      return chunk;
    }
    return this.#makeChunk(pfn);
  }

  /** Which chunk the frame is in: frames of one chunk share what {@link readable} gives. */
  chunkOf(pfn: number): number {
    return pfn >>> CHUNK_SHIFT;
  }

  /** Index of the frame's first word in its chunk. */
  base(pfn: number): number {
    return (pfn & CHUNK_MASK) << 10;
  }

  /**
   * The chunk as 64-bit values, for loops over whole table entries: index with {@link wideBase}. The
   * doubles only carry bits. Values below 2^52 are multiples of {@link WIDE_UNIT}; any others may
   * only be copied and compared, and where two differ the words have the last say.
   */
  readableWide(pfn: number): Float64Array | undefined {
    return this.#wide[pfn >>> CHUNK_SHIFT] ?? this.#absent();
  }

  /** Like {@link readableWide}, made on first use, and the frame counts as written. */
  writableWide(pfn: number): Float64Array {
    this.writable(pfn);
    return this.#wide[pfn >>> CHUNK_SHIFT] as Float64Array;
  }

  /** Index of the frame's first 64-bit value in its chunk. */
  wideBase(pfn: number): number {
    return (pfn & CHUNK_MASK) << 9;
  }

  /** What is where nothing was ever written. */
  #absent(): undefined {
    assert(!this.#disposed, "the machine that had this memory is gone");
    return undefined;
  }

  #makeChunk(pfn: number): Uint32Array {
    this.#absent();
    assert(pfn >= 0 && pfn < this.frames, `frame ${pfn} is beyond physical memory`);
    const index = pfn >>> CHUNK_SHIFT;
    const frames = Math.min(CHUNK_FRAMES, this.frames - index * CHUNK_FRAMES);
    // In the first one are the tables and what else kernels write, again and again.
    const buffer = this.#pool.take(frames * PAGE_SIZE, this.#buffers.length > 0);
    this.#buffers.push(buffer);
    // It may go on behind the end of memory: what is there belongs to nobody.
    const { bytes, written } = buffer;
    const chunk = this.#chunks[index] = new Uint32Array(bytes, 0, frames * PAGE_WORDS);
    this.#wide[index] = new Float64Array(bytes, 0, frames * PAGE_WORDS / 2);
    this.#bytes[index] = new Uint8Array(bytes, 0, frames * PAGE_SIZE);
    const mine = this.#written[index] = written.subarray(0, frames);
    mine[pfn & CHUNK_MASK] = 1;
    return chunk;
  }

  /**
   * The end of the machine: the next one gets the same bytes, cleared. Any further look at them
   * through this one is an error of the emulator.
   */
  dispose(): void {
    this.#disposed = true;
    this.#chunks.fill(undefined);
    this.#wide.fill(undefined);
    this.#bytes.fill(undefined);
    this.#written.fill(undefined);
    for (const buffer of this.#buffers.splice(0)) this.#pool.give(buffer);
    for (const told of this.onDispose.splice(0)) told();
  }

  /** Zeroes one frame. One that was never written holds zeros already, and stays unwritten. */
  clearFrame(pfn: number): void {
    this.onFill(pfn, 1);
    if (!this.isWritten(pfn)) return;
    const wide = this.writableWide(pfn), first = this.wideBase(pfn);
    fillWide(wide, first, first + PAGE_WORDS / 2, 0);
  }

  /** Zeroes `count` frames like {@link clearFrame}, and looks only for those that were written. */
  clearFrames(pfn: number, count: number): void {
    this.onFill(pfn, count);
    for (const run of this.writtenRuns(pfn, pfn + count)) {
      const first = this.wideBase(run.pfn);
      fillWide(this.writableWide(run.pfn), first, first + run.count * PAGE_WORDS / 2, 0);
    }
  }

  /** Fills whole frames with one word. */
  fillFrames(pfn: number, count: number, word: number): void {
    this.onFill(pfn, count);
    const value = wideOf(word);
    for (let i = 0; i < count;) {
      const chunk = this.writable(pfn + i), wide = this.writableWide(pfn + i);
      const inChunk = Math.min(count - i, CHUNK_FRAMES - ((pfn + i) & CHUNK_MASK));
      const written = this.#written[(pfn + i) >>> CHUNK_SHIFT] as Uint8Array;
      const first = (pfn + i) & CHUNK_MASK;
      written.fill(1, first, first + inChunk);
      if (value !== value) chunk.fill(word, first << 10, (first + inChunk) << 10);
      else fillWide(wide, first << 9, (first + inChunk) << 9, value);
      i += inChunk;
    }
  }

  /** Copies one frame over another. */
  copyFrame(from: number, to: number): void {
    const source = this.readable(from), target = this.writable(to);
    const at = this.base(to), first = this.base(from);
    if (source === undefined) target.fill(0, at, at + PAGE_WORDS);
    else if (source === target) target.copyWithin(at, first, first + PAGE_WORDS);
    else target.set(source.subarray(first, first + PAGE_WORDS), at);
  }

  /** The bytes of one frame as a view. Reading only; untouched memory gives zeros. */
  frameBytes(pfn: number): Uint8Array {
    const bytes = this.#bytes[pfn >>> CHUNK_SHIFT] ?? this.#absent();
    if (bytes === undefined) return new Uint8Array(PAGE_SIZE);
    const first = (pfn & CHUNK_MASK) * PAGE_SIZE;
    return bytes.subarray(first, first + PAGE_SIZE);
  }

  /** Copies bytes out of physical memory. */
  read(address: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const at = address + done, first = at % CHUNK_BYTES;
      const n = Math.min(length - done, CHUNK_BYTES - first);
      const bytes = this.#bytes[Math.floor(at / CHUNK_BYTES)] ?? this.#absent();
      if (bytes !== undefined) out.set(bytes.subarray(first, first + n), done);
      done += n;
    }
    return out;
  }

  /** Copies bytes into physical memory. */
  write(address: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const at = address + done, first = at % CHUNK_BYTES;
      const n = Math.min(bytes.length - done, CHUNK_BYTES - first);
      const index = Math.floor(at / CHUNK_BYTES), pfn = Math.floor(at / PAGE_SIZE);
      this.writable(pfn);
      const last = Math.floor((at + n - 1) / PAGE_SIZE);
      if (last > pfn) {
        this.#written[index]?.fill(1, pfn & CHUNK_MASK, (last & CHUNK_MASK) + 1);
      }
      this.#bytes[index]?.set(n === bytes.length ? bytes : bytes.subarray(done, done + n), first);
      done += n;
    }
  }

  /** A 64-bit little-endian value below 2^53 at an 8-byte aligned address. */
  read64(address: number): number {
    const pfn = Math.floor(address / PAGE_SIZE), word = (address - pfn * PAGE_SIZE) >>> 2;
    return (this.load(pfn, word) >>> 0) + (this.load(pfn, word + 1) >>> 0) * 4294967296;
  }

  /** Stores a value below 2^53 as 64 bits. */
  write64(address: number, value: number): void {
    const pfn = Math.floor(address / PAGE_SIZE), word = (address - pfn * PAGE_SIZE) >>> 2;
    this.store(pfn, word, value | 0);
    this.store(pfn, word + 1, Math.floor(value / 4294967296));
  }

  /** True when the frame was ever written. */
  isWritten(pfn: number): boolean {
    const written = this.#written[pfn >>> CHUNK_SHIFT] ?? this.#absent();
    return written?.[pfn & CHUNK_MASK] === 1;
  }

  /** Runs of frames in [from, to) that were ever written, ascending, none across two chunks. */
  *writtenRuns(from = 0, to = this.frames): Generator<{ pfn: number; count: number }> {
    for (let c = from >>> CHUNK_SHIFT; c * CHUNK_FRAMES < to; c++) {
      const written = this.#written[c] ?? this.#absent(), first = c * CHUNK_FRAMES;
      if (written === undefined) continue;
      const last = Math.min(written.length, to - first);
      for (let i = nextWritten(written, Math.max(0, from - first), last); i < last;) {
        const found = written.indexOf(0, i), end = found < 0 ? last : Math.min(found, last);
        yield { pfn: first + i, count: end - i };
        i = nextWritten(written, end, last);
      }
    }
  }
}
