import { PAGE_SIZE, PAGE_WORDS } from "../../base/units.ts";
import type { GuestCpu } from "./cpu.ts";

/**
 * A page's pattern: each word follows from the page's own and its place alone, so that one pass
 * needs no word before it, and no page passes for another, nor for itself moved on.
 */
const PLACES = Uint32Array.from({ length: PAGE_WORDS }, (_, i) => Math.imul(4 * i, 0x9e3779b1));
/** Pages go through here, so that the loops have nothing to look up. */
const PAGE = new Uint32Array(PAGE_WORDS);

/** Fills the page at `gpa` with the pattern of `word`. */
export function writePattern(cpu: GuestCpu, gpa: number, word: number): void {
  for (let i = 0; i < PAGE_WORDS; i++) PAGE[i] = word ^ PLACES[i];
  cpu.storeWords(gpa, PAGE);
}

/** Address of the first word of the page at `gpa` that is not the pattern of `word`; -1 if all are. */
export function findWrongWord(cpu: GuestCpu, gpa: number, word: number): number {
  cpu.loadWords(gpa, PAGE);
  for (let i = 0; i < PAGE_WORDS; i++) {
    if ((PAGE[i] ^ PLACES[i]) !== word) return gpa + 4 * i;
  }
  return -1;
}

/** Fills `pages` pages from `gpa` on with zeros. */
export function clearPages(cpu: GuestCpu, gpa: number, pages: number): void {
  PAGE.fill(0);
  for (let i = 0; i < pages; i++) cpu.storeWords(gpa + i * PAGE_SIZE, PAGE);
}
