import type { Memory } from "../memory.ts";
import {
  DMA_PTE_LARGE_PAGE,
  DMA_PTE_SNP,
  VTD_FR_NEXT_TABLE,
  VTD_FR_PTE_RESERVED,
  VTD_FR_READ,
  VTD_FR_WRITE,
} from "../../uapi/vtd_regs.ts";
import { reservedAddressBits, type VtdCapability } from "./capability.ts";
import { RamMap } from "../ram_map.ts";

/** What a request needs, and what an entry grants: the R and W bits of an entry (FACTS 3.2). */
export const ACCESS_READ = 1;
export const ACCESS_WRITE = 2;

const MALFORMED = -VTD_FR_PTE_RESERVED;

/**
 * The unit's second-level table walker: one loop over little-endian 64-bit entries in physical
 * memory, in int32 halves. It shares no code with any kernel's page-table code, so that neither
 * can hide the other's mistake.
 */
export class Walker {
  /** Of the last walk: level of its leaf, or of the table at which it failed. */
  level = 0;
  /** Of the last walk: R and W, ANDed over the levels it went through. */
  permission = 0;
  /** What the entries above the table grant that {@link findLast} found. */
  above = 0;
  #memory: Memory;
  #ram: RamMap;
  #reservedHigh = 0;
  #reservedSnoop = 0;
  /** Levels whose entries may be superpages: bit 2 and bit 3. */
  #leafLevels = 0;

  constructor(memory: Memory, capability: VtdCapability) {
    this.#memory = memory;
    this.#ram = new RamMap(memory.ranges);
    this.#reservedHigh = reservedAddressBits(capability.hostWidth);
    this.#reservedSnoop = capability.snoopControl ? 0 : DMA_PTE_SNP;
    this.#leafLevels = capability.superpages << 2;
  }

  /**
   * Walks `levels` (3..5) levels of table from frame `root`. `need`: {@link ACCESS_READ} or
   * {@link ACCESS_WRITE}. The caller has checked that the address fits the tables. Returns the
   * frame of the address's 4 KiB page, or `-reason` (5, 6, 7, 0xC).
   *
   * At each level, as the hardware does: the table must be RAM (else 7), the entry must grant
   * the access (else 5 or 6), and only then are its reserved bits looked at (else 0xC).
   */
  walk(root: number, levels: number, hi: number, lo: number, need: number): number {
    const memory = this.#memory, reservedHigh = this.#reservedHigh;
    // The page number in two parts: 18 bits for levels 1 and 2, the rest for levels 3 to 5.
    const page = (lo >>> 12) & 0x3ffff;
    const upper = (hi << 2) | (lo >>> 30);
    let permission = ACCESS_READ | ACCESS_WRITE, table = root, level = levels;
    for (;;) {
      const chunk = memory.chunkOf(table), words = memory.readable(table);
      if (words === undefined) return this.#refuse(table, level, 0, need);
      // Tables crowd together: most walks stay in one chunk, and this loop is all they do.
      do {
        const at = memory.base(table) | (indexAt(upper, page, level) << 1);
        const low = words[at] | 0, high = words[at | 1] | 0;
        permission &= low;
        if ((permission & need) === 0 || (high & reservedHigh) !== 0) {
          return this.#refuse(table, level, permission, need);
        }
        table = ((high & 0xfffff) << 20) | (low >>> 12);
        if (level === 1 || (low & DMA_PTE_LARGE_PAGE) !== 0) {
          this.level = level;
          this.permission = permission;
          return level === 1 ? this.#leaf(low, table) : this.#superpage(level, low, table, page);
        }
        level = (level - 1) | 0;
      } while (memory.chunkOf(table) === chunk);
    }
  }

  /**
   * The first steps of a walk: the table of level 1 it comes to, and {@link above}. -1: something is in
   * the way, or there is a large page; what becomes of the request {@link walk} knows.
   */
  findLast(root: number, levels: number, hi: number, lo: number, need: number): number {
    const memory = this.#memory, page = (lo >>> 12) & 0x3ffff, upper = (hi << 2) | (lo >>> 30);
    let permission = ACCESS_READ | ACCESS_WRITE, table = root;
    for (let level = levels; level > 1; level = (level - 1) | 0) {
      const words = memory.readable(table);
      if (words === undefined) return -1;
      const at = memory.base(table) | (indexAt(upper, page, level) << 1);
      const low = words[at] | 0, high = words[at | 1] | 0;
      permission &= low;
      if ((permission & need) === 0 || (high & this.#reservedHigh) !== 0) return -1;
      if ((low & DMA_PTE_LARGE_PAGE) !== 0) return -1;
      table = ((high & 0xfffff) << 20) | (low >>> 12);
    }
    this.above = permission;
    return table;
  }

  /** The last step of a walk alone, from a table of level 1 below entries that grant `above`. */
  walkLast(table: number, above: number, lo: number, need: number): number {
    const words = this.#memory.readable(table);
    if (words === undefined) return this.#refuse(table, 1, 0, need);
    const at = this.#memory.base(table) | ((lo >>> 11) & (511 << 1));
    const low = words[at] | 0, high = words[at | 1] | 0, permission = above & low;
    if ((permission & need) === 0 || (high & this.#reservedHigh) !== 0) {
      return this.#refuse(table, 1, permission, need);
    }
    this.level = 1;
    this.permission = permission;
    return this.#leaf(low, ((high & 0xfffff) << 20) | (low >>> 12));
  }

  /**
   * The reason of a failure, found out apart from the loop: an entry that grants what is needed was
   * malformed; what is no RAM reads as zero, which grants nothing.
   */
  #refuse(table: number, level: number, permission: number, need: number): number {
    this.level = level;
    this.permission = permission;
    if ((permission & need) !== 0) return -VTD_FR_PTE_RESERVED;
    if (!this.#ram.has(table)) return -VTD_FR_NEXT_TABLE;
    return need === ACCESS_WRITE ? -VTD_FR_WRITE : -VTD_FR_READ;
  }

  #leaf(low: number, target: number): number {
    return (low & this.#reservedSnoop) !== 0 ? MALFORMED : target;
  }

  #superpage(level: number, low: number, target: number, page: number): number {
    if (((this.#leafLevels >>> level) & 1) === 0) return MALFORMED;
    const inside = (1 << (9 * (level - 1))) - 1;
    if ((low & this.#reservedSnoop) !== 0 || (target & inside) !== 0) return MALFORMED;
    return target | (page & inside);
  }
}

function indexAt(upper: number, page: number, level: number): number {
  const bits = Math.imul(level, 9);
  return (level > 2 ? upper >>> (bits - 27) : page >>> (bits - 9)) & 511;
}
