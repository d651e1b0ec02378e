import { FdtError } from "./errors.ts";
import * as format from "./format.ts";

/** Where the blocks of a blob are, in bytes from its start. All are checked to lie inside. */
export interface FdtLayout {
  readonly totalSize: number;
  readonly bootCpu: number;
  readonly structAt: number;
  readonly structEnd: number;
  readonly stringsAt: number;
  readonly stringsEnd: number;
  readonly reserveAt: number;
  /** Entries of the reserve map, without the empty one that ends it. */
  readonly reserveCount: number;
}

interface Block {
  readonly name: string;
  readonly at: number;
  readonly end: number;
  /** Where the header says so, for the error message. */
  readonly field: number;
}

/** Checks the header and the reserve map. Throws FdtError. */
export function readLayout(view: DataView): FdtLayout {
  const totalSize = checkHeader(view);
  const structure = block(view, totalSize, "structure block", 4, "structOffset", "structSize");
  const strings = block(view, totalSize, "strings block", 1, "stringsOffset", "stringsSize");
  const reserve = reserveMap(view, totalSize);
  checkOverlap([structure, strings, reserve]);
  return {
    totalSize,
    bootCpu: view.getUint32(format.HEADER.bootCpu),
    structAt: structure.at,
    structEnd: structure.end,
    stringsAt: strings.at,
    stringsEnd: strings.end,
    reserveAt: reserve.at,
    reserveCount: (reserve.end - reserve.at) / format.RESERVE_ENTRY_BYTES - 1,
  };
}

/** Returns the total size. */
function checkHeader(view: DataView): number {
  const size = view.byteLength;
  if (size >= 4 && view.getUint32(0) !== format.FDT_MAGIC) {
    throw new FdtError(0, `not a device tree blob: it starts with ${hex(view.getUint32(0))}`);
  }
  if (size < format.FDT_HEADER_BYTES) {
    throw new FdtError(size, `the header ends after ${size} of ${format.FDT_HEADER_BYTES} bytes`);
  }
  const version = view.getUint32(format.HEADER.version);
  const compatible = view.getUint32(format.HEADER.lastCompatibleVersion);
  if (version < format.FDT_VERSION) {
    throw new FdtError(format.HEADER.version, `version ${version} is too old: 17 is read here`);
  }
  if (compatible > format.FDT_VERSION || compatible > version) {
    throw new FdtError(
      format.HEADER.lastCompatibleVersion,
      `version ${version} is compatible down to ${compatible} only: 17 is read here`,
    );
  }
  const total = view.getUint32(format.HEADER.totalSize);
  if (total < format.FDT_HEADER_BYTES || total > size) {
    throw new FdtError(format.HEADER.totalSize, `the total size is ${total}, of ${size} bytes`);
  }
  if (total > 0x7fff_ffff) {
    throw new FdtError(format.HEADER.totalSize, "trees of 2 GiB or more are not read here");
  }
  return total;
}

function block(
  view: DataView,
  total: number,
  name: string,
  alignment: number,
  offsetField: "structOffset" | "stringsOffset",
  sizeField: "structSize" | "stringsSize",
): Block {
  const field = format.HEADER[offsetField];
  const at = view.getUint32(field);
  const end = at + view.getUint32(format.HEADER[sizeField]);
  checkStart(name, field, at, alignment);
  if (end > total) {
    throw new FdtError(field, `the ${name} ends at ${hex(end)}, past the end at ${hex(total)}`);
  }
  return { name, at, end, field };
}

/** The reserve map has no size: it ends with an entry of zeros. */
function reserveMap(view: DataView, total: number): Block {
  const name = "reserve map";
  const field = format.HEADER.reserveOffset;
  const at = view.getUint32(field);
  checkStart(name, field, at, 8);
  for (let entry = at; entry + format.RESERVE_ENTRY_BYTES <= total;) {
    const words = view.getUint32(entry) | view.getUint32(entry + 4) |
      view.getUint32(entry + 8) | view.getUint32(entry + 12);
    entry += format.RESERVE_ENTRY_BYTES;
    if (words === 0) return { name, at, end: entry, field };
  }
  throw new FdtError(field, `the reserve map at ${hex(at)} has no end`);
}

function checkStart(name: string, field: number, at: number, alignment: number): void {
  if (at < format.FDT_HEADER_BYTES) {
    throw new FdtError(field, `the ${name} starts at ${hex(at)}, inside the header`);
  }
  if (at % alignment !== 0) {
    throw new FdtError(field, `the ${name} starts at ${hex(at)}, not a multiple of ${alignment}`);
  }
}

function checkOverlap(blocks: Block[]): void {
  const used = blocks.filter((block) => block.end > block.at).sort((a, b) => a.at - b.at);
  let before: Block | undefined;
  for (const block of used) {
    if (before !== undefined && block.at < before.end) {
      throw new FdtError(block.field, `the ${block.name} overlaps the ${before.name}`);
    }
    before = block;
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
