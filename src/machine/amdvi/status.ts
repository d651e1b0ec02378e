import {
  STATUS_COMPLETION_INT,
  STATUS_EVENT_INT,
  STATUS_EVENT_OVERFLOW,
} from "../../uapi/amdvi_regs.ts";

const SOFTWARE_CLEARS = STATUS_EVENT_OVERFLOW | STATUS_EVENT_INT | STATUS_COMPLETION_INT;

/**
 * The conditions of the status register that software clears by writing 1. An interrupt goes out
 * when one of them comes up whose interrupt the control register enables.
 */
export class Status {
  /** Conditions that are up. */
  value = 0;
  /** Conditions whose coming up is an interrupt. */
  enabled = 0;

  constructor(readonly interrupt: () => void) {}

  raise(condition: number): void {
    const isNew = (this.value & condition) === 0;
    this.value |= condition;
    if (isNew && (this.enabled & condition) !== 0) this.interrupt();
  }

  clear(value: number): void {
    this.value &= ~(value & SOFTWARE_CLEARS);
  }
}
