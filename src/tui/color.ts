/**
 * Colours as small integers, and their SGR form for each colour depth. A colour is a palette
 * index (0..255) or a 24-bit value made by `rgb()`. The terminal's own default is the absence
 * of a colour: this library never paints an explicit "black" or "white" background, because it
 * does not know what the user's default looks like.
 */

/** A palette index 0..255, or a value made by `rgb()`. */
export type Color = number;

/** How many colours may be sent: none at all, 16, 256 or 24-bit. */
export type ColorDepth = "none" | "16" | "256" | "truecolor";

const RGB_FLAG = 0x1000000;

/** A 24-bit colour. Each component is 0..255; other bits are cut off. */
export function rgb(red: number, green: number, blue: number): Color {
  return RGB_FLAG | ((red & 255) << 16) | ((green & 255) << 8) | (blue & 255);
}

const CUBE = [0, 95, 135, 175, 215, 255];

/** What xterm shows for indices 0..15; only used to find the nearest one. */
const ANSI = [
  0x000000,
  0xcd0000,
  0x00cd00,
  0xcdcd00,
  0x0000ee,
  0xcd00cd,
  0x00cdcd,
  0xe5e5e5,
  0x7f7f7f,
  0xff0000,
  0x00ff00,
  0xffff00,
  0x5c5cff,
  0xff00ff,
  0x00ffff,
  0xffffff,
];

function paletteRgb(index: number): number {
  if (index < 16) return ANSI[index]!;
  if (index >= 232) {
    const level = 8 + 10 * (index - 232);
    return (level << 16) | (level << 8) | level;
  }
  const n = index - 16;
  return (CUBE[Math.floor(n / 36)]! << 16) | (CUBE[Math.floor(n / 6) % 6]! << 8) | CUBE[n % 6]!;
}

/** `#rrggbb`, as xterm would show it. */
export function colorHex(color: Color): string {
  const value = color >= RGB_FLAG ? color & 0xffffff : paletteRgb(color);
  return "#" + value.toString(16).padStart(6, "0");
}

function distance(a: number, b: number): number {
  const red = (a >> 16) - (b >> 16);
  const green = ((a >> 8) & 255) - ((b >> 8) & 255);
  const blue = (a & 255) - (b & 255);
  return 2 * red * red + 4 * green * green + 3 * blue * blue;
}

function nearest(value: number, first: number, last: number): number {
  let best = first;
  let bestDistance = Infinity;
  for (let index = first; index <= last; index++) {
    const d = distance(value, paletteRgb(index));
    if (d < bestDistance) [best, bestDistance] = [index, d];
  }
  return best;
}

/** The closest colour that `depth` can show. A palette index is never made larger. */
export function quantise(color: Color, depth: ColorDepth): Color {
  const is24 = color >= RGB_FLAG;
  if (depth === "truecolor" || (depth === "256" && !is24)) return color;
  // Indices 0..15 are whatever the user configured, so the 256 palette is searched from 16 on.
  if (depth === "256") return nearest(color & 0xffffff, 16, 255);
  if (color < 16) return color;
  return nearest(is24 ? color & 0xffffff : paletteRgb(color), 0, 15);
}

/** SGR parameters that select `color`, each with a leading ";". Empty at depth "none". */
export function sgrColor(color: Color, depth: ColorDepth, background: boolean): string {
  if (depth === "none") return "";
  const c = quantise(color, depth);
  const base = background ? 48 : 38;
  if (c >= RGB_FLAG) return `;${base};2;${(c >> 16) & 255};${(c >> 8) & 255};${c & 255}`;
  if (c >= 16) return `;${base};5;${c}`;
  return `;${(c < 8 ? 30 + c : 82 + c) + (background ? 10 : 0)}`;
}
