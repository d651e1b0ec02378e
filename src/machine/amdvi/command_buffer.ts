import { COMMAND_HARDWARE_ERROR, EVENT_MASTER_ABORT_WORD1 } from "../../uapi/amdvi_queues.ts";
import type { Memory } from "../memory.ts";
import { RamMap } from "../ram_map.ts";
import { BufferRing } from "./buffer_ring.ts";
import { COMMAND_DONE, type Commands } from "./commands.ts";
import type { EventLog } from "./event_log.ts";

/**
 * The command buffer: software writes 16-byte commands into memory, the unit takes them as soon
 * as the tail is written. A command that is wrong stops it: the head stays at that command, an
 * event holds its address, and nothing more is taken until software has turned the buffer off and
 * on again.
 */
export class CommandBuffer {
  readonly ring = new BufferRing();
  /** CmdBufEn and IommuEn. */
  enabled = false;
  /** Commands taken since power-on. */
  consumed = 0;
  #stopped = false;
  #ram: RamMap;

  constructor(readonly memory: Memory, readonly commands: Commands, readonly events: EventLog) {
    this.#ram = new RamMap(memory.ranges);
  }

  /** CmdBufRun. */
  get running(): boolean {
    return this.enabled && !this.#stopped;
  }

  enable(on: boolean): void {
    if (!this.enabled) this.#stopped = false;
    this.enabled = on;
    this.run();
  }

  /** Takes what there is. */
  run(): void {
    const { ring, memory } = this;
    while (this.running && !ring.isEmpty) {
      ring.locate(ring.head);
      const { pfn, word } = ring;
      let error = COMMAND_HARDWARE_ERROR;
      if (this.#ram.has(pfn)) {
        error = this.commands.execute(
          memory.load(pfn, word),
          memory.load(pfn, word | 1),
          memory.load(pfn, word | 2),
          memory.load(pfn, word | 3),
        );
      }
      if (error !== COMMAND_DONE) return this.#stop(error);
      ring.head = ring.next(ring.head);
      this.consumed++;
    }
  }

  #stop(error: number): void {
    const { ring } = this;
    this.#stopped = true;
    const flags = error === COMMAND_HARDWARE_ERROR ? EVENT_MASTER_ABORT_WORD1 : 0;
    this.events.record(error, 0, flags, ring.addressHigh, ring.addressLow(ring.head));
  }
}
