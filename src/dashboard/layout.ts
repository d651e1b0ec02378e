import type { Snapshot } from "../platform/snapshot.ts";
import { columns, fr, type Rect, rows } from "../tui/mod.ts";
import { type Model, PANE_IDS, type PaneId } from "./model.ts";
import { liveUpdateRows } from "./panes/live_update.ts";

/** How much of everything there is room for. */
export type Mode = "wide" | "compact" | "single" | "line";

/** A pane on the screen, and the panes that share its place. */
export interface Place {
  readonly id: PaneId;
  readonly area: Rect;
  /** Panes behind this one; reached by their numbers and by Tab. */
  readonly behind: readonly PaneId[];
}

const TREES: readonly PaneId[] = ["iommufd", "sysfs", "guestmemfs", "kho"];
/** Panes that share one place where there is no room for each. */
export const TABBED: readonly PaneId[] = [...TREES, "invariants"];

export function modeOf(size: { readonly w: number; readonly h: number }): Mode {
  if (size.w >= 110 && size.h >= 34) return "wide";
  if (size.w >= 80 && size.h >= 24) return "compact";
  return size.w >= 40 && size.h >= 12 ? "single" : "line";
}

/** Where the panes are, within the rows between header and footer. */
export function places(mode: Mode, body: Rect, model: Model, s: Snapshot): readonly Place[] {
  if (mode === "line") return [];
  if (mode === "single" || model.zoomed) {
    return [{ id: model.focus, area: body, behind: PANE_IDS.filter((id) => id !== model.focus) }];
  }
  return mode === "wide" ? wide(body, s) : tight(body, model, s);
}

/** Rows of the devices pane, border and titles included. */
function deviceRows(s: Snapshot): number {
  return 3 + Math.max(1, s.devices.length);
}

function wide(body: Rect, s: Snapshot): Place[] {
  const most = (share: number) => Math.floor(body.h * share);
  const [update, devices, trees, log] = rows(body, [
    Math.min(liveUpdateRows(s), most(0.4)),
    Math.min(deviceRows(s), most(0.25)),
    fr(1, 5),
    fr(1, 5),
  ]);
  const [events, invariants] = columns(log!, [fr(5), fr(3, 42, 60)]);
  return [
    { id: "update", area: update!, behind: [] },
    { id: "devices", area: devices!, behind: [] },
    // The widest lines are those of iommufd; sysfs has names only.
    ...columns(trees!, [fr(6), fr(4), fr(5), fr(5)]).map((area, i): Place => ({
      id: TREES[i]!,
      area,
      behind: [],
    })),
    { id: "events", area: events!, behind: [] },
    { id: "invariants", area: invariants!, behind: [] },
  ];
}

/** Rows that the log and the trees keep, where others would like them. */
const LOG_ROWS = 6;

function tight(body: Rect, model: Model, s: Snapshot): Place[] {
  const table = Math.min(deviceRows(s), Math.max(6, Math.floor(body.h * 0.32)));
  const [update, devices, rest] = rows(body, [
    Math.min(liveUpdateRows(s), body.h - table - LOG_ROWS),
    table,
    fr(1),
  ]);
  const [tabs, events] = columns(rest!, [fr(3), fr(5)]);
  return [
    { id: "update", area: update!, behind: [] },
    { id: "devices", area: devices!, behind: [] },
    { id: model.tab, area: tabs!, behind: TABBED.filter((id) => id !== model.tab) },
    { id: "events", area: events!, behind: [] },
  ];
}
