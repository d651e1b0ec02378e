import { mix32 } from "../../base/choice.ts";
import { PAGE_SIZE } from "../../base/units.ts";
import type { GuestCpu } from "./cpu.ts";
import { findWrongWord, writePattern } from "./pattern.ts";

/** Blocks of the namespace that one command slot writes and reads, its own. */
export const SLOT_BLOCKS = 64;

/** Pages the write with this serial number transfers: 1..maxPages. */
export function pagesOfWrite(seed: number, serial: number, maxPages: number): number {
  return 1 + mix32(seed, serial, 1) % maxPages;
}

/** First block of a write of `pages` blocks, inside its slot's part of the namespace. */
export function blockOfWrite(seed: number, serial: number, slot: number, pages: number): number {
  return slot * SLOT_BLOCKS + mix32(seed, serial, 2) % (SLOT_BLOCKS - pages + 1);
}

/** What sets a page of a write apart from every other: its words are this and their place. */
function pageWord(seed: number, serial: number, page: number): number {
  return mix32(seed, serial, 16 + page) | 0;
}

/** Fills `pages` pages at `gpa` with the pattern of the write `serial`. */
export function fillPattern(
  cpu: GuestCpu,
  gpa: number,
  pages: number,
  seed: number,
  serial: number,
): void {
  for (let page = 0; page < pages; page++) {
    writePattern(cpu, gpa + page * PAGE_SIZE, pageWord(seed, serial, page));
  }
}

/** Address of the first word that is not the pattern of the write `serial`; -1 if all are. */
export function findDamage(
  cpu: GuestCpu,
  gpa: number,
  pages: number,
  seed: number,
  serial: number,
): number {
  for (let page = 0; page < pages; page++) {
    const wrong = findWrongWord(cpu, gpa + page * PAGE_SIZE, pageWord(seed, serial, page));
    if (wrong >= 0) return wrong;
  }
  return -1;
}

/**
 * Makes sure that what is in the pages now cannot pass for what a read is to bring: inverts the
 * first and the last word of each, which hold the expected pattern.
 */
export function spoil(cpu: GuestCpu, gpa: number, pages: number): void {
  for (let page = 0; page < pages; page++) {
    const first = gpa + page * PAGE_SIZE, last = first + PAGE_SIZE - 4;
    cpu.store32(first, ~cpu.load32(first) >>> 0);
    cpu.store32(last, ~cpu.load32(last) >>> 0);
  }
}
