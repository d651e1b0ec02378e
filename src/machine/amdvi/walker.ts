import {
  FAULT_NOT_PRESENT,
  FAULT_PAGE_TABLE_MEMORY,
  FAULT_PERMISSION,
  FAULT_RESERVED,
  FAULT_SKIPPED_LEVEL,
} from "../../uapi/amdvi_queues.ts";
import {
  AMDVI_NEXT_LEVEL_PAGE,
  AMDVI_NEXT_LEVEL_SIZED,
  AMDVI_PTE_NEXT_LEVEL_MASK,
  AMDVI_PTE_NEXT_LEVEL_SHIFT,
  AMDVI_PTE_PR,
  AMDVI_PTE_RESERVED_HI,
} from "../../uapi/amdvi_tables.ts";
import { DMA_MASTER_ABORT } from "../dma_port.ts";
import type { Memory } from "../memory.ts";
import { RamMap } from "../ram_map.ts";

/** Frame numbers are int32: what lies beyond 8 TiB is no memory. */
const BEYOND = 0x7fffffff;
/** The largest page, log2 of its 4 KiB pages: 512 GiB. */
const LARGEST_PAGE = 27;

/**
 * The walker of version 1 tables: one loop over little-endian 64-bit entries in physical memory,
 * in int32 halves. Each entry says the level of the table it leads to, so that levels may be left
 * out. It shares no code with any kernel's page-table code.
 */
export class Walker {
  /** Of the last walk: level of its last entry. */
  level = 0;
  /** Of the last walk that found a page: log2 of its 4 KiB pages. */
  pageBits = 0;
  /** Of the last walk: IR and IW, ANDed over the levels. */
  permission = 0;
  /** Place of the last entry: frame and word. */
  pfn = 0;
  word = 0;
  #memory: Memory;
  #ram: RamMap;

  constructor(memory: Memory) {
    this.#memory = memory;
    this.#ram = new RamMap(memory.ranges);
  }

  /**
   * Walks from frame `root`, `levels` (1..6), for an address that fits the tables. `need`:
   * ACCESS_READ or ACCESS_WRITE. Returns the frame of the address's 4 KiB page, a fault `-n` with
   * n of amdvi_queues.ts, or DMA_MASTER_ABORT for a page beyond all memory.
   *
   * At each level, in this order: the table must be memory, the entry present, the access
   * granted, and what it leads to possible.
   */
  walk(root: number, levels: number, hi: number, lo: number, need: number): number {
    const memory = this.#memory, ram = this.#ram;
    let permission = 3;
    let table = root;
    for (let level = levels;;) {
      this.level = level;
      this.pfn = table;
      const index = indexAt(level, hi, lo);
      this.word = index << 1;
      if (!ram.has(table)) return -FAULT_PAGE_TABLE_MEMORY;
      const words = memory.readable(table);
      if (words === undefined) return -FAULT_NOT_PRESENT;
      const at = memory.base(table) | (index << 1);
      const low = words[at] | 0, high = words[at | 1] | 0;
      if ((low & AMDVI_PTE_PR) === 0) return -FAULT_NOT_PRESENT;
      permission &= high >>> 29;
      this.permission = permission;
      if ((permission & need) === 0) return -FAULT_PERMISSION;
      if ((high & AMDVI_PTE_RESERVED_HI) !== 0) return -FAULT_RESERVED;
      const beyond = (high & 0xfffff) >= 0x800;
      const target = beyond ? BEYOND : ((high & 0x7ff) << 20) | (low >>> 12);
      const next = (low >>> AMDVI_PTE_NEXT_LEVEL_SHIFT) & AMDVI_PTE_NEXT_LEVEL_MASK;
      if (next === AMDVI_NEXT_LEVEL_PAGE) {
        return this.#page(9 * (level - 1), beyond, target, lo, hi);
      }
      if (next === AMDVI_NEXT_LEVEL_SIZED) {
        const bits = sizedPageBits((high << 20) | (low >>> 12));
        const fits = bits > 9 * (level - 1) && bits < 9 * level;
        return fits ? this.#page(bits, beyond, target, lo, hi) : -FAULT_RESERVED;
      }
      if (next >= level) return -FAULT_RESERVED;
      for (let skipped = level - 1; skipped > next; skipped--) {
        if (indexAt(skipped, hi, lo) !== 0) return -FAULT_SKIPPED_LEVEL;
      }
      table = target;
      level = next;
    }
  }

  /** `bits`: log2 of the page's 4 KiB pages. Pages larger than 512 GiB are not supported. */
  #page(bits: number, beyond: boolean, target: number, lo: number, hi: number): number {
    if (bits > LARGEST_PAGE) return -FAULT_RESERVED;
    this.pageBits = bits;
    if (beyond) return DMA_MASTER_ABORT;
    const inside = (1 << bits) - 1;
    return (target & ~inside) | (((hi << 20) | (lo >>> 12)) & inside);
  }
}

/** True when the address needs more bits than that many levels translate: 12 + 9 * levels. */
export function exceedsTables(levels: number, hi: number, lo: number): boolean {
  const bits = 12 + 9 * levels;
  if (bits >= 64) return false;
  return bits >= 32 ? (hi >>> (bits - 32)) !== 0 : hi !== 0 || (lo >>> bits) !== 0;
}

/** Index into the table of a level, 1..6, for a 64-bit address. */
function indexAt(level: number, hi: number, lo: number): number {
  if (level > 3) return (hi >>> (9 * level - 29)) & 511;
  if (level === 3) return ((hi << 2) | (lo >>> 30)) & 511;
  return (lo >>> (9 * level + 3)) & 511;
}

/**
 * NextLevel 7: the lowest clear address bit from bit 12 on is half the page's size. `pages`: the
 * low 32 bits of the address as a page number. Returns log2 of the page's 4 KiB pages.
 */
function sizedPageBits(pages: number): number {
  return 32 - Math.clz32(~pages & -~pages);
}
