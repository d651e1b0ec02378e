import { ms } from "../base/units.ts";
import type { Meter } from "./meter.ts";

/** One word for how a device's DMA fares, worst first. */
export const HEALTH_WORDS = {
  stray: "it has written or read memory that is not its guest's",
  faulting: "the IOMMU refused an access less than 100 ms ago",
  blocked: "it has work, but bus mastering is off or its domain blocks",
  late: "it has work and nothing has come through for more than 20 ms",
  starved: "its ring is full: the guest takes nothing off; not a fault",
  idle: "it has nothing to do",
  off: "nothing drives it: it has not done any DMA since it was reset",
  healthy: "its DMA comes through",
} as const;

export type HealthWord = keyof typeof HEALTH_WORDS;

/** How long ago an incident still colours the word; how long a gap may be before it is late. */
const RECENT = 100 * ms;
const LATE = 20 * ms;

/** The word at this moment. `blocked`: bus mastering is off, or the group is on the blocking domain. */
export function healthWord(meter: Meter, now: number, blocked: boolean): HealthWord {
  if (meter.stray > 0) return "stray";
  const recentlyBad = meter.lastBad >= 0 && now - meter.lastBad < RECENT;
  if (blocked) return meter.busySince >= 0 ? "blocked" : "off";
  if (recentlyBad) return "faulting";
  if (meter.isStarved) return "starved";
  if (meter.busySince < 0) return meter.lastDone < 0 ? "off" : "idle";
  return meter.openGap(now) > LATE ? "late" : "healthy";
}
