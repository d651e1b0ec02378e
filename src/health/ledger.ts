import { crc32 } from "node:zlib";
import { PAGE_SIZE } from "../base/units.ts";
import { type FrameRun, FrameRuns, type Frames } from "../machine/frame_runs.ts";
import type { GuestObserver } from "../machine/guest_memory.ts";
import type { Memory } from "../machine/memory.ts";
import { FrameOwners } from "./frame_owners.ts";
import { ProgramMemory } from "./program_memory.ts";

/** Guest pages whose seals are kept side by side, once one of them is not all zeros. */
const SEALS = 1 << 12;

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
  frames: FrameRuns;
  /** Frames the guest had and was moved away from: what lies in them is still its own. */
  former: Frames[];
  /** CRC of each page at the last {@link Ledger.seal}, by 2^12 pages. */
  sealed: Map<number, Uint32Array> | undefined;
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
  readonly #owners: FrameOwners;
  /** Frames a device wrote since the seal: what is in them now is the device's business. */
  #dmaWritten = new Set<number>();
  #sealing = false;
  /** As long as this number stands, no frame has changed hands and no seal was put on. */
  changes = 0;
  /** Memory of programs that drive devices themselves. */
  readonly programMemory: ProgramMemory;

  constructor(readonly memory: Memory) {
    this.#owners = new FrameOwners(memory.frames);
    this.programMemory = new ProgramMemory({
      numberOf: (program) => this.#pagesOf(program).number,
      ownerNumber: (pfn) => this.ownerNumber(pfn),
      setOwner: (pfn, number) => this.#give(pfn, 1, number),
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
        frames: new FrameRuns(),
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
    const page = pages.frames.pageOf(from);
    if (page < 0) return;
    pages.frames.set(page, to, 1);
    this.#give(from, 1, 0);
    this.#give(to, 1, pages.number);
  }

  #give(pfn: number, count: number, number: number): void {
    this.changes++;
    this.#owners.set(pfn, count, number);
  }

  mapped(guest: string, gpaPage: number, frames: readonly Frames[]): void {
    const pages = this.#pagesOf(guest);
    let page = gpaPage;
    for (const { pfn, count } of frames) {
      for (const before of pages.frames.between(page, count)) {
        this.#found(guest, pages, before, pfn + before.page - page);
      }
      page += count;
    }
  }

  /** Pages with `before` behind them have frames from `pfn` on. */
  #found(guest: string, pages: GuestPages, before: FrameRun, pfn: number): void {
    const { page, count } = before;
    if (before.pfn === pfn) return;
    this.#noteSharing(guest, pages, { page, pfn, count });
    this.#give(pfn, count, pages.number);
    this.programMemory.areGuests(pfn, count);
    pages.frames.set(page, pfn, count);
    if (before.pfn >= 0) {
      pages.moved ??= { guest, gpa: page * PAGE_SIZE, pfn, what: "moved" };
      pages.former.push(before);
    } else if (pages.sealed !== undefined) this.#sealRun(pages.sealed, { page, pfn, count });
  }

  /** Two guests that both reach a frame would read and write each other's memory. */
  #noteSharing(guest: string, pages: GuestPages, { page, pfn, count }: FrameRun): void {
    if (pages.shared !== undefined) return;
    const has = (at: number, owner: number) =>
      (this.#guests.get(this.#names[owner - 1])?.frames.pageOf(at) ?? -1) >= 0;
    const at = this.#owners.firstOfOthers(pfn, count, pages.number, has);
    if (at < 0) return;
    const gpa = (page + at - pfn) * PAGE_SIZE, other = this.ownerName(at) as string;
    pages.shared = { guest, gpa, pfn: at, what: "shared", other };
  }

  /** The guest is gone for good (stopped, or lost with its kernel): its frames are nobody's. */
  release(guest: string): void {
    const pages = this.#guests.get(guest);
    if (pages === undefined) return;
    this.changes++;
    for (const { pfn, count } of [...pages.frames.runs, ...pages.former]) {
      this.#owners.release(pfn, count, pages.number);
    }
    pages.frames = new FrameRuns();
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
    const entry = this.#owners.entry(pfn);
    return entry > 0 ? entry : 0;
  }

  /** The first of frames [pfn, pfn + count) that is somebody's, but for one guest's; -1: none. */
  firstOfOthers(pfn: number, count: number, number: number): number {
    return this.#owners.firstOfOthers(pfn, count, number, () => true);
  }

  /** {@link ownerNumber} of every `stride`-th frame from `pfn` on. */
  ownersOf(pfn: number, stride: number, into: Uint16Array): void {
    this.#owners.sample(pfn, stride, into);
  }

  ownerName(pfn: number): string | undefined {
    return this.#names[this.ownerNumber(pfn) - 1];
  }

  /** Whose frame it was that is nobody's now. */
  formerOwner(pfn: number): string | undefined {
    return this.#names[-this.#owners.entry(pfn) - 1];
  }

  numberOf(guest: string): number {
    return this.#guests.get(guest)?.number ?? 0;
  }

  /** Pages of RAM of a guest. */
  pagesOf(guest: string): number {
    return this.#guests.get(guest)?.frames.pages ?? 0;
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
    this.changes++;
    pages.sealed = new Map();
    for (const run of pages.frames.runs) this.#sealRun(pages.sealed, run);
    // What a device wrote before is in the seal.
    for (const pfn of this.#dmaWritten) {
      if (pages.frames.pageOf(pfn) >= 0) this.#dmaWritten.delete(pfn);
    }
  }

  #sealRun(sealed: Map<number, Uint32Array>, run: FrameRun): void {
    // Memory nobody ever wrote is all zeros and needs no reading.
    for (const written of this.memory.writtenRuns(run.pfn, run.pfn + run.count)) {
      for (let i = 0; i < written.count; i++) {
        const pfn = written.pfn + i, page = run.page + pfn - run.pfn;
        const index = Math.floor(page / SEALS);
        let seals = sealed.get(index);
        if (seals === undefined) sealed.set(index, seals = new Uint32Array(SEALS));
        seals[page % SEALS] = this.#crc(pfn);
      }
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
    for (const run of pages.frames.runs) {
      for (const written of this.memory.writtenRuns(run.pfn, run.pfn + run.count)) {
        const first = run.page + written.pfn - run.pfn;
        const changed = this.#firstChanged(sealed, first, written);
        if (changed < 0) continue;
        const pfn = written.pfn + changed, gpa = (first + changed) * PAGE_SIZE;
        return { guest, gpa, pfn, what: "overwritten" };
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

  /** The first of written frames, behind guest pages from `page` on, that is not as sealed; -1: none. */
  #firstChanged(
    sealed: ReadonlyMap<number, Uint32Array>,
    page: number,
    { pfn, count }: Frames,
  ): number {
    for (let i = 0; i < count; i++) {
      if (this.#dmaWritten.has(pfn + i)) continue;
      const seal = sealed.get(Math.floor((page + i) / SEALS))?.[(page + i) % SEALS] ?? 0;
      if (this.#crc(pfn + i) !== seal) return i;
    }
    return -1;
  }

  /** 0 for a page of zeros. */
  #crc(pfn: number): number {
    return (crc32(this.memory.frameBytes(pfn)) ^ 0xc71c0011) >>> 0;
  }
}
