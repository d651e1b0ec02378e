import { EventQueue } from "../base/event_queue.ts";
import { DMA_BUS_MASTER_OFF, type DmaObserver, Route } from "../machine/dma_port.ts";
import { DMA_INTERRUPT } from "../machine/interrupt_range.ts";
import type { Ledger } from "./ledger.ts";
import { type DmaIncident, Meter, MeterTable } from "./meter.ts";

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
  /** An access that reached memory: each of them, while {@link Meters.tellsDone}. */
  done(fn: number, pfn: number): void;
  /** Commands of disks; see {@link DmaObserver}. */
  executed(fn: number, write: boolean, block: number, blocks: number, ok: boolean): void;
  restarted(fn: number): void;
}

/** Watches the DMA port of every device. */
export class Meters implements DmaObserver {
  sink: IncidentSink | undefined;
  #tellsDone = true;
  /** Guest number each function belongs to. */
  readonly #guests: number[] = [];
  #queue = new EventQueue();
  #ledger!: Ledger;
  /** {@link Ledger.changes} when nothing was wrong with the last access; -1: each has to be looked at. */
  #fine = -1;
  readonly #table = new MeterTable();

  /** Clock and ledger arrive after the machine is made, which wants its observer first. */
  start(queue: EventQueue, ledger: Ledger): void {
    this.#queue = queue;
    this.#ledger = ledger;
  }

  /** The sink hears of accesses that nothing is wrong with. */
  get tellsDone(): boolean {
    return this.#tellsDone;
  }

  set tellsDone(tells: boolean) {
    this.#tellsDone = tells;
    this.#fine = -1;
  }

  /** The function belongs to a guest, by number; 0: nobody's, -1: its guest has no memory yet. */
  setGuest(fn: number, number: number): void {
    this.#guests[fn] = number;
    this.#fine = -1;
  }

  get(fn: number): Meter {
    return new Meter(this.#reach(fn), fn);
  }

  get all(): Meter[] {
    return Array.from({ length: this.#table.length }, (_, fn) => this.get(fn));
  }

  /** The table, with a row for the device. */
  #reach(fn: number): MeterTable {
    const table = this.#table;
    if (table.length <= fn) table.reach(fn);
    return table;
  }

  get now(): number {
    return this.#queue.now;
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
    this.#reach(fn).done(fn, this.now, write, bytes);
    const ledger = this.#ledger;
    this.#fine = this.#tellsDone ? -1 : ledger.changes;
    if (ledger.ownerNumber(pfn) !== this.#guests[fn]) this.#stray(fn, write, hi, lo, pfn);
    else if (write && ledger.sealed) ledger.dmaWrote(pfn);
    if (route === Route.untranslated) {
      this.#fine = -1;
      this.#table.untranslated(fn);
      this.sink?.untranslated(this.#incident(fn, write, hi, lo, pfn, 0));
    }
    if (this.#tellsDone) this.sink?.done(fn, pfn);
  }

  again(bytes: number): boolean {
    if (this.#fine !== this.#ledger.changes) return false;
    this.#table.again(bytes);
    return true;
  }

  #stray(fn: number, write: boolean, hi: number, lo: number, pfn: number): void {
    this.#fine = -1;
    const incident = this.#incident(fn, write, hi, lo, pfn, 0);
    this.#table.stray(incident);
    this.sink?.stray(incident);
  }

  failed(fn: number, write: boolean, hi: number, lo: number, code: number): void {
    // A write to the interrupt window is an interrupt on its way, not a DMA.
    if (code === DMA_INTERRUPT) return;
    const table = this.#reach(fn), incident = this.#incident(fn, write, hi, lo, -1, code);
    if (code === DMA_BUS_MASTER_OFF) table.blocked(incident);
    else table.failed(incident, code > DMA_BUS_MASTER_OFF ? -code : undefined);
    this.sink?.fault(incident);
  }

  work(fn: number, busy: boolean): void {
    if (this.#reach(fn).work(fn, this.now, busy)) this.sink?.stopped(fn);
  }

  asked(fn: number): void {
    this.#reach(fn).asked(fn);
    this.sink?.asked(fn);
  }

  /** One that a reset made it forget has not been answered. */
  answered(fn: number, wait: number): void {
    if (wait >= 0) this.#reach(fn).answered(fn, wait);
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
    this.#fine = -1;
    this.#reach(fn).starved(fn, this.now);
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
