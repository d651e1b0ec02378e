import { PAGE_SIZE } from "../base/units.ts";
import type { Bus } from "./bus.ts";
import { FrameRuns, type Frames } from "./frame_runs.ts";
import type { Memory } from "./memory.ts";
import type { ProgramObserver } from "./program_tables.ts";

/** Sees which frames a guest's own processor reaches. The ledger of ownership is fed from here. */
export interface GuestObserver {
  /** Guest-physical pages from `gpaPage` on are these frames, one run of them after the other. */
  mapped(guest: string, gpaPage: number, frames: readonly Frames[]): void;
  /** A page of the guest's was copied from one frame into another, and its tables follow. */
  migrated?(guest: string, from: number, to: number): void;
  /** The same for programs whose memory somebody watches. */
  readonly programs?: ProgramObserver;
}

interface Slot {
  readonly gpa: number;
  readonly size: number;
  /** RAM: frames by guest-physical page. Registers: the physical address of the first. */
  readonly frames: FrameRuns | undefined;
  readonly io: number;
}

/** So many words are moved one by one: up to there a view costs more. */
const SHORT = 64;

/** Thrown when a guest touches an address that nothing stands behind: it would not survive that. */
export class GuestFault extends Error {
  override name = "GuestFault";
}

/**
 * Second-stage translation of one guest: what its processor finds at a guest-physical address.
 * The kernel programs the slots; loads and stores go straight to frames and registers.
 */
export class GuestMemory {
  #slots: Slot[] = [];
  #last: Slot | undefined;
  #loadPage = -1;
  #loadChunk: Uint32Array = new Uint32Array(0);
  #loadBase = 0;
  #storePage = -1;
  #storeChunk: Uint32Array = new Uint32Array(0);
  #storeBase = 0;

  constructor(
    readonly guest: string,
    readonly memory: Memory,
    readonly bus: Bus,
    readonly observer: GuestObserver,
  ) {
    memory.onDispose.push(() => this.#forgetPages());
  }

  /** Adds RAM at a guest-physical address, page aligned. */
  addRam(gpa: number, frames: readonly Frames[]): void {
    const runs = new FrameRuns(), first = gpa / PAGE_SIZE;
    for (const { pfn, count } of frames) runs.set(first + runs.pages, pfn, count);
    this.#add({ gpa, size: runs.pages * PAGE_SIZE, frames: runs, io: 0 });
    this.observer.mapped(this.guest, first, frames);
  }

  /** Adds a window of device registers at a guest-physical address. */
  addIo(gpa: number, size: number, physical: number): void {
    this.#add({ gpa, size, frames: undefined, io: physical });
  }

  /** Takes away what was added at a guest-physical address. */
  remove(gpa: number): void {
    this.#slots = this.#slots.filter((slot) => slot.gpa !== gpa);
    this.#last = undefined;
    this.#forgetPages();
  }

  /** Pages are looked up anew. */
  #forgetPages(): void {
    this.#loadPage = this.#storePage = -1;
  }

  /** The kernel has moved a page: whatever led to the old frame leads to the new one. */
  moved(from: number, to: number): void {
    for (const { frames } of this.#slots) {
      const page = frames?.pageOf(from) ?? -1;
      if (frames === undefined || page < 0) continue;
      frames.set(page, to, 1);
      this.#forgetPages();
      this.observer.migrated?.(this.guest, from, to);
    }
  }

  #add(slot: Slot): void {
    this.#slots.push(slot);
    this.#forgetPages();
  }

  load32(gpa: number): number {
    const page = Math.floor(gpa / PAGE_SIZE);
    if (page !== this.#loadPage) {
      const slot = this.#find(gpa);
      if (slot.frames === undefined) return this.bus.read32(slot.io + gpa - slot.gpa) | 0;
      if (!this.#loadFrom(slot.frames, page)) return 0;
    }
    return this.#loadChunk[this.#loadBase | ((gpa & 0xfff) >>> 2)] | 0;
  }

  store32(gpa: number, value: number): void {
    const page = Math.floor(gpa / PAGE_SIZE);
    if (page !== this.#storePage) {
      const slot = this.#find(gpa);
      if (slot.frames === undefined) {
        this.bus.write32(slot.io + gpa - slot.gpa, value);
        return;
      }
      this.#storeTo(slot.frames, page);
    }
    this.#storeChunk[this.#storeBase | ((gpa & 0xfff) >>> 2)] = value;
  }

  /** A run of words inside one page of RAM. */
  loadWords(gpa: number, into: Uint32Array): void {
    const page = Math.floor(gpa / PAGE_SIZE);
    if (page !== this.#loadPage && !this.#loadFrom(this.#ramAt(gpa), page)) {
      into.fill(0);
      return;
    }
    const first = this.#loadBase | ((gpa & 0xfff) >>> 2);
    const chunk = this.#loadChunk;
    if (into.length > SHORT) into.set(chunk.subarray(first, first + into.length));
    else for (let i = 0; i < into.length; i++) into[i] = chunk[first + i];
  }

  storeWords(gpa: number, words: Uint32Array): void {
    const page = Math.floor(gpa / PAGE_SIZE);
    if (page !== this.#storePage) this.#storeTo(this.#ramAt(gpa), page);
    this.#storeChunk.set(words, this.#storeBase | ((gpa & 0xfff) >>> 2));
  }

  /** A guest's loads come in long runs within a page: it is looked up once. False: all zeros. */
  #loadFrom(frames: FrameRuns, page: number): boolean {
    const pfn = frames.frameOf(page), chunk = this.memory.readable(pfn);
    if (chunk === undefined) return false;
    this.#loadPage = page;
    this.#loadChunk = chunk;
    this.#loadBase = this.memory.base(pfn);
    return true;
  }

  #storeTo(frames: FrameRuns, page: number): void {
    const pfn = frames.frameOf(page);
    this.#storePage = page;
    this.#storeChunk = this.memory.writable(pfn);
    this.#storeBase = this.memory.base(pfn);
  }

  #ramAt(gpa: number): FrameRuns {
    const { frames } = this.#find(gpa);
    if (frames === undefined) throw this.#fault(gpa);
    return frames;
  }

  #find(gpa: number): Slot {
    const last = this.#last;
    if (last !== undefined && gpa >= last.gpa && gpa < last.gpa + last.size) return last;
    for (const slot of this.#slots) {
      if (gpa >= slot.gpa && gpa < slot.gpa + slot.size) return this.#last = slot;
    }
    throw this.#fault(gpa);
  }

  #fault(gpa: number): GuestFault {
    return new GuestFault(`guest ${this.guest}: nothing at 0x${gpa.toString(16)}`);
  }
}
