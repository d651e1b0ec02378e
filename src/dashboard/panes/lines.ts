import type { Model, PaneId, Scene } from "../model.ts";
import { paneText } from "./copy.ts";
import { eventText } from "./events.ts";
import { liveUpdateRows } from "./live_update.ts";
import { memoryText } from "./memory.ts";
import { paneOf } from "./mod.ts";

/** Width that panes are drawn at where there is no screen. */
const WIDTH = 110;

/** All there is in a pane, however much, as plain lines. */
export function paneLines(id: PaneId, s: Scene, model: Model): string[] {
  const pane = paneOf(id);
  switch (id) {
    case "memory":
      return memoryText(s);
    case "events":
      return s.events.map(eventText);
    case "update":
      return paneText(pane, s, model, WIDTH, liveUpdateRows(s, model));
    case "invariants": {
      const violations = s.invariants.reduce((sum, i) => sum + i.violations.length, 0);
      return paneText(pane, s, model, WIDTH, s.invariants.length + 8 * violations + 1);
    }
    case "devices":
      // One row less than what would bring the details of the chosen one.
      return paneText(pane, s, model, WIDTH, s.devices.length + 1);
    default:
      return paneText(pane, s, model, WIDTH, s[id].length);
  }
}
