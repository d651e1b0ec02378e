import { ms, second } from "../base/units.ts";

/** Width of one bucket of the rate history, and how many are kept. */
export const BUCKET = 20 * ms;
export const BUCKETS = 128;
/** The same as the compiler can see it: what a module exports is looked up at each use. */
const PLACES = BUCKETS;

/** One DMA that should not have been, or did not come through. */
export interface DmaIncident {
  readonly time: number;
  readonly fn: number;
  readonly write: boolean;
  readonly iova: number;
  /** Frame that was hit; -1 for a fault. */
  readonly pfn: number;
  /** Fault reason of the IOMMU, or the port's code; 0 for a stray access. */
  readonly code: number;
}

/** Places in a device's row. {@link Meter} says what each number is. */
const enum At {
  reads,
  writes,
  bytes,
  lastDone,
  lastTried,
  lastBad,
  busySince,
  longestGap,
  longestGapEnd,
  windowGap,
  windowStart,
  isStarved,
  starved,
  bucket,
  faults,
  blocked,
  stray,
  aborted,
  untranslated,
  stopped,
  pageRequests,
  pagesAnswered,
  longestWait,
}

const ROW = 23;
const TIMES_OF_NEVER = [At.lastDone, At.lastTried, At.lastBad, At.busySince];
const NO_REASONS: ReadonlyMap<number, number> = new Map();

/** What is counted of all devices: a row of numbers each, and more only of those that do something. */
export class MeterTable {
  /** Accesses per bucket of virtual time, a ring. */
  readonly history: (Int32Array | undefined)[] = [];
  /** Refusals by reason. */
  readonly reasons: (Map<number, number> | undefined)[] = [];
  readonly firstFault: (DmaIncident | undefined)[] = [];
  readonly firstStray: (DmaIncident | undefined)[] = [];
  #rows = new Float64Array(8 * ROW);
  /** The bucket of the last access of any device, and the time it ends. */
  #bucket = 0;
  #bucketEnd = BUCKET;

  /** Devices that have a row. */
  get length(): number {
    return this.history.length;
  }

  /** Rows for a device and all before it. */
  reach(fn: number): void {
    while (this.length <= fn) {
      const row = this.length * ROW;
      if (row === this.#rows.length) {
        const rows = new Float64Array(2 * row);
        rows.set(this.#rows);
        this.#rows = rows;
      }
      for (const at of TIMES_OF_NEVER) this.#rows[row + at] = -1;
      this.history.push(undefined);
    }
  }

  get(fn: number, at: number): number {
    return this.#rows[fn * ROW + at];
  }

  set(fn: number, at: number, value: number): void {
    this.#rows[fn * ROW + at] = value;
  }

  #add(fn: number, at: number): void {
    this.#rows[fn * ROW + at]++;
  }

  /** An access reached memory. */
  done(fn: number, now: number, write: boolean, bytes: number): void {
    const rows = this.#rows, row = fn * ROW;
    rows[row + (write ? At.writes : At.reads)]++;
    rows[row + At.bytes] += bytes;
    rows[row + At.isStarved] = 0;
    // Several accesses at one time are the rule: only the first ends a gap.
    if (rows[row + At.lastDone] !== now) {
      this.endGap(fn, now);
      rows[row + At.lastDone] = now;
    }
    rows[row + At.lastTried] = now;
    this.count(fn, now);
  }

  /** One more access in the history. */
  count(fn: number, now: number): void {
    if (now >= this.#bucketEnd) {
      this.#bucket = (now / BUCKET) | 0;
      this.#bucketEnd = (this.#bucket + 1) * BUCKET;
    }
    const bucket = this.#bucket, history = this.history[fn];
    if (history === undefined || this.#rows[fn * ROW + At.bucket] !== bucket) {
      this.#countFirst(fn, bucket);
    } else history[bucket % PLACES]++;
  }

  #countFirst(fn: number, bucket: number): void {
    const history = this.history[fn] ??= new Int32Array(BUCKETS);
    this.advance(fn, bucket);
    history[bucket % BUCKETS]++;
  }

  /** Moves the ring on to a bucket, clearing what it passes. */
  advance(fn: number, bucket: number): void {
    const history = this.history[fn], from = this.get(fn, At.bucket);
    if (bucket <= from) return;
    this.set(fn, At.bucket, bucket);
    const steps = Math.min(bucket - from, BUCKETS);
    if (history === undefined) return;
    for (let i = 1; i <= steps; i++) history[(from + i) % BUCKETS] = 0;
  }

  /** The open gap ends now, with a success or with the work. */
  endGap(fn: number, now: number): void {
    const rows = this.#rows, row = fn * ROW;
    const busySince = rows[row + At.busySince];
    if (busySince < 0) return;
    const gap = now - Math.max(busySince, rows[row + At.lastDone]);
    const inWindow = Math.min(gap, now - rows[row + At.windowStart]);
    if (inWindow > rows[row + At.windowGap]) rows[row + At.windowGap] = inWindow;
    if (gap <= rows[row + At.longestGap]) return;
    rows[row + At.longestGap] = gap;
    rows[row + At.longestGapEnd] = now;
  }

  /** The device has work, or none any more. True: it lost it without having tried to do it. */
  work(fn: number, now: number, busy: boolean): boolean {
    const since = this.get(fn, At.busySince);
    if (busy) {
      if (since < 0) this.set(fn, At.busySince, now);
      this.set(fn, At.isStarved, 0);
      return false;
    }
    this.endGap(fn, now);
    this.set(fn, At.busySince, -1);
    // A device runs out of work by doing it.
    const stopped = since >= 0 && this.get(fn, At.lastTried) !== now;
    if (stopped) this.#add(fn, At.stopped);
    return stopped;
  }

  starved(fn: number, now: number): void {
    this.#add(fn, At.starved);
    this.set(fn, At.isStarved, 1);
    this.set(fn, At.lastTried, now);
  }

  /** The device asks for a page that is not there. */
  asked(fn: number): void {
    this.#add(fn, At.pageRequests);
  }

  /** It was answered after `wait` nanoseconds. */
  answered(fn: number, wait: number): void {
    this.#add(fn, At.pagesAnswered);
    this.set(fn, At.longestWait, Math.max(this.get(fn, At.longestWait), wait));
  }

  stray(incident: DmaIncident): void {
    this.#add(incident.fn, At.stray);
    this.set(incident.fn, At.lastBad, incident.time);
    this.firstStray[incident.fn] ??= incident;
  }

  untranslated(fn: number): void {
    this.#add(fn, At.untranslated);
  }

  /** Bus mastering was off. */
  blocked({ fn, time }: DmaIncident): void {
    this.set(fn, At.lastTried, time);
    this.#add(fn, At.blocked);
  }

  /** No memory there, or, with a `reason`, the IOMMU said no. */
  failed(incident: DmaIncident, reason: number | undefined): void {
    const { fn, time } = incident;
    this.set(fn, At.lastTried, time);
    this.set(fn, At.lastBad, time);
    this.firstFault[fn] ??= incident;
    if (reason === undefined) return this.#add(fn, At.aborted);
    this.#add(fn, At.faults);
    const reasons = this.reasons[fn] ??= new Map();
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
}

/** What is known of one device's DMA, as it stands whenever it is asked. Times in nanoseconds. */
export class Meter {
  constructor(readonly table: MeterTable, readonly fn: number) {}

  #get(at: At): number {
    return this.table.get(this.fn, at);
  }

  get reads(): number {
    return this.#get(At.reads);
  }
  get writes(): number {
    return this.#get(At.writes);
  }
  get bytes(): number {
    return this.#get(At.bytes);
  }
  /** Time of the last access that reached memory; -1 before the first. */
  get lastDone(): number {
    return this.#get(At.lastDone);
  }
  /** Time of the last access, or of a drop for want of room; whatever became of it. */
  get lastTried(): number {
    return this.#get(At.lastTried);
  }
  /** Time of the last access that was refused or strayed; -1 for never. */
  get lastBad(): number {
    return this.#get(At.lastBad);
  }
  /** Since when the device has had work; -1 while it has none. */
  get busySince(): number {
    return this.#get(At.busySince);
  }
  /** Longest time between two successes, or since work came up, while there was work. */
  get longestGap(): number {
    return this.#get(At.longestGap);
  }
  get longestGapEnd(): number {
    return this.#get(At.longestGapEnd);
  }
  /** Accesses the IOMMU refused, and how many for each reason. */
  get faultCount(): number {
    return this.#get(At.faults);
  }
  get faults(): ReadonlyMap<number, number> {
    return this.table.reasons[this.fn] ?? NO_REASONS;
  }
  /** Accesses that found bus mastering off. */
  get blocked(): number {
    return this.#get(At.blocked);
  }
  /** Accesses that reached memory which is not the guest's. */
  get stray(): number {
    return this.#get(At.stray);
  }
  /** Accesses to physical addresses where no memory is. */
  get aborted(): number {
    return this.#get(At.aborted);
  }
  get untranslated(): number {
    return this.#get(At.untranslated);
  }
  get starved(): number {
    return this.#get(At.starved);
  }
  /** The ring is full now: dropped since the last success, and no room was made. */
  get isStarved(): boolean {
    return this.#get(At.isStarved) !== 0;
  }
  /** Times the device lost its work without having tried to do it: a reset, as a rule. */
  get stopped(): number {
    return this.#get(At.stopped);
  }
  /** Groups of pages it has asked for, those of them that were answered, and the longest wait. */
  get pageRequests(): number {
    return this.#get(At.pageRequests);
  }
  get pagesAnswered(): number {
    return this.#get(At.pagesAnswered);
  }
  get longestWait(): number {
    return this.#get(At.longestWait);
  }
  get firstFault(): DmaIncident | undefined {
    return this.table.firstFault[this.fn];
  }
  get firstStray(): DmaIncident | undefined {
    return this.table.firstStray[this.fn];
  }

  /** The last `n` buckets, at most {@link BUCKETS}, oldest first; the last one is still filling. */
  recent(now: number, n: number): number[] {
    const values = new Array<number>(n).fill(0), history = this.table.history[this.fn];
    if (history === undefined) return values;
    this.table.advance(this.fn, Math.floor(now / BUCKET));
    const first = this.#get(At.bucket) - n + 1;
    for (let i = Math.max(0, -first); i < n; i++) values[i] = history[(first + i) % BUCKETS];
    return values;
  }

  /** Accesses per second over the last five full buckets (100 ms), or as many as there were. */
  rate(now: number): number {
    const buckets = Math.min(Math.floor(now / BUCKET), 5);
    if (buckets === 0) return 0;
    const full = this.recent(now, buckets + 1).slice(0, buckets);
    return full.reduce((a, b) => a + b, 0) / (buckets * BUCKET / second);
  }

  /** The gap that is open now, 0 when the device has nothing to do. */
  openGap(now: number): number {
    if (this.busySince < 0) return 0;
    return now - Math.max(this.busySince, this.lastDone);
  }

  /** From here on gaps are watched for {@link windowGapAt}. */
  startWindow(now: number): void {
    this.table.set(this.fn, At.windowStart, now);
    this.table.set(this.fn, At.windowGap, 0);
  }

  /** Longest gap since the window began, the open one with it. */
  windowGapAt(now: number): number {
    const open = Math.min(this.openGap(now), now - this.#get(At.windowStart));
    return Math.max(this.#get(At.windowGap), open);
  }
}
