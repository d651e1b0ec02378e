import type { Memory } from "../../../machine/memory.ts";
import { CONTEXT_P } from "../../../uapi/vtd_regs.ts";
import * as S from "../../../uapi/vtd_scalable.ts";
import { FrameUse } from "../../mm/frames.ts";
import type { PageAllocator } from "../../mm/page_alloc.ts";
import {
  type Contexts,
  type ContextUnit,
  type EntryPlace,
  RootTable,
  type Target,
} from "./contexts.ts";

import { ALL_PAGES } from "./invalidation.ts";

/** Words of a context entry, and of a PASID table entry. */
const CONTEXT_WORDS = 8;
const ENTRY_WORDS = 16;

/** What lets a device keep translations, and ask for pages. */
const DEVICE_TLB = S.SM_CONTEXT_DTE | S.SM_CONTEXT_PRE;

/** One page of directory: 512 entries, 15 bits of PASID (PDTS 2); no more than the unit has. */
const DIRECTORY_PDTS = 2;
const SMALLEST_PASID_BITS = 13;

/**
 * Scalable mode: two context tables a bus, a directory of PASID tables a device, and in those the
 * entries that lead to page tables (FACTS 3.1). A request without a PASID goes by entry 0
 * (RID_PASID), so that blocking a device is clearing that entry: its context stays.
 */
export class ScalableContexts implements Contexts {
  readonly #root: RootTable;
  readonly #pdts: number;

  /** `pasidBits`: of the unit. */
  constructor(
    readonly unit: ContextUnit,
    readonly memory: Memory,
    readonly pages: PageAllocator,
    readonly pasidBits: number,
  ) {
    this.#root = new RootTable(unit, memory, pages);
    this.#pdts = Math.min(DIRECTORY_PDTS, Math.max(0, pasidBits - SMALLEST_PASID_BITS));
  }

  /** Bits of the PASIDs a device can use. */
  get deviceBits(): number {
    return Math.min(this.pasidBits, this.#pdts + SMALLEST_PASID_BITS);
  }

  set(sid: number, pasid: number, target: Target): boolean {
    this.clear(sid, pasid);
    const entry = this.#entry(sid, pasid, true);
    if (entry === undefined) return false;
    const { memory } = this;
    const { table, word } = entry;
    for (let i = 1; i < ENTRY_WORDS; i++) memory.store(table, word + i, 0);
    memory.store(table, word + 1, target.pgd >>> 20);
    memory.store(table, word + 2, target.did);
    if (target.first !== undefined) {
      const { top, levels } = target.first;
      memory.store(table, word + 4, (top << 12) | (levels - 4) << S.PASID_FLPM_SHIFT_WORD4);
      memory.store(table, word + 5, top >>> 20);
    }
    // P goes last: until then hardware sees an entry that is not there.
    memory.store(table, word, lowWord(target));
    if (this.unit.cachingMode) {
      this.unit.invalidation.pasid(0, pasid);
      this.unit.invalidation.iotlbDomain(target.did);
    }
    return true;
  }

  replace(sid: number, pasid: number, target: Target): boolean {
    const entry = this.#entry(sid, pasid, false);
    if (entry === undefined) return false;
    const { memory } = this;
    const { table, word } = entry;
    const low = memory.load(table, word);
    if ((low & S.PASID_P) === 0 || ((low ^ lowWord(target)) & 0xfff) !== 0) return false;
    if ((memory.load(table, word + 2) & S.PASID_DID_MASK_WORD2) !== target.did) return false;
    memory.store(table, word + 1, target.pgd >>> 20);
    memory.store(table, word, lowWord(target));
    this.#forget(sid, pasid, target.did);
    return true;
  }

  /** Whatever is cached of a PASID's translations, in the device as well. */
  #forget(sid: number, pasid: number, did: number): void {
    const { invalidation } = this.unit;
    invalidation.pasid(did, pasid);
    invalidation.iotlbDomain(did);
    if (this.hasDeviceTlb(sid)) invalidation.deviceTlb(sid, pasid, 0, ALL_PAGES);
  }

  clear(sid: number, pasid: number): void {
    const entry = this.#entry(sid, pasid, false);
    if (entry === undefined) return;
    const { memory } = this;
    const { table, word } = entry;
    if ((memory.load(table, word) & S.PASID_P) === 0) return;
    const oldDid = memory.load(table, word + 2) & S.PASID_DID_MASK_WORD2;
    for (let i = 0; i < ENTRY_WORDS; i++) memory.store(table, word + i, 0);
    this.#forget(sid, pasid, oldDid);
  }

  clearPasids(sid: number): void {
    for (const pasid of this.#present(sid)) this.clear(sid, pasid);
  }

  /** Every PASID, then the context entry itself. */
  clearDevice(sid: number): void {
    const place = this.entryOf(sid);
    if (place === undefined) return;
    const { memory } = this;
    this.clearPasids(sid);
    for (let i = 0; i < CONTEXT_WORDS; i++) memory.store(place.table, place.word + i, 0);
    this.unit.invalidation.contextDevice(sid, 0);
  }

  setDeviceTlb(sid: number, on: boolean): boolean {
    if (!on && !this.hasDeviceTlb(sid)) return true;
    const place = this.#directory(sid, true) < 0 ? undefined : this.entryOf(sid);
    if (place === undefined) return false;
    const { memory } = this;
    const low = memory.load(place.table, place.word);
    const wanted = on ? low | DEVICE_TLB : low & ~DEVICE_TLB;
    if (wanted === low) return true;
    memory.store(place.table, place.word, wanted);
    this.unit.invalidation.contextDevice(sid, 0);
    return true;
  }

  hasDeviceTlb(sid: number): boolean {
    const place = this.entryOf(sid);
    return place !== undefined &&
      (this.memory.load(place.table, place.word) & S.SM_CONTEXT_DTE) !== 0;
  }

  entryOf(sid: number): EntryPlace | undefined {
    const place = this.#context(sid, false);
    if (place === undefined) return undefined;
    return this.memory.load(place.table, place.word) & CONTEXT_P ? place : undefined;
  }

  leadsTo(sid: number, pasid: number, target: Target): boolean {
    const entry = this.#entry(sid, pasid, false);
    if (entry === undefined) return false;
    const { memory } = this;
    return memory.load(entry.table, entry.word) === lowWord(target) &&
      memory.load(entry.table, entry.word + 1) === target.pgd >>> 20 &&
      memory.load(entry.table, entry.word + 2) === target.did;
  }

  tables(): number[] {
    return this.#root.tables();
  }

  /** The PASID directory and its tables. */
  tablesOf(sid: number): number[] {
    const directory = this.#directory(sid, false);
    if (directory < 0) return [];
    const found = [directory];
    for (let index = 0; index < 512; index++) {
      const table = this.#pointer(directory, index * 2);
      if (table >= 0) found.push(table);
    }
    return found;
  }

  /** PASIDs of a device that lead somewhere, ascending. */
  #present(sid: number): number[] {
    const directory = this.#directory(sid, false);
    const found: number[] = [];
    for (let index = 0; directory >= 0 && index < 512; index++) {
      const table = this.#pointer(directory, index * 2);
      for (let i = 0; table >= 0 && i < 64; i++) {
        if (this.memory.load(table, i * ENTRY_WORDS) & S.PASID_P) found.push(index * 64 + i);
      }
    }
    return found;
  }

  #context(sid: number, make: boolean): EntryPlace | undefined {
    const table = this.#root.table((sid >> 8) * 2 + ((sid & 0x80) >> 7), make);
    return table < 0 ? undefined : { table, word: (sid & 0x7f) * CONTEXT_WORDS };
  }

  /** Frame behind a pointer with P; -1 where P is clear. */
  #pointer(table: number, word: number): number {
    const lo = this.memory.load(table, word);
    return (lo & 1) === 0 ? -1 : (this.memory.load(table, word + 1) << 20) | (lo >>> 12);
  }

  /** Frame of the device's PASID directory, its context made where it is missing; -1 without. */
  #directory(sid: number, make: boolean): number {
    const { memory } = this;
    const place = this.#context(sid, make);
    if (place === undefined) return -1;
    const { table, word } = place;
    if (memory.load(table, word) & CONTEXT_P) return this.#pointer(table, word);
    const directory = make ? this.pages.allocPage(FrameUse.iommuTable) : -1;
    if (directory < 0) return -1;
    const paside = this.pasidBits > 0 ? S.SM_CONTEXT_PASIDE : 0;
    memory.store(table, word + 1, directory >>> 20);
    memory.store(
      table,
      word,
      (directory << 12) | this.#pdts << S.SM_CONTEXT_PDTS_SHIFT | paside | CONTEXT_P,
    );
    if (this.unit.cachingMode) this.unit.invalidation.contextDevice(sid, 0);
    return directory;
  }

  /** Where the PASID's entry lies; undefined when there is none, or no memory to make it. */
  #entry(sid: number, pasid: number, make: boolean): EntryPlace | undefined {
    const directory = this.#directory(sid, make);
    if (directory < 0) return undefined;
    const slot = (pasid >>> S.PASID_TABLE_BITS) * 2;
    let table = this.#pointer(directory, slot);
    if (table < 0) {
      table = make ? this.pages.allocPage(FrameUse.iommuTable) : -1;
      if (table < 0) return undefined;
      this.memory.store(directory, slot + 1, table >>> 20);
      this.memory.store(directory, slot, (table << 12) | S.PASID_DIR_P);
    }
    return { table, word: (pasid & 63) * ENTRY_WORDS };
  }
}

/** Second-level translation, 4 KiB-aligned top table; or that under first-level tables. */
function lowWord({ pgd, agaw, dirty, first }: Target): number {
  const pgtt = first === undefined ? S.PGTT_SECOND_LEVEL : S.PGTT_NESTED;
  return (pgd << 12) | (dirty ? S.PASID_SLADE : 0) |
    pgtt << S.PASID_PGTT_SHIFT | agaw << S.PASID_AW_SHIFT | S.PASID_P;
}
