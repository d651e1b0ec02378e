/** All panes, in the order of their numbers. */

import type { PaneId } from "../model.ts";
import { devicesPane } from "./devices.ts";
import { eventsPane } from "./events.ts";
import { invariantsPane } from "./invariants.ts";
import { liveUpdatePane } from "./live_update.ts";
import { memoryPane } from "./memory.ts";
import type { Pane } from "./pane.ts";
import { filesPane, iommufdPane } from "./trees.ts";

export const PANES: Readonly<Record<PaneId, Pane>> = {
  update: liveUpdatePane,
  devices: devicesPane,
  iommufd: iommufdPane,
  files: filesPane,
  memory: memoryPane,
  events: eventsPane,
  invariants: invariantsPane,
};

export function paneOf(id: PaneId): Pane {
  return PANES[id];
}
