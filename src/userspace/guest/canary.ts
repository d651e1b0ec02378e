import { mix32 } from "../../base/choice.ts";
import { PAGE_SIZE } from "../../base/units.ts";
import type { GuestCpu } from "./cpu.ts";

/** Canary page `index` of `count` spread evenly over the pages of [free, end). */
export function canaryGpa(index: number, count: number, free: number, end: number): number {
  const pages = (end - free) / PAGE_SIZE;
  return free + Math.floor(index * pages / count) * PAGE_SIZE;
}

/**
 * Fills a page with what only this guest has at this address: each word follows from the guest, the
 * page and the place in it alone, so that one pass needs no word before it.
 */
export function writeCanary(cpu: GuestCpu, guest: number, gpa: number): void {
  const page = canaryOf(guest, gpa);
  for (let i = 0; i < PAGE_SIZE; i += 4) cpu.store32(gpa + i, page ^ Math.imul(i, 0x9e3779b1));
}

/** Address of the first wrong word of a canary page; -1 when it is as written. */
export function findCanaryDamage(cpu: GuestCpu, guest: number, gpa: number): number {
  const page = canaryOf(guest, gpa);
  for (let i = 0; i < PAGE_SIZE; i += 4) {
    if ((cpu.load32(gpa + i) | 0) !== (page ^ Math.imul(i, 0x9e3779b1))) return gpa + i;
  }
  return -1;
}

function canaryOf(guest: number, gpa: number): number {
  return mix32(guest, gpa / PAGE_SIZE, 0) | 0;
}
