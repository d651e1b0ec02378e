import type { Snapshot } from "../platform/snapshot.ts";
import type { Region, Role } from "../tui/mod.ts";
import { formatTime } from "../base/units.ts";
import { BUCKET } from "../health/meter.ts";
import { bars, highest } from "./bars.ts";

/** A stretch of virtual time in which something was in one state. */
export interface Segment {
  readonly from: number;
  readonly to: number;
  readonly kind: "running" | "paused" | "gone" | "none" | "booting";
  readonly text: string;
}

const STYLE: Readonly<Record<Segment["kind"], Role>> = {
  running: "good",
  paused: "warn",
  gone: "dim",
  none: "bad",
  booting: "accent",
};

/** What the machine was run by, from the first boot until now. */
export function kernelLane(s: Snapshot): Segment[] {
  const lane: Segment[] = [];
  let boot = s.boot - s.updates.filter((u) => u.began.boot !== undefined).length;
  let from = 0;
  for (const { began, endedAt } of s.updates) {
    if (began.kexec === undefined) continue;
    lane.push({ from, to: began.kexec, kind: "running", text: `boot ${boot}` });
    const jumped = began.boot ?? (endedAt >= 0 ? endedAt : s.time);
    lane.push({ from: began.kexec, to: jumped, kind: "none", text: "no kernel" });
    from = jumped;
    if (began.boot === undefined) continue;
    from = began.restore ?? (endedAt >= 0 ? endedAt : s.time);
    lane.push({ from: jumped, to: from, kind: "booting", text: `boot ${++boot} starts` });
  }
  if (from < s.time) {
    const kind = s.ready ? "running" : "booting";
    lane.push({ from, to: s.time, kind, text: `boot ${boot}${s.ready ? "" : " starts"}` });
  }
  return lane;
}

/** When a guest ran, stood still, or was gone with the memory it lay in. */
export function guestLane(s: Snapshot, id: string): Segment[] {
  const vm = s.vms.find((v) => v.id === id);
  if (vm === undefined || vm.status === "off") return [];
  const lane: Segment[] = [];
  let from = 0;
  for (const update of s.updates) {
    const pause = update.pauses.get(id);
    if (pause === undefined) continue;
    const to = pause.to < 0 ? s.time : pause.to;
    lane.push({ from, to: pause.from, kind: "running", text: "runs" });
    const carried = vm.persistent && update.kho;
    const jump = update.began.boot ?? Infinity;
    const gone = carried ? to : Math.min(to, jump);
    lane.push({ from: pause.from, to: gone, kind: "paused", text: "paused" });
    if (gone < to) lane.push({ from: gone, to, kind: "gone", text: "gone: starts over" });
    from = to;
  }
  if (from < s.time) lane.push({ from, to: s.time, kind: "running", text: "runs" });
  return lane;
}

/** How virtual time maps to the columns of a lane; all lanes of a pane share one. */
export interface Axis {
  readonly columns: number;
  /** Columns that one bucket of a device's history takes. */
  readonly perBucket: number;
  /** Virtual time at the right edge: the end of the bucket that is filling. */
  readonly end: number;
  readonly now: number;
}

/** Buckets that a lane shows at least, where there is room: a live update and what is around. */
const WANTED_BUCKETS = 28;

export function axis(columns: number, now: number): Axis {
  const perBucket = Math.max(1, Math.min(4, Math.floor(columns / WANTED_BUCKETS)));
  return { columns, perBucket, end: Math.ceil(now / BUCKET) * BUCKET, now };
}

/** Nanoseconds that the axis spans. */
export function span(a: Axis): number {
  return a.columns * BUCKET / a.perBucket;
}

/** First column at or after a time; may lie outside of the axis. */
function columnOf(a: Axis, time: number): number {
  return a.columns - Math.round((a.end - time) * a.perBucket / BUCKET);
}

/** Draws the segments in the first row of the region, each with its text where that fits. */
export function drawLane(region: Region, a: Axis, lane: readonly Segment[]): void {
  const { glyphs } = region;
  const fillers = {
    running: glyphs.heavy.h,
    paused: glyphs.empty,
    gone: " ",
    none: glyphs.phase[3],
    booting: glyphs.empty,
  };
  for (const { from, to, kind, text } of lane) {
    const left = Math.max(0, columnOf(a, from));
    const right = Math.min(a.columns, columnOf(a, to));
    const w = right - left;
    if (w <= 0) continue;
    const style = STYLE[kind];
    region.fill(style, fillers[kind], { x: left, y: 0, w, h: 1 });
    const label = ` ${text} `;
    if (label.length > w) continue;
    region.put(left + Math.floor((w - label.length) / 2), 0, label, style);
  }
}

/** Draws short texts at their times in the first row of the region; later ones over earlier ones. */
export function drawMarks(
  region: Region,
  a: Axis,
  marks: readonly { readonly time: number; readonly text: string; readonly style: Role }[],
): void {
  for (const { time, text, style } of marks) {
    const x = Math.min(columnOf(a, time), a.columns - 1);
    if (x >= 0) region.put(x, 0, text, style, Math.min(8, a.columns - x));
  }
}

/** A stretch of time in which a device that had work got nothing done. */
export interface Gap {
  readonly from: number;
  readonly to: number;
  readonly style: "bad" | "warn";
}

/** Draws gaps with their lengths in the first row of the region, below what is drawn next. */
export function drawGaps(region: Region, a: Axis, gaps: readonly Gap[]): void {
  const { phase, empty } = region.glyphs;
  for (const { from, to, style } of gaps) {
    // What a bucket holds is shown for all of it: a gap shows where nothing is.
    const left = Math.max(0, columnOf(a, Math.ceil(from / BUCKET) * BUCKET));
    const w = Math.min(a.columns, columnOf(a, to)) - left;
    if (w <= 0) continue;
    region.fill(style, style === "bad" ? phase[3] : empty, { x: left, y: 0, w, h: 1 });
    const label = ` ${formatTime(to - from)} `;
    if (label.length <= w) region.put(left + Math.floor((w - label.length) / 2), 0, label, style);
  }
}

/**
 * Draws a device's history, stretched to the axis. The bucket that is still filling is left out:
 * half a bucket would look like half the rate.
 */
export function drawHistory(
  region: Region,
  a: Axis,
  history: readonly number[],
  style: Role,
): void {
  const { levels } = region.glyphs;
  const filling = a.now === a.end ? 0 : 1;
  const end = history.length - filling, right = a.columns - filling * a.perBucket;
  const start = Math.max(0, end - Math.ceil(right / a.perBucket));
  const max = highest(history, start, end);
  for (let to, from = start; from < end; from = to + 1) {
    for (to = from; to < end && history[to]! > 0;) to++;
    if (to === from) continue;
    const x = right - (end - from) * a.perBucket;
    region.setRow(x, 0, bars(history, from, to, { max, levels, columns: a.perBucket }), style);
  }
}
