import { crc32 } from "node:zlib";
import { PAGE_SIZE } from "../base/units.ts";
import type { GuestObserver } from "../machine/guest_memory.ts";
import type { Memory } from "../machine/memory.ts";
import { ProgramMemory } from "./program_memory.ts";

const CHUNK_SHIFT = 18;
const CHUNK = 1 << CHUNK_SHIFT;

/** A guest page that is not where, or not what, it was. */
export interface Damage {
  readonly guest: string;
  /** Guest-physical byte address. */
  readonly gpa: number;
  readonly pfn: number;
  readonly what: "moved" | "overwritten" | "shared";
  /** The other guest of a shared frame. */
  readonly other?: string;
}

interface GuestPages {
  /** Index + 1 in the owner map. */
  readonly number: number;
  /** The lowest guest page there is. */
  first: number;
  /** Frame by guest page from {@link first} on; -1 where the guest has no RAM. */
  frames: Int32Array;
  /** Frames the guest had and was moved away from: what lies in them is still its own. */
  former: number[];
  /** CRC of each page at the last {@link Ledger.seal}. */
  sealed: Uint32Array | undefined;
  moved: Damage | undefined;
  shared: Damage | undefined;
}

/**
 * Which frame belongs to which guest, as the guests' own processors have it: a frame a guest's CPU
 * reached is the guest's, whatever any kernel says. A page that turns up in another frame, or in
 * another guest's, is damage. And what is in them: a seal over a paused guest's memory shows every
 * page that changed without the guest or its devices.
 */
export class Ledger implements GuestObserver {
  readonly #guests = new Map<string, GuestPages>();
  readonly #names: string[] = [];
  /** Owner number by frame; 0 nobody, negative nobody any more. */
  readonly #owners: (Int16Array | undefined)[] = [];
  /** Frames a device wrote since the seal: what is in them now is the device's business. */
  #dmaWritten = new Set<number>();
  #sealing = false;
  /** Memory of programs that drive devices themselves. */
  readonly programMemory: ProgramMemory;

  constructor(readonly memory: Memory) {
    this.programMemory = new ProgramMemory({
      numberOf: (program) => this.#pagesOf(program).number,
      ownerNumber: (pfn) => this.ownerNumber(pfn),
      setOwner: (pfn, number) => this.#setOwner(pfn, number),
    });
    memory.onFill = (pfn, count) => this.programMemory.filled(pfn, count);
  }

  /** What is known of a guest, from the first time it is named. */
  #pagesOf(guest: string): GuestPages {
    let pages = this.#guests.get(guest);
    if (pages === undefined) {
      this.#names.push(guest);
      pages = {
        number: this.#names.length,
        first: 0,
        frames: new Int32Array(0),
        former: [],
        sealed: undefined,
        moved: undefined,
        shared: undefined,
      };
      this.#guests.set(guest, pages);
    }
    return pages;
  }

  /** A page was copied into another frame, and the guest's processor found it there at once. */
  migrated(guest: string, from: number, to: number): void {
    const pages = this.#pagesOf(guest);
    const page = pages.frames.indexOf(from);
    if (page < 0) return;
    pages.frames[page] = to;
    this.#setOwner(from, 0);
    this.#setOwner(to, pages.number);
  }

  mapped(guest: string, gpaPage: number, frames: Int32Array): void {
    const pages = this.#pagesOf(guest);
    this.#makeRoom(pages, gpaPage, gpaPage + frames.length);
    for (let i = 0; i < frames.length; i++) {
      const page = gpaPage + i, at = page - pages.first, pfn = frames[i];
      const before = pages.frames[at];
      if (before === pfn) continue;
      this.#noteSharing(guest, pages, page, pfn);
      this.#setOwner(pfn, pages.number);
      this.programMemory.isGuests(pfn);
      pages.frames[at] = pfn;
      if (before >= 0) {
        pages.moved ??= { guest, gpa: page * PAGE_SIZE, pfn, what: "moved" };
        pages.former.push(before);
      } else if (pages.sealed !== undefined) pages.sealed[at] = this.#crc(pfn);
    }
  }

  /** Two guests that both reach a frame would read and write each other's memory. */
  #noteSharing(guest: string, pages: GuestPages, page: number, pfn: number): void {
    const number = this.ownerNumber(pfn);
    if (pages.shared !== undefined || number === 0 || number === pages.number) return;
    const other = this.#names[number - 1];
    if (!this.#guests.get(other)?.frames.includes(pfn)) return;
    pages.shared = { guest, gpa: page * PAGE_SIZE, pfn, what: "shared", other };
  }

  /** The guest is gone for good (stopped, or lost with its kernel): its frames are nobody's. */
  release(guest: string): void {
    const pages = this.#guests.get(guest);
    if (pages === undefined) return;
    for (const frames of [pages.frames, pages.former]) {
      for (const pfn of frames) {
        if (pfn >= 0 && this.ownerNumber(pfn) === pages.number) this.#setOwner(pfn, 0);
      }
    }
    pages.frames = new Int32Array(0);
    pages.former = [];
    pages.moved = undefined;
    pages.shared = undefined;
    this.programMemory.release(guest);
    this.unseal(guest);
  }

  /** Guests that have memory now. */
  get guests(): string[] {
    return this.#names.filter((name) => this.pagesOf(name) > 0);
  }

  /** 0: nobody. Comparable with {@link numberOf}. */
  ownerNumber(pfn: number): number {
    const entry = this.#entry(pfn);
    return entry > 0 ? entry : 0;
  }

  #entry(pfn: number): number {
    const chunk = this.#owners[pfn >>> CHUNK_SHIFT];
    return chunk === undefined ? 0 : chunk[pfn & (CHUNK - 1)];
  }

  /** {@link ownerNumber} of every `stride`-th frame from `pfn` on. */
  ownersOf(pfn: number, stride: number, into: Uint16Array): void {
    for (let i = 0; i < into.length;) {
      const at = pfn + i * stride, first = at & (CHUNK - 1);
      const n = Math.min(into.length - i, Math.ceil((CHUNK - first) / stride));
      const chunk = this.#owners[at >>> CHUNK_SHIFT];
      if (chunk === undefined) into.fill(0, i, i + n);
      // Below 0 stands a former owner: the frame is nobody's.
      else for (let k = 0; k < n; k++) into[i + k] = Math.max(0, chunk[first + k * stride]!);
      i += n;
    }
  }

  ownerName(pfn: number): string | undefined {
    return this.#names[this.ownerNumber(pfn) - 1];
  }

  /** Whose frame it was that is nobody's now. */
  formerOwner(pfn: number): string | undefined {
    return this.#names[-this.#entry(pfn) - 1];
  }

  numberOf(guest: string): number {
    return this.#guests.get(guest)?.number ?? 0;
  }

  /** Pages of RAM of a guest. */
  pagesOf(guest: string): number {
    return this.#guests.get(guest)?.frames.length ?? 0;
  }

  /** A device wrote into memory of the guest it belongs to. */
  dmaWrote(pfn: number): void {
    if (this.#sealing) this.#dmaWritten.add(pfn);
  }

  /** Notes what is in the guest's pages now. The guest's CPU must not run until the check. */
  seal(guest: string): void {
    const pages = this.#guests.get(guest);
    if (pages === undefined) return;
    this.#sealing = true;
    pages.sealed = new Uint32Array(pages.frames.length);
    for (let i = 0; i < pages.frames.length; i++) {
      pages.sealed[i] = this.#crc(pages.frames[i]);
      // What a device wrote before is in the seal.
      this.#dmaWritten.delete(pages.frames[i]);
    }
  }

  /** Some guest is sealed. */
  get sealed(): boolean {
    return this.#sealing;
  }

  isSealed(guest: string): boolean {
    return this.#guests.get(guest)?.sealed !== undefined;
  }

  /** A page of the guest that is elsewhere now, or that another guest has too. */
  misplaced(guest: string): Damage[] {
    const pages = this.#guests.get(guest);
    return [pages?.moved, pages?.shared].filter((d) => d !== undefined);
  }

  /** The first page of the guest that nobody entitled to changed since the seal. */
  check(guest: string): Damage | undefined {
    const pages = this.#guests.get(guest);
    const sealed = pages?.sealed;
    if (pages === undefined || sealed === undefined) return undefined;
    for (let i = 0; i < pages.frames.length; i++) {
      const pfn = pages.frames[i];
      if (pfn < 0 || this.#dmaWritten.has(pfn)) continue;
      if (this.#crc(pfn) !== sealed[i]) {
        return { guest, gpa: (pages.first + i) * PAGE_SIZE, pfn, what: "overwritten" };
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

  /** Room for guest pages [start, end), which may lie anywhere. */
  #makeRoom(pages: GuestPages, start: number, end: number): void {
    if (pages.frames.length === 0) pages.first = start;
    const first = Math.min(start, pages.first);
    const length = Math.max(end, pages.first + pages.frames.length) - first;
    if (pages.frames.length >= length) return;
    const grown = new Int32Array(length).fill(-1);
    grown.set(pages.frames, pages.first - first);
    if (pages.sealed !== undefined) {
      const sealed = new Uint32Array(length);
      sealed.set(pages.sealed, pages.first - first);
      pages.sealed = sealed;
    }
    pages.frames = grown;
    pages.first = first;
  }

  #setOwner(pfn: number, number: number): void {
    const index = pfn >>> CHUNK_SHIFT;
    let chunk = this.#owners[index];
    if (chunk === undefined) this.#owners[index] = chunk = new Int16Array(CHUNK);
    const at = pfn & (CHUNK - 1);
    chunk[at] = number > 0 ? number : -Math.abs(chunk[at]);
  }
}
