import {
  PCI_PRI_STATUS_RF,
  PCI_PRI_STATUS_STOPPED,
  PCI_PRI_STATUS_UPRGI,
} from "../../uapi/pci_regs.ts";
import * as pr from "../../uapi/vtd_page_requests.ts";
import {
  ALL_PAGES,
  ATS_NO_ACCESS,
  type AtsEndpoint,
  DMA_PAGE_REFUSED,
  type TranslationAgent,
} from "../ats.ts";
import { DMA_MASTER_ABORT, DmaPort, Route } from "../dma_port.ts";
import { Atc } from "./atc.ts";

/**
 * Nanoseconds from a response at the IOMMU to the device that goes on. Each answer that was of no help
 * doubles it, up to a millisecond: where the queue is full everybody is only told to ask again.
 */
const RESPONSE_TIME = 500, DOUBLINGS = 11;

/** A page the device wants. */
export interface WantedPage {
  readonly hi: number;
  readonly lo: number;
  readonly write: boolean;
}

/** A group of page requests without an answer, for whoever inspects the device. */
export interface OpenGroup {
  /** Its index. */
  readonly group: number;
  /** -1: without a PASID. */
  readonly pasid: number;
  readonly pages: readonly WantedPage[];
  /** Since when it waits, virtual nanoseconds: being told to ask again is no end of a wait. */
  readonly since: number;
}

interface Waiting extends OpenGroup {
  readonly resume: (granted: boolean) => void;
}

/**
 * The way to memory of a function with ATS and PRI. While ATS is on it asks for translations, keeps
 * them, and sends its requests with translated addresses. Where the answer is that nothing there
 * allows the access, and PRI is on, nothing has happened yet: the access gives {@link ATS_NO_ACCESS},
 * {@link missing} says where, and the device may {@link ask} for the page and try again after the answer.
 */
export class AtsPort extends DmaPort implements AtsEndpoint {
  readonly atc = new Atc();
  /** By the capabilities' control registers. */
  pri = false;
  #ats = false;
  /** Requests that may be open at once (Outstanding Page Request Allocation). */
  allocation = 0;
  /** Sets bits of the PRI status register. */
  onStatus: (bits: number) => void = () => {};
  /** The IOMMU, where it has ATS. */
  agent: TranslationAgent | undefined;
  /** Where the last access wanted to go, if it only lacks a page that can be asked for. */
  missing: WantedPage | undefined;
  #groups: Waiting[] = [];
  /** Groups that a reset made it forget, and that may still be answered. */
  readonly #forgotten = new Set<string>();
  /** Groups with an answer on its way, by index. */
  readonly #answered = new Map<number, { readonly waiting: Waiting; readonly granted: boolean }>();
  /** The page it asked for last; answers in vain since it was first asked for, and when that was. */
  #wanted: WantedPage | undefined;
  #vain = 0;
  #since = -1;
  #next = 0;
  #event: number | undefined;

  get ats(): boolean {
    return this.#ats;
  }

  /** From now on another way is gone than the last access went. */
  set ats(on: boolean) {
    this.#ats = on;
    this.last.forget();
  }

  override access(hi: number, lo: number, bytes: number, write: boolean): number {
    if (!this.#ats || !this.busMaster) return super.access(hi, lo, bytes, write);
    const { agent, pasid, sid, last } = this;
    this.missing = undefined;
    last.forget();
    let pfn = this.atc.lookup(pasid, hi, lo, write);
    if (pfn < 0) {
      pfn = agent?.translationRequest(sid, pasid, hi, lo, write) ?? DMA_MASTER_ABORT;
      if (pfn >= 0) {
        this.atc.fill(pasid, hi, lo, write, pfn);
        if (this.#wanted?.hi === hi && ((this.#wanted.lo ^ lo) & ~0xfff) === 0) this.#endWait();
      } else if (pfn === ATS_NO_ACCESS && this.pri) {
        this.missing = { hi, lo, write };
        return pfn;
      }
    }
    const passed = pfn < 0 ? 0 : agent?.translated(sid) ?? DMA_MASTER_ABORT;
    if (passed < 0) pfn = passed;
    if (pfn >= 0 && !this.memory.isRam(pfn)) pfn = DMA_MASTER_ABORT;
    this.hash.mixAccess(this.queue.now, this.fn, hi, lo, pfn);
    if (pfn >= 0) this.observer.done(this.fn, write, hi, lo, pfn, bytes, Route.translated);
    else this.observer.failed(this.fn, write, hi, lo, pfn);
    return pfn;
  }

  /**
   * Asks for pages, as one group. `resume` is called once, when the answer is there: true means try
   * again. False: it has as many requests open as it may.
   */
  ask(pages: readonly WantedPage[], resume: (granted: boolean) => void): boolean {
    const open = this.#groups.reduce((sum, { pages }) => sum + pages.length, 0);
    if (!this.pri || open + pages.length > this.allocation) return false;
    const { sid, pasid, queue } = this, group = this.#next;
    this.#next = (group + 1) & pr.PRGI_MASK;
    if (this.#since < 0) this.#since = queue.now;
    this.#wanted = pages[0];
    this.#groups.push({ group, pasid, pages, since: this.#since, resume });
    this.observer.asked?.(this.fn);
    pages.forEach(({ hi, lo, write }, i) => {
      const last = i === pages.length - 1;
      this.agent?.pageRequest({ sid, pasid, hi, lo, write, group, last });
    });
    return true;
  }

  invalidate(pasid: number, hi: number, lo: number, order: number): void {
    if (order >= ALL_PAGES && pasid < 0) this.atc.invalidateAll();
    else this.atc.invalidate(pasid, hi, lo, order);
  }

  /** FAILURE stops the interface: nothing more is asked for. */
  respond(pasid: number, group: number, code: number): void {
    const waiting = this.#groups.find((g) => g.group === group && g.pasid === pasid);
    if (code === pr.QI_RESP_FAILURE) this.#stop();
    if (waiting === undefined) {
      if (this.#forgotten.delete(`${group} ${pasid}`)) return;
      this.onStatus(PCI_PRI_STATUS_UPRGI);
      this.observer.unasked?.(this.fn);
      return;
    }
    this.#groups = this.#groups.filter((g) => g !== waiting);
    const granted = code === pr.QI_RESP_SUCCESS;
    this.observer.answered?.(this.fn, this.queue.now - waiting.since);
    this.#answered.set(group, { waiting, granted });
    this.#event ??= this.queue.register((index) => this.#resume(index));
    this.queue.after(RESPONSE_TIME * 2 ** Math.min(this.#vain, DOUBLINGS), this.#event, group);
    if (granted) this.#vain++;
    else this.#endWait();
  }

  #endWait(): void {
    this.#wanted = undefined;
    this.#vain = 0;
    this.#since = -1;
  }

  #stop(): void {
    this.pri = false;
    this.onStatus(PCI_PRI_STATUS_RF | PCI_PRI_STATUS_STOPPED);
  }

  #resume(index: number): void {
    const next = this.#answered.get(index);
    if (next === undefined) return;
    this.#answered.delete(index);
    const { waiting: { pages: [page], resume }, granted } = next;
    // What cannot be had is a DMA that did not come through.
    if (!granted) {
      this.observer.failed(this.fn, page.write, page.hi, page.lo, DMA_PAGE_REFUSED);
    }
    resume(granted);
  }

  /** Groups without an answer, oldest first. */
  get open(): readonly OpenGroup[] {
    return this.#groups;
  }

  /** A reset: nothing is remembered, and nothing is waited for. */
  forget(): void {
    this.atc.invalidateAll();
    for (const { group, pasid } of this.#groups) {
      this.#forgotten.add(`${group} ${pasid}`);
      this.observer.answered?.(this.fn, -1);
    }
    this.#groups = [];
    this.#answered.clear();
    this.#endWait();
  }
}
