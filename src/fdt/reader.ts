import { ChildIndex, isNodeNamed } from "./child_index.ts";
import { latin1 } from "./latin1.ts";
import { FDT_NOP, FDT_PROP } from "./format.ts";
import { type FdtLayout, readLayout } from "./layout.ts";
import { NameTable } from "./name_table.ts";
import { nativeU32 } from "./native.ts";
import { type FdtTree, NONE, readTree, rowOf } from "./tree.ts";

/** As many children are looked through without an index of their names. */
const FEW = 8;
const PROP_HEADER_BYTES = 12;

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
 * A checked tree. A node's or a property's handle is the offset of its token in the structure block,
 * as in libfdt; -1 stands for "no such node". Any other number that is not one is a mistake in the
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
  /** Of the node that the last question was about. */
  #row = 0;
  /** Children by name, made when a node with many is first asked for one. */
  readonly #children = new Map<number, ChildIndex>();
  /** Where in the strings block a property name that was asked for was found last. */
  readonly #nameFound = new NameTable();

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
    return this.#text(this.#nameAt(this.#indexOf(node)));
  }

  /** A node's children in the order of the blob. */
  subnodes(node: number): number[] {
    const found: number[] = [];
    for (let child = this.firstSubnode(node); child >= 0; child = this.nextSubnode(child)) {
      found.push(child);
    }
    return found;
  }

  /** A node's first child, -1: none. */
  firstSubnode(node: number): number {
    const child = this.#tree.firstChild[this.#indexOf(node)] as number;
    return child === NONE ? -1 : this.#nodeAt(child);
  }

  /** The next child of the same parent, -1: none. */
  nextSubnode(node: number): number {
    const sibling = this.#tree.nextSibling[this.#indexOf(node)] as number;
    return sibling === NONE ? -1 : this.#nodeAt(sibling);
  }

  /**
   * The first child with this name, or -1. As in libfdt, a name without a unit address ("cpu")
   * also finds a child that has one ("cpu@0").
   */
  subnode(node: number, name: string): number {
    const row = this.#indexOf(node);
    let children = this.#children.get(row);
    if (children === undefined) {
      // A few are looked at one by one; the next ones are known by their names.
      const { nextSibling, firstChild } = this.#tree;
      let child = firstChild[row] as number;
      for (let seen = 0; child !== NONE && seen < FEW; seen++) {
        if (isNodeNamed(this.#bytes, this.#nameAt(child), name)) {
          return this.#tree.nodeAt[child] as number;
        }
        child = nextSibling[child] as number;
      }
      if (child === NONE) return -1;
      this.#children.set(row, children = this.#indexChildren(row));
    }
    const child = children.find(name);
    return child < 0 ? -1 : this.#tree.nodeAt[child] as number;
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
    const prop = this.findProp(node, name);
    return prop < 0 ? undefined : this.propValue(prop);
  }

  /** A node's first property with this name, -1: none. */
  findProp(node: number, name: string): number {
    const view = this.#view, { structAt } = this.#layout;
    const wanted = this.#nameFound.find(name) ?? this.#nameFound.add(name, -1);
    let at = structAt + (this.#tree.propsAt[this.#indexOf(node)] as number);
    for (;;) {
      const token = view.getUint32(at);
      if (token === FDT_PROP) {
        const nameAt = view.getUint32(at + 8);
        // Nearly always the same string serves all properties of one name.
        if (nameAt === wanted.value) return at - structAt;
        if (this.#isNamed(nameAt, name)) {
          wanted.value = nameAt;
          return at - structAt;
        }
        at = (at + PROP_HEADER_BYTES + view.getUint32(at + 4) + 3) & ~3;
      } else if (token === FDT_NOP) at += 4;
      else return -1;
    }
  }

  /** A node's first property, -1: none. */
  firstProp(node: number): number {
    return this.#propFrom(this.#layout.structAt + this.#tree.propsAt[this.#indexOf(node)]);
  }

  /** The next property of the same node, -1: none. */
  nextProp(prop: number): number {
    const at = this.#propAt(prop);
    return this.#propFrom((at + PROP_HEADER_BYTES + this.#view.getUint32(at + 4) + 3) & ~3);
  }

  /** The property whose token is at this position of the blob, or behind NOPs there. */
  #propFrom(at: number): number {
    const view = this.#view;
    let token = view.getUint32(at);
    while (token === FDT_NOP) token = view.getUint32(at += 4);
    return token === FDT_PROP ? at - this.#layout.structAt : -1;
  }

  /** A property's name. */
  propName(prop: number): string {
    const nameAt = this.#view.getUint32(this.#propAt(prop) + 8);
    return this.#text(this.#layout.stringsAt + nameAt);
  }

  /** A property's value, as a view of the blob. */
  propValue(prop: number): Uint8Array {
    const at = this.#propAt(prop), from = at + PROP_HEADER_BYTES;
    return this.#bytes.subarray(from, from + this.#view.getUint32(at + 4));
  }

  /** The 32 bits a property's value begins with, as {@link nativeU32} reads them. */
  propU32(prop: number): number {
    const at = this.#propAt(prop);
    if (this.#view.getUint32(at + 4) < 4) return nativeU32(this.propValue(prop));
    return this.#view.getUint32(at + PROP_HEADER_BYTES, true);
  }

  /** A node's properties in the order of the blob. */
  *props(node: number): IterableIterator<FdtProperty> {
    for (let prop = this.firstProp(node); prop >= 0; prop = this.nextProp(prop)) {
      yield { name: this.propName(prop), value: this.propValue(prop) };
    }
  }

  /** The handle of the node in this row, about which the next question is likely to be. */
  #nodeAt(row: number): number {
    this.#row = row;
    return this.#tree.nodeAt[row] as number;
  }

  #indexOf(node: number): number {
    return this.#tree.nodeAt[this.#row] === node ? this.#row : this.#look(node);
  }

  #look(node: number): number {
    const row = rowOf(this.#tree, node);
    if (row < 0) throw new RangeError(`no node at offset ${node}`);
    this.#row = row;
    return row;
  }

  /** Position of a property's token in the blob. */
  #propAt(prop: number): number {
    const { structAt, structEnd } = this.#layout;
    const at = structAt + prop;
    const inside = prop >= 0 && at + PROP_HEADER_BYTES <= structEnd;
    if (!inside || this.#view.getUint32(at) !== FDT_PROP) {
      throw new RangeError(`no property at offset ${prop}`);
    }
    return at;
  }

  /** Position of the name of the node in this row. */
  #nameAt(row: number): number {
    return this.#layout.structAt + (this.#tree.nodeAt[row] as number) + 4;
  }

  /** Text up to its NUL, which has been checked to be there. */
  #text(at: number): string {
    let end = at;
    while (this.#bytes[end] !== 0) end++;
    return latin1(this.#bytes, at, end);
  }

  #isNamed(nameAt: number, text: string): boolean {
    const at = this.#layout.stringsAt + nameAt;
    for (let i = 0; i < text.length; i++) {
      const byte = this.#bytes[at + i];
      if (byte === 0 || byte !== text.charCodeAt(i)) return false;
    }
    return this.#bytes[at + text.length] === 0;
  }

  #indexChildren(row: number): ChildIndex {
    const { nextSibling, firstChild } = this.#tree;
    const rows: number[] = [];
    for (let child = firstChild[row] as number; child !== NONE;) {
      rows.push(child);
      child = nextSibling[child] as number;
    }
    const children = new ChildIndex(this.#bytes, rows.length);
    for (let i = rows.length - 1; i >= 0; i--) {
      children.add(this.#nameAt(rows[i] as number), rows[i] as number);
    }
    return children;
  }
}
