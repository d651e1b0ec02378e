import { columns, fr, type Rect, rows } from "../tui/mod.ts";
import { type Model, PANE_IDS, type PaneId, type Scene } from "./model.ts";
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

/** Panes that share one place where there is no room for each. */
export const TABBED: readonly PaneId[] = ["iommufd", "files", "memory", "invariants"];

export function modeOf(size: { readonly w: number; readonly h: number }): Mode {
  if (size.w >= 110 && size.h >= 34) return "wide";
  if (size.w >= 80 && size.h >= 24) return "compact";
  return size.w >= 40 && size.h >= 12 ? "single" : "line";
}

/** The panes that are on the screen at this size. */
export function visiblePanes(
  { cols, rows }: { readonly cols: number; readonly rows: number },
  model: Model,
): readonly PaneId[] {
  const mode = modeOf({ w: cols, h: rows });
  if (mode === "line") return [];
  if (mode === "single" || model.zoomed) return [model.focus];
  return mode === "wide" ? PANE_IDS : ["update", "devices", model.tab, "events"];
}

/** Where the panes are, within the rows between header and footer. */
export function places(mode: Mode, body: Rect, model: Model, s: Scene): readonly Place[] {
  if (mode === "line") return [];
  if (mode === "single" || model.zoomed) {
    return [{ id: model.focus, area: body, behind: PANE_IDS.filter((id) => id !== model.focus) }];
  }
  return mode === "wide" ? wide(body, s, model) : tight(body, model, s);
}

/** Rows of the devices pane, border and titles included. */
function deviceRows(s: Scene): number {
  return 3 + Math.max(1, s.devices.length);
}

function wide(body: Rect, s: Scene, model: Model): Place[] {
  const most = (share: number) => Math.floor(body.h * share);
  const [update, devices, trees, log] = rows(body, [
    Math.min(liveUpdateRows(s, model), most(0.4)),
    Math.min(deviceRows(s), most(0.25)),
    fr(6, 5),
    fr(5, 5),
  ]);
  const [iommufd, files, memory] = columns(trees!, [fr(5), fr(6), fr(5)]);
  const [events, invariants] = columns(log!, [fr(5), fr(3, 42, 60)]);
  const place = (id: PaneId, area: Rect | undefined): Place => ({ id, area: area!, behind: [] });
  return [
    place("update", update),
    place("devices", devices),
    place("iommufd", iommufd),
    place("files", files),
    place("memory", memory),
    place("events", events),
    place("invariants", invariants),
  ];
}

/** Rows that the log and the trees keep, where others would like them. */
const LOG_ROWS = 5;

function tight(body: Rect, model: Model, s: Scene): Place[] {
  const table = Math.min(deviceRows(s), Math.max(6, Math.floor(body.h * 0.37)));
  const [update, devices, rest] = rows(body, [
    Math.min(liveUpdateRows(s, model), body.h - table - LOG_ROWS),
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
