import type { EventQueue } from "../base/event_queue.ts";
import type { EventHash } from "../base/event_log.ts";
import { LastAccess, NOTHING } from "./last_access.ts";
import type { Memory } from "./memory.ts";

/**
 * What becomes of one access: a frame number (>= 0), or one of these. An IOMMU fault is
 * `-reason` with the unit's own fault reason: VT-d 1..0xff (FACTS 3.5), SMMUv3 0x100..0x1ff
 * (smmuv3_queues.ts), AMD-Vi 0x200..0x2ff (amdvi_queues.ts).
 */
export const DMA_BUS_MASTER_OFF = -1000;
/** No memory at that physical address: the request is aborted. */
export const DMA_MASTER_ABORT = -1001;

/** How an access reached memory. */
export const enum Route {
  /** Through page tables. */
  translated = 0,
  /** Through an IOMMU that lets this device pass. */
  passthrough = 1,
  /** The unit in charge of the device has translation off: the IOVA was used as an address. */
  untranslated = 2,
  /** No unit is in charge of the device. */
  direct = 3,
}

/** The hardware that translates for some devices. */
export interface Remapper {
  /**
   * Translates one access inside one 4 KiB page. `sid`: bus << 8 | devfn. `hi`, `lo`: the 64-bit
   * address as two words. Returns a frame number or `-reason`, recording the fault.
   */
  translate(sid: number, hi: number, lo: number, write: boolean): number;
  /** The same for a request with a PASID; missing where the hardware has none. */
  translatePasid?(sid: number, pasid: number, hi: number, lo: number, write: boolean): number;
  /** The route of the last successful translation. */
  route: Route;
  /**
   * As long as this number stands, a request without a PASID that succeeded once would do so again,
   * with the same answer and nothing else to show for it. Missing or negative: each has to be asked for.
   */
  readonly stands?: number;
}

/** Sees every DMA of every device. It gets what happened, never what a kernel believes. */
export interface DmaObserver {
  /** `fn`: index of the PCI function. An access of `bytes` reached frame `pfn`. */
  done(
    fn: number,
    write: boolean,
    hi: number,
    lo: number,
    pfn: number,
    bytes: number,
    route: Route,
  ): void;
  /**
   * The access that {@link done} or this was told of last is repeated elsewhere in its page, at the
   * same time. False: done has to be told. Missing: always.
   */
  again?(bytes: number): boolean;
  /** An access failed with a negative code. */
  failed(fn: number, write: boolean, hi: number, lo: number, code: number): void;
  /** The device has nothing to do (`busy` false), or has work again. Gaps count while busy. */
  work(fn: number, busy: boolean): void;
  /** The device dropped work because its ring was full. */
  starved(fn: number): void;
  /** The device has asked for pages, as one group (PRI); it waits. */
  asked?(fn: number): void;
  /** A group was answered, `wait` nanoseconds after its pages were first asked for; -1: a reset made the device forget it. */
  answered?(fn: number, wait: number): void;
  /** An answer came to nothing the device has asked. */
  unasked?(fn: number): void;
  /** A disk has executed a command; `ok`: with success. */
  executed?(fn: number, write: boolean, block: number, blocks: number, ok: boolean): void;
  /** A disk controller was reset: nothing of what it had is left. */
  restarted?(fn: number): void;
}

/**
 * The way of one PCI function to memory: bus master bit, then the IOMMU unit in charge, then RAM.
 * Devices split their transfers at page boundaries and ask for one page at a time.
 */
export class DmaPort {
  remapper: Remapper | undefined;
  /** Source id its requests carry: its own, but for functions with a fault of their own. */
  requester: number;
  #busMaster = false;
  #pasid = -1;

  /** `last`: one for all ports of a machine. */
  constructor(
    readonly fn: number,
    readonly sid: number,
    readonly memory: Memory,
    readonly queue: EventQueue,
    readonly hash: EventHash,
    readonly observer: DmaObserver,
    readonly last: LastAccess = new LastAccess(),
  ) {
    this.requester = sid;
  }

  /** Bit 2 of the command register, kept in step by the config space. */
  get busMaster(): boolean {
    return this.#busMaster;
  }

  set busMaster(on: boolean) {
    this.#busMaster = on;
    this.last.forget();
  }

  /** PASID of the requests to come; -1: they have none. */
  get pasid(): number {
    return this.#pasid;
  }

  set pasid(pasid: number) {
    if (pasid === this.#pasid) return;
    this.#pasid = pasid;
    this.last.forget();
  }

  /**
   * One access of `bytes` inside one page. Returns the frame, or a negative code; the observer
   * has heard of it either way. The caller then moves the data with loads and stores of words.
   */
  access(hi: number, lo: number, bytes: number, write: boolean): number {
    const page = pageOf(lo, write ? 1 : 0), { last, queue: { now } } = this;
    const again = this.#isLast(hi, page);
    const pfn = again ? last.pfn : this.#translate(hi, lo, write);
    last.words = undefined;
    last.now = now;
    last.set(now, this.fn, hi, pfn);
    this.hash.mix(last.x, lo ^ last.y, last.z);
    if (pfn < 0) this.observer.failed(this.fn, write, hi, lo, pfn);
    else {
      this.observer.done(this.fn, write, hi, lo, pfn, bytes, last.route);
      if (!again) this.#remember(hi, page, pfn);
    }
    return pfn;
  }

  /** The last access was to this page, and would lead to the same frame again. */
  #isLast(hi: number, page: number): boolean {
    const { last } = this;
    return last.page === page && last.fn === this.fn && last.hi === hi &&
      last.stands === this.remapper?.stands;
  }

  /** {@link access} in short, where it is much the same as the last one; false where it is not. */
  #again(hi: number, lo: number, bytes: number, write: 0 | 1): boolean {
    const { last } = this;
    if (
      last.words === undefined || last.now !== this.queue.now ||
      !this.#isLast(hi, pageOf(lo, write)) || this.observer.again?.(bytes) !== true
    ) return false;
    this.hash.mix(last.x, lo ^ last.y, last.z);
    return true;
  }

  #translate(hi: number, lo: number, write: boolean): number {
    if (!this.#busMaster) return DMA_BUS_MASTER_OFF;
    const { remapper, requester, last } = this, pasid = this.#pasid;
    // The route below is the last access's no more.
    last.forget();
    let pfn: number;
    if (remapper === undefined) {
      last.route = Route.direct;
      pfn = hi >= 0 && hi < 0x800 ? (hi << 20) | (lo >>> 12) : DMA_MASTER_ABORT;
    } else {
      pfn = pasid < 0
        ? remapper.translate(requester, hi, lo, write)
        : remapper.translatePasid?.(requester, pasid, hi, lo, write) ?? DMA_MASTER_ABORT;
      if (pfn >= 0) last.route = remapper.route;
    }
    return pfn < 0 || this.memory.isRam(pfn) ? pfn : DMA_MASTER_ABORT;
  }

  #remember(hi: number, page: number, pfn: number): void {
    const stands = this.remapper?.stands ?? NOTHING, { last } = this;
    // What an access with a PASID found says nothing of one without.
    if (stands < 0 || this.#pasid >= 0) return;
    last.stands = stands;
    last.fn = this.fn;
    last.hi = hi;
    last.page = page;
    last.pfn = pfn;
  }

  /** Reads 32-bit words. False when the access failed. `words` must not cross a page. */
  read(hi: number, lo: number, into: Uint32Array, words: number): boolean {
    const { last, memory } = this;
    if (!this.#again(hi, lo, words * 4, 0)) {
      const pfn = this.access(hi, lo, words * 4, false);
      if (pfn < 0) return false;
      last.words = memory.readable(pfn);
      last.first = memory.base(pfn);
    }
    const chunk = last.words, at = last.first + ((lo & 0xfff) >>> 2);
    for (let i = 0; i < words; i++) into[i] = chunk === undefined ? 0 : chunk[at + i];
    return true;
  }

  /** Writes 32-bit words. False when the access failed. `words` must not cross a page. */
  write(hi: number, lo: number, from: Uint32Array, words: number): boolean {
    const { last, memory } = this, again = this.#again(hi, lo, words * 4, 1);
    if (!again) {
      const pfn = this.access(hi, lo, words * 4, true);
      if (pfn < 0) return false;
      last.words = memory.writable(pfn);
      last.wide = memory.readableWide(pfn);
      last.first = memory.base(pfn);
    }
    const at = last.first + ((lo & 0xfff) >>> 2);
    // In a burst it pays to have the device's buffer as 64-bit values.
    if (again && ((at | words) & 1) === 0 && last.takesFrom(from)) {
      const chunk = last.wide as Float64Array, { source } = last, first = at >>> 1;
      for (let i = 0; i < words >>> 1; i++) chunk[first + i] = source[i];
    } else {
      const chunk = last.words as Uint32Array;
      for (let i = 0; i < words; i++) chunk[at + i] = from[i];
    }
    return true;
  }
}

/** Low word of a page's address; bit 0: of a write. */
function pageOf(lo: number, write: 0 | 1): number {
  return (lo & ~0xfff) | write;
}
