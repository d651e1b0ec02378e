const CHUNK_SHIFT = 18;
const CHUNK = 1 << CHUNK_SHIFT;

/**
 * Whose each frame is, by number: 0 nobody's, negative nobody's any more. In chunks of 1 GiB; those
 * that are one owner's as a whole are one and the same array until a frame in them changes hands.
 */
export class FrameOwners {
  readonly #chunks: (Int16Array | undefined)[] = [];
  readonly #whole = new Map<number, Int16Array>();

  /** `frames`: how many there are; nobody has any beyond. */
  constructor(readonly frames = Infinity) {}

  /** The number, also of who had the frame before (then below 0). */
  entry(pfn: number): number {
    const chunk = this.#chunks[pfn >>> CHUNK_SHIFT];
    return chunk?.[pfn & (CHUNK - 1)] ?? 0;
  }

  /** Gives frames [pfn, pfn + count) to somebody; 0: to nobody, and it is kept who had them. */
  set(pfn: number, count: number, number: number): void {
    this.#each(pfn, count, (index, from, to) => {
      const old = this.#chunks[index], all = to - from === CHUNK;
      // Of a chunk that was one owner's as a whole the first tells of all.
      if (all && (old === undefined || number > 0 || this.#isWhole(old))) {
        const was = old === undefined ? 0 : old[0];
        this.#chunks[index] = this.#wholeOf(number > 0 ? number : -Math.abs(was));
        return;
      }
      const chunk = this.#writable(index);
      if (number > 0) chunk.fill(number, from, to);
      else for (let i = from; i < to; i++) chunk[i] = -Math.abs(chunk[i]);
    });
  }

  /** Takes from an owner what it still has of frames [pfn, pfn + count). */
  release(pfn: number, count: number, number: number): void {
    this.#each(pfn, count, (index, from, to) => {
      const old = this.#chunks[index];
      if (old === undefined) return;
      if (this.#isWhole(old) && to - from === CHUNK) {
        if (old[0] === number) this.#chunks[index] = this.#wholeOf(-number);
        return;
      }
      const chunk = this.#writable(index);
      for (let i = from; i < to; i++) if (chunk[i] === number) chunk[i] = -number;
    });
  }

  /** The first of frames [pfn, pfn + count) that is somebody's, but for one owner's; -1: none. */
  firstOfOthers(
    pfn: number,
    count: number,
    number: number,
    wanted: (pfn: number, owner: number) => boolean,
  ): number {
    let found = -1;
    this.#each(pfn, count, (index, from, to) => {
      const chunk = this.#chunks[index];
      if (found >= 0 || chunk === undefined) return;
      if (this.#isWhole(chunk) && (chunk[0] <= 0 || chunk[0] === number)) return;
      let i = from;
      while ((i = firstOther(chunk, i, to, number)) < to && !wanted(index * CHUNK + i, chunk[i])) {
        i++;
      }
      if (i < to) found = index * CHUNK + i;
    });
    return found;
  }

  /** Owner of every `stride`-th frame from `pfn` on, 0 for nobody's. */
  sample(pfn: number, stride: number, into: Uint16Array): void {
    for (let i = 0; i < into.length;) {
      const at = pfn + i * stride, first = at & (CHUNK - 1);
      const n = Math.min(into.length - i, Math.ceil((CHUNK - first) / stride));
      const chunk = this.#chunks[at >>> CHUNK_SHIFT];
      if (chunk === undefined) into.fill(0, i, i + n);
      // Below 0 stands a former owner: the frame is nobody's.
      else for (let k = 0; k < n; k++) into[i + k] = Math.max(0, chunk[first + k * stride] ?? 0);
      i += n;
    }
  }

  #each(pfn: number, count: number, part: (index: number, from: number, to: number) => void): void {
    for (let at = pfn; at < pfn + count;) {
      const from = at & (CHUNK - 1), to = Math.min(CHUNK, from + pfn + count - at);
      part(at >>> CHUNK_SHIFT, from, to);
      at += to - from;
    }
  }

  #isWhole(chunk: Int16Array): boolean {
    return this.#whole.get(chunk[0]) === chunk;
  }

  #wholeOf(number: number): Int16Array {
    let chunk = this.#whole.get(number);
    if (chunk === undefined) {
      chunk = new Int16Array(CHUNK).fill(number);
      this.#whole.set(number, chunk);
    }
    return chunk;
  }

  /** The chunk, its own from now on. */
  #writable(index: number): Int16Array {
    const chunk = this.#chunks[index];
    if (chunk !== undefined && !this.#isWhole(chunk)) return chunk;
    if (chunk !== undefined) return this.#chunks[index] = chunk.slice();
    return this.#chunks[index] = new Int16Array(Math.min(CHUNK, this.frames - index * CHUNK));
  }
}

/** Index from `from` on of the first frame that is somebody's, but for one owner's; `to`: none is. */
function firstOther(chunk: Int16Array, from: number, to: number, number: number): number {
  // Four by four, as long as there are four of the owner's.
  while (
    from + 3 < to && chunk[from] === number && chunk[from + 1] === number &&
    chunk[from + 2] === number && chunk[from + 3] === number
  ) from += 4;
  while (from < to && (chunk[from] <= 0 || chunk[from] === number)) from++;
  return from;
}
