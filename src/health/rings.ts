/** Counts that a ring keeps, of the last so many buckets of virtual time. */
export const BUCKETS = 128;

/** Rings of counts by bucket, in one array: of each device that has been through a bucket. */
export class Rings {
  #counts = new Int32Array(0);
  #taken = 0;

  /** The number of a new ring, all zeros. */
  add(): number {
    const end = BUCKETS * this.#taken;
    if (end === this.#counts.length) {
      const counts = new Int32Array(Math.max(8 * BUCKETS, 2 * end));
      counts.set(this.#counts);
      this.#counts = counts;
    }
    return this.#taken++;
  }

  /** Bucket `from` ends with a count, and those after it up to `to` begin with none. */
  turn(ring: number, from: number, count: number, to: number): void {
    const counts = this.#counts, first = ring * BUCKETS;
    counts[first + from % BUCKETS] = count;
    const steps = Math.min(to - from, BUCKETS);
    for (let i = 1; i <= steps; i++) counts[first + (from + i) % BUCKETS] = 0;
  }

  /** The count of a bucket, one of the last {@link BUCKETS}. */
  get(ring: number, bucket: number): number {
    return this.#counts[ring * BUCKETS + bucket % BUCKETS];
  }
}
