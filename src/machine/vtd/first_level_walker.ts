import type { Memory } from "../memory.ts";
import {
  DMA_FL_PTE_LARGE_PAGE,
  DMA_FL_PTE_PRESENT,
  DMA_FL_PTE_US,
  DMA_FL_PTE_WRITE,
} from "../../uapi/vtd_scalable.ts";
import {
  VTD_FR_FL_NEXT_TABLE,
  VTD_FR_FL_NOT_PRESENT,
  VTD_FR_FL_PRIVILEGE,
  VTD_FR_FL_RESERVED,
  VTD_FR_FL_TOP_TABLE,
  VTD_FR_SM_WRITE,
} from "../../uapi/vtd_sm_faults.ts";
import { reservedAddressBits, type VtdCapability } from "./capability.ts";
import { RamMap } from "../ram_map.ts";
import { ACCESS_READ, ACCESS_WRITE } from "./walker.ts";

/** Where the addresses of first-level tables are not those of the host (nested translation). */
export interface TableSpace {
  /** Host frame of the table that stands for `level`, or `-reason`. */
  frameOf(table: number, level: number): number;
}

/**
 * The unit's walker of first-level tables, whose entries are those of the processor (FACTS 3.2):
 * one loop over 64-bit entries in int32 halves. Every request has user privilege and none
 * executes: US must be set at each level, XD does not matter. It changes nothing in memory.
 */
export class FirstLevelWalker {
  /** Of the last walk: level of its leaf, or of the table at which it failed. */
  level = 0;
  /** Of the last walk that found a page: what it grants, ACCESS_READ and maybe ACCESS_WRITE. */
  permission = 0;
  #memory: Memory;
  #ram: RamMap;
  #reservedHigh: number;
  /** Levels whose entries may be large pages: bit 2 and bit 3. */
  #leafLevels: number;
  #space: TableSpace | undefined;

  /** `space`: what the tables' addresses go through; they are the host's where it is missing. */
  constructor(memory: Memory, capability: VtdCapability, space?: TableSpace) {
    this.#memory = memory;
    this.#ram = new RamMap(memory.ranges);
    this.#reservedHigh = reservedAddressBits(capability.hostWidth);
    this.#leafLevels = capability.firstLevel1GiB ? 0b1100 : 0b0100;
    this.#space = space;
  }

  /**
   * Walks `levels` (4 or 5) levels of table from frame `root`; the caller has checked that the
   * address is canonical. Returns the frame of the address's 4 KiB page, or `-reason`, also of the space.
   *
   * At each level: the table must be RAM (else 73 or 70), the entry present (else 71) and without
   * reserved bits (else 72). What the levels grant together is asked at the end: US (else 81),
   * then RW for a write (else 85).
   */
  walk(root: number, levels: number, hi: number, lo: number, write: boolean): number {
    const memory = this.#memory, ram = this.#ram, reservedHigh = this.#reservedHigh;
    const space = this.#space;
    // The page number in two parts: 18 bits for levels 1 and 2, the rest for levels 3 to 5.
    const page = (lo >>> 12) & 0x3ffff;
    const upper = (hi << 2) | (lo >>> 30);
    let granted = DMA_FL_PTE_WRITE | DMA_FL_PTE_US;
    let table = root;
    for (let level = levels;; level--) {
      this.level = level;
      if (space !== undefined) {
        table = space.frameOf(table, level);
        if (table < 0) return table;
      }
      if (!ram.has(table)) return level === levels ? -VTD_FR_FL_TOP_TABLE : -VTD_FR_FL_NEXT_TABLE;
      const index = (level > 2 ? upper >>> (9 * (level - 3)) : page >>> (9 * (level - 1))) & 511;
      const low = memory.load(table, index << 1), high = memory.load(table, (index << 1) | 1);
      if ((low & DMA_FL_PTE_PRESENT) === 0) return -VTD_FR_FL_NOT_PRESENT;
      if ((high & reservedHigh) !== 0) return -VTD_FR_FL_RESERVED;
      granted &= low;
      const target = ((high & 0xfffff) << 20) | (low >>> 12);
      const large = level > 1 && (low & DMA_FL_PTE_LARGE_PAGE) !== 0;
      if (level > 1 && !large) {
        table = target;
        continue;
      }
      const inside = (1 << (9 * (level - 1))) - 1;
      // Bit 12 of a large page is PAT, and no part of the address.
      const misplaced = target & inside & ~1;
      if (large && (((this.#leafLevels >>> level) & 1) === 0 || misplaced !== 0)) {
        return -VTD_FR_FL_RESERVED;
      }
      if ((granted & DMA_FL_PTE_US) === 0) return -VTD_FR_FL_PRIVILEGE;
      this.permission = ACCESS_READ | (granted & DMA_FL_PTE_WRITE ? ACCESS_WRITE : 0);
      if (write && (granted & DMA_FL_PTE_WRITE) === 0) return -VTD_FR_SM_WRITE;
      return large ? (target & ~inside) | (page & inside) : target;
    }
  }
}

/** True when the bits above the tables' 48 or 57 repeat the highest one below. */
export function isCanonical(hi: number, levels: number): boolean {
  const spare = levels === 5 ? 7 : 16;
  return hi << spare >> spare === (hi | 0);
}
