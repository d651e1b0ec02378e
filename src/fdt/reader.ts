import { latin1 } from "./latin1.ts";
import { type FdtLayout, readLayout } from "./layout.ts";
import { type FdtTree, NONE, readTree } from "./tree.ts";

/** A property; `value` is a view of the blob, not a copy. */
export interface FdtProperty {
  readonly name: string;
  readonly value: Uint8Array;
}

/** An entry of the memory reserve map, in bytes. */
export interface FdtReservation {
  readonly address: bigint;
  readonly size: bigint;
}

export interface OpenFdtOptions {
  /**
   * Accept a tree that its writer left unbalanced, and see of it what libfdt's readers would:
   * nothing behind the end of the root, no property behind a subnode; nodes left open end with
   * the tree. Everything else is checked as usual. Default: false.
   */
  readonly lenient?: boolean;
}

/**
 * Opens a flattened device tree (version 17), checking all of it, in time linear in its size.
 * The bytes may be hostile. They are not copied, and must not change while the tree is in use.
 * What lies behind the tree's own total size is ignored.
 *
 * Throws FdtError for anything malformed, and for what is beyond this reader: nodes nested more
 * than 64 deep, a name of more than 255 bytes, 2 GiB or more.
 */
export function openFdt(bytes: Uint8Array, options: OpenFdtOptions = {}): Fdt {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const layout = readLayout(view);
  return new Fdt(bytes, view, layout, readTree(bytes, view, layout, options.lenient ?? false));
}

/**
 * A checked tree. A node's handle is the offset of its token in the structure block, as in
 * libfdt; -1 stands for "no such node". Any other number that is not a node is a mistake in the
 * calling program: RangeError. Names are Latin-1, so that arbitrary bytes survive.
 */
export class Fdt {
  /** Bytes of the blob. */
  readonly totalSize: number;
  /** The header's boot_cpuid_phys. */
  readonly bootCpu: number;
  readonly root: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #layout: FdtLayout;
  readonly #tree: FdtTree;
  /** Children by name, made when a node is first asked for one. */
  readonly #children = new Map<number, Map<string, number>>();
  readonly #wanted = new Map<string, WantedName>();

  /** For `openFdt` only: nothing is checked here. */
  constructor(bytes: Uint8Array, view: DataView, layout: FdtLayout, tree: FdtTree) {
    this.#bytes = bytes;
    this.#view = view;
    this.#layout = layout;
    this.#tree = tree;
    this.totalSize = layout.totalSize;
    this.bootCpu = layout.bootCpu;
    this.root = tree.nodeAt[0] as number;
  }

  /** The memory reserve map, in the order of the blob. */
  get memReserve(): FdtReservation[] {
    const entries: FdtReservation[] = [];
    for (let i = 0; i < this.#layout.reserveCount; i++) {
      const at = this.#layout.reserveAt + 16 * i;
      const address = this.#view.getBigUint64(at);
      entries.push({ address, size: this.#view.getBigUint64(at + 8) });
    }
    return entries;
  }

  /** A node's name with its unit address, "" for the root. */
  name(node: number): string {
    return this.#nodeName(this.#indexOf(node));
  }

  /** A node's children in the order of the blob. */
  subnodes(node: number): number[] {
    const { nodeAt, nextSibling, firstChild } = this.#tree;
    const found: number[] = [];
    let child = firstChild[this.#indexOf(node)] as number;
    for (; child !== NONE; child = nextSibling[child] as number) {
      found.push(nodeAt[child] as number);
    }
    return found;
  }

  /**
   * The first child with this name, or -1. As in libfdt, a name without a unit address ("cpu")
   * also finds a child that has one ("cpu@0").
   */
  subnode(node: number, name: string): number {
    const index = this.#indexOf(node);
    let children = this.#children.get(index);
    if (children === undefined) {
      children = this.#indexChildren(index);
      this.#children.set(index, children);
    }
    return children.get(name) ?? -1;
  }

  /** The node with this absolute path ("/", "/a/b"; extra slashes do no harm), or -1. */
  path(path: string): number {
    if (!path.startsWith("/")) return -1;
    let node = this.root;
    for (const name of path.split("/")) {
      if (name === "") continue;
      node = this.subnode(node, name);
      if (node === -1) return -1;
    }
    return node;
  }

  /** The value of a node's first property with this name, as a view of the blob. */
  getprop(node: number, name: string): Uint8Array | undefined {
    const { firstProp, propAt } = this.#tree;
    const index = this.#indexOf(node);
    const wanted = this.#wantedName(name);
    const end = firstProp[index + 1] as number;
    for (let prop = firstProp[index] as number; prop < end; prop++) {
      const at = propAt[prop] as number;
      const nameAt = this.#view.getUint32(at + 8);
      // Nearly always the same string serves all properties of one name.
      if (nameAt === wanted.foundAt) return this.#value(at);
      if (this.#isNamed(nameAt, wanted.text)) {
        wanted.foundAt = nameAt;
        return this.#value(at);
      }
    }
    return undefined;
  }

  /** A node's properties in the order of the blob. */
  *props(node: number): IterableIterator<FdtProperty> {
    const { firstProp, propAt } = this.#tree;
    const index = this.#indexOf(node);
    const end = firstProp[index + 1] as number;
    for (let prop = firstProp[index] as number; prop < end; prop++) {
      const at = propAt[prop] as number;
      const nameAt = this.#layout.stringsAt + this.#view.getUint32(at + 8);
      yield { name: this.#text(nameAt), value: this.#value(at) };
    }
  }

  #indexOf(node: number): number {
    // An index that is no integer inside the table gives undefined.
    const row = this.#tree.nodeOf[node / 4];
    if (row === undefined || row === 0) throw new RangeError(`no node at offset ${node}`);
    return row - 1;
  }

  #nodeName(index: number): string {
    return this.#text(this.#layout.structAt + (this.#tree.nodeAt[index] as number) + 4);
  }

  /** Text up to its NUL, which has been checked to be there. */
  #text(at: number): string {
    let end = at;
    while (this.#bytes[end] !== 0) end++;
    return latin1(this.#bytes, at, end);
  }

  #value(propAt: number): Uint8Array {
    const from = propAt + 12;
    return this.#bytes.subarray(from, from + this.#view.getUint32(propAt + 4));
  }

  #isNamed(nameAt: number, text: string): boolean {
    const at = this.#layout.stringsAt + nameAt;
    for (let i = 0; i < text.length; i++) {
      const byte = this.#bytes[at + i];
      if (byte === 0 || byte !== text.charCodeAt(i)) return false;
    }
    return this.#bytes[at + text.length] === 0;
  }

  #wantedName(name: string): WantedName {
    let wanted = this.#wanted.get(name);
    if (wanted === undefined) {
      wanted = { text: name, foundAt: -1 };
      this.#wanted.set(name, wanted);
    }
    return wanted;
  }

  #indexChildren(index: number): Map<string, number> {
    const { nodeAt, nextSibling, firstChild } = this.#tree;
    const children = new Map<string, number>();
    const remember = (name: string, node: number) => {
      if (!children.has(name)) children.set(name, node);
    };
    let child = firstChild[index] as number;
    for (; child !== NONE; child = nextSibling[child] as number) {
      const node = nodeAt[child] as number;
      const name = this.#nodeName(child);
      remember(name, node);
      const unit = name.indexOf("@");
      if (unit >= 0) remember(name.slice(0, unit), node);
    }
    return children;
  }
}

/** A property name that was asked for, and where in the strings block it was found last. */
interface WantedName {
  readonly text: string;
  foundAt: number;
}
