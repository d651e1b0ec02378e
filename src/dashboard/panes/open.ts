import type { TreeNode } from "../../platform/look/tree.ts";
import { toggleBranch } from "../actions.ts";
import { type Context, doing, just, type Model, type Step } from "../model.ts";
import { showText } from "../overlays/text.ts";
import { chosenDevice } from "./devices.ts";
import { chosenInvariant, invariantText } from "./invariants.ts";
import { chosenNode } from "./trees.ts";

/** What Enter does to what is chosen, or why it does nothing. */
export function openChosen(
  model: Model,
  c: Context,
): { readonly step?: Step; readonly why?: string } {
  const s = c.snapshot;
  switch (model.focus) {
    case "devices": {
      if (chosenDevice(model, s) === undefined) return { why: "there is no device" };
      const overlay = { kind: "device", top: 0, tab: "overview" } as const;
      return { step: just({ ...model, overlay }) };
    }
    case "iommufd":
    case "files": {
      const node = chosenNode(model, s);
      return node === undefined ? { why: "there is nothing" } : openNode(model, c, node);
    }
    case "invariants": {
      const chosen = chosenInvariant(model, s);
      if (chosen === undefined) return { why: "there is nothing" };
      const overlay = showText(chosen.id, invariantText(chosen), c.size.cols - 6);
      return { step: just({ ...model, overlay }) };
    }
    default:
      return { why: "there is nothing to choose in this pane" };
  }
}

/** A branch opens or closes, a persisted iommufd is taken, a file is read. */
function openNode(model: Model, c: Context, node: TreeNode): ReturnType<typeof openChosen> {
  if (node.state !== "leaf") {
    return { step: just(toggleBranch(model, c, node.state === "closed") ?? model) };
  }
  if (node.persistentId !== undefined) {
    if (model.readOnly) return { why: "this is a read-only session" };
    const given = { id: node.persistentId, as: freeName(c) };
    return { step: doing(model, { type: "act", operation: "iommufd.pickup", given }) };
  }
  if (node.text !== undefined) {
    const overlay = showText(node.name, `${node.detail}\n\n${node.text}`, c.size.cols - 6);
    return { step: just({ ...model, overlay }) };
  }
  if (node.path === undefined) return { why: "there is nothing to look into" };
  if (model.readOnly) {
    return { why: "reading a file is a system call, and this session is read-only" };
  }
  const given = { path: node.path };
  return { step: doing(model, { type: "act", operation: "file.read", given }) };
}

/** A name that no open descriptor has. */
function freeName(c: Context): string {
  const taken = c.complete("descriptors", "");
  for (let n = 1;; n++) if (!taken.includes(`fd${n}`)) return `fd${n}`;
}
