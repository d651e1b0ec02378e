/**
 * Asks the terminal how many colours it has and whether its background is light. Environment
 * variables would say less and need a permission. Device attributes are asked for last: nearly
 * every terminal answers that, so what has not come before it will not come.
 */

import type { ColorDepth } from "./color.ts";
import type { ReportEvent } from "./events.ts";
import type { Background } from "./theme.ts";

/**
 * Sets a 24-bit colour and asks for the current attributes (a terminal that knows 24-bit
 * colours echoes it), resets them, then asks for the version, the background and the attributes
 * of the device. To be written before the first frame, which paints over anything that a very
 * old terminal may show of it.
 */
export const PROBE = "\x1b[38;2;1;2;3m\x1bP$qm\x1b\\\x1b[m\x1b[>q\x1b]11;?\x1b\\\x1b[c";

/** How long to wait for answers. */
export const PROBE_LIMIT_MS = 250;

/** What to assume until the terminal has answered. */
export const GUESS: { readonly depth: ColorDepth; readonly background: Background } = {
  depth: "16",
  background: "unknown",
};

/** Known to take 24-bit colours, and to reduce them by themselves where needed. */
const TRUECOLOR_NAMES =
  /^(tmux|kitty|foot|wezterm|alacritty|ghostty|konsole|iterm2|contour|vte|mintty|windows terminal)/i;

/** Collects the answers. */
export class ColorProbe {
  depth: ColorDepth = GUESS.depth;
  background: Background = GUESS.background;
  /** True once the last answer has come. */
  done = false;

  /** Takes one report. Returns true when it was an answer to the probe. */
  take(report: ReportEvent): boolean {
    switch (report.kind) {
      case "decrqss":
        if (/38[:;]2[:;]+1[:;]2[:;]3/.test(report.text)) this.depth = "truecolor";
        return true;
      case "xtversion":
        if (TRUECOLOR_NAMES.test(report.text)) this.depth = "truecolor";
        return true;
      case "osc":
        this.background = backgroundOf(report.text) ?? this.background;
        return report.text.startsWith("11;");
      case "da1":
        // "?6c" is the Linux console, which has 16 colours. Anything newer has 256.
        if (this.depth === "16" && report.text !== "?6") this.depth = "256";
        this.done = true;
        return true;
      default:
        return false;
    }
  }
}

function backgroundOf(text: string): Background | null {
  const parts = /^11;rgba?:([0-9a-f]+)\/([0-9a-f]+)\/([0-9a-f]+)/i.exec(text);
  if (parts === null) return null;
  // Components have 1 to 4 digits; each is a fraction of its largest value.
  const [red, green, blue] = parts.slice(1, 4).map((hex) =>
    parseInt(hex, 16) / (16 ** hex.length - 1)
  ) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5 ? "light" : "dark";
}
