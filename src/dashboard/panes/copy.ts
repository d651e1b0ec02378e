import { Grid, Region } from "../../tui/mod.ts";
import type { Context, Model, Scene } from "../model.ts";
import { deviceLines } from "../overlays/device.ts";
import { paneOf } from "./mod.ts";
import type { Pane } from "./pane.ts";

/** What is open or chosen, as text. */
export function copyOf(model: Model, c: Context): string {
  const { overlay } = model, s = c.snapshot;
  if (overlay?.kind === "text") return overlay.lines.join("\n");
  if (overlay?.kind === "device") {
    return deviceLines(s, model, overlay.tab).map((line) =>
      Array.isArray(line) ? line.map((piece) => piece.text).join("") : String(line)
    ).map((line) => line.trimEnd()).join("\n");
  }
  const pane = paneOf(model.focus);
  const text = pane.rowText?.(s, model);
  if (text !== undefined) return text;
  const { w = 100, h = 24 } = c.metrics.panes[model.focus]?.area ?? {};
  return paneText(pane, s, model, w - 2, h - 2).join("\n");
}

/** The inside of a pane as plain lines. */
export function paneText(pane: Pane, s: Scene, model: Model, w: number, h: number): string[] {
  const grid = new Grid(Math.max(1, w), Math.max(1, h));
  grid.ascii = model.settings.look.ascii ?? false;
  pane.draw(Region.of(grid), s, model);
  const rows = Array.from({ length: grid.rows }, (_, y) => grid.rowText(y).trimEnd());
  while (rows.length > 0 && rows[rows.length - 1] === "") rows.pop();
  return rows;
}
