import { FdtError, openFdt, printDts } from "../fdt/mod.ts";
import { UsageError } from "../scenario/errors.ts";
import { decode } from "../uapi/kho_decode.ts";
import { readFile } from "./files.ts";

/** The source form of a device tree blob, known KHO nodes explained. A bad one names the offset. */
export function printKho(path: string): string {
  const bytes = readFile(path);
  try {
    return printDts(openFdt(bytes), decode);
  } catch (error) {
    if (!(error instanceof FdtError)) throw error;
    throw new UsageError(`offset 0x${error.offset.toString(16)}: ${error.message}`, path);
  }
}
