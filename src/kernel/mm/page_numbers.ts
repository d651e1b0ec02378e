import type { Frames } from "../../machine/frame_runs.ts";

const SHIFT = 10;
const CHUNK = 1 << SHIFT;

/** The frame of each page of a file that has one. Made in pieces: a file may be large and empty. */
export class PageNumbers {
  /** Frame + 1 by page, 0: none. */
  readonly #chunks: (Int32Array | undefined)[] = [];

  /** -1: none. */
  get(page: number): number {
    const chunk = this.#chunks[page >>> SHIFT];
    return chunk === undefined ? -1 : chunk[page & (CHUNK - 1)] - 1;
  }

  /** `pfn` -1: it has none any more. */
  set(page: number, pfn: number): void {
    const chunk = this.#chunks[page >>> SHIFT] ??= new Int32Array(CHUNK);
    chunk[page & (CHUNK - 1)] = pfn + 1;
  }

  /**
   * Frames of a page and those behind it, as many of `count` as lie side by side; `pfn` -1: as many as
   * have none.
   */
  run(page: number, count: number): Frames {
    const pfn = this.get(page), step = pfn < 0 ? 0 : 1;
    let n = 1;
    while (n < count && this.get(page + n) === pfn + n * step) n++;
    return { pfn, count: n };
  }
}
