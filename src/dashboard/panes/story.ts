import { formatTime } from "../../base/units.ts";
import type { Snapshot } from "../../platform/snapshot.ts";
import type { UpdateRecord } from "../../platform/live_update.ts";
import type { Role } from "../../tui/mod.ts";
import { compact, count, kept, kernelState, runningGuests } from "../words.ts";

/** What goes on, in a word and a sentence: what a room should read first. */
export interface Story {
  readonly badge: string;
  readonly style: Role;
  readonly text: string;
}

export function story(s: Snapshot): Story {
  const { update } = s;
  if (s.panicked !== "") return { badge: "KERNEL PANIC", style: "bad", text: s.panicked };
  if (update?.outcome === "running") return during(s, update);
  // Somebody jumps into another kernel by hand.
  if (kernelState(s) === "none") return gap(s, "kexec");
  if (!s.ready) {
    return s.boot > 1
      ? gap(s, "boot")
      : { badge: "BOOT 1 STARTS", style: "accent", text: "no program runs yet" };
  }
  if (update === undefined) {
    const before = s.boot > 1 ? `boot ${s.boot}, jumped into by hand` : "no live update yet";
    const guests = count(runningGuests(s).length, "running guest");
    return {
      badge: "READY",
      style: "good",
      text: `${before}: k replaces the kernel under ${guests}`,
    };
  }
  const took = formatTime(update.endedAt - update.startedAt);
  if (update.outcome === "done") return after(s, update, took);
  const badge = update.outcome === "aborted" ? "ABORTED" : "FAILED";
  return {
    badge,
    style: update.outcome === "aborted" ? "warn" : "bad",
    text: `${update.reason}: after ${took}, in phase ${update.phase}`,
  };
}

function during(s: Snapshot, update: UpdateRecord): Story {
  if (update.held) {
    const text = `held in phase ${update.phase} until told to go on`;
    return { badge: "HELD", style: "warn", text };
  }
  switch (update.phase) {
    case "prepare":
      return {
        badge: "PREPARE",
        style: "accent",
        text: `state is handed over, ${update.image} is loaded; guests run on`,
      };
    case "pause":
      return { badge: "GUESTS PAUSED", style: "warn", text: devices(s) };
    case "kexec":
    case "boot":
      return gap(s, update.phase);
    case "restore":
      return {
        badge: `BOOT ${s.boot} IS UP`,
        style: "good",
        text: "the VMMs pick up iommufds and devices where they were left",
      };
    case "resume":
      return { badge: "RESUME", style: "good", text: "guests run on" };
    case "finish":
      return { badge: "FINISH", style: "good", text: "what was kept for the update is let go" };
  }
}

/** Between two kernels. */
function gap(s: Snapshot, phase: "kexec" | "boot"): Story {
  if (phase === "boot") {
    return { badge: `NO KERNEL YET: BOOT ${s.boot} STARTS`, style: "accent", text: devices(s) };
  }
  const text = `${devices(s)}; boot ${s.boot} is gone, the machine jumps`;
  return { badge: "NO KERNEL", style: "bad", text };
}

/** How the kept devices fare, in one clause: the point of the whole exercise. */
function devices(s: Snapshot): string {
  const { devices: all, rate } = kept(s);
  if (all.length === 0) return "no device is kept";
  // The word is of this moment, the rate of the last 100 ms: trouble is said first.
  const troubled = all.filter((d) => !["healthy", "idle", "starved"].includes(d.health));
  if (troubled.length > 0) {
    const words = [...new Set(troubled.map((d) => d.health))].join(", ");
    return `${troubled.length} of ${count(all.length, "kept device")} in trouble: ${words}`;
  }
  const silent = all.filter((d) => d.rate === 0).length;
  return `kept devices go on: ${compact(rate)} DMA/s${silent > 0 ? ` (${silent} idle)` : ""}`;
}

/** Whether it was hitless, and what it came to. */
function after(s: Snapshot, update: UpdateRecord, took: string): Story {
  const longest = Math.max(0, ...[...update.pauses.values()].map((p) => p.to - p.from));
  const parts: string[] = [];
  if (longest > 0) parts.push(`guests stood still ${formatTime(longest)}`);
  const { devices: all } = kept(s);
  const lost = all.reduce(
    (sum, d) => sum + d.faults + d.blocked + d.stray - (update.lostBefore.get(d.id) ?? 0),
    0,
  );
  if (all.length > 0) parts.push(`kept devices lost ${lost === 0 ? "no" : lost} DMA`);
  parts.push(`${took} in all`);
  const text = parts.join(", ");
  if (lost > 0) return { badge: "DONE, DMA LOST", style: "bad", text };
  if (s.verdict === "violated") return { badge: "DONE", style: "warn", text };
  return { badge: all.length === 0 ? "DONE" : "DONE, HITLESS", style: "good", text };
}
