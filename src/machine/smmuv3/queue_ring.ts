import { QUEUE_BASE_ADDRESS, QUEUE_LOG2SIZE_MASK } from "../../uapi/smmuv3_regs.ts";

/**
 * The place of a queue in memory: a power of two of entries, side by side. PROD and CONS hold an
 * index and above it a wrap bit, so that a full queue and an empty one differ.
 */
export class QueueRing {
  /** CMDQ_BASE or EVENTQ_BASE, as written. */
  low = 0;
  high = 0;
  /** Of {@link locate}: frame of the entry and its first 32-bit word in it. */
  pfn = 0;
  word = 0;

  /** `maxBits`: log2 of the most entries; `words`: 32-bit words of an entry. */
  constructor(readonly maxBits: number, readonly words: number) {}

  get bits(): number {
    return Math.min(this.low & QUEUE_LOG2SIZE_MASK, this.maxBits);
  }

  /** Bits of PROD and CONS that count: index and wrap bit. */
  get mask(): number {
    return (1 << (this.bits + 1)) - 1;
  }

  /** The value of PROD or CONS after this one. */
  next(value: number): number {
    return (value + 1) & this.mask;
  }

  isEmpty(prod: number, cons: number): boolean {
    return ((prod ^ cons) & this.mask) === 0;
  }

  isFull(prod: number, cons: number): boolean {
    return ((prod ^ cons) & this.mask) === 1 << this.bits;
  }

  /** Finds the entry a value of PROD or CONS points at. */
  locate(value: number): void {
    const index = value & ((1 << this.bits) - 1);
    // The address is a multiple of the queue's size.
    const base = this.low & QUEUE_BASE_ADDRESS & -(this.words << (this.bits + 2));
    const word = ((base & 0xfff) >>> 2) + index * this.words;
    const high = this.high & 0xfffff;
    const first = high < 0x800 ? (high << 20) | (base >>> 12) : 0x7ff00000;
    this.pfn = first + (word >>> 10);
    this.word = word & 1023;
  }
}
