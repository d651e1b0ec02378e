import type { TreeNode } from "../../platform/look/tree.ts";
import { putFitted, type Role, tree, type TreeLine } from "../../tui/mod.ts";
import { filterOf } from "../filter.ts";
import type { Model, Scene } from "../model.ts";
import { kernelState } from "../words.ts";
import { chosenIndex, type Pane } from "./pane.ts";

type TreeId = "iommufd" | "files";

/** Lines of a tree that the filter lets through; those above them in the tree come along. */
function linesOf(id: TreeId, s: Scene, model: Model): readonly TreeNode[] {
  const text = model.filters[id];
  if (text === "") return s[id];
  const wanted = filterOf(text);
  const kept: TreeNode[] = [];
  let depth = -1;
  for (const node of s[id].toReversed()) {
    if (node.depth < depth) depth = node.depth;
    else if (wanted(`${node.name} ${node.detail}`)) depth = node.depth;
    else continue;
    kept.push(node);
  }
  return kept.reverse();
}

/** The line that is chosen in the tree that has the focus. */
export function chosenNode(model: Model, s: Scene): TreeNode | undefined {
  if (model.focus !== "iommufd" && model.focus !== "files") return undefined;
  const lines = linesOf(model.focus, s, model);
  return lines[chosenIndex(lines.map((n) => n.key), model.chosen[model.focus])];
}

function treePane(id: TreeId, title: string): Pane {
  const keys = (s: Scene, model: Model) => linesOf(id, s, model).map((node) => node.key);
  return {
    id,
    title,
    filters: true,
    count: (s) => kernelState(s) === "none" ? `of boot ${s.boot}` : "",
    rows: keys,
    rowText(s, model) {
      const lines = linesOf(id, s, model);
      const node = lines[chosenIndex(lines.map((n) => n.key), model.chosen[id])];
      return node === undefined ? "" : `${node.path ?? node.name} ${node.detail}`.trimEnd();
    },
    draw(region, s, model) {
      const lines = linesOf(id, s, model);
      if (lines.length === 0) putFitted(region, 1, 0, nothing(s, model, id), region.w - 2, "dim");
      const faded = kernelState(s) === "none";
      const shown = tree(region, {
        count: lines.length,
        line: (i) => lineOf(lines[i]!, faded),
        offset: model.scroll[id].top,
        left: model.scroll[id].left,
        selected: chosenIndex(lines.map((n) => n.key), model.chosen[id]),
        focused: model.focus === id,
      });
      return { ...shown, total: lines.length };
    },
  };
}

function nothing(s: Scene, model: Model, id: TreeId): string {
  if (model.filters[id] !== "") return "nothing like that";
  return kernelState(s) === "booting" ? `boot ${s.boot} starts: nothing yet` : "nothing";
}

/** A dead kernel's objects are only a memory of it. */
function lineOf({ depth, name, detail, state, persistentId }: TreeNode, faded: boolean): TreeLine {
  const style: Role = faded
    ? "dim"
    : persistentId !== undefined
    ? "accent"
    : depth === 0
    ? "title"
    : "text";
  return { depth, state, label: name, style, ...(detail === "" ? {} : { detail }) };
}

export const iommufdPane = treePane("iommufd", "iommufd");
export const filesPane = treePane("files", "Files");
