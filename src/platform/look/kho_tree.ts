import { formatSize } from "../../base/units.ts";
import { type Fdt, openFdt, valueText } from "../../fdt/mod.ts";
import { decode } from "../../uapi/kho_decode.ts";
import type { Platform } from "../platform.ts";
import type { TreeLines } from "./tree.ts";

/** Bytes of a value that are shown. */
const SHOWN = 32;

/** What the kernel hands over, and what was handed to it: the device trees, node by node. */
export function khoTrees(out: TreeLines, { kernel }: Platform): void {
  const { kho, kexec } = kernel;
  if (!kernel.image.kho) {
    out.leaf(0, "kho", "KHO", `${kernel.image.name} has none`);
    return;
  }
  const { dump, scratch, preserved, incoming } = kho;
  const carried = dump?.mem.reduce((sum, m) => sum + m.end - m.start, 0) ?? 0;
  const given = preserved.reduce((sum, m) => sum + m.end - m.start, 0);
  const next = kexec.loaded === undefined
    ? "no next kernel"
    : `next ${kexec.loaded.image.name}${kexec.loaded.dt ? " with it" : " WITHOUT it"}`;
  const state = `${kho.active ? "active" : "not active"}, ${next}`;
  out.branch(0, "kho", "KHO", state, () => {
    if (scratch !== undefined) {
      out.leaf(1, "kho:scratch", "scratch", formatSize(scratch.end - scratch.start));
    }
    if (dump === undefined) out.leaf(1, "kho:out", "to hand over", "nothing");
    else {
      const text = `${dump.dt.length} bytes, preserves ${formatSize(carried)}`;
      const fdt = openFdt(dump.dt, { lenient: true });
      out.branch(1, "kho:out", "to hand over", text, () => node(out, "kho:out", fdt, fdt.root, 2));
    }
    if (incoming === undefined) out.leaf(1, "kho:in", "handed to us", "nothing");
    else {
      const text = `${incoming.totalSize} bytes, preserves ${formatSize(given)}`;
      out.branch(
        1,
        "kho:in",
        "handed to us",
        text,
        () => node(out, "kho:in", incoming, incoming.root, 2),
        { shut: true },
      );
    }
  });
}

/** The properties of a node with what they mean, and the nodes below it. */
function node(out: TreeLines, at: string, fdt: Fdt, handle: number, depth: number): void {
  // As printDts has paths: "/iommufd/iommufds/1".
  const path = at.slice(at.indexOf("/") < 0 ? at.length : at.indexOf("/")) || "/";
  for (const { name, value } of fdt.props(handle)) {
    const meaning = decode(path, name, value, (other) => fdt.getprop(handle, other));
    const text = meaning ?? (value.length === 0 ? "" : valueText(value, SHOWN));
    out.leaf(depth, `${at}:${name}`, name, text, { text: valueText(value, Infinity) });
  }
  for (const child of fdt.subnodes(handle)) {
    const key = `${at}/${fdt.name(child)}`;
    out.branch(depth, key, `${fdt.name(child)}/`, "", () => node(out, key, fdt, child, depth + 1), {
      shut: depth > 2,
    });
  }
}
