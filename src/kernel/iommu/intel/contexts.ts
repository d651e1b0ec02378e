import type { Memory } from "../../../machine/memory.ts";
import * as V from "../../../uapi/vtd_regs.ts";
import { FrameUse } from "../../mm/frames.ts";
import type { PageAllocator } from "../../mm/page_alloc.ts";
import type { Invalidation } from "./invalidation.ts";

/** A request without a PASID; in tables of scalable mode it goes by entry 0. */
export const IOMMU_NO_PASID = 0;

/** Where an entry leads: page tables under a domain id. */
export interface Target {
  /** Frame of the top table. */
  readonly pgd: number;
  readonly agaw: number;
  readonly did: number;
  /** Hardware notes accesses in the leaves (scalable mode with SLADS). */
  readonly dirty: boolean;
  /** First-level tables over those (scalable mode with NEST): guest frame of the top one, levels. */
  readonly first?: { readonly top: number; readonly levels: number };
}

/** A place in a table: its frame, and the 32-bit word in it. */
export interface EntryPlace {
  readonly table: number;
  readonly word: number;
}

/** What the entry writers need of their unit. */
export interface ContextUnit {
  /** Frame of the root table. */
  readonly root: number;
  readonly invalidation: Invalidation;
  readonly cachingMode: boolean;
}

/** The entries that lead from a source id to page tables, in the format of one mode. */
export interface Contexts {
  /**
   * Points a device's requests with this PASID ({@link IOMMU_NO_PASID}: without one) at page
   * tables. What was there before is gone, cached copies too. False without memory for a table.
   */
  set(sid: number, pasid: number, target: Target): boolean;
  /**
   * Points a present entry at other tables of the same width and DID without ever taking it away:
   * the half that changes is one 64-bit store, and then what was cached goes (FACTS 4.3). False
   * where more than that half would change: nothing was done then.
   */
  replace(sid: number, pasid: number, target: Target): boolean;
  /** Blocks these requests: entry cleared, then caches flushed by the DID it had. */
  clear(sid: number, pasid: number): void;
  /** Blocks what the device does with PASIDs, and in scalable mode without. */
  clearPasids(sid: number): void;
  /** Blocks the device altogether. */
  clearDevice(sid: number): void;
  /** The device may keep translations and ask for pages, or no more. False where that cannot be said. */
  setDeviceTlb(sid: number, on: boolean): boolean;
  /** It may. */
  hasDeviceTlb(sid: number): boolean;
  /** Where the device's context entry lies; undefined where none is present. */
  entryOf(sid: number): EntryPlace | undefined;
  /** True when the entry leads exactly there. */
  leadsTo(sid: number, pasid: number, target: Target): boolean;
  /** The root table and every context table. */
  tables(): number[];
  /** Tables of one device beyond those. */
  tablesOf(sid: number): number[];
}

/** What root tables of both modes have in common: 512 slots of a pointer with a P bit. */
export class RootTable {
  constructor(
    readonly unit: ContextUnit,
    readonly memory: Memory,
    readonly pages: PageAllocator,
  ) {}

  /** Frame in a slot; -1 when there is none and `make` is not set, or no memory. */
  table(slot: number, make: boolean): number {
    const { memory } = this;
    const root = this.unit.root, word = slot * 2;
    const lo = memory.load(root, word);
    if (lo & V.ROOT_ENTRY_P) return (memory.load(root, word + 1) << 20) | (lo >>> 12);
    if (!make) return -1;
    const pfn = this.pages.allocPage(FrameUse.iommuTable);
    if (pfn < 0) return -1;
    memory.store(root, word + 1, pfn >>> 20);
    memory.store(root, word, (pfn << 12) | V.ROOT_ENTRY_P);
    return pfn;
  }

  tables(): number[] {
    const found = [this.unit.root];
    for (let slot = 0; slot < 512; slot++) {
      const table = this.table(slot, false);
      if (table >= 0) found.push(table);
    }
    return found;
  }
}

/** Legacy mode: one table a bus, one entry of 16 bytes a device; no PASIDs (FACTS 3.1). */
export class LegacyContexts implements Contexts {
  readonly #root: RootTable;

  constructor(readonly unit: ContextUnit, readonly memory: Memory, pages: PageAllocator) {
    this.#root = new RootTable(unit, memory, pages);
  }

  set(sid: number, pasid: number, target: Target): boolean {
    this.clear(sid, pasid);
    const table = this.#root.table((sid >> 8) * 2, true);
    if (table < 0) return false;
    const { memory } = this;
    const word = (sid & 0xff) * 4;
    const { pgd, agaw, did } = target;
    // The half with P goes last: hardware must never see a present entry that is half written.
    memory.store(table, word + 2, agaw | (did << V.CONTEXT_DID_SHIFT_WORD2));
    memory.store(table, word + 3, 0);
    memory.store(table, word + 1, pgd >>> 20);
    memory.store(table, word, (pgd << 12) | V.CONTEXT_P);
    if (this.unit.cachingMode) {
      this.unit.invalidation.contextDevice(sid, 0);
      this.unit.invalidation.iotlbDomain(did);
    }
    return true;
  }

  replace(sid: number, _pasid: number, { pgd, agaw, did }: Target): boolean {
    const table = this.#root.table((sid >> 8) * 2, false);
    if (table < 0) return false;
    const { memory } = this;
    const word = (sid & 0xff) * 4;
    if ((memory.load(table, word) & V.CONTEXT_P) === 0) return false;
    if (memory.load(table, word + 2) !== (agaw | (did << V.CONTEXT_DID_SHIFT_WORD2))) return false;
    memory.store(table, word + 1, pgd >>> 20);
    memory.store(table, word, (pgd << 12) | V.CONTEXT_P);
    this.unit.invalidation.contextDevice(sid, did);
    this.unit.invalidation.iotlbDomain(did);
    return true;
  }

  clear(sid: number, _pasid: number): void {
    const table = this.#root.table((sid >> 8) * 2, false);
    if (table < 0) return;
    const { memory } = this;
    const word = (sid & 0xff) * 4;
    if ((memory.load(table, word) & V.CONTEXT_P) === 0) return;
    const oldDid = (memory.load(table, word + 2) >>> V.CONTEXT_DID_SHIFT_WORD2) & 0xffff;
    for (let i = 0; i < 4; i++) memory.store(table, word + i, 0);
    this.unit.invalidation.contextDevice(sid, oldDid);
    this.unit.invalidation.iotlbDomain(oldDid);
  }

  clearPasids(_sid: number): void {}

  clearDevice(sid: number): void {
    this.clear(sid, IOMMU_NO_PASID);
  }

  setDeviceTlb(): boolean {
    return false;
  }

  hasDeviceTlb(): boolean {
    return false;
  }

  entryOf(sid: number): EntryPlace | undefined {
    const table = this.#root.table((sid >> 8) * 2, false);
    const word = (sid & 0xff) * 4;
    if (table < 0 || (this.memory.load(table, word) & V.CONTEXT_P) === 0) return undefined;
    return { table, word };
  }

  leadsTo(sid: number, pasid: number, { pgd, agaw, did }: Target): boolean {
    const table = this.#root.table((sid >> 8) * 2, false);
    if (table < 0 || pasid !== IOMMU_NO_PASID) return false;
    const { memory } = this;
    const word = (sid & 0xff) * 4;
    return memory.load(table, word) === ((pgd << 12) | V.CONTEXT_P) &&
      memory.load(table, word + 1) === pgd >>> 20 &&
      memory.load(table, word + 2) === (agaw | (did << V.CONTEXT_DID_SHIFT_WORD2));
  }

  tables(): number[] {
    return this.#root.tables();
  }

  tablesOf(_sid: number): number[] {
    return [];
  }
}
