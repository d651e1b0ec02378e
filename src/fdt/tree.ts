import { FdtError } from "./errors.ts";
import * as format from "./format.ts";
import type { FdtLayout } from "./layout.ts";

/** In the tables of `FdtTree`: there is no such node. The root, node 0, is nobody's child. */
export const NONE = 0;

/**
 * The structure block as tables: a row a node and a row a property, in the order of the blob.
 * A node or property takes at least 12 bytes of the blob, so that all tables together are less than
 * three times its size.
 */
export interface FdtTree {
  readonly nodeCount: number;
  /** Offset of a node's token from the start of the structure block, in bytes. */
  readonly nodeAt: Int32Array;
  readonly firstChild: Int32Array;
  readonly nextSibling: Int32Array;
  /** A node's properties are the rows from here up to the next node's. */
  readonly firstProp: Int32Array;
  /** Position of a property's token from the start of the blob, in bytes. */
  readonly propAt: Int32Array;
  /** Node number + 1 by structure offset / 4, 0 where no node starts. */
  readonly nodeOf: Int32Array;
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
  // A node has 8 bytes to open it and 4 to close it; only so many can lack the latter.
  const maxRows = Math.floor(structSize / 12) + format.MAX_DEPTH + 1;
  const nodeAt = new Int32Array(maxRows);
  const firstChild = new Int32Array(maxRows);
  const nextSibling = new Int32Array(maxRows);
  const firstProp = new Int32Array(maxRows);
  const propAt = new Int32Array(maxRows);
  const nodeOf = new Int32Array((structSize >>> 2) + 1);
  const checkNameOffset = nameOffsetCheck(bytes, layout);

  // By depth: the last child seen so far, NONE while properties may still come.
  const open = new Int32Array(format.MAX_DEPTH + 1);
  const lastChild = new Int32Array(format.MAX_DEPTH + 1);
  let depth = 0;
  let nodes = 0;
  let props = 0;

  const finished = (): FdtTree => {
    if (nodes === 0) throw new FdtError(structAt, "the tree has no root node");
    firstProp[nodes] = props;
    return { nodeCount: nodes, nodeAt, firstChild, nextSibling, firstProp, propAt, nodeOf };
  };

  for (let at = structAt; at + 4 <= structEnd;) {
    const token = view.getUint32(at);
    if (token === format.FDT_PROP) {
      if (at + 12 > structEnd) throw new FdtError(at, "the structure block ends in a property");
      const end = at + 12 + view.getUint32(at + 4);
      if (end > structEnd) {
        throw new FdtError(at + 4, `a property of ${end - at - 12} bytes runs past its block`);
      }
      checkNameOffset(view.getUint32(at + 8), at + 8);
      if (depth === 0) throw new FdtError(at, "a property outside of any node");
      if (lastChild[depth] === NONE) {
        propAt[props++] = at;
      } else if (!lenient) {
        throw new FdtError(at, "a property behind a subnode of its node");
      }
      at = (end + 3) & ~3;
    } else if (token === format.FDT_BEGIN_NODE) {
      if (depth === 0 && nodes > 0) throw new FdtError(at, "a second root node");
      if (depth === format.MAX_DEPTH) {
        throw new FdtError(at, `nodes are nested more than ${format.MAX_DEPTH} deep`);
      }
      const nameEnd = endOfName(bytes, at + 4, structEnd, "node");
      if (depth === 0 && nameEnd !== at + 4 && !lenient) {
        throw new FdtError(at + 4, "the root node has a name");
      }
      const node = nodes++;
      nodeAt[node] = at - structAt;
      nodeOf[(at - structAt) >> 2] = node + 1;
      firstProp[node] = props;
      if (depth > 0) {
        const sibling = lastChild[depth] as number;
        if (sibling === NONE) firstChild[open[depth] as number] = node;
        else nextSibling[sibling] = node;
        lastChild[depth] = node;
      }
      depth++;
      open[depth] = node;
      lastChild[depth] = NONE;
      at = (nameEnd + 4) & ~3;
    } else if (token === format.FDT_END_NODE) {
      if (depth === 0) throw new FdtError(at, "a node ends, but none is open");
      depth--;
      if (depth === 0 && lenient) return finished();
      at += 4;
    } else if (token === format.FDT_NOP) {
      at += 4;
    } else if (token === format.FDT_END) {
      if (depth > 0 && !lenient) throw new FdtError(at, `the tree ends with ${depth} nodes open`);
      if (at + 4 !== structEnd && !lenient) {
        throw new FdtError(at + 4, `${structEnd - at - 4} bytes behind the end of the tree`);
      }
      return finished();
    } else {
      throw new FdtError(at, `unknown token 0x${token.toString(16)}`);
    }
  }
  throw new FdtError(structEnd, "the structure block ends without an end token");
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

/**
 * Checks a property's name offset; most repeat the few of the nodes before, so the
 * text of each is looked at once.
 */
function nameOffsetCheck(
  bytes: Uint8Array,
  layout: FdtLayout,
): (offset: number, field: number) => void {
  const { stringsAt, stringsEnd } = layout;
  const size = stringsEnd - stringsAt;
  const checked = new Uint8Array(size);
  return (offset, field) => {
    if (offset >= size) {
      throw new FdtError(field, `name offset ${offset}, but the strings block has ${size} bytes`);
    }
    if (checked[offset] === 0) {
      endOfName(bytes, stringsAt + offset, stringsEnd, "property");
      checked[offset] = 1;
    }
  };
}
