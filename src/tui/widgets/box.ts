import { inset } from "../layout.ts";
import type { Region } from "../region.ts";
import type { StyleLike } from "../style.ts";
import { truncate } from "../text.ts";
import { textWidth } from "../width.ts";

export interface BoxOptions {
  readonly title?: string;
  /** The key that focuses the pane, shown before the title. */
  readonly number?: number;
  /** Shown after the title, e.g. "3/17". */
  readonly count?: string;
  readonly focused?: boolean;
  /** Style of the border when not focused; default "border". */
  readonly style?: StyleLike;
  /** Text at the right end of the lower border. */
  readonly note?: string;
}

/**
 * Draws a border along the edge of the region and returns what is inside of it. A focused box
 * differs in the weight of its lines as well as in style. Below 2x2 nothing is drawn.
 */
export function box(region: Region, options: BoxOptions = {}): Region {
  const { w, h } = region;
  const inside = region.sub(inset(region.area, 1));
  if (w < 2 || h < 2) return inside;
  const { focused = false, title = "", number, count, note } = options;
  const lines = focused ? region.glyphs.heavy : region.glyphs.light;
  const style = focused ? "focus" : options.style ?? "border";
  const { corners } = lines;
  region.fill(style, lines.h, { x: 1, y: 0, w: w - 2, h: 1 });
  region.fill(style, lines.h, { x: 1, y: h - 1, w: w - 2, h: 1 });
  region.fill(style, lines.v, { x: 0, y: 1, w: 1, h: h - 2 });
  region.fill(style, lines.v, { x: w - 1, y: 1, w: 1, h: h - 2 });
  region.put(0, 0, corners[0], style);
  region.put(w - 1, 0, corners[1], style);
  region.put(w - 1, h - 1, corners[2], style);
  region.put(0, h - 1, corners[3], style);

  // The text starts after one cell of line, and leaves one before the corner.
  const room = w - 4;
  if (room <= 0) return inside;
  const heading = region.table.over("title", focused ? "focus" : "text");
  let x = 2;
  if (number !== undefined) {
    x += region.put(x, 0, `${number}${title === "" ? "" : " "}`, "key", room);
  }
  x += region.put(x, 0, truncate(title, w - 2 - x), heading, Math.max(0, w - 2 - x));
  if (count !== undefined && textWidth(count) + 1 <= w - 2 - x) {
    region.put(x, 0, ` ${count}`, style);
  }
  if (note !== undefined && note !== "") {
    const text = truncate(note, room);
    region.put(w - 2 - textWidth(text), h - 1, text, style, room);
  }
  return inside;
}
