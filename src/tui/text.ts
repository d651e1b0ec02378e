/** Fitting text into a given number of columns. */

import type { Region } from "./region.ts";
import type { StyleLike } from "./style.ts";
import { CellScanner, textWidth } from "./width.ts";

export type Align = "left" | "right" | "center";

const scanner = new CellScanner();

/** The longest start of `text` that takes at most `width` columns. */
export function truncate(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  let used = 0;
  let kept = "";
  scanner.start(text);
  while (scanner.next() && used + scanner.width <= width) {
    used += scanner.width;
    kept += String.fromCodePoint(scanner.code) + scanner.marks;
  }
  return kept;
}

/**
 * Writes text into a field of `width` columns, with an ellipsis at the end when it does not
 * fit. Does not touch the rest of the field.
 */
export function putFitted(
  region: Region,
  x: number,
  y: number,
  text: string,
  width: number,
  style: StyleLike = 0,
  align: Align = "left",
): void {
  if (!(width > 0)) return;
  // No UTF-16 unit takes more than two cells: this fits, whatever it is.
  if (align === "left" && 2 * text.length <= width) {
    region.put(x, y, text, style);
    return;
  }
  // Only as much as could be visible is measured: a log line may be endless.
  const head = text.length > 8 * width + 64 ? text.slice(0, 8 * width + 64) : text;
  const length = textWidth(head);
  if (length > width) {
    const used = region.put(x, y, truncate(head, width - 1), style, width - 1);
    region.put(x + used, y, region.glyphs.ellipsis, style);
    return;
  }
  const space = width - length;
  const indent = align === "left" ? 0 : align === "right" ? space : Math.floor(space / 2);
  region.put(x + indent, y, head, style);
}

/**
 * Breaks text into lines of at most `width` columns, at spaces where possible. Line ends in the
 * text are kept. A width below 1 gives no lines.
 */
export function wrap(text: string, width: number): string[] {
  if (!(width >= 1)) return [];
  return text.split("\n").flatMap((line) => wrapLine(clean(line), width));
}

/** The text as it is drawn: what would be replaced or left out on the screen is so already. */
function clean(text: string): string {
  let drawn = "";
  scanner.start(text);
  while (scanner.next()) drawn += String.fromCodePoint(scanner.code) + scanner.marks;
  return drawn.normalize("NFC");
}

function wrapLine(line: string, width: number): string[] {
  const lines: string[] = [];
  let current = "";
  for (const word of line.split(" ")) {
    const joined = current === "" ? word : `${current} ${word}`;
    if (textWidth(joined) <= width) {
      current = joined;
      continue;
    }
    if (current !== "") lines.push(current);
    current = word;
    while (textWidth(current) > width) {
      const head = truncate(current, width);
      // A wide character in a single column: leave it out rather than loop for ever.
      if (head === "") return lines;
      lines.push(head);
      current = current.slice(head.length);
    }
  }
  lines.push(current);
  return lines;
}
