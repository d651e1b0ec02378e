import { IRQ_CTRL_GERROR } from "../../uapi/smmuv3_regs.ts";

/**
 * GERROR and GERRORN: the unit makes an error active by toggling its bit in GERROR; software sees
 * to it by making the bit in GERRORN equal. An active error is not raised again.
 */
export class GlobalErrors {
  /** GERROR. */
  value = 0;
  /** GERRORN. */
  acknowledged = 0;
  /** IRQ_CTRL. */
  interrupts = 0;

  /** `interrupt` is called when an error becomes active and IRQ_CTRL lets it out. */
  constructor(readonly interrupt: () => void) {}

  /** Errors that wait for software. */
  get active(): number {
    return this.value ^ this.acknowledged;
  }

  raise(error: number): void {
    if ((this.active & error) !== 0) return;
    this.value ^= error;
    if ((this.interrupts & IRQ_CTRL_GERROR) !== 0) this.interrupt();
  }
}
