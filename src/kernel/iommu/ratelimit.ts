import type { EventQueue } from "../../base/event_queue.ts";
import { second } from "../../base/units.ts";

/** At most so many messages in so long: a device that faults on every packet must not flood the log. */
const BURST = 10;
const INTERVAL = 5 * second;

/** The kernel's ___ratelimit() for one source of messages. */
export class RateLimit {
  #start = -INTERVAL;
  #printed = 0;
  #suppressed = 0;

  /** `missed` is told, when a new interval begins, how many messages the last one lost. */
  constructor(readonly queue: EventQueue, readonly missed: (count: number) => void) {}

  /** True when the next message may be printed. */
  allows(): boolean {
    if (this.queue.now - this.#start >= INTERVAL) {
      if (this.#suppressed > 0) this.missed(this.#suppressed);
      this.#start = this.queue.now;
      this.#printed = this.#suppressed = 0;
    }
    if (this.#printed < BURST) {
      this.#printed++;
      return true;
    }
    this.#suppressed++;
    return false;
  }
}
