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

  /** The next one is not a repetition of it. */
  forget(): void {
    this.stands = NOTHING;
    this.words = undefined;
  }
}
