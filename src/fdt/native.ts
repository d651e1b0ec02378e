/**
 * Values as the KHO writes them into properties: in the byte order of the machine, which is
 * little-endian here. (The format's own words are big-endian.) `at` is a byte offset; reading
 * past the end throws RangeError.
 */

/** 0 to 2^16 - 1. */
export function nativeU16(bytes: Uint8Array, at = 0): number {
  return viewOf(bytes).getUint16(at, true);
}

/** 0 to 2^32 - 1. */
export function nativeU32(bytes: Uint8Array, at = 0): number {
  if (at < 0 || at + 4 > bytes.length) {
    throw new RangeError(`${bytes.length} bytes have no word at ${at}`);
  }
  return (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24) >>> 0;
}

/** -2^31 to 2^31 - 1. */
export function nativeI32(bytes: Uint8Array, at = 0): number {
  return viewOf(bytes).getInt32(at, true);
}

/** 0 to 2^64 - 1 as a double: exact up to 2^53, the nearest multiple of a power of two above. */
export function nativeU64(bytes: Uint8Array, at = 0): number {
  const view = viewOf(bytes);
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

/** 0 to 2^64 - 1, always exact. */
export function nativeU64Exact(bytes: Uint8Array, at = 0): bigint {
  return viewOf(bytes).getBigUint64(at, true);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
