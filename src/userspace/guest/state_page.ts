import { PAGE_WORDS } from "../../base/units.ts";
import { type GuestCpu, highWord, lowWord } from "./cpu.ts";
import { clearPages } from "./pattern.ts";

/** Word indices with a fixed meaning in every state page. */
const MAGIC = 0;
const END = PAGE_WORDS - 1;

/**
 * One page of guest RAM in which a piece of guest software keeps everything it knows, so that it
 * lives through a live update like any other guest memory. Words 1..1022 are the owner's.
 */
export class StatePage {
  /** `gpa`: page aligned. `magic`: says whose page it is. */
  constructor(readonly cpu: GuestCpu, readonly gpa: number, readonly magic: number) {}

  /** Clears the page and marks it as the owner's. */
  format(): void {
    clearPages(this.cpu, this.gpa, 1);
    this.set(MAGIC, this.magic);
    this.set(END, this.magic);
  }

  /** False when the page was never formatted or something wrote over its first or last word. */
  get intact(): boolean {
    return this.get(MAGIC) === this.magic && this.get(END) === this.magic;
  }

  /** A word as an unsigned number. */
  get(word: number): number {
    return this.cpu.load32(this.gpa + word * 4) >>> 0;
  }

  set(word: number, value: number): void {
    this.cpu.store32(this.gpa + word * 4, value >>> 0);
  }

  /** Adds to a counter, which wraps at 2^32. */
  add(word: number, n: number): void {
    if (n !== 0) this.set(word, this.get(word) + n);
  }

  /** A number below 2^53 in two words. */
  getWide(word: number): number {
    return this.get(word) + this.get(word + 1) * 4294967296;
  }

  setWide(word: number, value: number): void {
    this.set(word, lowWord(value));
    this.set(word + 1, highWord(value));
  }
}
