import { mix32 } from "../../base/choice.ts";
import { PAGE_WORDS } from "../../base/units.ts";

/** Words in a logical block of 4096 bytes. */
export const BLOCK_WORDS = PAGE_WORDS;

/**
 * What an NVMe namespace stores: blocks of 4 KiB that exist once written. A block never written
 * reads as a pattern that depends on (seed, block, word) alone.
 */
export class NvmeMedium {
  #blocks = new Map<number, Uint32Array>();
  /** Blocks come from here, several at once, and how many are left of it. */
  #store = new Uint32Array(0);
  #left = 0;

  /** `blocks`: capacity in blocks of 4 KiB. */
  constructor(readonly seed: number, readonly blocks: number) {}

  /** Blocks that were ever written. */
  get written(): number {
    return this.#blocks.size;
  }

  /** The word an unwritten block reads as. */
  unwritten(block: number, word: number): number {
    return mix32(this.seed, block, word);
  }

  /** Copies words of one block into `memory` at index `at`. */
  read(block: number, word: number, words: number, memory: Uint32Array, at: number): void {
    const stored = this.#blocks.get(block);
    if (stored === undefined) {
      for (let i = 0; i < words; i++) memory[at + i] = this.unwritten(block, word + i);
    } else {
      memory.set(words === BLOCK_WORDS ? stored : stored.subarray(word, word + words), at);
    }
  }

  /** Stores words into one block; `memory` undefined stands for memory that reads as zeros. */
  write(
    block: number,
    word: number,
    words: number,
    memory: Uint32Array | undefined,
    at: number,
  ): void {
    let stored = this.#blocks.get(block);
    if (stored === undefined) {
      stored = this.#newBlock();
      if (words < BLOCK_WORDS) {
        for (let i = 0; i < BLOCK_WORDS; i++) stored[i] = this.unwritten(block, i);
      }
      this.#blocks.set(block, stored);
    }
    if (memory === undefined) stored.fill(0, word, word + words);
    else stored.set(memory.subarray(at, at + words), word);
  }

  /** A block of zeros. A controller that is hardly used takes little. */
  #newBlock(): Uint32Array {
    if (this.#left === 0) {
      this.#left = Math.min(64, Math.max(4, this.#blocks.size));
      this.#store = new Uint32Array(this.#left * BLOCK_WORDS);
    }
    this.#left--;
    return this.#store.subarray(this.#left * BLOCK_WORDS, (this.#left + 1) * BLOCK_WORDS);
  }
}
