import { CMDQ_CONS_ERR_SHIFT, GERROR_CMDQ_ERR } from "../../uapi/smmuv3_regs.ts";
import { CERROR_ABT, CERROR_NONE, COMMAND_BYTES } from "../../uapi/smmuv3_queues.ts";
import type { Memory } from "../memory.ts";
import { RamMap } from "../ram_map.ts";
import type { Commands } from "./commands.ts";
import type { GlobalErrors } from "./global_errors.ts";
import { QueueRing } from "./queue_ring.ts";

/**
 * The command queue: software produces 16-byte commands into memory, the unit consumes them as
 * soon as CMDQ_PROD is written. A command that is wrong stops it: CMDQ_CONS points at that
 * command and says why in ERR, GERROR.CMDQ_ERR becomes active, and nothing more is consumed until
 * software has seen to it in GERRORN; then it goes on at CMDQ_CONS.
 */
export class CommandQueue {
  readonly ring: QueueRing;
  /** CR0.CMDQEN. */
  enabled = false;
  /** CMDQ_PROD as written. */
  prod = 0;
  /** Commands consumed since power-on. */
  consumed = 0;
  #cons = 0;
  #error = CERROR_NONE;
  #ram: RamMap;

  /** `maxBits`: log2 of the most commands. */
  constructor(
    maxBits: number,
    readonly memory: Memory,
    readonly commands: Commands,
    readonly errors: GlobalErrors,
  ) {
    this.ring = new QueueRing(maxBits, COMMAND_BYTES / 4);
    this.#ram = new RamMap(memory.ranges);
  }

  /** CMDQ_CONS: index with wrap bit, and ERR. */
  get cons(): number {
    return this.#cons | (this.#error << CMDQ_CONS_ERR_SHIFT);
  }

  /** Software may place CMDQ_CONS, which clears ERR; it may do so while the queue is off. */
  set cons(value: number) {
    this.#cons = value & 0xfffff;
    this.#error = CERROR_NONE;
  }

  /** Consumes what there is. */
  run(): void {
    const { ring, memory } = this;
    while (this.enabled && (this.errors.active & GERROR_CMDQ_ERR) === 0) {
      if (ring.isEmpty(this.prod, this.#cons)) return;
      ring.locate(this.#cons);
      let error = CERROR_ABT;
      if (this.#ram.has(ring.pfn)) {
        const { pfn, word } = ring;
        error = this.commands.execute(
          memory.load(pfn, word),
          memory.load(pfn, word | 1),
          memory.load(pfn, word | 2),
          memory.load(pfn, word | 3),
        );
      }
      this.#error = error;
      if (error !== CERROR_NONE) return this.errors.raise(GERROR_CMDQ_ERR);
      this.#cons = ring.next(this.#cons);
      this.consumed++;
    }
  }
}
