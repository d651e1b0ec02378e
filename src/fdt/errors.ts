/**
 * Error numbers of the flattened device tree library, with libfdt's values: a writer call
 * returns 0, or the negative of one of these.
 */

/** The blob would grow beyond the size it was promised. */
export const FDT_ERR_NOSPACE = 3;
/** The call is not allowed now: the blob is finished, or its reserve map is closed. */
export const FDT_ERR_BADSTATE = 7;

const NAMES: ReadonlyMap<number, string> = new Map([
  [FDT_ERR_NOSPACE, "FDT_ERR_NOSPACE"],
  [FDT_ERR_BADSTATE, "FDT_ERR_BADSTATE"],
]);

/** The name of an error as returned (negative) or as a constant (positive). */
export function fdtErrorName(code: number): string {
  return NAMES.get(Math.abs(code)) ?? `FDT error ${code}`;
}

/** Thrown when a blob is malformed. */
export class FdtError extends Error {
  override readonly name = "FdtError";

  /**
   * @param offset where the fault was found, in bytes from the start of the blob
   * @param message what was found, and what was expected
   */
  constructor(readonly offset: number, message: string) {
    super(message);
  }
}

/** Thrown by `FdtWriter.finish` when the tree cannot be completed. */
export class FdtWriteError extends Error {
  override readonly name = "FdtWriteError";

  /** @param code the negative code that `tryFinish` returns in this case */
  constructor(readonly code: number) {
    super(`the device tree cannot be finished: ${fdtErrorName(code)}`);
  }
}
