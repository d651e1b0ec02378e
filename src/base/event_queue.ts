import { assert } from "./assert.ts";

/**
 * The one clock of the emulation: a queue of events ordered by (virtual time, order of arrival).
 *
 * Times are integer nanoseconds below 2^53. A binary heap over parallel typed arrays: scheduling
 * and running allocate nothing. An event is a handler number and one integer argument; handlers
 * are registered once. There is no cancel: a handler checks for itself whether it is still wanted.
 */
export class EventQueue {
  #now = 0;
  #size = 0;
  #sequence = 0;
  #time = new Float64Array(256);
  #order = new Float64Array(256);
  #handler = new Int32Array(256);
  #argument = new Int32Array(256);
  #handlers: ((argument: number) => void)[] = [];

  /** Virtual time in nanoseconds. */
  get now(): number {
    return this.#now;
  }

  /** Events waiting. */
  get size(): number {
    return this.#size;
  }

  /** Events that have run so far. */
  get ran(): number {
    return this.#sequence - this.#size;
  }

  /** Registers what an event does; the number is what {@link at} wants. */
  register(handler: (argument: number) => void): number {
    return this.#handlers.push(handler) - 1;
  }

  /** Schedules `handler(argument)` at `time`, which must not lie in the past. */
  at(time: number, handler: number, argument = 0): void {
    assert(time >= this.#now, `event scheduled at ${time}, before now (${this.#now})`);
    if (this.#size === this.#time.length) this.#grow();
    let i = this.#size++;
    const order = this.#sequence++;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      // A new event has the highest order number, so equal times keep the parent in front.
      if (this.#time[parent] <= time) break;
      this.#move(parent, i);
      i = parent;
    }
    this.#put(i, time, order, handler, argument);
  }

  /** Schedules `handler(argument)` `delay` nanoseconds from now. */
  after(delay: number, handler: number, argument = 0): void {
    this.at(this.#now + delay, handler, argument);
  }

  /** Time of the next event, Infinity when there is none. */
  get nextTime(): number {
    return this.#size === 0 ? Infinity : this.#time[0];
  }

  /** Runs the next event. False when there is none. */
  step(): boolean {
    if (this.#size === 0) return false;
    const handler = this.#handler[0];
    const argument = this.#argument[0];
    this.#now = this.#time[0];
    this.#removeTop();
    this.#handlers[handler](argument);
    return true;
  }

  /** Runs every event up to and including `time`, then stands at `time`. */
  runUntil(time: number): void {
    while (this.#size > 0 && this.#time[0] <= time) this.step();
    if (time > this.#now) this.#now = time;
  }

  #removeTop(): void {
    const last = --this.#size;
    if (last === 0) return;
    const time = this.#time[last], order = this.#order[last];
    const handler = this.#handler[last], argument = this.#argument[last];
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#before(child + 1, child)) child++;
      const t = this.#time[child];
      if (t > time || (t === time && this.#order[child] > order)) break;
      this.#move(child, i);
      i = child;
    }
    this.#put(i, time, order, handler, argument);
  }

  #before(a: number, b: number): boolean {
    const ta = this.#time[a], tb = this.#time[b];
    return ta < tb || (ta === tb && this.#order[a] < this.#order[b]);
  }

  #put(i: number, time: number, order: number, handler: number, argument: number): void {
    this.#time[i] = time;
    this.#order[i] = order;
    this.#handler[i] = handler;
    this.#argument[i] = argument;
  }

  #move(from: number, to: number): void {
    this.#put(
      to,
      this.#time[from],
      this.#order[from],
      this.#handler[from],
      this.#argument[from],
    );
  }

  #grow(): void {
    const length = this.#time.length * 2;
    const time = new Float64Array(length), order = new Float64Array(length);
    const handler = new Int32Array(length), argument = new Int32Array(length);
    time.set(this.#time);
    order.set(this.#order);
    handler.set(this.#handler);
    argument.set(this.#argument);
    [this.#time, this.#order, this.#handler, this.#argument] = [time, order, handler, argument];
  }
}
