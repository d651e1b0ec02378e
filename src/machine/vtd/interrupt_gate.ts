import { DMA_FECTL_IM, DMA_FECTL_IP } from "../../uapi/vtd_regs.ts";

/**
 * The four registers by which a unit sends one kind of interrupt: control (FECTL, IECTL) with its
 * mask IM and the held-back interrupt IP, data, address and upper address.
 */
export class InterruptGate {
  /** Stored, and read by whoever delivers the interrupt. */
  data = 0;
  address = 0;
  upperAddress = 0;
  #control = DMA_FECTL_IM;

  /** `send` is called for each interrupt that goes out. */
  constructor(readonly send: () => void) {}

  get control(): number {
    return this.#control;
  }

  writeControl(value: number): void {
    const held = (this.#control & DMA_FECTL_IP) !== 0;
    this.#control = value & DMA_FECTL_IM;
    if (!held) return;
    if ((value & DMA_FECTL_IM) !== 0) this.#control |= DMA_FECTL_IP;
    else this.send();
  }

  /** An interrupt: it goes out, or while it is masked IP remembers it. */
  raise(): void {
    if ((this.#control & DMA_FECTL_IM) !== 0) this.#control |= DMA_FECTL_IP;
    else this.send();
  }

  /** An interrupt that was held back has no more reason to go out. */
  withdraw(): void {
    this.#control &= ~DMA_FECTL_IP;
  }
}
