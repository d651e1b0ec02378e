import { mix32 } from "../../base/choice.ts";
import { PAGE_SIZE } from "../../base/units.ts";
import type { GuestCpu } from "./cpu.ts";
import { findWrongWord, writePattern } from "./pattern.ts";

/** Canary page `index` of `count` spread evenly over the pages of [free, end). */
export function canaryGpa(index: number, count: number, free: number, end: number): number {
  const pages = (end - free) / PAGE_SIZE;
  return free + Math.floor(index * pages / count) * PAGE_SIZE;
}

/** Fills a page with what only this guest has at this address. */
export function writeCanary(cpu: GuestCpu, guest: number, gpa: number): void {
  writePattern(cpu, gpa, canaryOf(guest, gpa));
}

/** Address of the first wrong word of a canary page; -1 when it is as written. */
export function findCanaryDamage(cpu: GuestCpu, guest: number, gpa: number): number {
  return findWrongWord(cpu, gpa, canaryOf(guest, gpa));
}

function canaryOf(guest: number, gpa: number): number {
  return mix32(guest, gpa / PAGE_SIZE, 0) | 0;
}
