/**
 * Flattened device trees, version 17: a sequential writer that makes the same bytes as libfdt's,
 * a reader for blobs nobody has to trust, and a printer.
 */

export * from "./errors.ts";
export { MAX_DEPTH, MAX_NAME_BYTES } from "./format.ts";
export * from "./native.ts";
export { type DecodeProperty, printDts, type PrintOptions } from "./print.ts";
export {
  type Fdt,
  type FdtProperty,
  type FdtReservation,
  openFdt,
  type OpenFdtOptions,
} from "./reader.ts";
export { valueText } from "./value_text.ts";
export { FdtWriter } from "./writer.ts";
