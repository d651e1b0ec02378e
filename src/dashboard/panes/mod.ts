/** All panes, in the order of their numbers. */

import type { PaneId } from "../model.ts";
import { devicesPane } from "./devices.ts";
import { eventsPane } from "./events.ts";
import { invariantsPane } from "./invariants.ts";
import { liveUpdatePane } from "./live_update.ts";
import type { Pane } from "./pane.ts";
import { treePanes } from "./trees.ts";

export const PANES: readonly Pane[] = [
  liveUpdatePane,
  devicesPane,
  ...treePanes,
  eventsPane,
  invariantsPane,
];

export function paneOf(id: PaneId): Pane {
  return PANES.find((pane) => pane.id === id) ?? devicesPane;
}
