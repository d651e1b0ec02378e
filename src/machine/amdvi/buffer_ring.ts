import { BUFFER_LENGTH_SHIFT_HI, BUFFER_POINTER_MASK } from "../../uapi/amdvi_regs.ts";

/**
 * The place of the command buffer or the event log in memory: 256 to 32768 entries of 16 bytes
 * side by side. Head and tail are byte offsets; equal means empty, so one entry stays free.
 */
export class BufferRing {
  /** The base register, as written. */
  low = 0;
  high = 0;
  head = 0;
  tail = 0;
  /** Of {@link locate}: frame of the entry and its first 32-bit word in it. */
  pfn = 0;
  word = 0;

  /** Bytes of the buffer. Lengths below 8 are reserved; they count as 8. */
  get bytes(): number {
    return 16 << Math.max(8, (this.high >>> BUFFER_LENGTH_SHIFT_HI) & 15);
  }

  /** A head or tail as software writes it. */
  clip(value: number): number {
    return value & BUFFER_POINTER_MASK & (this.bytes - 1);
  }

  next(offset: number): number {
    return (offset + 16) & (this.bytes - 1);
  }

  get isEmpty(): boolean {
    return this.head === this.tail;
  }

  get isFull(): boolean {
    return this.next(this.tail) === this.head;
  }

  locate(offset: number): void {
    const high = this.high & 0xfffff;
    const first = high < 0x800 ? (high << 20) | (this.low >>> 12) : 0x7ff00000;
    this.pfn = first + (offset >>> 12);
    this.word = (offset & 0xfff) >>> 2;
  }

  /** Physical byte address of an entry, low word. */
  addressLow(offset: number): number {
    return (this.low & ~0xfff) + offset | 0;
  }

  get addressHigh(): number {
    return this.high & 0xfffff;
  }
}
