import { PAGE_SIZE } from "../base/units.ts";
import type { Bus } from "./bus.ts";
import type { Memory } from "./memory.ts";

/** Sees which frames a guest's own processor reaches. The ledger of ownership is fed from here. */
export interface GuestObserver {
  /** Guest-physical pages [gpaPage, gpaPage + frames.length) are these frames. */
  mapped(guest: string, gpaPage: number, frames: Int32Array): void;
}

interface Slot {
  readonly gpa: number;
  readonly size: number;
  /** RAM: frames by page. Registers: the physical address of the first. */
  readonly frames: Int32Array | undefined;
  readonly io: number;
}

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

  constructor(
    readonly guest: string,
    readonly memory: Memory,
    readonly bus: Bus,
    readonly observer: GuestObserver,
  ) {}

  /** Adds RAM at a guest-physical address, page aligned. */
  addRam(gpa: number, frames: Int32Array): void {
    this.#slots.push({ gpa, size: frames.length * PAGE_SIZE, frames, io: 0 });
    this.observer.mapped(this.guest, gpa / PAGE_SIZE, frames);
  }

  /** Adds a window of device registers at a guest-physical address. */
  addIo(gpa: number, size: number, physical: number): void {
    this.#slots.push({ gpa, size, frames: undefined, io: physical });
  }

  load32(gpa: number): number {
    const slot = this.#find(gpa);
    const at = gpa - slot.gpa;
    if (slot.frames === undefined) return this.bus.read32(slot.io + at) | 0;
    return this.memory.load(slot.frames[Math.floor(at / PAGE_SIZE)], (at % PAGE_SIZE) >>> 2);
  }

  store32(gpa: number, value: number): void {
    const slot = this.#find(gpa);
    const at = gpa - slot.gpa;
    if (slot.frames === undefined) this.bus.write32(slot.io + at, value);
    else this.memory.store(slot.frames[Math.floor(at / PAGE_SIZE)], (at % PAGE_SIZE) >>> 2, value);
  }

  #find(gpa: number): Slot {
    const last = this.#last;
    if (last !== undefined && gpa >= last.gpa && gpa < last.gpa + last.size) return last;
    for (const slot of this.#slots) {
      if (gpa >= slot.gpa && gpa < slot.gpa + slot.size) return this.#last = slot;
    }
    throw new GuestFault(`guest ${this.guest}: nothing at 0x${gpa.toString(16)}`);
  }
}
