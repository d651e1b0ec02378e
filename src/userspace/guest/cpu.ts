/**
 * What a guest's software sees of its virtual CPU: aligned 32-bit loads and stores at
 * guest-physical addresses in bytes (numbers below 2^52). RAM and the BARs of assigned devices
 * are windows of one address space; loads from nowhere give all ones, stores to nowhere vanish.
 */
export interface GuestCpu {
  load32(gpa: number): number;
  store32(gpa: number, value: number): void;
  /** A run of words at once, all of it inside one page of RAM. */
  loadWords(gpa: number, into: Uint32Array): void;
  storeWords(gpa: number, words: Uint32Array): void;
}

/** The low and high word of an address or another number below 2^53. */
export function lowWord(value: number): number {
  return value >>> 0;
}

export function highWord(value: number): number {
  return Math.floor(value / 4294967296);
}
