import type { Region } from "../region.ts";
import { thumb, type View } from "../scroll.ts";

/** Draws a vertical scrollbar over the height of the region, in its first column. */
export function scrollbar(region: Region, view: View, total: number): void {
  const { glyphs, h } = region;
  const { at, size } = thumb(view, total, h);
  for (let y = 0; y < h; y++) {
    const inThumb = y >= at && y < at + size;
    region.put(0, y, inThumb ? glyphs.thumb : glyphs.track, inThumb ? "text" : "border");
  }
}
