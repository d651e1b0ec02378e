import type { Region } from "../region.ts";
import type { StyleLike } from "../style.ts";
import { textWidth } from "../width.ts";

export interface Hint {
  readonly key: string;
  readonly label: string;
}

export interface FooterOptions {
  /** Shown first, e.g. "NORMAL". */
  readonly mode?: string;
  /** The most important first: the last ones are dropped when there is no room. */
  readonly hints: readonly Hint[];
  /** A passing message at the right end; it takes room from the hints. */
  readonly message?: string;
  readonly messageStyle?: StyleLike;
}

/** Draws the status line in the first row of the region. */
export function footer(region: Region, options: FooterOptions): void {
  const { mode = "", hints, message = "", messageStyle = "text" } = options;
  const { table, w } = region;
  if (w <= 0 || region.h <= 0) return;
  const bar = region.sub({ x: 0, y: 0, w, h: 1 });
  bar.fill("bar");
  const onBar = (style: StyleLike) => table.over(style, "bar");

  const messageWidth = Math.min(textWidth(message), w);
  const room = messageWidth === 0 ? w : w - messageWidth - 1;
  let x = 0;
  if (mode !== "") x += bar.put(0, 0, ` ${mode} `, onBar("title"), room);
  for (const { key, label } of hints) {
    const need = textWidth(key) + textWidth(label) + 2;
    if (x + need > room) break;
    x += bar.put(x + 1, 0, key, onBar("key")) + 1;
    x += bar.put(x + 1, 0, label, onBar("text")) + 1;
    x += 1;
  }
  if (messageWidth > 0) bar.put(w - messageWidth, 0, message, onBar(messageStyle), messageWidth);
}
