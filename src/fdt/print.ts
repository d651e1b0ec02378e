import { escapeComment, escapeName } from "./escape.ts";
import type { Fdt } from "./reader.ts";
import { valueText } from "./value_text.ts";

/**
 * Explains a property in one line, or returns undefined.
 *
 * @param path the node's path, "/" for the root; not escaped
 * @param name the property's name
 * @param value its bytes, a view of the blob
 * @param sibling the value of another property of the same node
 */
export type DecodeProperty = (
  path: string,
  name: string,
  value: Uint8Array,
  sibling: (name: string) => Uint8Array | undefined,
) => string | undefined;

export interface PrintOptions {
  /** Show only about this many bytes of a longer value (rounded down to 4). Default: all. */
  readonly maxValueBytes?: number;
}

/**
 * A tree as device tree source, in the form dtc gives it, with what `decode` has to say about a
 * property as a comment behind it. Printable ASCII and line ends only, whatever the blob contains.
 */
export function printDts(fdt: Fdt, decode?: DecodeProperty, options: PrintOptions = {}): string {
  const out: string[] = ["/dts-v1/;\n\n"];
  for (const { address, size } of fdt.memReserve) {
    out.push(`/memreserve/\t${hex64(address)} ${hex64(size)};\n`);
  }
  const maxBytes = options.maxValueBytes ?? Infinity;

  // Recursion is safe: the reader limits the depth.
  const printNode = (node: number, path: string, indent: string): void => {
    const inner = indent + "\t";
    out.push(`${indent}${node === fdt.root ? "/" : escapeName(fdt.name(node))} {\n`);
    const sibling = (name: string) => fdt.getprop(node, name);
    for (const { name, value } of fdt.props(node)) {
      const text = value.length === 0 ? "" : ` = ${valueText(value, maxBytes)}`;
      const comment = decode?.(path, name, value, sibling);
      const tail = comment === undefined ? "" : ` /* ${escapeComment(comment)} */`;
      out.push(`${inner}${escapeName(name)}${text};${tail}\n`);
    }
    for (const child of fdt.subnodes(node)) {
      out.push("\n");
      printNode(child, `${node === fdt.root ? "" : path}/${fdt.name(child)}`, inner);
    }
    out.push(`${indent}};\n`);
  };
  printNode(fdt.root, "/", "");
  return out.join("");
}

function hex64(value: bigint): string {
  return "0x" + value.toString(16).padStart(16, "0");
}
