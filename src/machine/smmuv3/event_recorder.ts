import type { EventHash } from "../../base/event_log.ts";
import type { EventQueue } from "../../base/event_queue.ts";
import { EVENTQ_OVERFLOW, GERROR_EVENTQ_ABT_ERR, IRQ_CTRL_EVENTQ } from "../../uapi/smmuv3_regs.ts";
import { EVENT_BYTES, EVENT_SSID_SHIFT, EVENT_SSV } from "../../uapi/smmuv3_queues.ts";
import type { Memory } from "../memory.ts";
import { RamMap } from "../ram_map.ts";
import type { GlobalErrors } from "./global_errors.ts";
import { QueueRing } from "./queue_ring.ts";

const WORDS = EVENT_BYTES / 4;

/** An event record that waits in the queue, for whoever inspects the unit. */
export interface PendingEvent {
  event: number;
  sid: number;
  /** The 32 bytes as eight unsigned words. */
  words: number[];
}

/**
 * The event queue (FACTS 4.1): the unit produces 32-byte records into memory, software consumes
 * them. A record that finds the queue full is lost, and OVFLG is toggled unless an overflow is
 * already waiting to be acknowledged. An interrupt goes out when an empty queue gets a record.
 */
export class EventRecorder {
  readonly ring: QueueRing;
  /** CR0.EVENTQEN. Without it records are lost, and nobody is told. */
  enabled = false;
  prod = 0;
  cons = 0;
  /** Records written, and lost, since power-on; and faults that R kept quiet. */
  recorded = 0;
  lost = 0;
  suppressed = 0;
  #ram: RamMap;

  /** `maxBits`: log2 of the most records. `interrupt`: called for each that IRQ_CTRL lets out. */
  constructor(
    maxBits: number,
    readonly memory: Memory,
    readonly queue: EventQueue,
    readonly hash: EventHash,
    readonly errors: GlobalErrors,
    readonly interrupt: () => void,
  ) {
    this.ring = new QueueRing(maxBits, WORDS);
    this.#ram = new RamMap(memory.ranges);
  }

  /**
   * Records an event. `ssid`: -1 for a request without SubstreamID. `flags`: word 3. `hi`, `lo`:
   * words 5 and 4, the address of the request; `hi2`, `lo2`: words 7 and 6.
   */
  record(
    event: number,
    sid: number,
    ssid: number,
    flags: number,
    hi: number,
    lo: number,
    hi2: number,
    lo2: number,
  ): void {
    this.hash.mixAt(this.queue.now, (event << 16) | sid);
    this.hash.mix(hi, lo, flags);
    const first = event | (ssid < 0 ? 0 : EVENT_SSV | (ssid << EVENT_SSID_SHIFT));
    if (!this.enabled || !this.#claim()) {
      this.lost++;
      return;
    }
    const words = this.memory.writable(this.ring.pfn);
    const at = this.memory.base(this.ring.pfn) | this.ring.word;
    words[at] = first;
    words[at + 1] = sid;
    words[at + 2] = 0;
    words[at + 3] = flags;
    words[at + 4] = lo;
    words[at + 5] = hi;
    words[at + 6] = lo2;
    words[at + 7] = hi2;
    this.recorded++;
    const wasEmpty = this.ring.isEmpty(this.prod, this.cons);
    this.prod = (this.prod & EVENTQ_OVERFLOW) | this.ring.next(this.prod);
    if (wasEmpty && (this.errors.interrupts & IRQ_CTRL_EVENTQ) !== 0) this.interrupt();
  }

  /** Counts a fault that CD.R or STE.S2R keeps from being recorded. */
  suppress(): void {
    this.suppressed++;
  }

  /** The records that wait, oldest first. */
  *pending(): Generator<PendingEvent> {
    const at = new QueueRing(this.ring.maxBits, WORDS);
    at.low = this.ring.low;
    at.high = this.ring.high;
    for (let cons = this.cons; !at.isEmpty(this.prod, cons); cons = at.next(cons)) {
      at.locate(cons);
      const words = Array.from(
        { length: WORDS },
        (_, i) => this.memory.load(at.pfn, at.word + i) >>> 0,
      );
      yield { event: words[0] & 0xff, sid: words[1], words };
    }
  }

  /** Finds room for a record; false when there is none. */
  #claim(): boolean {
    if (this.ring.isFull(this.prod, this.cons)) {
      if (((this.prod ^ this.cons) & EVENTQ_OVERFLOW) === 0) this.prod ^= EVENTQ_OVERFLOW;
      return false;
    }
    this.ring.locate(this.prod);
    if (this.#ram.has(this.ring.pfn)) return true;
    this.errors.raise(GERROR_EVENTQ_ABT_ERR);
    return false;
  }
}
