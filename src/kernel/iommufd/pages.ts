import type { Costs } from "../costs.ts";
import type { Account } from "./accounting.ts";
import type { Area } from "./area.ts";
import type { Parting } from "./file_pin.ts";
import type { PageSource } from "./sources.ts";

/** A contiguous piece of pinned memory: `count` frames from `pfn`. */
export interface Run {
  readonly pfn: number;
  readonly count: number;
}

/** A page that kernel code, not a domain, wants to stay. */
interface Held {
  readonly pfn: number;
  users: number;
}

/**
 * The pages behind one or more areas. Each page is pinned once, however many areas, domains and
 * accesses use it, and only while one does. Its frame number is kept where it is needed anyway: with
 * the accesses that hold it, or in the tables of an area's storage domain (FACTS 1.4).
 */
export class IoptPages {
  #areas = 0;
  /** Areas with a storage domain. */
  readonly #stored: Area[] = [];
  readonly #held = new Map<number, Held>();
  /** Pages pinned through this object now. */
  pinned = 0;

  /**
   * `uptr`: user address or file offset of the first page. `account`: undefined where the source's memory counts against no limit.
   */
  constructor(
    readonly source: PageSource,
    readonly uptr: bigint,
    readonly npages: number,
    readonly writable: boolean,
    public account: Account | undefined,
    readonly costs?: Costs,
  ) {}

  get(): this {
    this.#areas++;
    return this;
  }

  put(how: Parting): void {
    if (--this.#areas === 0) this.source.release(how);
  }

  /**
   * The frames of pages [index, index + count) as contiguous runs. What is not pinned yet is now;
   * the caller gives it a holder, or back with {@link letGo}. EFAULT and the like from the source,
   * ENOMEM beyond the limit: then nothing is pinned that was not before.
   */
  acquire(index: number, count: number): Run[] | number {
    const quick = this.#pinRuns(index, count);
    if (quick !== undefined) return quick;
    const runs: Run[] = [], fresh: Run[] = [];
    for (let i = index; i < index + count; i++) {
      let pfn = this.#known(i);
      if (pfn < 0) {
        pfn = this.source.pin(i, this.writable);
        if (pfn < 0) {
          this.#unpin(fresh);
          return pfn;
        }
        append(fresh, pfn);
      }
      append(runs, pfn);
    }
    return this.#charge(total(fresh), fresh, total(fresh)) ?? runs;
  }

  /** Where nothing is pinned yet and the source has runs: nothing to look up page by page. */
  #pinRuns(index: number, count: number): Run[] | number | undefined {
    if (this.source.pinRun === undefined || this.#held.size > 0 || this.#stored.length > 0) {
      return undefined;
    }
    const runs: Run[] = [];
    for (let at = index; at < index + count;) {
      const run = this.source.pinRun(at, index + count - at, this.writable);
      if (typeof run === "number") {
        this.#unpin(runs);
        return run;
      }
      const last = runs[runs.length - 1];
      if (last !== undefined && last.pfn + last.count === run.pfn) {
        runs[runs.length - 1] = { pfn: last.pfn, count: last.count + run.count };
      } else runs.push(run);
      at += run.count;
    }
    return this.#charge(count, runs, Math.ceil(count / (this.source.together ?? 1))) ?? runs;
  }

  /** Counts freshly pinned pages; an errno where that is too many, and then they are let go. */
  #charge(added: number, fresh: readonly Run[], lookups: number): number | undefined {
    const rc = this.account?.charge(added) ?? 0;
    if (rc < 0) {
      this.#unpin(fresh);
      return rc;
    }
    this.pinned += added;
    if (this.costs !== undefined) {
      this.costs.pagesPinned += added;
      this.costs.lookups += lookups;
    }
    return undefined;
  }

  /** Unpins those of the pages from `index` on, whose frames are `runs`, that nobody holds any more. */
  letGo(index: number, runs: readonly Run[]): void {
    const nobody = this.#held.size === 0 && this.#stored.length === 0;
    const gone: Run[] = nobody ? [...runs] : [];
    let at = index;
    for (const { pfn, count } of nobody ? [] : runs) {
      for (let i = 0; i < count; i++, at++) if (this.#known(at) < 0) append(gone, pfn + i);
    }
    this.#unpin(gone);
    const count = total(gone);
    this.account?.uncharge(count);
    this.pinned -= count;
  }

  /** An area's storage domain has its frames from now on, or has them no more. */
  store(area: Area): void {
    this.#stored.push(area);
  }

  unstore(area: Area): void {
    this.#stored.splice(this.#stored.indexOf(area), 1);
  }

  /** Kernel code takes hold of pages: their frames, or what {@link acquire} answers. */
  hold(index: number, count: number): number[] | number {
    const runs = this.acquire(index, count);
    if (typeof runs === "number") return runs;
    const frames = runs.flatMap((run) => Array.from({ length: run.count }, (_, i) => run.pfn + i));
    for (const [i, pfn] of frames.entries()) {
      const held = this.#held.get(index + i);
      if (held === undefined) this.#held.set(index + i, { pfn, users: 1 });
      else held.users++;
    }
    return frames;
  }

  unhold(index: number, count: number): void {
    for (let i = index; i < index + count; i++) {
      const held = this.#held.get(i);
      if (held === undefined || --held.users > 0) continue;
      this.#held.delete(i);
      this.letGo(i, [{ pfn: held.pfn, count: 1 }]);
    }
  }

  /** Frame of a pinned page, -1 for one that is not. */
  #known(index: number): number {
    const held = this.#held.get(index);
    if (held !== undefined) return held.pfn;
    for (const area of this.#stored) {
      const i = index - area.first;
      if (i >= 0 && i < area.count) return area.storage?.translate(area.page + i) ?? -1;
    }
    return -1;
  }

  #unpin(runs: readonly Run[]): void {
    for (const { pfn, count } of runs) this.source.unpin(pfn, count);
  }
}

/** Contiguous frames are one run: one map call, and a superpage where it fits. */
function append(runs: Run[], pfn: number): void {
  const last = runs[runs.length - 1];
  if (last !== undefined && last.pfn + last.count === pfn) {
    runs[runs.length - 1] = { pfn: last.pfn, count: last.count + 1 };
  } else runs.push({ pfn, count: 1 });
}

function total(runs: readonly Run[]): number {
  return runs.reduce((sum, run) => sum + run.count, 0);
}
