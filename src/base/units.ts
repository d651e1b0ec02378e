/** Sizes in bytes and durations in nanoseconds, and how people read them. */

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
/** 32-bit words in a page. */
export const PAGE_WORDS = PAGE_SIZE / 4;

export const us = 1_000;
export const ms = 1_000_000;
export const second = 1_000_000_000;

/** `0x1f3000`: lower case, no padding. Numbers up to 2^53. */
export function hex(value: number | bigint): string {
  return "0x" + value.toString(16);
}

/** `64 MiB`, `4 KiB`, `17 B`: the largest binary unit that divides the size, else one decimal. */
export function formatSize(bytes: number): string {
  for (const { size, name } of BINARY_UNITS) {
    if (bytes >= size) {
      const n = bytes / size;
      return `${Number.isInteger(n) ? n : n.toFixed(1)} ${name}`;
    }
  }
  return `${bytes} B`;
}

const BINARY_UNITS = [
  { size: TiB, name: "TiB" },
  { size: GiB, name: "GiB" },
  { size: MiB, name: "MiB" },
  { size: KiB, name: "KiB" },
];

/** `1.250 s`, `412 ms`, `200 us`, `17 ns`, from integer nanoseconds. */
export function formatTime(ns: number): string {
  if (ns >= second) return `${(ns / second).toFixed(3)} s`;
  if (ns >= 10 * ms) return `${(ns / ms).toFixed(1)} ms`;
  if (ns >= ms) return `${(ns / ms).toFixed(2)} ms`;
  if (ns >= us) return `${(ns / us).toFixed(ns % us === 0 ? 0 : 1)} us`;
  return `${ns} ns`;
}

/** Number of pages that hold `bytes`. */
export function pagesOf(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE);
}
