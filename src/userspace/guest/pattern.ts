import { PAGE_SIZE, PAGE_WORDS } from "../../base/units.ts";
import type { GuestCpu } from "./cpu.ts";

/**
 * A page's pattern follows from one word, its own: where in the noise the page begins, and the
 * word itself again every {@link OWN} words. So pages are filled and compared 64 bits at a time, and
 * no piece of a page passes for another's, nor for itself moved on.
 */
const OWN = 16;

/** 64-bit values in a page. */
const WIDE = PAGE_WORDS / 2;

/** The page that is written, or expected; and the one that is found. */
const page = new Float64Array(WIDE), found = new Float64Array(WIDE);
const pageWords = new Uint32Array(page.buffer), foundWords = new Uint32Array(found.buffer);

/**
 * Noise, two pages of it: a page begins at any 64-bit value of the first. With exponents from the
 * middle, doubles are equal where their bits are.
 */
function makeNoise(): Float64Array {
  const doubles = new Float64Array(2 * WIDE), words = new Uint32Array(doubles.buffer);
  for (let i = 0, word = 1; i < 4 * WIDE; i += 2) {
    words[i] = word = Math.imul(word, 1664525) + 1013904223;
    words[i + 1] = ((word = Math.imul(word, 1664525) + 1013904223) & 0xbfffffff) | 0x20000000;
  }
  return doubles;
}

/** Made for the first guest. */
let noise: Float64Array | undefined;

function make(word: number): void {
  const begin = word & (WIDE - 1);
  page.set((noise ??= makeNoise()).subarray(begin, begin + WIDE));
  for (let i = 0; i < PAGE_WORDS; i += OWN) pageWords[i] = word;
}

/** Fills the page at `gpa` with the pattern of `word`. */
export function writePattern(cpu: GuestCpu, gpa: number, word: number): void {
  make(word);
  cpu.storeWords(gpa, pageWords);
}

/** Address of the first word of the page at `gpa` that is not the pattern of `word`; -1 if all are. */
export function findWrongWord(cpu: GuestCpu, gpa: number, word: number): number {
  make(word);
  cpu.loadWords(gpa, foundWords);
  const i = firstDifference(found, page);
  if (i < 0) return -1;
  return gpa + 8 * i + (foundWords[2 * i] === pageWords[2 * i] ? 4 : 0);
}

/** Index of the first of a page's values that differ, -1: none does. */
function firstDifference(a: Float64Array, b: Float64Array): number {
  for (let i = 0; i < WIDE; i += 4) {
    if (
      a[i] !== b[i] || a[i + 1] !== b[i + 1] || a[i + 2] !== b[i + 2] || a[i + 3] !== b[i + 3]
    ) {
      while (a[i] === b[i]) i++;
      return i;
    }
  }
  return -1;
}

/** Fills `pages` pages from `gpa` on with zeros. */
export function clearPages(cpu: GuestCpu, gpa: number, pages: number): void {
  page.fill(0);
  for (let i = 0; i < pages; i++) cpu.storeWords(gpa + i * PAGE_SIZE, pageWords);
}
