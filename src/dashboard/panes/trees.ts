import type { Snapshot, TreeLine } from "../../platform/snapshot.ts";
import { type Line, list, putFitted } from "../../tui/mod.ts";
import { kernelState } from "../words.ts";
import type { Pane } from "./pane.ts";

type TreeId = "iommufd" | "sysfs" | "guestmemfs" | "kho";

function treePane(id: TreeId, title: string): Pane {
  return {
    id,
    title,
    count: (s) => kernelState(s) === "none" ? `of boot ${s.boot}` : "",
    draw(region, s, model) {
      const lines = s[id];
      if (lines.length === 0) putFitted(region, 1, 0, nothing(s), region.w - 2, "dim");
      const { top, left } = model.scroll[id];
      const faded = kernelState(s) === "none";
      const shown = list(region, {
        count: lines.length,
        line: (i) => treeLine(lines[i]!, faded),
        offset: top,
        left,
      });
      return { ...shown, total: lines.length };
    },
  };
}

function nothing(s: Snapshot): string {
  return kernelState(s) === "booting" ? `boot ${s.boot} starts: nothing yet` : "nothing";
}

/** A dead kernel's objects are only a memory of it. */
function treeLine({ depth, name, detail }: TreeLine, faded: boolean): Line {
  const indent = " " + "  ".repeat(Math.min(depth, 40));
  return [
    { text: indent + name, style: faded ? "dim" : depth === 0 ? "title" : "text" },
    { text: detail === "" ? "" : `  ${detail}`, style: "dim" },
  ];
}

export const treePanes: readonly Pane[] = [
  treePane("iommufd", "iommufd"),
  treePane("sysfs", "sysfs"),
  treePane("guestmemfs", "guestmemfs"),
  treePane("kho", "KHO"),
];
