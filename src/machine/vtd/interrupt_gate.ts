import { DMA_FECTL_IM, DMA_FECTL_IP } from "../../uapi/vtd_regs.ts";

/**
 * The four registers by which a unit sends one kind of interrupt: control (FECTL, IECTL) with its
 * mask IM and the held-back interrupt IP, data, address and upper address.
 */
export class InterruptGate {
  /** Data, address and upper address: stored, for whoever delivers the interrupt. */
  readonly #message = new Int32Array(3);
  #control = DMA_FECTL_IM;

  /** `send` is called for each interrupt that goes out. */
  constructor(readonly send: () => void) {}

  /** The register so many bytes behind the control register; 0 where none of the four is. */
  read32(offset: number): number {
    return offset === 0 ? this.#control : this.#message[offset / 4 - 1] ?? 0;
  }

  /** Writes a register, as {@link read32} has them. */
  write32(offset: number, value: number): void {
    if (offset === 0) this.#writeControl(value);
    else this.#message[offset / 4 - 1] = value;
  }

  #writeControl(value: number): void {
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
