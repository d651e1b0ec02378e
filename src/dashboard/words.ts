import { HEALTH_WORDS, type HealthWord } from "../health/words.ts";
import type { DeviceView, Snapshot, VmView } from "../platform/snapshot.ts";
import type { Glyphs, Role } from "../tui/mod.ts";

/** `1.019 s`: virtual time where it stands beside other times, always in the same unit. */
export function seconds(ns: number): string {
  return `${(ns / 1e9).toFixed(3)} s`;
}

/** `750`, `1.50k`, `35.2k`, `1.23M`: at most five characters below a billion. */
export function compact(n: number): string {
  if (!(n >= 999.5)) return String(Math.round(n) || 0);
  if (n < 999.5e3) return digits(n / 1e3) + "k";
  return n < 999.5e6 ? digits(n / 1e6) + "M" : digits(n / 1e9) + "G";
}

/** Three digits, or as many as there are before the point. */
function digits(n: number): string {
  return n.toFixed(n < 9.995 ? 2 : n < 99.95 ? 1 : 0);
}

/** `1/16x`, `1x`, `64x`. */
export function speedText(speed: number): string {
  return speed >= 1 ? `${speed}x` : `1/${Math.round(1 / speed)}x`;
}

/** `3 guests`, `1 guest`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

export const HEALTH_ROLE: Readonly<Record<HealthWord, Role>> = {
  stray: "bad",
  faulting: "bad",
  blocked: "warn",
  late: "warn",
  starved: "warn",
  idle: "dim",
  off: "dim",
  healthy: "good",
};

/** Health words, the worst first. */
export const HEALTH_ORDER = Object.keys(HEALTH_WORDS) as readonly HealthWord[];

/** A mark for a role, so that a state can be told without colour. */
export function markOf(role: Role, glyphs: Glyphs): string {
  const { phase } = glyphs;
  return role === "good" ? phase[0] : role === "bad" ? phase[3] : role === "warn" ? "!" : phase[2];
}

/** The mark of a device whose DMA is promised to go on through a kexec. */
export function keptMark(ascii: boolean): string {
  return ascii ? "P" : "●";
}

/** Where the machine stands between two kernels. */
export type KernelState = "up" | "none" | "booting" | "dead";

/** "none": reboot(2) was called and the next kernel has not taken over yet; "dead": a panic. */
export function kernelState(s: Snapshot): KernelState {
  const { update } = s;
  if (s.panicked !== "") return "dead";
  if (s.rebooting || update?.outcome === "running" && update.phase === "kexec") return "none";
  return s.ready ? "up" : "booting";
}

export function runningGuests(s: Snapshot): readonly VmView[] {
  return s.vms.filter((vm) => vm.status === "running");
}

/** The devices whose DMA is promised to go on, and how fast it does. */
export function kept(s: Snapshot): { readonly devices: readonly DeviceView[]; rate: number } {
  const devices = s.devices.filter((d) => d.persistent);
  return { devices, rate: devices.reduce((sum, d) => sum + d.rate, 0) };
}

export function violatedCount(s: Snapshot): number {
  return s.invariants.filter((i) => i.verdict === "violated").length;
}
