import { escapeString } from "./escape.ts";
import { latin1 } from "./latin1.ts";

const HEX_BYTES: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => byte.toString(16).padStart(2, "0"),
);

/**
 * A property's value in device tree source, guessed as dtc does: text, 32-bit big-endian cells,
 * or bytes. Of a value with more than `maxBytes`, the beginning and a note how much is missing.
 */
export function valueText(value: Uint8Array, maxBytes: number): string {
  const kept = value.length <= maxBytes ? value.length : maxBytes & ~3;
  const more = kept < value.length ? ` /* ${value.length - kept} more bytes */` : "";
  if (isText(value)) {
    const end = more === "" ? kept - 1 : kept;
    return `"${escapeString(latin1(value, 0, end))}"${more}`;
  }
  if (value.length % 4 === 0) return `<${cells(value, kept)}${more}>`;
  return `[${hexBytes(value, kept)}${more}]`;
}

/** NUL-terminated, nothing unprintable except white space and the like, and not mostly NULs. */
function isText(value: Uint8Array): boolean {
  if (value.length === 0 || value[value.length - 1] !== 0) return false;
  let nuls = 0;
  for (const byte of value) {
    if (byte === 0) nuls++;
    else if (byte < 0x07 || (byte > 0x0d && byte < 0x20) || byte > 0x7e) return false;
  }
  return nuls <= value.length - nuls;
}

function cells(value: Uint8Array, end: number): string {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const words: string[] = [];
  for (let at = 0; at < end; at += 4) {
    words.push("0x" + view.getUint32(at).toString(16).padStart(2, "0"));
  }
  return words.join(" ");
}

function hexBytes(value: Uint8Array, end: number): string {
  const pairs: string[] = [];
  for (let at = 0; at < end; at++) pairs.push(HEX_BYTES[value[at] as number] as string);
  return pairs.join(" ");
}
