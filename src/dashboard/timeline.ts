import type { UpdateRecord } from "../platform/live_update.ts";
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
  return s.reigns.flatMap(({ from, ready, left }, i): Segment[] => {
    const end = s.reigns[i + 1]?.from ?? s.time, text = `boot ${i + 1}`;
    const up = ready < 0 ? end : ready, gone = left < 0 ? end : left;
    return [
      { from, to: up, kind: "booting", text: `${text} starts` },
      { from: up, to: gone, kind: "running", text },
      { from: gone, to: end, kind: "none", text: "no kernel" },
    ];
  });
}

/** When a guest ran, stood still, or was gone with the memory it lay in. */
export function guestLane(s: Snapshot, id: string): Segment[] {
  const vm = s.vms.find((v) => v.id === id);
  const pauses = s.updates.flatMap((update) => pauseOf(s, id, update));
  const lane = [...pauses];
  for (const life of vm?.lives ?? []) {
    const end = life.to < 0 ? s.time : life.to;
    let { from } = life;
    for (const pause of [...pauses, { from: end, to: end }]) {
      const to = Math.min(end, pause.from);
      if (from < to) lane.push({ from, to, kind: "running", text: "runs" });
      from = Math.max(from, pause.to);
    }
  }
  return lane;
}

/** How a guest stood still in an update, and went where it was not carried over. */
function pauseOf(s: Snapshot, id: string, update: UpdateRecord): Segment[] {
  const pause = update.pauses.get(id), vm = s.vms.find((v) => v.id === id);
  if (pause === undefined || vm === undefined) return [];
  const to = pause.to < 0 ? s.time : pause.to;
  const carried = vm.persistent && update.kho;
  const gone = carried ? to : Math.min(to, update.began.boot ?? Infinity);
  return [
    { from: pause.from, to: gone, kind: "paused", text: "paused" },
    { from: gone, to, kind: "gone", text: "gone: starts over" },
  ];
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
