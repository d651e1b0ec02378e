import type { Region } from "../region.ts";
import type { View } from "../scroll.ts";
import type { StyleLike } from "../style.ts";
import { list } from "./list.ts";

/** One visible line of a tree; the app flattens its own tree and leaves closed branches out. */
export interface TreeLine {
  /** Levels below the root, from 0. */
  readonly depth: number;
  readonly state: "open" | "closed" | "leaf";
  readonly label: string;
  readonly style?: StyleLike;
  /** Follows the label in a quiet style. */
  readonly detail?: string;
}

export interface TreeOptions {
  readonly count: number;
  readonly line: (index: number) => TreeLine;
  readonly offset?: number;
  /** Columns scrolled to the right. */
  readonly left?: number;
  readonly selected?: number;
  readonly focused?: boolean;
}

/** Cells that each level is indented by. */
const INDENT = 2;

/** Draws an indented tree with expand markers and returns which lines are shown. */
export function tree(region: Region, options: TreeOptions): View {
  const { glyphs } = region;
  return list(region, {
    ...options,
    line(index) {
      const { depth, state, label, style = "text", detail } = options.line(index);
      const marker = state === "open"
        ? glyphs.open
        : state === "closed"
        ? glyphs.closed
        : glyphs.leaf;
      // A level far beyond the width shows nothing anyway; do not build its indent.
      const indent = " ".repeat(Math.min(Math.max(0, depth) * INDENT, region.w));
      return [
        { text: `${indent}${marker} `, style: state === "leaf" ? "dim" : "key" },
        { text: label, style },
        { text: detail === undefined ? "" : `  ${detail}`, style: "dim" },
      ];
    },
  });
}
