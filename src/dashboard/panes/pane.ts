import type { Region } from "../../tui/mod.ts";
import type { Model, PaneId, Scene, Shown } from "../model.ts";

/** What part of a pane's content was drawn, and from which row of its inside on. */
export interface DrawnRows extends Shown {
  /** Row of the inside that shows the first of the rows; 0 unless something stands above them. */
  readonly firstRow?: number;
}

/** A part of the screen. Every function of it is pure: values in, cells and values out. */
export interface Pane {
  readonly id: PaneId;
  readonly title: string;
  /** Its rows can be filtered. */
  readonly filters?: boolean;
  /** Shown after the title. */
  count?(s: Scene, model: Model): string;
  /** Shown at the right end of the lower border. */
  note?(s: Scene, region: Region, model: Model): string;
  /** Keys of the rows that can be chosen, in their order; missing where none can be. */
  rows?(s: Scene, model: Model): readonly string[];
  /** The chosen row as text. */
  rowText?(s: Scene, model: Model): string;
  /** Draws the inside, and tells what part of its content that was. */
  draw(region: Region, s: Scene, model: Model): DrawnRows;
}

/** What a pane that never scrolls has shown. */
export function wholly(region: Region): Shown {
  return { offset: 0, visible: region.h, total: 0 };
}

/** Index of the chosen row: the first one when it is gone; -1 where there are none. */
export function chosenIndex(rows: readonly string[], chosen: string): number {
  return rows.length === 0 ? -1 : Math.max(0, rows.indexOf(chosen));
}
