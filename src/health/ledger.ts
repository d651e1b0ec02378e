import { crc32 } from "node:zlib";
import type { GuestObserver } from "../machine/guest_memory.ts";
import type { Memory } from "../machine/memory.ts";

const CHUNK_SHIFT = 18;
const CHUNK = 1 << CHUNK_SHIFT;

/** A guest page that is not where, or not what, it was. */
export interface Damage {
  readonly guest: string;
  /** Guest-physical byte address. */
  readonly gpa: number;
  readonly pfn: number;
  readonly what: "moved" | "overwritten";
}

interface GuestPages {
  /** Index + 1 in the owner map. */
  readonly number: number;
  /** Frame by guest page; -1 where the guest has no RAM. */
  frames: Int32Array;
  /** CRC of each page at the last {@link Ledger.seal}. */
  sealed: Uint32Array | undefined;
  moved: Damage | undefined;
}

/**
 * Which frame belongs to which guest, as the guests' own processors have it: the first frames a
 * guest's CPU reached are the guest's, whatever any kernel says later. And what is in them: a seal
 * over a paused guest's memory shows every page that changed without the guest or its devices.
 */
export class Ledger implements GuestObserver {
  readonly #guests = new Map<string, GuestPages>();
  readonly #names: string[] = [];
  /** Owner number by frame; 0 nobody. */
  readonly #owners: (Uint16Array | undefined)[] = [];
  /** Frames a device wrote since the seal: what is in them now is the device's business. */
  #dmaWritten = new Set<number>();
  #sealing = false;

  constructor(readonly memory: Memory) {}

  mapped(guest: string, gpaPage: number, frames: Int32Array): void {
    let pages = this.#guests.get(guest);
    if (pages === undefined) {
      this.#names.push(guest);
      const number = this.#names.length;
      pages = { number, frames: new Int32Array(0), sealed: undefined, moved: undefined };
      this.#guests.set(guest, pages);
    }
    this.#resize(pages, gpaPage + frames.length);
    for (let i = 0; i < frames.length; i++) {
      const page = gpaPage + i;
      const before = pages.frames[page];
      if (before === frames[i]) continue;
      if (before >= 0) {
        pages.moved ??= { guest, gpa: page * 4096, pfn: frames[i], what: "moved" };
        continue;
      }
      pages.frames[page] = frames[i];
      this.#setOwner(frames[i], pages.number);
    }
  }

  /** The guest is gone for good (stopped, or lost with its kernel): its frames are nobody's. */
  release(guest: string): void {
    const pages = this.#guests.get(guest);
    if (pages === undefined) return;
    for (const pfn of pages.frames) {
      if (pfn >= 0 && this.ownerNumber(pfn) === pages.number) this.#setOwner(pfn, 0);
    }
    pages.frames = new Int32Array(0);
    pages.sealed = undefined;
    pages.moved = undefined;
  }

  /** 0: nobody. Comparable with {@link numberOf}. */
  ownerNumber(pfn: number): number {
    return this.#owners[pfn >>> CHUNK_SHIFT]?.[pfn & (CHUNK - 1)] ?? 0;
  }

  ownerName(pfn: number): string | undefined {
    return this.#names[this.ownerNumber(pfn) - 1];
  }

  numberOf(guest: string): number {
    return this.#guests.get(guest)?.number ?? 0;
  }

  /** Pages of RAM of a guest. */
  pagesOf(guest: string): number {
    return this.#guests.get(guest)?.frames.length ?? 0;
  }

  /** A device wrote into the frame. */
  dmaWrote(pfn: number): void {
    if (this.#sealing) this.#dmaWritten.add(pfn);
  }

  /** Notes what is in the guest's pages now. The guest's CPU must not run until the check. */
  seal(guest: string): void {
    const pages = this.#guests.get(guest);
    if (pages === undefined) return;
    this.#sealing = true;
    pages.sealed = new Uint32Array(pages.frames.length);
    for (let i = 0; i < pages.frames.length; i++) pages.sealed[i] = this.#crc(pages.frames[i]);
  }

  get sealed(): boolean {
    return this.#sealing;
  }

  /** The first page of the guest that is elsewhere, or that nobody entitled to changed. */
  check(guest: string): Damage | undefined {
    const pages = this.#guests.get(guest);
    if (pages === undefined) return undefined;
    if (pages.moved !== undefined) return pages.moved;
    const sealed = pages.sealed;
    if (sealed === undefined) return undefined;
    for (let i = 0; i < pages.frames.length; i++) {
      const pfn = pages.frames[i];
      if (pfn < 0 || this.#dmaWritten.has(pfn)) continue;
      if (this.#crc(pfn) !== sealed[i]) {
        return { guest, gpa: i * 4096, pfn, what: "overwritten" };
      }
    }
    return undefined;
  }

  /** Ends the seal of a guest that runs again. */
  unseal(guest: string): void {
    const pages = this.#guests.get(guest);
    if (pages !== undefined) pages.sealed = undefined;
    if (![...this.#guests.values()].some((g) => g.sealed)) {
      this.#sealing = false;
      this.#dmaWritten.clear();
    }
  }

  #crc(pfn: number): number {
    // Memory nobody ever wrote is all zeros and needs no reading.
    if (pfn < 0 || !this.memory.isWritten(pfn)) return 0;
    return (crc32(this.memory.frameBytes(pfn)) ^ 0xc71c0011) >>> 0;
  }

  #resize(pages: GuestPages, length: number): void {
    if (pages.frames.length >= length) return;
    const grown = new Int32Array(length).fill(-1);
    grown.set(pages.frames);
    pages.frames = grown;
  }

  #setOwner(pfn: number, number: number): void {
    const index = pfn >>> CHUNK_SHIFT;
    let chunk = this.#owners[index];
    if (chunk === undefined) this.#owners[index] = chunk = new Uint16Array(CHUNK);
    chunk[pfn & (CHUNK - 1)] = number;
  }
}
