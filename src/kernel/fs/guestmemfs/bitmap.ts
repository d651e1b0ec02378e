import { PAGE_SIZE } from "../../../base/units.ts";
import type { Memory } from "../../../machine/memory.ts";

/** Bits side by side in physical memory, looked at and changed in words of 32. */
export class Bitmap {
  /** `address`: of the word with bit 0, 4-byte aligned. */
  constructor(readonly memory: Memory, readonly address: number) {}

  has(bit: number): boolean {
    return (this.#word(bit >>> 5) & (1 << bit)) !== 0;
  }

  /** Bits [first, first + count). */
  set(first: number, count: number, on: boolean): void {
    const end = first + count;
    for (let at = first; at < end;) {
      const inWord = Math.min(end - at, 32 - (at & 31));
      const mask = (inWord === 32 ? -1 : (1 << inWord) - 1) << at, index = at >>> 5;
      const word = this.#word(index), place = this.address + index * 4;
      this.memory.store(
        Math.floor(place / PAGE_SIZE),
        (place % PAGE_SIZE) >>> 2,
        on ? word | mask : word & ~mask,
      );
      at += inWord;
    }
  }

  /** The first of bits [from, end) that is on, or off; `end` where none is. */
  next(from: number, end: number, on: boolean): number {
    for (let at = from; at < end; at = (at | 31) + 1) {
      const word = this.#word(at >>> 5), wanted = (on ? word : ~word) & (-1 << at);
      // The lowest bit that is set.
      if (wanted !== 0) return Math.min(end, (at & ~31) + 31 - Math.clz32(wanted & -wanted));
    }
    return end;
  }

  #word(index: number): number {
    const place = this.address + index * 4;
    return this.memory.load(Math.floor(place / PAGE_SIZE), (place % PAGE_SIZE) >>> 2);
  }
}
