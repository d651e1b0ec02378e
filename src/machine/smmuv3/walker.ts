import {
  F_ACCESS,
  F_ADDR_SIZE,
  F_PERMISSION,
  F_TRANSLATION,
  F_WALK_EABT,
} from "../../uapi/smmuv3_queues.ts";
import {
  PTE_AF,
  PTE_AP_READ_ONLY,
  PTE_AP_UNPRIVILEGED,
  PTE_APTABLE_PRIVILEGED_HI,
  PTE_APTABLE_READ_ONLY_HI,
  PTE_CONTIGUOUS_HI,
  PTE_NG,
  PTE_NT,
  PTE_TABLE,
  PTE_VALID,
} from "../../uapi/smmuv3_tables.ts";
import type { Memory } from "../memory.ts";
import { RamMap } from "../ram_map.ts";
import { Kind, type Regime } from "./regime.ts";

/** What a request needs and what a translation grants. */
export const ACCESS_READ = 1;
export const ACCESS_WRITE = 2;

/** Descriptor bits 32-47: the upper part of an output address. Bits 48-51 are not looked at. */
const ADDRESS_HI = 0xffff;

/**
 * The walker of VMSAv8-64 tables with 4 KiB granule, both formats: one loop over little-endian
 * 64-bit descriptors in physical memory, in int32 halves. It shares no code with any kernel's
 * page-table code. Requests are unprivileged data accesses.
 */
export class Walker {
  /** Of the last walk: level of its leaf, or of the descriptor at which it failed; 0..3. */
  level = 0;
  /** Of the last walk that found a leaf: R and W. */
  permission = 0;
  /** The leaf has the contiguous hint: 16 of its kind, side by side, make one translation. */
  contiguous = false;
  /** The leaf is a block with nT set. */
  noTranslation = false;
  /** The leaf is a stage-1 one without nG: it holds for every ASID. */
  global = false;
  /** Place of the last descriptor: frame and word. */
  pfn = 0;
  word = 0;
  #memory: Memory;
  #ram: RamMap;

  constructor(memory: Memory) {
    this.#memory = memory;
    this.#ram = new RamMap(memory.ranges);
  }

  /**
   * Walks the tables of a regime (kind stage1 or stage2) for an address that fits its input
   * size. `need`: {@link ACCESS_READ}, {@link ACCESS_WRITE}, or 0 to be told the leaf whatever it
   * grants. Returns the frame of the address's 4 KiB page, or `-event`.
   *
   * At each level, in this order: the descriptor must be memory, then valid, then its address
   * must fit the output size; of a leaf then the access flag counts, and then the permission.
   */
  walk(regime: Regime, hi: number, lo: number, need: number): number {
    const memory = this.#memory, ram = this.#ram;
    const geometry = regime.geometry;
    const tooLarge = ADDRESS_HI & (-1 << (((geometry >>> 6) & 0x3f) - 32));
    // The page number in two parts: 18 bits for levels 3 and 2, the rest for levels 1 and 0.
    const page = (lo >>> 12) & 0x3ffff;
    const upper = (hi << 2) | (lo >>> 30);
    let level = (geometry >>> 12) & 3;
    // The first table may be smaller or larger than a page: its index takes all bits there are.
    const first = level === 2 ? (upper << 9) | (page >>> 9) : upper >>> (9 * (1 - level));
    let word = regime.startWord + first * 2;
    let pfn = regime.root + (word >>> 10);
    let taken = 0;
    for (;;) {
      word &= 1023;
      this.level = level;
      this.pfn = pfn;
      this.word = word;
      if (!ram.has(pfn)) return -F_WALK_EABT;
      const words = memory.readable(pfn);
      if (words === undefined) return -F_TRANSLATION;
      const at = memory.base(pfn) | word;
      const low = words[at] | 0, high = words[at | 1] | 0;
      if ((low & PTE_VALID) === 0) return -F_TRANSLATION;
      const isTable = (low & PTE_TABLE) !== 0;
      if (isTable ? false : level === 3 || level === 0) return -F_TRANSLATION;
      if ((high & tooLarge) !== 0) return -F_ADDR_SIZE;
      const target = ((high & ADDRESS_HI) << 20) | (low >>> 12);
      if (!isTable || level === 3) {
        return this.#leaf(regime, low, high, taken, need, target, page);
      }
      taken |= high;
      pfn = target;
      level++;
      word = ((level === 1 ? upper : page >>> (9 * (3 - level))) & 511) << 1;
    }
  }

  /** `taken`: high words of the tables above, ORed: APTable. `page`: low 18 bits of its number. */
  #leaf(
    regime: Regime,
    low: number,
    high: number,
    taken: number,
    need: number,
    target: number,
    page: number,
  ): number {
    const level = this.level, stage1 = regime.kind === Kind.stage1;
    this.contiguous = (high & PTE_CONTIGUOUS_HI) !== 0;
    this.noTranslation = level < 3 && (low & PTE_NT) !== 0;
    this.global = stage1 && (low & PTE_NG) === 0;
    this.permission = stage1 ? stage1Permission(low, taken) : (low >>> 6) & 3;
    if ((low & PTE_AF) === 0 && !regime.ignoresAccessFlag) return -F_ACCESS;
    if ((this.permission & need) !== need) return -F_PERMISSION;
    const inside = (1 << (9 * (3 - level))) - 1;
    return (target & ~inside) | (page & inside);
  }
}

function stage1Permission(low: number, taken: number): number {
  const unprivileged = (low & PTE_AP_UNPRIVILEGED) !== 0 &&
    (taken & PTE_APTABLE_PRIVILEGED_HI) === 0;
  if (!unprivileged) return 0;
  const readOnly = (low & PTE_AP_READ_ONLY) !== 0 || (taken & PTE_APTABLE_READ_ONLY_HI) !== 0;
  return readOnly ? ACCESS_READ : ACCESS_READ | ACCESS_WRITE;
}
