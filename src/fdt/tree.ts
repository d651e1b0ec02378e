import { FdtError } from "./errors.ts";
import * as format from "./format.ts";
import type { FdtLayout } from "./layout.ts";

/** In the tables of `FdtTree`: there is no such node. The root, node 0, is nobody's child. */
export const NONE = 0;

/**
 * The structure block as tables: a row a node, in the order of the blob. A node takes at least 12
 * bytes of the blob, so that all tables together are less than three times its size.
 */
export interface FdtTree {
  readonly nodeCount: number;
  /** Offset of a node's token from the start of the structure block, in bytes. */
  readonly nodeAt: Int32Array;
  readonly firstChild: Int32Array;
  readonly nextSibling: Int32Array;
  /** Behind a node's name, where its properties are if it has any; likewise. */
  readonly propsAt: Int32Array;
  /** By structure offset / 64: the first node that starts there or behind, for {@link rowOf}. */
  readonly rowNear: Int32Array;
}

/** 64 bytes hold the tokens of six nodes at most. */
const NEAR_SHIFT = 6;

/** The row of the node whose token is at this structure offset; -1 where none is. */
export function rowOf(tree: FdtTree, at: number): number {
  const { nodeAt, nodeCount } = tree;
  // What is no offset inside the structure block gives undefined, and is no node's.
  let row = tree.rowNear[at >>> NEAR_SHIFT] ?? nodeCount;
  while (row < nodeCount && (nodeAt[row] as number) < at) row++;
  return row < nodeCount && nodeAt[row] === at ? row : -1;
}

/**
 * Checks every token and makes the tables, in one pass. Throws FdtError.
 *
 * @param lenient read what libfdt's readers would make of an unbalanced tree: all behind the end
 * of the root is ignored, nodes still open at the end are closed, and a property behind a subnode
 * cannot be seen
 */
export function readTree(
  bytes: Uint8Array,
  view: DataView,
  layout: FdtLayout,
  lenient: boolean,
): FdtTree {
  const { structAt, structEnd } = layout;
  const structSize = structEnd - structAt;
  // Room for what there is as a rule; what is packed more closely makes the tables grow.
  let nodeAt = new Int32Array((structSize >>> 6) + 16);
  let firstChild = new Int32Array(nodeAt.length);
  let nextSibling = new Int32Array(nodeAt.length);
  let propsAt = new Int32Array(nodeAt.length);
  const rowNear = new Int32Array((structSize >>> NEAR_SHIFT) + 1);
  let near = 0;
  const checkedNames = new Uint8Array(layout.stringsEnd - layout.stringsAt);
  const { FDT_PROP, FDT_BEGIN_NODE, FDT_END_NODE, MAX_DEPTH, MAX_NAME_BYTES } = format;

  // By depth: the last child seen so far, NONE while properties may still come.
  const open = new Int32Array(format.MAX_DEPTH + 1);
  const lastChild = new Int32Array(format.MAX_DEPTH + 1);
  let depth = 0;
  let nodes = 0;

  let at = structAt;
  let ended = false;

  while (!ended) {
    if (at + 4 > structEnd) {
      throw new FdtError(structEnd, "the structure block ends without an end token");
    }
    const token = view.getUint32(at);
    if (token === FDT_PROP) {
      if (at + 12 > structEnd) throw new FdtError(at, "the structure block ends in a property");
      const end = at + 12 + view.getUint32(at + 4);
      if (end > structEnd) {
        throw new FdtError(at + 4, `a property of ${end - at - 12} bytes runs past its block`);
      }
      const name = view.getUint32(at + 8);
      // Most repeat the few of the nodes before: the text of each is looked at once.
      if (checkedNames[name] !== 1) checkPropertyName(bytes, layout, checkedNames, name, at + 8);
      if (depth === 0) throw new FdtError(at, "a property outside of any node");
      if (lastChild[depth] !== NONE && !lenient) {
        throw new FdtError(at, "a property behind a subnode of its node");
      }
      at = (end + 3) & ~3;
    } else if (token === FDT_BEGIN_NODE) {
      if (depth === 0 && nodes > 0) throw new FdtError(at, "a second root node");
      if (depth === MAX_DEPTH) {
        throw new FdtError(at, `nodes are nested more than ${format.MAX_DEPTH} deep`);
      }
      // A name ends in the first word with a NUL in it.
      const stop = Math.min(structEnd - 3, at + 4 + (MAX_NAME_BYTES & ~3) + 4);
      let last = at + 4;
      while (last < stop && !hasZeroByte(view.getUint32(last))) last += 4;
      if (last >= stop) last = endOfName(bytes, at + 4, structEnd, "node") & ~3;
      if (depth === 0 && bytes[at + 4] !== 0 && !lenient) {
        throw new FdtError(at + 4, "the root node has a name");
      }
      const node = nodes++;
      if (node === nodeAt.length) {
        nodeAt = doubled(nodeAt);
        firstChild = doubled(firstChild);
        nextSibling = doubled(nextSibling);
        propsAt = doubled(propsAt);
      }
      nodeAt[node] = at - structAt;
      for (const here = (at - structAt) >>> NEAR_SHIFT; near <= here; near++) rowNear[near] = node;
      if (depth > 0) {
        const sibling = lastChild[depth] as number;
        if (sibling === NONE) firstChild[open[depth] as number] = node;
        else nextSibling[sibling] = node;
        lastChild[depth] = node;
      }
      depth++;
      open[depth] = node;
      lastChild[depth] = NONE;
      at = last + 4;
      propsAt[node] = at - structAt;
    } else if (token === FDT_END_NODE) {
      if (depth === 0) throw new FdtError(at, "a node ends, but none is open");
      depth--;
      ended = depth === 0 && lenient;
      at += 4;
    } else if (token === format.FDT_NOP) {
      at += 4;
    } else if (token === format.FDT_END) {
      if (depth > 0 && !lenient) throw new FdtError(at, `the tree ends with ${depth} nodes open`);
      if (at + 4 !== structEnd && !lenient) {
        throw new FdtError(at + 4, `${structEnd - at - 4} bytes behind the end of the tree`);
      }
      ended = true;
    } else {
      throw new FdtError(at, `unknown token 0x${token.toString(16)}`);
    }
  }
  if (nodes === 0) throw new FdtError(structAt, "the tree has no root node");
  rowNear.fill(nodes, near);
  return { nodeCount: nodes, nodeAt, firstChild, nextSibling, propsAt, rowNear };
}

function doubled(table: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * table.length);
  larger.set(table);
  return larger;
}

function hasZeroByte(word: number): boolean {
  return ((word - 0x01010101) & ~word & 0x80808080) !== 0;
}

/** The position of the NUL that ends a name. */
function endOfName(bytes: Uint8Array, at: number, limit: number, whose: string): number {
  const stop = Math.min(limit, at + format.MAX_NAME_BYTES + 1);
  for (let end = at; end < stop; end++) {
    if (bytes[end] === 0) return end;
  }
  throw new FdtError(
    at,
    stop === limit
      ? `a ${whose} name has no end`
      : `a ${whose} name has more than ${format.MAX_NAME_BYTES} bytes`,
  );
}

/** Checks a property's name offset, in a field of the blob, and the text it leads to. */
function checkPropertyName(
  bytes: Uint8Array,
  { stringsAt, stringsEnd }: FdtLayout,
  checked: Uint8Array,
  offset: number,
  field: number,
): void {
  const size = stringsEnd - stringsAt;
  if (offset >= size) {
    throw new FdtError(field, `name offset ${offset}, but the strings block has ${size} bytes`);
  }
  endOfName(bytes, stringsAt + offset, stringsEnd, "property");
  checked[offset] = 1;
}
