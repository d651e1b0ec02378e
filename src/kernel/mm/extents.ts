/** Ranges there is room for at first: boot makes some two hundred. */
const ROOM = 256;

/**
 * Ranges of frames, ascending, none touching another: side by side in two typed arrays, so that
 * taking one apart and joining it again allocates nothing.
 */
export class Extents {
  #starts = new Int32Array(ROOM);
  #ends = new Int32Array(ROOM);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  start(i: number): number {
    return this.#starts[i];
  }

  /** One past the last frame. */
  end(i: number): number {
    return this.#ends[i];
  }

  /** The highest range ends here; 0: there is none. */
  get last(): number {
    return this.#length === 0 ? 0 : this.#ends[this.#length - 1];
  }

  has(pfn: number): boolean {
    const i = this.#firstAbove(pfn) - 1;
    return i >= 0 && pfn < this.#ends[i];
  }

  /** Adds frames that are in none of the ranges; those they touch become one with them. */
  add(pfn: number, count: number): void {
    const starts = this.#starts, ends = this.#ends, end = pfn + count;
    const i = this.#firstAbove(pfn);
    const below = i > 0 && ends[i - 1] === pfn, above = i < this.#length && starts[i] === end;
    if (below && above) {
      ends[i - 1] = ends[i];
      this.#drop(i);
    } else if (below) ends[i - 1] = end;
    else if (above) starts[i] = pfn;
    else this.#insert(i, pfn, end);
  }

  /** Takes frames [pfn, pfn + count) out of range `i`, which has all of them. */
  carve(i: number, pfn: number, count: number): void {
    const start = this.#starts[i], end = this.#ends[i], next = pfn + count;
    if (pfn === start) {
      this.#starts[i] = next;
      if (next === end) this.#drop(i);
      return;
    }
    this.#ends[i] = pfn;
    if (next < end) this.#insert(i + 1, next, end);
  }

  #insert(i: number, start: number, end: number): void {
    if (this.#length === this.#starts.length) {
      this.#starts = twice(this.#starts);
      this.#ends = twice(this.#ends);
    }
    this.#starts.copyWithin(i + 1, i, this.#length);
    this.#ends.copyWithin(i + 1, i, this.#length);
    this.#starts[i] = start;
    this.#ends[i] = end;
    this.#length++;
  }

  #drop(i: number): void {
    this.#starts.copyWithin(i, i + 1, this.#length);
    this.#ends.copyWithin(i, i + 1, this.#length);
    this.#length--;
  }

  /** Index of the first range that begins above a frame. */
  #firstAbove(pfn: number): number {
    const starts = this.#starts;
    let low = 0, high = this.#length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (starts[middle] <= pfn) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function twice(values: Int32Array): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(values.length * 2);
  longer.set(values);
  return longer;
}
