import {
  CR0_CMDQEN,
  CR0_EVENTQEN,
  CR0_SMMUEN,
  CR2_RECINVSID,
  GBPA_ABORT,
  GBPA_UPDATE,
  IRQ_CTRL_EVENTQ,
  IRQ_CTRL_GERROR,
  SMMU_AIDR,
  SMMU_CMDQ_BASE,
  SMMU_CMDQ_CONS,
  SMMU_CMDQ_PROD,
  SMMU_CR0,
  SMMU_CR0ACK,
  SMMU_CR1,
  SMMU_CR2,
  SMMU_EVENTQ_BASE,
  SMMU_EVENTQ_CONS,
  SMMU_EVENTQ_PROD,
  SMMU_GBPA,
  SMMU_GERROR,
  SMMU_GERRORN,
  SMMU_IDR0,
  SMMU_IDR1,
  SMMU_IDR3,
  SMMU_IDR5,
  SMMU_IRQ_CTRL,
  SMMU_IRQ_CTRLACK,
  SMMU_PAGE1,
  SMMU_STRTAB_BASE,
  SMMU_STRTAB_BASE_CFG,
} from "../../uapi/smmuv3_regs.ts";
import type { Mmio } from "../bus.ts";
import { AIDR, idRegisters, type SmmuCapability } from "./capability.ts";
import type { CommandQueue } from "./command_queue.ts";
import type { EventRecorder } from "./event_recorder.ts";
import type { GlobalErrors } from "./global_errors.ts";
import type { StreamTable } from "./stream_table.ts";

const CR0_BITS = CR0_SMMUEN | CR0_EVENTQEN | CR0_CMDQEN;

/**
 * The register file. Every change takes effect within the write: the ACK registers follow at
 * once. A register that places a table or a queue is ignored while that one is in use, as is
 * GBPA without UPDATE. SMMUEN going off or on changes no cache: whoever turns the unit on has to
 * invalidate first.
 */
export class Registers implements Mmio {
  #cr0 = 0;
  #cr1 = 0;
  #cr2 = 0;
  #gbpa: number;
  #ids: [number, number, number, number];

  constructor(
    capability: SmmuCapability,
    readonly streams: StreamTable,
    readonly commands: CommandQueue,
    readonly events: EventRecorder,
    readonly errors: GlobalErrors,
  ) {
    this.#ids = idRegisters(capability);
    this.#gbpa = capability.abortAtReset ? GBPA_ABORT : 0;
  }

  /** CR0.SMMUEN. */
  get enabled(): boolean {
    return (this.#cr0 & CR0_SMMUEN) !== 0;
  }

  /** GBPA.ABORT: what becomes of requests while the unit is disabled. */
  get aborts(): boolean {
    return (this.#gbpa & GBPA_ABORT) !== 0;
  }

  /** CR2.RECINVSID: C_BAD_STREAMID is recorded. */
  get recordsBadStream(): boolean {
    return (this.#cr2 & CR2_RECINVSID) !== 0;
  }

  read32(offset: number): number {
    switch (offset) {
      case SMMU_IDR0:
        return this.#ids[0];
      case SMMU_IDR1:
        return this.#ids[1];
      case SMMU_IDR3:
        return this.#ids[2];
      case SMMU_IDR5:
        return this.#ids[3];
      case SMMU_AIDR:
        return AIDR;
      case SMMU_CR0:
      case SMMU_CR0ACK:
        return this.#cr0;
      case SMMU_CR1:
        return this.#cr1;
      case SMMU_CR2:
        return this.#cr2;
      case SMMU_GBPA:
        return this.#gbpa;
      case SMMU_IRQ_CTRL:
      case SMMU_IRQ_CTRLACK:
        return this.errors.interrupts;
      case SMMU_GERROR:
        return this.errors.value;
      case SMMU_GERRORN:
        return this.errors.acknowledged;
      case SMMU_STRTAB_BASE:
        return this.streams.low;
      case SMMU_STRTAB_BASE + 4:
        return this.streams.high;
      case SMMU_STRTAB_BASE_CFG:
        return this.streams.config;
      case SMMU_CMDQ_BASE:
        return this.commands.ring.low;
      case SMMU_CMDQ_BASE + 4:
        return this.commands.ring.high;
      case SMMU_CMDQ_PROD:
        return this.commands.prod;
      case SMMU_CMDQ_CONS:
        return this.commands.cons;
      case SMMU_EVENTQ_BASE:
        return this.events.ring.low;
      case SMMU_EVENTQ_BASE + 4:
        return this.events.ring.high;
      case SMMU_EVENTQ_PROD:
      case SMMU_PAGE1 + SMMU_EVENTQ_PROD:
        return this.events.prod;
      case SMMU_EVENTQ_CONS:
      case SMMU_PAGE1 + SMMU_EVENTQ_CONS:
        return this.events.cons;
      default:
        return 0;
    }
  }

  write32(offset: number, value: number): void {
    switch (offset) {
      case SMMU_CR0:
        return this.#control(value & CR0_BITS);
      case SMMU_CR1:
        this.#cr1 = value & 0xfff;
        return;
      case SMMU_CR2:
        if (!this.enabled) this.#cr2 = value & 7;
        return;
      case SMMU_GBPA:
        if ((value & GBPA_UPDATE) !== 0) this.#gbpa = value & ~GBPA_UPDATE;
        return;
      case SMMU_IRQ_CTRL:
        this.errors.interrupts = value & (IRQ_CTRL_EVENTQ | IRQ_CTRL_GERROR);
        return;
      case SMMU_GERRORN:
        this.errors.acknowledged = value;
        return this.commands.run();
      case SMMU_STRTAB_BASE:
        if (!this.enabled) this.streams.low = value;
        return;
      case SMMU_STRTAB_BASE + 4:
        if (!this.enabled) this.streams.high = value;
        return;
      case SMMU_STRTAB_BASE_CFG:
        if (!this.enabled) this.streams.config = value;
        return;
      case SMMU_CMDQ_PROD:
        this.commands.prod = value;
        return this.commands.run();
      case SMMU_CMDQ_BASE:
        if (!this.commands.enabled) this.commands.ring.low = value;
        return;
      case SMMU_CMDQ_BASE + 4:
        if (!this.commands.enabled) this.commands.ring.high = value;
        return;
      case SMMU_CMDQ_CONS:
        if (!this.commands.enabled) this.commands.cons = value;
        return;
      default:
        return this.#writeEvents(offset, value);
    }
  }

  #writeEvents(offset: number, value: number): void {
    const events = this.events;
    switch (offset) {
      case SMMU_EVENTQ_BASE:
        if (!events.enabled) events.ring.low = value;
        return;
      case SMMU_EVENTQ_BASE + 4:
        if (!events.enabled) events.ring.high = value;
        return;
      case SMMU_EVENTQ_PROD:
      case SMMU_PAGE1 + SMMU_EVENTQ_PROD:
        if (!events.enabled) events.prod = value;
        return;
      case SMMU_EVENTQ_CONS:
      case SMMU_PAGE1 + SMMU_EVENTQ_CONS:
        events.cons = value;
        return;
    }
  }

  #control(value: number): void {
    this.#cr0 = value;
    this.events.enabled = (value & CR0_EVENTQEN) !== 0;
    this.commands.enabled = (value & CR0_CMDQEN) !== 0;
    this.commands.run();
  }
}
