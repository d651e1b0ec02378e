import {
  AMDVI_COMMAND_BASE,
  AMDVI_COMMAND_HEAD,
  AMDVI_COMMAND_TAIL,
  AMDVI_CONTROL,
  AMDVI_DEVICE_TABLE,
  AMDVI_EVENT_BASE,
  AMDVI_EVENT_HEAD,
  AMDVI_EVENT_TAIL,
  AMDVI_EXTENDED_FEATURES,
  AMDVI_STATUS,
  CONTROL_COMMAND_EN,
  CONTROL_COMPLETION_INT_EN,
  CONTROL_EVENT_INT_EN,
  CONTROL_EVENT_LOG_EN,
  CONTROL_IOMMU_EN,
  DEVICE_TABLE_SIZE_MASK,
  STATUS_COMMAND_RUN,
  STATUS_COMPLETION_INT,
  STATUS_EVENT_INT,
  STATUS_EVENT_OVERFLOW,
  STATUS_EVENT_RUN,
} from "../../uapi/amdvi_regs.ts";
import type { Mmio } from "../bus.ts";
import { type AmdviCapability, extendedFeatures } from "./capability.ts";
import type { CommandBuffer } from "./command_buffer.ts";
import type { EventLog } from "./event_log.ts";
import type { Status } from "./status.ts";

/**
 * The register file. Every change takes effect within the write. The base registers of command
 * buffer and event log are ignored while those are in use; that of the device table counts at
 * once, though what is cached of the old one goes on answering. IommuEn going off or on changes
 * no cache. The exclusion range is not modelled: it reads 0.
 */
export class Registers implements Mmio {
  #control = 0;
  #controlHigh = 0;
  #tableLow = 0;
  #tableHigh = 0;
  #features: number;

  constructor(
    capability: AmdviCapability,
    readonly commands: CommandBuffer,
    readonly events: EventLog,
    readonly status: Status,
  ) {
    this.#features = extendedFeatures(capability);
  }

  /** IommuEn. */
  get enabled(): boolean {
    return (this.#control & CONTROL_IOMMU_EN) !== 0;
  }

  /** Frame of the device table; one beyond all memory where it does not fit. */
  get tablePfn(): number {
    const high = this.#tableHigh & 0xfffff;
    return high < 0x800 ? (high << 20) | (this.#tableLow >>> 12) : 0x7ff00000;
  }

  /** DeviceIDs that the device table has entries for: 128 in each 4 KiB. */
  get tableEntries(): number {
    return ((this.#tableLow & DEVICE_TABLE_SIZE_MASK) + 1) * 128;
  }

  read32(offset: number): number {
    const commands = this.commands.ring, events = this.events.ring;
    switch (offset) {
      case AMDVI_DEVICE_TABLE:
        return this.#tableLow;
      case AMDVI_DEVICE_TABLE + 4:
        return this.#tableHigh;
      case AMDVI_COMMAND_BASE:
        return commands.low;
      case AMDVI_COMMAND_BASE + 4:
        return commands.high;
      case AMDVI_EVENT_BASE:
        return events.low;
      case AMDVI_EVENT_BASE + 4:
        return events.high;
      case AMDVI_CONTROL:
        return this.#control;
      case AMDVI_CONTROL + 4:
        return this.#controlHigh;
      case AMDVI_EXTENDED_FEATURES:
        return this.#features;
      case AMDVI_COMMAND_HEAD:
        return commands.head;
      case AMDVI_COMMAND_TAIL:
        return commands.tail;
      case AMDVI_EVENT_HEAD:
        return events.head;
      case AMDVI_EVENT_TAIL:
        return events.tail;
      case AMDVI_STATUS:
        return this.status.value | (this.events.running ? STATUS_EVENT_RUN : 0) |
          (this.commands.running ? STATUS_COMMAND_RUN : 0);
      default:
        return 0;
    }
  }

  write32(offset: number, value: number): void {
    const commands = this.commands.ring, events = this.events.ring;
    switch (offset) {
      case AMDVI_DEVICE_TABLE:
        this.#tableLow = value;
        return;
      case AMDVI_DEVICE_TABLE + 4:
        this.#tableHigh = value;
        return;
      case AMDVI_COMMAND_BASE:
        if (!this.commands.enabled) commands.low = value;
        return;
      case AMDVI_COMMAND_BASE + 4:
        if (!this.commands.enabled) commands.high = value;
        return;
      case AMDVI_EVENT_BASE:
        if (!this.events.enabled) events.low = value;
        return;
      case AMDVI_EVENT_BASE + 4:
        if (!this.events.enabled) events.high = value;
        return;
      case AMDVI_CONTROL:
        return this.#write(value);
      case AMDVI_CONTROL + 4:
        this.#controlHigh = value;
        return;
      case AMDVI_COMMAND_HEAD:
        if (!this.commands.enabled) commands.head = commands.clip(value);
        return;
      case AMDVI_COMMAND_TAIL:
        commands.tail = commands.clip(value);
        return this.commands.run();
      case AMDVI_EVENT_HEAD:
        events.head = events.clip(value);
        return;
      case AMDVI_EVENT_TAIL:
        if (!this.events.enabled) events.tail = events.clip(value);
        return;
      case AMDVI_STATUS:
        return this.status.clear(value);
    }
  }

  /** The control register. Log and buffer work only while the unit does. */
  #write(value: number): void {
    this.#control = value;
    const has = (bit: number) => (value & bit) !== 0;
    this.status.enabled =
      (has(CONTROL_EVENT_INT_EN) ? STATUS_EVENT_INT | STATUS_EVENT_OVERFLOW : 0) |
      (has(CONTROL_COMPLETION_INT_EN) ? STATUS_COMPLETION_INT : 0);
    this.events.enable(has(CONTROL_IOMMU_EN) && has(CONTROL_EVENT_LOG_EN));
    this.commands.enable(has(CONTROL_IOMMU_EN) && has(CONTROL_COMMAND_EN));
  }
}
