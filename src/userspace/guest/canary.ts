import { mix32 } from "../../base/choice.ts";
import { PAGE_SIZE } from "../../base/units.ts";
import type { GuestCpu } from "./cpu.ts";

/** Canary page `index` of `count` spread evenly over the pages of [free, end). */
export function canaryGpa(index: number, count: number, free: number, end: number): number {
  const pages = (end - free) / PAGE_SIZE;
  return free + Math.floor(index * pages / count) * PAGE_SIZE;
}

function canaryWord(guest: number, gpa: number, offset: number): number {
  return mix32(guest, gpa / PAGE_SIZE, offset) | 0;
}

/** Fills a page with what only this guest has at this address. */
export function writeCanary(cpu: GuestCpu, guest: number, gpa: number): void {
  for (let i = 0; i < PAGE_SIZE; i += 4) cpu.store32(gpa + i, canaryWord(guest, gpa, i));
}

/** Address of the first wrong word of a canary page; -1 when it is as written. */
export function findCanaryDamage(cpu: GuestCpu, guest: number, gpa: number): number {
  for (let i = 0; i < PAGE_SIZE; i += 4) {
    if ((cpu.load32(gpa + i) | 0) !== canaryWord(guest, gpa, i)) return gpa + i;
  }
  return -1;
}
