import { assert } from "./assert.ts";

/** Numbers an event takes in the heap: time, order of arrival, handler and argument in one. */
const WIDTH = 3;
/** What the handler's number is multiplied by beside the argument's 32 bits. */
const ARGUMENTS = 2 ** 32;

/**
 * The one clock of the emulation: a queue of events ordered by (virtual time, order of arrival).
 *
 * Times are integer nanoseconds below 2^53. A binary heap in one typed array: scheduling
 * and running allocate nothing. An event is a handler number and one integer argument; handlers
 * are registered once. There is no cancel: a handler checks for itself whether it is still wanted.
 *
 * The place at the top stays vacant while the handler of the event that was there runs: most
 * handlers schedule one event, which is put there and sinks from there.
 */
export class EventQueue {
  #now = 0;
  /** Places taken, the vacant one among them. */
  #size = 0;
  #vacant = false;
  #sequence = 0;
  #heap = new Float64Array(64 * WIDTH);
  #handlers: ((argument: number) => void)[] = [];

  /** Virtual time in nanoseconds. */
  get now(): number {
    return this.#now;
  }

  /** Events waiting. */
  get size(): number {
    return this.#vacant ? this.#size - 1 : this.#size;
  }

  /** Events that have run so far. */
  get ran(): number {
    return this.#sequence - this.size;
  }

  /** Registers what an event does; the number is what {@link at} wants. */
  register(handler: (argument: number) => void): number {
    return this.#handlers.push(handler) - 1;
  }

  /** Schedules `handler(argument)` at `time`, which must not lie in the past; a 32-bit argument. */
  at(time: number, handler: number, argument = 0): void {
    if (!(time >= this.#now)) this.#refuse(time);
    const what = handler * ARGUMENTS + (argument >>> 0);
    const order = this.#sequence++;
    if (this.#vacant) {
      this.#vacant = false;
      this.#sink(time, order, what);
    } else this.#rise(time, order, what);
  }

  /** Schedules `handler(argument)` `delay` nanoseconds from now. */
  after(delay: number, handler: number, argument = 0): void {
    this.at(this.#now + delay, handler, argument);
  }

  /** Time of the next event, Infinity when there is none. */
  get nextTime(): number {
    this.#fillTop();
    return this.#size === 0 ? Infinity : this.#heap[0];
  }

  /** Runs the next event. False when there is none. */
  step(): boolean {
    this.#fillTop();
    if (this.#size === 0) return false;
    const heap = this.#heap, what = heap[2];
    this.#now = heap[0];
    this.#vacant = true;
    this.#handlers[(what / ARGUMENTS) | 0](what | 0);
    return true;
  }

  /** Runs every event up to and including `time`, then stands at `time`. */
  runUntil(time: number): void {
    while (this.nextTime <= time) this.step();
    if (time > this.#now) this.#now = time;
  }

  /** Nothing runs any more: whoever tries to is in error. */
  close(): void {
    const ran = this.ran;
    const refuse = this.register(() => {
      this.at(this.#now, refuse);
      assert(false, "the queue is closed");
    });
    this.#size = 0;
    this.#vacant = false;
    this.at(this.#now, refuse);
    this.#sequence = ran + 1;
  }

  /** Nobody took the vacant place: the last event does. */
  #fillTop(): void {
    if (!this.#vacant) return;
    this.#vacant = false;
    const last = --this.#size * WIDTH, heap = this.#heap;
    if (last > 0) this.#sink(heap[last], heap[last + 1], heap[last + 2]);
  }

  /** Puts an event into the top place, and from there below all that come before it. */
  #sink(time: number, order: number, what: number): void {
    const heap = this.#heap, end = this.#size * WIDTH;
    let at = 0;
    for (;;) {
      let child = 2 * at + WIDTH;
      if (child >= end) break;
      let t = heap[child];
      const other = child + WIDTH;
      if (other < end) {
        const u = heap[other];
        if (u < t || (u === t && heap[other + 1] < heap[child + 1])) {
          child = other;
          t = u;
        }
      }
      if (t > time || (t === time && heap[child + 1] > order)) break;
      heap[at] = t;
      heap[at + 1] = heap[child + 1];
      heap[at + 2] = heap[child + 2];
      at = child;
    }
    heap[at] = time;
    heap[at + 1] = order;
    heap[at + 2] = what;
  }

  /** Adds an event at the end, and from there above all that come after it. */
  #rise(time: number, order: number, what: number): void {
    let at = this.#size++ * WIDTH;
    if (at === this.#heap.length) this.#grow();
    const heap = this.#heap;
    while (at > 0) {
      const parent = ((at / WIDTH - 1) >> 1) * WIDTH;
      // A new event has the highest order number, so equal times keep the parent in front.
      if (heap[parent] <= time) break;
      heap.copyWithin(at, parent, parent + WIDTH);
      at = parent;
    }
    heap[at] = time;
    heap[at + 1] = order;
    heap[at + 2] = what;
  }

  #grow(): void {
    const heap = new Float64Array(this.#heap.length * 2);
    heap.set(this.#heap);
    this.#heap = heap;
  }

  #refuse(time: number): void {
    assert(false, `event scheduled at ${time}, before now (${this.#now})`);
  }
}
