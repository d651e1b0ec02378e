/** An interval with both ends inside it, as the kernel's interval trees have it. */
export interface Interval<K extends number | bigint> {
  readonly start: K;
  readonly last: K;
}

/**
 * Intervals ordered by start, found by overlap. Kept in a sorted array together with the running
 * maximum of `last`, which a search descends like the augmented tree it stands for: overlap
 * queries are O(log n + hits). Insertion moves the tail of the array, a memmove that stays far
 * below the cost of the work behind an ioctl up to 10^5 intervals.
 *
 * Intervals may overlap each other and may be equal; the caller decides what is legal.
 */
export class IntervalTree<K extends number | bigint, T extends Interval<K>> {
  #items: T[] = [];
  /** maxLast[i] = largest `last` among items 0..i. */
  #maxLast: K[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** Items by ascending start. The array must not be changed by the caller. */
  get items(): readonly T[] {
    return this.#items;
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.#items.slice().values();
  }

  insert(item: T): void {
    const at = this.#upperBound(item.start);
    this.#items.splice(at, 0, item);
    this.#maxLast.splice(at, 0, item.last);
    this.#repair(at);
  }

  /** Removes this very object. False when it is not in the tree. */
  remove(item: T): boolean {
    let i = this.#lowerBound(item.start);
    while (i < this.#items.length && this.#items[i] !== item) {
      if (this.#items[i].start > item.start) return false;
      i++;
    }
    if (i === this.#items.length) return false;
    this.#items.splice(i, 1);
    this.#maxLast.splice(i, 1);
    this.#repair(i);
    return true;
  }

  /** The first interval, by start, that shares a point with [start, last]; undefined if none. */
  first(start: K, last: K): T | undefined {
    for (let i = this.#firstReaching(start); i < this.#items.length; i++) {
      const item = this.#items[i];
      if (item.start > last) return undefined;
      if (item.last >= start) return item;
    }
    return undefined;
  }

  /** Every interval that shares a point with [start, last], by ascending start. */
  overlapping(start: K, last: K): T[] {
    const found: T[] = [];
    const end = this.#upperBound(last);
    for (let i = this.#firstReaching(start); i < end; i++) {
      if (this.#items[i].last >= start) found.push(this.#items[i]);
    }
    return found;
  }

  clear(): void {
    this.#items = [];
    this.#maxLast = [];
  }

  #repair(from: number): void {
    for (let i = from; i < this.#items.length; i++) {
      const last = this.#items[i].last;
      const before = i > 0 ? this.#maxLast[i - 1] : last;
      const max = before > last ? before : last;
      // Behind an unchanged maximum nothing changes any more.
      if (i > from && this.#maxLast[i] === max) return;
      this.#maxLast[i] = max;
    }
  }

  /** Index of the first item whose prefix maximum reaches `start`: all before it end too early. */
  #firstReaching(start: K): number {
    let low = 0, high = this.#items.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (this.#maxLast[mid] < start) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  #lowerBound(start: K): number {
    let low = 0, high = this.#items.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (this.#items[mid].start < start) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  #upperBound(start: K): number {
    let low = 0, high = this.#items.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (this.#items[mid].start <= start) low = mid + 1;
      else high = mid;
    }
    return low;
  }
}
