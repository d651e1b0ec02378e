import { AccessWords } from "../base/event_log.ts";
import type { Route } from "./dma_port.ts";

/** No unit has this number. */
export const NOTHING = -2;

/**
 * The last access of a machine's devices: what follows goes, as a rule, into the same page. The words
 * are what the hash got of it.
 */
export class LastAccess extends AccessWords {
  /** Virtual nanoseconds. */
  now = -1;
  /** The unit's number then, if it may be repeated; see {@link Remapper.stands}. */
  stands = NOTHING;
  fn = 0;
  hi = 0;
  /** Low word of the page's address; bit 0: of a write. */
  page = 0;
  pfn = 0;
  route: Route = 0;
  /** The words that its data was moved in or out of, and where the frame begins there. */
  words: Uint32Array | undefined;
  first = 0;
  /** The same words as 64-bit values, which only carry bits, and so the device's buffer. */
  wide: Float64Array | undefined;
  source: Float64Array = new Float64Array(0);
  #from: Uint32Array | undefined;

  /** Makes {@link source} of a device's buffer; false where its place does not allow it. */
  takesFrom(from: Uint32Array): boolean {
    if (from === this.#from) return true;
    if (from.byteOffset % 8 !== 0) return false;
    this.#from = from;
    this.source = new Float64Array(from.buffer, from.byteOffset, from.length >>> 1);
    return true;
  }

  /** The next one is not a repetition of it. */
  forget(): void {
    this.stands = NOTHING;
    this.words = undefined;
  }
}
