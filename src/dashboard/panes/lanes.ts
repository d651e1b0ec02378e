import { formatTime } from "../../base/units.ts";
import type { DeviceView, VmView } from "../../platform/snapshot.ts";
import { putFitted, type Region, type Role } from "../../tui/mod.ts";
import type { Model, Scene } from "../model.ts";
import { BUCKET } from "../../health/meter.ts";
import {
  type Axis,
  axis,
  drawGaps,
  drawHistory,
  drawLane,
  drawMarks,
  type Gap,
  guestLane,
  kernelLane,
} from "../timeline.ts";
import { compact, HEALTH_ROLE, keptMark, kernelState } from "../words.ts";

/** One line of the time line: a name, what happened, and how it is now. */
interface Lane {
  readonly name: string;
  readonly state: string;
  readonly style: Role;
  draw(region: Region, a: Axis): void;
}

/** Columns for names, the marks of kept devices included, and for the state at the right. */
const NAME = 9;
const STATE = 19;

/** The axis that lanes have in a region of this width. */
export function laneAxis(width: number, now: number): Axis {
  return axis(Math.max(0, width - NAME - 1 - STATE), now);
}

/**
 * Kernel, guests and devices over the same virtual time, one below the other. When they do not all
 * fit, the guests share a lane, and kept devices are shown before others.
 */
export function drawLanes(region: Region, s: Scene, model: Model): void {
  const a = laneAxis(region.w, s.time);
  lanes(s, model, region.h, region.grid.ascii).forEach((lane, y) => {
    putFitted(region, 0, y, lane.name, NAME - 1);
    lane.draw(region.sub({ x: NAME, y, w: a.columns, h: 1 }), a);
    putFitted(region, NAME + a.columns + 1, y, lane.state, STATE, lane.style);
  });
}

/** Lanes that would be drawn if there were room for all. */
export function laneCount(s: Scene, model: Model): number {
  return (hasMarks(model) ? 1 : 0) + 1 + s.vms.length + s.devices.length;
}

/** Something was done by hand, or a moment marked. */
function hasMarks({ marks, history }: Model): boolean {
  return marks.length > 0 || history.ahead.length > 0 ||
    history.done.some((d) => d.before !== undefined);
}

function lanes(s: Scene, model: Model, room: number, ascii: boolean): Lane[] {
  const guests = s.vms.length <= 1 || laneCount(s, model) <= room
    ? s.vms.map((vm) => guest(s, vm, vm.id))
    : [guest(s, longestPaused(s.vms), "guests")];
  const least = 1 + guests.length + Math.min(1, s.devices.length);
  const done = hasMarks(model) && room > least ? [deeds(model)] : [];
  const upper = [...done, kernel(s), ...guests].slice(0, Math.max(0, room));
  const devices = worthSeeing(s.devices, room - upper.length);
  return [...upper, ...devices.map((d) => device(d, ascii))];
}

/** At most `room` devices: kept ones first, and where not all fit, those in trouble before others. */
function worthSeeing(devices: readonly DeviceView[], room: number): readonly DeviceView[] {
  if (devices.length <= room) {
    return [...devices.filter((d) => d.persistent), ...devices.filter((d) => !d.persistent)];
  }
  const groups: DeviceView[][] = [[], [], [], []];
  for (const d of devices) {
    const role = HEALTH_ROLE[d.health], trouble = role === "bad" || role === "warn";
    groups[(d.persistent ? 0 : 2) + (trouble ? 0 : 1)]!.push(d);
  }
  return groups.flat().slice(0, Math.max(0, room));
}

/** What was done by hand, and marks by their names. */
function deeds({ marks, history }: Model): Lane {
  const done = history.done.filter((d) => d.before !== undefined);
  const last = done.at(-1);
  return {
    name: "  acts",
    state: last === undefined ? "" : `${last.text.split(" ")[0]} ${last.answer ?? "..."}`
      .replace(/ 0$/, ""),
    style: last?.answer === undefined || last.answer === "0" ? "text" : "warn",
    draw: (region, a) =>
      drawMarks(region, a, [
        ...done.map((d) => ({ time: d.at, text: region.glyphs.open, style: "accent" as const })),
        ...marks.map((m) => ({ time: m.moment.time, text: m.name, style: "title" as const })),
      ]),
  };
}

const KERNEL_STATE = {
  up: "boot #",
  none: "NONE",
  booting: "boot # starts",
  dead: "PANIC",
} as const;

function kernel(s: Scene): Lane {
  const state = kernelState(s);
  return {
    name: "  kernel",
    state: KERNEL_STATE[state].replace("#", String(s.boot)),
    style: state === "up" ? "good" : state === "booting" ? "accent" : "bad",
    draw: (region, a) => drawLane(region, a, kernelLane(s)),
  };
}

function longestPaused(vms: readonly VmView[]): VmView {
  return vms.reduce((worst, vm) => vm.pause > worst.pause ? vm : worst);
}

function guest(s: Scene, vm: VmView, name: string): Lane {
  const pause = s.update?.pauses.get(vm.id);
  const open = pause !== undefined && pause.to < 0;
  const gone = open && vm.status === "exited" && !(vm.persistent && s.update?.kho);
  return {
    name: `  ${name}`,
    state: pause === undefined
      ? vm.status
      : open
      ? `${gone ? "gone" : "paused"} ${formatTime(vm.pause)}`
      : `${vm.status === "running" ? "runs" : vm.status} after ${formatTime(vm.pause)}`,
    style: open ? gone ? "dim" : "warn" : vm.status === "failed" ? "bad" : "text",
    draw: (region, a) => drawLane(region, a, guestLane(s, vm.id)),
  };
}

/** Gaps in a device's DMA that are worth seeing: many times longer than one is as a rule. */
const LONG_GAP = 2 * BUCKET;

/** The gap that is open, and the longest one so far. While there is nothing to do there is none. */
function gapsOf(d: DeviceView, now: number): Gap[] {
  const style = d.persistent || HEALTH_ROLE[d.health] === "bad" ? "bad" : "warn";
  const open = { from: now - d.openGap, to: now, style } as const;
  const longest = {
    from: d.longestGapEnd - d.longestGap,
    to: d.longestGapEnd,
    style: d.persistent ? "bad" : "warn",
  } as const;
  const gaps = d.openGap > 0 && d.openGap >= d.longestGap ? [open] : [longest, open];
  return gaps.filter((gap) => gap.to - gap.from >= LONG_GAP);
}

function device(d: DeviceView, ascii: boolean): Lane {
  const style = HEALTH_ROLE[d.health];
  const word = d.health === "healthy" ? "" : `, ${d.health}`;
  return {
    name: `${d.persistent ? keptMark(ascii) : " "} ${d.id}`,
    state: `${compact(d.rate)}/s${word}`,
    style,
    draw(region, a) {
      drawGaps(region, a, gapsOf(d, a.now));
      drawHistory(region, a, d.history, style === "dim" ? "dim" : "info");
    },
  };
}
