import { box, center, list, type Region, textWidth, wrap } from "../../tui/mod.ts";
import type { Overlay, Shown } from "../model.ts";

type Text = Overlay & { readonly kind: "text" };

/** Text over the panes, with a title; scrolls both ways. */
export function textOverlay(screen: Region, { title, lines, top, left }: Text): Shown {
  const widest = Math.max(textWidth(title) + 4, ...lines.map(textWidth));
  const panel = screen.sub(center(screen.area, widest + 4, lines.length + 2));
  panel.fill();
  const inside = box(panel, { title, focused: true, note: "y copies, Esc closes" });
  const area = { x: 1, y: 0, w: inside.w - 1, h: inside.h };
  const shown = list(inside.sub(area), {
    count: lines.length,
    line: (i) => lines[i]!,
    offset: top,
    left,
  });
  return { ...shown, total: lines.length };
}

/** Text as an overlay, wrapped to what is comfortable to read. */
export function showText(title: string, text: string | readonly string[], width = 96): Overlay {
  const lines = typeof text === "string" ? text.split("\n") : text;
  const wrapped = lines.flatMap((line) => textWidth(line) <= width ? [line] : wrap(line, width));
  return { kind: "text", title, lines: wrapped, top: 0, left: 0 };
}
