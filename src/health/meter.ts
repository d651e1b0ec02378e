import { ms, second } from "../base/units.ts";
import { Rings } from "./rings.ts";

/** Width of one bucket of the rate history. */
export const BUCKET = 20 * ms;

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

/** What each access changes: places in a device's short row, which is a cache line. */
const enum Hot {
  lastDone,
  busySince,
  bucket,
  inBucket,
  reads,
  writes,
  bytes,
  isStarved,
}

/** Places in its long row. {@link Meter} says what each number is. */
const enum At {
  /** Time of the last try that did not reach memory. */
  lastVain,
  lastBad,
  longestGap,
  longestGapEnd,
  windowGap,
  windowStart,
  starved,
  faults,
  blocked,
  stray,
  aborted,
  untranslated,
  stopped,
  pageRequests,
  pagesAnswered,
  longestWait,
  /** Its ring of the history; -1: it needs none yet. */
  ring,
}

const HOT_SHIFT = 3;
const ROW = 17;
const NO_REASONS: ReadonlyMap<number, number> = new Map();

/** What is counted of all devices: rows of numbers each, and more only of those that do something. */
export class MeterTable {
  /** Refusals by reason. */
  readonly reasons: (Map<number, number> | undefined)[] = [];
  readonly firstFault: (DmaIncident | undefined)[] = [];
  readonly firstStray: (DmaIncident | undefined)[] = [];
  #length = 0;
  #hot = new Float64Array(8 << HOT_SHIFT);
  #rows = new Float64Array(8 * ROW);
  /** Row of the last access that reached memory, which place counts it, and what is not yet counted. */
  #row = 0;
  #counter = 0;
  #times = 0;
  #bytes = 0;
  /** Accesses per bucket of virtual time, a ring for each device; the bucket that fills is in its row. */
  readonly #rings = new Rings();
  /** The bucket of the last access of any device, and the time it ends. */
  #bucket = 0;
  #bucketEnd = BUCKET;

  /** Devices that have a row. */
  get length(): number {
    return this.#length;
  }

  /** Rows for a device and all before it. */
  reach(fn: number): void {
    for (; this.#length <= fn; this.#length++) {
      const hot = this.#length << HOT_SHIFT, row = this.#length * ROW;
      if (hot === this.#hot.length) {
        this.#hot = doubled(this.#hot);
        this.#rows = doubled(this.#rows);
      }
      this.#hot[hot | Hot.lastDone] = this.#hot[hot | Hot.busySince] = -1;
      for (const at of [At.lastVain, At.lastBad, At.ring]) this.#rows[row + at] = -1;
    }
  }

  hot(fn: number, at: number): number {
    this.settle();
    return this.#hot[(fn << HOT_SHIFT) | at];
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
    const row = fn << HOT_SHIFT;
    this.settle();
    // Several accesses at one time are the rule: only the first ends a gap.
    if (this.#hot[row | Hot.lastDone] !== now) this.#doneFirst(fn, now);
    this.#hot[row | Hot.isStarved] = 0;
    this.#row = row;
    this.#counter = row | (write ? Hot.writes : Hot.reads);
    this.again(bytes);
  }

  /** So did another one, of the device that {@link done} was told of last, in its direction and at its time. */
  again(bytes: number): void {
    this.#times++;
    this.#bytes += bytes;
  }

  /** Counts what {@link again} was told of. */
  settle(): void {
    const hot = this.#hot, row = this.#row, times = this.#times;
    if (times === 0) return;
    hot[row | Hot.inBucket] += times;
    hot[this.#counter] += times;
    hot[row | Hot.bytes] += this.#bytes;
    this.#times = this.#bytes = 0;
  }

  #doneFirst(fn: number, now: number): void {
    const hot = this.#hot, row = fn << HOT_SHIFT;
    if (hot[row | Hot.busySince] >= 0) this.endGap(fn, now);
    hot[row | Hot.lastDone] = now;
    this.#turn(fn, now);
  }

  /** One more access in the history. */
  count(fn: number, now: number): void {
    this.#turn(fn, now);
    this.#hot[(fn << HOT_SHIFT) | Hot.inBucket]++;
  }

  /** The device's bucket is the one that fills now. */
  #turn(fn: number, now: number): void {
    if (now >= this.#bucketEnd) {
      this.#bucket = (now / BUCKET) | 0;
      this.#bucketEnd = (this.#bucket + 1) * BUCKET;
    }
    if (this.#hot[(fn << HOT_SHIFT) | Hot.bucket] !== this.#bucket) this.advance(fn, this.#bucket);
  }

  /** Moves the ring on to a bucket, clearing what it passes. */
  advance(fn: number, bucket: number): void {
    this.settle();
    const hot = this.#hot, row = fn << HOT_SHIFT;
    const from = hot[row | Hot.bucket], filled = hot[row | Hot.inBucket];
    if (bucket <= from) return;
    hot[row | Hot.bucket] = bucket;
    hot[row | Hot.inBucket] = 0;
    if (filled > 0 && this.get(fn, At.ring) < 0) this.set(fn, At.ring, this.#rings.add());
    const ring = this.get(fn, At.ring);
    if (ring >= 0) this.#rings.turn(ring, from, filled, bucket);
  }

  /** Accesses in the `n` buckets, at most as many as {@link Rings} keeps, up to `last`, which is not yet past. */
  recent(fn: number, last: number, n: number): number[] {
    this.advance(fn, last);
    const values = new Array<number>(n).fill(0), ring = this.get(fn, At.ring);
    const first = this.hot(fn, Hot.bucket) - n + 1;
    for (let i = Math.max(0, -first); ring >= 0 && i < n; i++) {
      values[i] = this.#rings.get(ring, first + i);
    }
    values[n - 1] = this.hot(fn, Hot.inBucket);
    return values;
  }

  /** The open gap ends now, with a success or with the work. */
  endGap(fn: number, now: number): void {
    const rows = this.#rows, row = fn * ROW;
    const busySince = this.hot(fn, Hot.busySince);
    if (busySince < 0) return;
    const gap = now - Math.max(busySince, this.hot(fn, Hot.lastDone));
    const inWindow = Math.min(gap, now - rows[row + At.windowStart]);
    if (inWindow > rows[row + At.windowGap]) rows[row + At.windowGap] = inWindow;
    if (gap <= rows[row + At.longestGap]) return;
    rows[row + At.longestGap] = gap;
    rows[row + At.longestGapEnd] = now;
  }

  /** Time of the last access or drop, whatever became of it. */
  lastTried(fn: number): number {
    return Math.max(this.hot(fn, Hot.lastDone), this.get(fn, At.lastVain));
  }

  /** The device has work, or none any more. True: it lost it without having tried to do it. */
  work(fn: number, now: number, busy: boolean): boolean {
    const hot = this.#hot, row = fn << HOT_SHIFT, since = hot[row | Hot.busySince];
    if (busy) {
      if (since < 0) hot[row | Hot.busySince] = now;
      hot[row | Hot.isStarved] = 0;
      return false;
    }
    this.endGap(fn, now);
    hot[row | Hot.busySince] = -1;
    // A device runs out of work by doing it.
    const stopped = since >= 0 && this.lastTried(fn) !== now;
    if (stopped) this.#add(fn, At.stopped);
    return stopped;
  }

  starved(fn: number, now: number): void {
    this.#add(fn, At.starved);
    this.#hot[(fn << HOT_SHIFT) | Hot.isStarved] = 1;
    this.set(fn, At.lastVain, now);
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
    this.set(fn, At.lastVain, time);
    this.#add(fn, At.blocked);
  }

  /** No memory there, or, with a `reason`, the IOMMU said no. */
  failed(incident: DmaIncident, reason: number | undefined): void {
    const { fn, time } = incident;
    this.set(fn, At.lastVain, time);
    this.set(fn, At.lastBad, time);
    this.firstFault[fn] ??= incident;
    if (reason === undefined) return this.#add(fn, At.aborted);
    this.#add(fn, At.faults);
    const reasons = this.reasons[fn] ??= new Map();
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
}

function doubled(rows: Float64Array): Float64Array<ArrayBuffer> {
  const twice = new Float64Array(2 * rows.length);
  twice.set(rows);
  return twice;
}

/** What is known of one device's DMA, as it stands whenever it is asked. Times in nanoseconds. */
export class Meter {
  constructor(readonly table: MeterTable, readonly fn: number) {}

  #get(at: At): number {
    return this.table.get(this.fn, at);
  }

  #hot(at: Hot): number {
    return this.table.hot(this.fn, at);
  }

  get reads(): number {
    return this.#hot(Hot.reads);
  }
  get writes(): number {
    return this.#hot(Hot.writes);
  }
  get bytes(): number {
    return this.#hot(Hot.bytes);
  }
  /** Time of the last access that reached memory; -1 before the first. */
  get lastDone(): number {
    return this.#hot(Hot.lastDone);
  }
  /** Time of the last access, or of a drop for want of room; whatever became of it. */
  get lastTried(): number {
    return this.table.lastTried(this.fn);
  }
  /** Time of the last access that was refused or strayed; -1 for never. */
  get lastBad(): number {
    return this.#get(At.lastBad);
  }
  /** Since when the device has had work; -1 while it has none. */
  get busySince(): number {
    return this.#hot(Hot.busySince);
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
    return this.#hot(Hot.isStarved) !== 0;
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

  /** The last `n` buckets, at most as many as {@link Rings} keeps, oldest first; the last one is still filling. */
  recent(now: number, n: number): number[] {
    return this.table.recent(this.fn, Math.floor(now / BUCKET), n);
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
