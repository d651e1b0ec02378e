/** Frames side by side. */
export interface Frames {
  readonly pfn: number;
  readonly count: number;
}

/** Pages side by side in frames side by side; `pfn` -1: there are none behind them. */
export interface FrameRun extends Frames {
  readonly page: number;
}

/** Which frame is behind which page, in runs: as small for a terabyte in one piece as for a page. */
export class FrameRuns {
  /** By ascending page; two that go on from each other are one. */
  #runs: FrameRun[] = [];
  #pages = 0;

  /** All of them, by ascending page. */
  get runs(): readonly FrameRun[] {
    return this.#runs;
  }

  /** Pages there are frames behind. */
  get pages(): number {
    return this.#pages;
  }

  /** Frame behind a page, -1: none. */
  frameOf(page: number): number {
    const run = this.#runs[this.#endingAfter(page)];
    return run === undefined || run.page > page ? -1 : run.pfn + page - run.page;
  }

  /** A page with this frame behind it, -1: there is none. */
  pageOf(pfn: number): number {
    for (const run of this.#runs) {
      if (pfn >= run.pfn && pfn < run.pfn + run.count) return run.page + pfn - run.pfn;
    }
    return -1;
  }

  /** What is behind pages [page, page + count) now, gaps as well, by ascending page. */
  between(page: number, count: number): FrameRun[] {
    const found: FrameRun[] = [], end = page + count;
    let at = page;
    const gap = (to: number) => {
      if (to > at) found.push({ page: at, pfn: -1, count: to - at });
    };
    for (let i = this.#endingAfter(page); i < this.#runs.length && this.#runs[i].page < end; i++) {
      const run = this.#runs[i], start = Math.max(run.page, page);
      gap(start);
      at = Math.min(run.page + run.count, end);
      found.push({ page: start, pfn: run.pfn + start - run.page, count: at - start });
    }
    gap(end);
    return found;
  }

  /** Puts frames from `pfn` on behind pages [page, page + count), whatever was there. */
  set(page: number, pfn: number, count: number): void {
    const runs = this.#runs, end = page + count;
    const first = this.#endingAfter(page);
    let last = first;
    while (last < runs.length && runs[last].page < end) last++;
    const pieces = [{ page, pfn, count }];
    if (first < last) {
      const head = runs[first], tail = runs[last - 1], tailEnd = tail.page + tail.count;
      if (head.page < page) pieces.unshift({ ...head, count: page - head.page });
      if (tailEnd > end) {
        pieces.push({ page: end, pfn: tail.pfn + end - tail.page, count: tailEnd - end });
      }
    }
    // Neighbours on both sides may go on from what was put between them.
    const from = Math.max(0, first - 1), to = Math.min(runs.length, last + 1);
    const all = joined([...runs.slice(from, first), ...pieces, ...runs.slice(last, to)]);
    this.#pages += total(all) - total(runs.slice(from, to));
    runs.splice(from, to - from, ...all);
  }

  /** Index of the first run that ends after the page. */
  #endingAfter(page: number): number {
    const runs = this.#runs;
    let low = 0, high = runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (runs[middle].page + runs[middle].count <= page) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function total(runs: readonly Frames[]): number {
  return runs.reduce((sum, run) => sum + run.count, 0);
}

function joined(runs: readonly FrameRun[]): FrameRun[] {
  const all: FrameRun[] = [];
  for (const run of runs) {
    const last = all[all.length - 1];
    const goesOn = last !== undefined && last.page + last.count === run.page &&
      last.pfn + last.count === run.pfn;
    if (goesOn) all[all.length - 1] = { ...last, count: last.count + run.count };
    else all.push(run);
  }
  return all;
}
