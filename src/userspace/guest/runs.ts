import { PAGE_SIZE } from "../../base/units.ts";
import type { GuestCpu } from "./cpu.ts";

/** What {@link readRun} answers with: one run at a time, most of them as long as the one before. */
let read = new Uint32Array(1024), last = read;

/** The end, in bytes, of the piece of a run that begins at `gpa` and has `left` bytes: its page's. */
function pieceOf(gpa: number, left: number): number {
  return Math.min(left, PAGE_SIZE - gpa % PAGE_SIZE);
}

/** Words at `gpa`, across pages. They hold until the next call. */
export function readRun(cpu: GuestCpu, gpa: number, words: number): Uint32Array {
  if (read.length < words) read = new Uint32Array(words);
  if (pieceOf(gpa, words * 4) === words * 4) {
    if (last.length !== words || last.buffer !== read.buffer) last = read.subarray(0, words);
    cpu.loadWords(gpa, last);
    return read;
  }
  for (let at = 0; at < words * 4;) {
    const bytes = pieceOf(gpa + at, words * 4 - at);
    cpu.loadWords(gpa + at, read.subarray(at / 4, (at + bytes) / 4));
    at += bytes;
  }
  return read;
}

/** Stores words at `gpa`, across pages. */
export function writeRun(cpu: GuestCpu, gpa: number, words: Uint32Array): void {
  for (let at = 0; at < words.length * 4;) {
    const bytes = pieceOf(gpa + at, words.length * 4 - at);
    cpu.storeWords(gpa + at, words.subarray(at / 4, (at + bytes) / 4));
    at += bytes;
  }
}
