/** Reads a flattened device tree by the Devicetree Specification. Knows nothing of the emulator. */

export interface Node {
  readonly props: Map<string, Uint8Array>;
  readonly children: Map<string, Node>;
}

export function readBlob(blob: Uint8Array): Node {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.length);
  if (view.getUint32(0) !== 0xd00dfeed) throw new Error("not a device tree");
  let at = view.getUint32(8);
  const strings = view.getUint32(12);
  const text = (from: number) =>
    new TextDecoder().decode(blob.subarray(from, blob.indexOf(0, from)));
  const stack: Node[] = [{ props: new Map(), children: new Map() }];
  for (;;) {
    const token = view.getUint32(at);
    at += 4;
    const top = stack[stack.length - 1];
    if (token === 1) {
      const name = text(at);
      at += (name.length + 4) & ~3;
      const node: Node = { props: new Map(), children: new Map() };
      top.children.set(name, node);
      stack.push(node);
    } else if (token === 2) stack.pop();
    else if (token === 3) {
      const length = view.getUint32(at), name = text(strings + view.getUint32(at + 4));
      top.props.set(name, blob.subarray(at + 8, at + 8 + length));
      at += 8 + ((length + 3) & ~3);
    } else if (token === 9) return stack[0].children.get("") as Node;
    else if (token !== 4) throw new Error(`token ${token}`);
  }
}

/** The node at a path below the root, names joined by "/". */
export function nodeAt(root: Node, path: string): Node {
  let node = root;
  for (const name of path.split("/").filter((part) => part !== "")) {
    const child = node.children.get(name);
    if (child === undefined) throw new Error(`no ${name} in ${path}`);
    node = child;
  }
  return node;
}

/** A property as a little-endian number of whatever width. */
export function number(node: Node, name: string): bigint {
  const bytes = node.props.get(name);
  if (bytes === undefined) throw new Error(`no property ${name}`);
  return bytes.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n);
}

/** A "mem" property: {u64 address, u64 length} entries. */
export function memOf(node: Node): { address: bigint; length: bigint }[] {
  const bytes = node.props.get("mem") ?? new Uint8Array(0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 16 }, (_, i) => ({
    address: view.getBigUint64(i * 16, true),
    length: view.getBigUint64(i * 16 + 8, true),
  }));
}
