import type { Snapshot } from "../../platform/snapshot.ts";
import type { Region } from "../../tui/mod.ts";
import type { Model, PaneId, Shown } from "../model.ts";

/** A part of the screen. Every function of it is pure: values in, cells and values out. */
export interface Pane {
  readonly id: PaneId;
  readonly title: string;
  /** Shown after the title. */
  count?(s: Snapshot, model: Model): string;
  /** Shown at the right end of the lower border. */
  note?(s: Snapshot, region: Region): string;
  /** Draws the inside, and tells what part of its content that was. */
  draw(region: Region, s: Snapshot, model: Model): Shown;
}

/** What a pane that never scrolls has shown. */
export function wholly(region: Region): Shown {
  return { offset: 0, visible: region.h, total: 0 };
}
