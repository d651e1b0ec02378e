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
  #memory: Memory;
  #ram: RamMap;
  #reservedHigh: number;
  #reservedSnoop: number;
  /** Levels whose entries may be superpages: bit 2 and bit 3. */
  #leafLevels: number;

  constructor(memory: Memory, capability: VtdCapability) {
    this.#memory = memory;
    this.#ram = new RamMap(memory);
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
    const memory = this.#memory, ram = this.#ram, reservedHigh = this.#reservedHigh;
    // The page number in two parts: 18 bits for levels 1 and 2, the rest for levels 3 to 5.
    const page = (lo >>> 12) & 0x3ffff;
    const upper = (hi << 2) | (lo >>> 30);
    let permission = ACCESS_READ | ACCESS_WRITE;
    let table = root;
    for (let level = levels;; level--) {
      this.level = level;
      if (!ram.has(table)) return -VTD_FR_NEXT_TABLE;
      const index = (level > 2 ? upper >>> (9 * (level - 3)) : page >>> (9 * (level - 1))) & 511;
      const words = memory.readable(table);
      let low = 0, high = 0;
      if (words !== undefined) {
        const at = memory.base(table) | (index << 1);
        low = words[at] | 0;
        high = words[at | 1] | 0;
      }
      permission &= low;
      this.permission = permission;
      if ((permission & need) === 0) return need === ACCESS_WRITE ? -VTD_FR_WRITE : -VTD_FR_READ;
      if ((high & reservedHigh) !== 0) return -VTD_FR_PTE_RESERVED;
      const target = ((high & 0xfffff) << 20) | (low >>> 12);
      if (level === 1) {
        return (low & this.#reservedSnoop) !== 0 ? -VTD_FR_PTE_RESERVED : target;
      }
      if ((low & DMA_PTE_LARGE_PAGE) !== 0) return this.#superpage(level, low, target, page);
      table = target;
    }
  }

  #superpage(level: number, low: number, target: number, page: number): number {
    if (((this.#leafLevels >>> level) & 1) === 0) return -VTD_FR_PTE_RESERVED;
    const inside = (1 << (9 * (level - 1))) - 1;
    if ((low & this.#reservedSnoop) !== 0 || (target & inside) !== 0) return -VTD_FR_PTE_RESERVED;
    return target | (page & inside);
  }
}
