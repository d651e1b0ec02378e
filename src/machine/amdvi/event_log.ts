import type { EventHash } from "../../base/event_log.ts";
import type { EventQueue } from "../../base/event_queue.ts";
import { STATUS_EVENT_INT, STATUS_EVENT_OVERFLOW } from "../../uapi/amdvi_regs.ts";
import { EVENT_CODE_SHIFT_WORD1 } from "../../uapi/amdvi_queues.ts";
import type { Memory } from "../memory.ts";
import { RamMap } from "../ram_map.ts";
import { BufferRing } from "./buffer_ring.ts";
import type { Status } from "./status.ts";

/** A record that waits in the log, for whoever inspects the unit. */
export interface LoggedEvent {
  code: number;
  /** DeviceID; means nothing for command errors. */
  sid: number;
  /** The 16 bytes as four unsigned words. */
  words: number[];
}

/**
 * The event log: the unit writes 16-byte records into memory, software takes them. A record that
 * finds the log full is lost and stops it: EventOverflow is up, and nothing more is logged until
 * software has turned the log off and on again.
 */
export class EventLog {
  readonly ring = new BufferRing();
  /** EventLogEn and IommuEn. Without them records are lost, and nobody is told. */
  enabled = false;
  /** Records written, and lost, since power-on; and page faults that SA or SE kept quiet. */
  recorded = 0;
  lost = 0;
  suppressed = 0;
  #overflown = false;
  #ram: RamMap;

  constructor(
    readonly memory: Memory,
    readonly queue: EventQueue,
    readonly hash: EventHash,
    readonly status: Status,
  ) {
    this.#ram = new RamMap(memory.ranges);
  }

  /** EventLogRun. */
  get running(): boolean {
    return this.enabled && !this.#overflown;
  }

  enable(on: boolean): void {
    if (!this.enabled) this.#overflown = false;
    this.enabled = on;
  }

  /** Logs an event. `flags`: word 1 without the code; `hi`, `lo`: words 3 and 2. */
  record(code: number, sid: number, flags: number, hi: number, lo: number): void {
    this.hash.mixAt(this.queue.now, (code << 16) | sid);
    this.hash.mix(hi, lo, flags);
    if (!this.running || !this.#claim()) {
      this.lost++;
      return;
    }
    const words = this.memory.writable(this.ring.pfn);
    const at = this.memory.base(this.ring.pfn) | this.ring.word;
    words[at] = sid;
    words[at + 1] = (code << EVENT_CODE_SHIFT_WORD1) | flags;
    words[at + 2] = lo;
    words[at + 3] = hi;
    this.ring.tail = this.ring.next(this.ring.tail);
    this.recorded++;
    this.status.raise(STATUS_EVENT_INT);
  }

  /** Counts a page fault that SA or SE keeps from being logged. */
  suppress(): void {
    this.suppressed++;
  }

  /** The records that wait, oldest first. */
  *pending(): Generator<LoggedEvent> {
    const at = new BufferRing();
    at.low = this.ring.low;
    at.high = this.ring.high;
    for (let head = this.ring.head; head !== this.ring.tail; head = at.next(head)) {
      at.locate(head);
      const words = [0, 1, 2, 3].map((i) => this.memory.load(at.pfn, at.word + i) >>> 0);
      yield { code: words[1] >>> EVENT_CODE_SHIFT_WORD1, sid: words[0] & 0xffff, words };
    }
  }

  #claim(): boolean {
    if (this.ring.isFull) {
      this.#overflown = true;
      this.status.raise(STATUS_EVENT_OVERFLOW);
      return false;
    }
    this.ring.locate(this.ring.tail);
    return this.#ram.has(this.ring.pfn);
  }
}
