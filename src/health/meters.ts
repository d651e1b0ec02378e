import type { EventQueue } from "../base/event_queue.ts";
import { ms, second } from "../base/units.ts";
import { DMA_BUS_MASTER_OFF, type DmaObserver, Route } from "../machine/dma_port.ts";
import { DMA_INTERRUPT } from "../machine/interrupt_range.ts";
import type { Ledger } from "./ledger.ts";

/** Width of one bucket of the rate history, and how many are kept. */
export const BUCKET = 20 * ms;
export const BUCKETS = 128;

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

/** What is known of one device's DMA. Times in nanoseconds. */
export class Meter {
  reads = 0;
  writes = 0;
  bytes = 0;
  /** Time of the last access that reached memory; -1 before the first. */
  lastDone = -1;
  /** Since when the device has had work; -1 while it has none. */
  busySince = -1;
  /** Longest time between two successes, or since work came up, while there was work. */
  longestGap = 0;
  longestGapEnd = 0;
  /** The same since {@link startWindow}. */
  #windowGap = 0;
  #windowStart = 0;
  /** Accesses the IOMMU refused, by reason. */
  readonly faults = new Map<number, number>();
  faultCount = 0;
  /** Accesses that found bus mastering off. */
  blocked = 0;
  /** Accesses that reached memory which is not the guest's. */
  stray = 0;
  /** Accesses to physical addresses where no memory is. */
  aborted = 0;
  untranslated = 0;
  starved = 0;
  /** Groups of pages it has asked for, and those of them that were answered. */
  pageRequests = 0;
  pagesAnswered = 0;
  /** The longest it has waited for an answer. */
  longestWait = 0;
  /** The ring is full now: dropped since the last success, and no room was made. */
  isStarved = false;
  firstFault: DmaIncident | undefined;
  firstStray: DmaIncident | undefined;
  /** Time of the last access, or of a drop for want of room; whatever became of it. */
  lastTried = -1;
  /** Times the device lost its work without having tried to do it: a reset, as a rule. */
  stopped = 0;
  /** Time of the last access that was refused or strayed; -1 for never. */
  lastBad = -1;
  /** Accesses per bucket of virtual time, a ring. */
  readonly history = new Int32Array(BUCKETS);
  #bucket = 0;

  count(now: number): void {
    this.advance(now);
    this.history[this.#bucket % BUCKETS]++;
  }

  /** Moves the ring to the bucket of `now`, clearing what it passes. */
  advance(now: number): void {
    const bucket = Math.floor(now / BUCKET);
    const steps = Math.min(bucket - this.#bucket, BUCKETS);
    for (let i = 1; i <= steps; i++) this.history[(this.#bucket + i) % BUCKETS] = 0;
    this.#bucket = Math.max(bucket, this.#bucket);
  }

  /** The last `n` buckets, at most {@link BUCKETS}, oldest first; the last one is still filling. */
  recent(now: number, n: number): number[] {
    this.advance(now);
    const values = new Array<number>(n).fill(0);
    const first = this.#bucket - n + 1;
    for (let i = Math.max(0, -first); i < n; i++) values[i] = this.history[(first + i) % BUCKETS];
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
    this.#windowStart = now;
    this.#windowGap = 0;
  }

  /** Longest gap since the window began, the open one with it. */
  windowGapAt(now: number): number {
    return Math.max(this.#windowGap, Math.min(this.openGap(now), now - this.#windowStart));
  }

  /** The open gap ends now, with a success or with the work. */
  endGap(now: number): void {
    const gap = this.openGap(now);
    this.#windowGap = Math.max(this.#windowGap, Math.min(gap, now - this.#windowStart));
    if (gap <= this.longestGap) return;
    this.longestGap = gap;
    this.longestGapEnd = now;
  }
}

/** What happens at the moment an incident is seen; the judge of the invariants listens. */
export interface IncidentSink {
  fault(incident: DmaIncident): void;
  stray(incident: DmaIncident): void;
  untranslated(incident: DmaIncident): void;
  /** The device lost its work without having tried to do it. */
  stopped(fn: number): void;
  /** It asks for a page, or was answered what it has not asked. */
  asked(fn: number): void;
  unasked(fn: number): void;
  /** Every access that reached memory. */
  done(fn: number, pfn: number): void;
  /** Commands of disks; see {@link DmaObserver}. */
  executed(fn: number, write: boolean, block: number, blocks: number, ok: boolean): void;
  restarted(fn: number): void;
}

/** Watches the DMA port of every device. */
export class Meters implements DmaObserver {
  readonly all: Meter[] = [];
  /** Guest number each function belongs to; 0: nobody's, -1: its guest has no memory yet. */
  readonly guestOf: number[] = [];
  sink: IncidentSink | undefined;
  #queue: EventQueue | undefined;

  constructor(readonly ledger: () => Ledger) {}

  /** The clock arrives after the machine is made, which wants its observer first. */
  start(queue: EventQueue): void {
    this.#queue = queue;
  }

  get(fn: number): Meter {
    let meter = this.all[fn];
    if (meter === undefined) meter = this.all[fn] = new Meter();
    return meter;
  }

  get now(): number {
    return this.#queue?.now ?? 0;
  }

  done(
    fn: number,
    write: boolean,
    hi: number,
    lo: number,
    pfn: number,
    bytes: number,
    route: Route,
  ): void {
    const meter = this.get(fn);
    const now = this.now;
    if (write) meter.writes++;
    else meter.reads++;
    meter.bytes += bytes;
    meter.isStarved = false;
    meter.endGap(now);
    meter.lastDone = meter.lastTried = now;
    meter.count(now);
    const ledger = this.ledger();
    if (ledger.ownerNumber(pfn) === this.guestOf[fn]) {
      if (write) ledger.dmaWrote(pfn);
    } else {
      const incident = this.#incident(fn, write, hi, lo, pfn, 0);
      meter.stray++;
      meter.lastBad = now;
      meter.firstStray ??= incident;
      this.sink?.stray(incident);
    }
    if (route === Route.untranslated) {
      meter.untranslated++;
      this.sink?.untranslated(this.#incident(fn, write, hi, lo, pfn, 0));
    }
    this.sink?.done(fn, pfn);
  }

  failed(fn: number, write: boolean, hi: number, lo: number, code: number): void {
    // A write to the interrupt window is an interrupt on its way, not a DMA.
    if (code === DMA_INTERRUPT) return;
    const meter = this.get(fn);
    meter.lastTried = this.now;
    if (code === DMA_BUS_MASTER_OFF) meter.blocked++;
    else meter.lastBad = this.now;
    if (code < 0 && code > DMA_BUS_MASTER_OFF) {
      meter.faultCount++;
      meter.faults.set(-code, (meter.faults.get(-code) ?? 0) + 1);
    } else if (code !== DMA_BUS_MASTER_OFF) meter.aborted++;
    const incident = this.#incident(fn, write, hi, lo, -1, code);
    if (code !== DMA_BUS_MASTER_OFF) meter.firstFault ??= incident;
    this.sink?.fault(incident);
  }

  work(fn: number, busy: boolean): void {
    const meter = this.get(fn);
    const now = this.now;
    if (busy) {
      if (meter.busySince < 0) meter.busySince = now;
      meter.isStarved = false;
      return;
    }
    meter.endGap(now);
    // A device runs out of work by doing it.
    const stopped = meter.busySince >= 0 && meter.lastTried !== now;
    meter.busySince = -1;
    if (!stopped) return;
    meter.stopped++;
    this.sink?.stopped(fn);
  }

  asked(fn: number): void {
    this.get(fn).pageRequests++;
    this.sink?.asked(fn);
  }

  /** One that a reset made it forget has not been answered. */
  answered(fn: number, wait: number): void {
    const meter = this.get(fn);
    if (wait < 0) return;
    meter.pagesAnswered++;
    meter.longestWait = Math.max(meter.longestWait, wait);
  }

  unasked(fn: number): void {
    this.sink?.unasked(fn);
  }

  executed(fn: number, write: boolean, block: number, blocks: number, ok: boolean): void {
    this.sink?.executed(fn, write, block, blocks, ok);
  }

  restarted(fn: number): void {
    this.sink?.restarted(fn);
  }

  starved(fn: number): void {
    const meter = this.get(fn);
    meter.starved++;
    meter.isStarved = true;
    meter.lastTried = this.now;
  }

  #incident(
    fn: number,
    write: boolean,
    hi: number,
    lo: number,
    pfn: number,
    code: number,
  ): DmaIncident {
    const iova = (hi >>> 0) * 4294967296 + (lo >>> 0);
    return { time: this.now, fn, write, iova, pfn, code };
  }
}
