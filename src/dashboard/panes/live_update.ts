import { formatTime } from "../../base/units.ts";
import { type Phase, PHASES, type UpdateRecord } from "../../platform/live_update.ts";
import type { Model, Scene } from "../model.ts";
import { divide, fr, phases, putFitted, type Region, type Role } from "../../tui/mod.ts";
import { span } from "../timeline.ts";
import { keptMark } from "../words.ts";
import { drawLanes, laneAxis, laneCount } from "./lanes.ts";
import { type Pane, wholly } from "./pane.ts";
import { type Story, story } from "./story.ts";

/** Rows above the lanes: the sentence, and the bar with names and times. */
const HEAD = 4;
/** Below this width phases have no room for their names. */
const NARROW = 62;

/** Half of an active phase's bar is full after this long; nobody knows how long it will take. */
const HALF = 60e6;

export const liveUpdatePane: Pane = {
  id: "update",
  title: "Live update",
  count(s) {
    const { update } = s;
    return update === undefined ? "" : `to ${update.image}: ${update.outcome}`;
  },
  note(s, region) {
    const across = formatTime(span(laneAxis(region.w - 4, s.time)));
    return `${across} across, ${keptMark(region.grid.ascii)} kept through kexec`;
  },
  draw(region, s, model) {
    const inner = region.sub({ x: 1, y: 0, w: region.w - 2, h: region.h });
    if (inner.w < NARROW) drawNarrow(inner, s);
    else {
      const told = story(s);
      drawStory(inner, told, told.text);
      drawPhases(inner.sub({ x: 0, y: 1, w: inner.w, h: Math.min(3, inner.h - 1) }), s);
    }
    // A blank row sets the time line apart where nothing is lost by it.
    const top = inner.h > HEAD + laneCount(s, model) ? HEAD + 1 : HEAD;
    drawLanes(inner.sub({ x: 0, y: top, w: inner.w, h: inner.h - top }), s, model);
    return wholly(region);
  },
};

/** Rows that show everything there is, the border included. */
export function liveUpdateRows(s: Scene, model: Model): number {
  return 2 + HEAD + laneCount(s, model);
}

function drawStory(region: Region, { badge, style }: Story, text: string): void {
  const loud = region.table.over(style, region.table.look({ reverse: true, bold: true }));
  const w = region.put(0, 0, ` ${badge} `, loud);
  putFitted(region, w + 1, 0, text, region.w - w - 1, "title");
}

/** The same in the same number of rows: badge, sentence, bar, and the phase in words. */
function drawNarrow(region: Region, s: Scene): void {
  const told = story(s);
  drawStory(region, told, "");
  putFitted(region, 0, 1, told.text, region.w);
  drawBar(region.sub({ x: 0, y: 2, w: region.w, h: 1 }), s);
  const { update, time } = s;
  const began = update?.began[update.phase];
  if (update === undefined || began === undefined) return;
  const took = formatTime(endOf(update.phase, update, time) - began);
  const nth = `${PHASES.indexOf(update.phase) + 1} of ${PHASES.length}`;
  putFitted(region, 0, 3, `${update.phase}, ${nth}: ${took}`, region.w, "accent");
}

function drawBar(region: Region, { update, time }: Scene): void {
  phases(region, PHASES.map((label) => ({ label, ...stateOf(label, update, time) })));
}

function drawPhases(region: Region, s: Scene): void {
  const { update, time } = s;
  drawBar(region.sub({ x: 0, y: 0, w: region.w, h: Math.min(2, region.h) }), s);
  if (region.h < 3 || update === undefined) return;
  const widths = divide(region.w, PHASES.map(() => fr(1, 1)), 1);
  let x = 0;
  PHASES.forEach((phase, i) => {
    const began = update.began[phase];
    if (began !== undefined) {
      const took = formatTime(endOf(phase, update, time) - began);
      const style: Role = phase === update.phase && update.outcome === "running" ? "accent" : "dim";
      putFitted(region, x + 2, 2, took, widths[i]! - 2, style);
    }
    x += widths[i]! + 1;
  });
}

function stateOf(phase: Phase, update: UpdateRecord | undefined, now: number) {
  const began = update?.began[phase];
  if (update === undefined || began === undefined) return { state: "waiting" as const };
  if (phase !== update.phase || update.outcome === "done") return { state: "done" as const };
  if (update.outcome !== "running") return { state: "failed" as const };
  const elapsed = now - began;
  return { state: "active" as const, ratio: elapsed / (elapsed + HALF) };
}

/** When a phase that began was over: when a later one began, or the whole update ended. */
function endOf(phase: Phase, update: UpdateRecord, now: number): number {
  for (const next of PHASES.slice(PHASES.indexOf(phase) + 1)) {
    const began = update.began[next];
    if (began !== undefined) return began;
  }
  return update.endedAt >= 0 ? update.endedAt : now;
}
