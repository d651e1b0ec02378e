import * as R from "../../../uapi/smmuv3_regs.ts";
import { STE_WORDS } from "../../../uapi/smmuv3_tables.ts";
import { FrameUse } from "../../mm/frames.ts";
import { abortSte, usedOfSte } from "./entries.ts";
import type { Entry, EntrySlot } from "./entry_update.ts";
import type { SmmuDevice } from "./smmu.ts";

/** StreamIDs under one first-level descriptor: a PCI bus. */
const SPLIT = 8;
const STE_BYTES = STE_WORDS * 4;
/** Pages of a second-level table. */
const LEAF_PAGES = (2 ** SPLIT * STE_BYTES) / 4096;

/** Pages of the table that the unit is told of. */
function pagesOf(smmu: SmmuDevice): number {
  const bytes = smmu.twoLevelStreams
    ? 2 ** (smmu.streamBits - SPLIT) * 8
    : 2 ** smmu.streamBits * STE_BYTES;
  return Math.ceil(bytes / 4096);
}

/**
 * The stream table: two levels where the unit has them and there is more than one bus, else
 * linear. Entries begin as abort; a StreamID without an entry is C_BAD_STREAMID, which aborts too.
 */
export class StreamTable {
  readonly twoLevel: boolean;
  readonly #pages: number;

  private constructor(readonly smmu: SmmuDevice, readonly pfn: number, pages: number) {
    this.#pages = pages;
    this.twoLevel = smmu.twoLevelStreams;
  }

  /** The previous kernel's, entries as they are. */
  static adopt(smmu: SmmuDevice, pfn: number): StreamTable {
    return new StreamTable(smmu, pfn, pagesOf(smmu));
  }

  /** Undefined without memory for it. */
  static make(smmu: SmmuDevice): StreamTable | undefined {
    const pages = pagesOf(smmu);
    const pfn = smmu.kernel.pages.allocRange(pages, pages, FrameUse.iommuTable);
    if (pfn < 0) return undefined;
    const table = new StreamTable(smmu, pfn, pages);
    if (!table.twoLevel) table.#fill(pfn, 2 ** smmu.streamBits);
    return table;
  }

  /** STRTAB_BASE_CFG of such a table. */
  get config(): number {
    const format = this.twoLevel ? R.STRTAB_FMT_2LEVEL : R.STRTAB_FMT_LINEAR;
    return this.smmu.streamBits | SPLIT << R.STRTAB_SPLIT_SHIFT | format << R.STRTAB_FMT_SHIFT;
  }

  /** Tells the unit, which must be disabled. */
  start(): void {
    const { smmu, pfn } = this;
    smmu.write64(R.SMMU_STRTAB_BASE, pfn << 12, pfn >>> 20);
    smmu.write(R.SMMU_STRTAB_BASE_CFG, this.config);
  }

  /** The entry of a stream; undefined when there is none and no memory for one. */
  slot(sid: number): EntrySlot | undefined {
    const table = this.twoLevel ? this.#leaf(sid, true) : this.pfn;
    if (table < 0) return undefined;
    const { smmu } = this;
    const { memory } = smmu.kernel.machine;
    const at = (this.twoLevel ? sid % 2 ** SPLIT : sid) * STE_WORDS;
    const pfn = table + (at >>> 10), first = at & 1023;
    return {
      load: (word) => memory.load(pfn, first + word),
      store: (word, value) => memory.store(pfn, first + word, value),
      used: (entry: Entry) => usedOfSte(entry),
      sync: () => smmu.commands.invalidateSte(sid),
    };
  }

  /** Frame of the second-level table that covers a stream; -1 without. */
  #leaf(sid: number, make: boolean): number {
    const { smmu } = this;
    const { memory } = smmu.kernel.machine;
    const word = (sid >>> SPLIT) * 2;
    const low = memory.load(this.pfn, word);
    if (low !== 0) return (memory.load(this.pfn, word + 1) << 20) | (low >>> 12);
    if (!make) return -1;
    const leaf = smmu.kernel.pages.allocRange(LEAF_PAGES, LEAF_PAGES, FrameUse.iommuTable);
    if (leaf < 0) return -1;
    this.#fill(leaf, 2 ** SPLIT);
    memory.store(this.pfn, word + 1, leaf >>> 20);
    memory.store(this.pfn, word, (leaf << 12) | (SPLIT + 1));
    return leaf;
  }

  /** Every entry aborts. */
  #fill(pfn: number, entries: number): void {
    const { memory } = this.smmu.kernel.machine;
    const [first] = abortSte();
    for (let at = 0; at < entries * STE_WORDS; at += STE_WORDS) {
      memory.store(pfn + (at >>> 10), at & 1023, first);
    }
  }

  /** The entry leads exactly there, as far as hardware looks. */
  has(sid: number, entry: Entry): boolean {
    const slot = this.slot(sid);
    if (slot === undefined) return false;
    const used = usedOfSte(entry);
    return used.every((mask, i) => ((slot.load(i) ^ entry[i]) & mask) === 0);
  }

  /** Every page of it. */
  tables(): number[] {
    const found = Array.from({ length: this.#pages }, (_, i) => this.pfn + i);
    if (!this.twoLevel) return found;
    for (let bus = 0; bus < 2 ** (this.smmu.streamBits - SPLIT); bus++) {
      const leaf = this.#leaf(bus << SPLIT, false);
      for (let i = 0; leaf >= 0 && i < LEAF_PAGES; i++) found.push(leaf + i);
    }
    return found;
  }
}
