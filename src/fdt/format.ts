/**
 * Numbers of the flattened device tree format, version 17. Everything in the format itself is
 * big-endian; what a property's bytes mean is up to those who wrote them.
 */

export const FDT_MAGIC = 0xd00dfeed;
export const FDT_VERSION = 17;
export const FDT_LAST_COMPATIBLE_VERSION = 16;

/** Tokens of the structure block, one 32-bit word each. */
export const FDT_BEGIN_NODE = 1;
export const FDT_END_NODE = 2;
export const FDT_PROP = 3;
export const FDT_NOP = 4;
export const FDT_END = 9;

/** Bytes of the version 17 header. */
export const FDT_HEADER_BYTES = 40;

/** Byte offsets of the header's fields; all are 32 bits wide. */
export const HEADER = {
  magic: 0,
  totalSize: 4,
  structOffset: 8,
  stringsOffset: 12,
  reserveOffset: 16,
  version: 20,
  lastCompatibleVersion: 24,
  bootCpu: 28,
  stringsSize: 32,
  structSize: 36,
} as const;

/** Bytes of one memory reserve entry: a 64-bit address and a 64-bit size. */
export const RESERVE_ENTRY_BYTES = 16;

/**
 * Longest node or property name in bytes, without its NUL. The format sets no limit (the
 * specification recommends 31). Ours is what keeps reading linear: property names are
 * references, so that many of them may share one long string.
 */
export const MAX_NAME_BYTES = 255;

/** Deepest nesting the reader accepts; the root is at depth 1. */
export const MAX_DEPTH = 64;
