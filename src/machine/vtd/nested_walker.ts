import { agawToLevels } from "../../uapi/vtd_regs.ts";
import { DMA_FL_PTE_ACCESSED, DMA_FL_PTE_DIRTY } from "../../uapi/vtd_scalable.ts";
import * as fault from "../../uapi/vtd_sm_faults.ts";
import type { Memory } from "../memory.ts";
import { AccessMarker } from "./access_marker.ts";
import type { VtdCapability } from "./capability.ts";
import { contextWidth } from "./context_reader.ts";
import { FirstLevelWalker, type TableSpace } from "./first_level_walker.ts";
import { denied, secondLevelReason } from "./second_level.ts";
import { ACCESS_READ, ACCESS_WRITE, Walker } from "./walker.ts";

/**
 * Nested translation (PGTT 3): first-level tables whose own addresses, and the one they lead to,
 * are guest-physical and go through second-level tables. What the second level refuses of a table
 * has reasons of its own (FACTS 3.5): 74 beyond its width, 75 and 76 not readable, 77 not writable
 * though A or D is to be set; of the page itself 84, 79, 85, 86. Its own tables fail as ever.
 */
export class NestedWalker implements TableSpace {
  /** Of the last walk that found a page: level of the smaller of the two leaves. */
  level = 0;
  /** Of the last walk that found a page: R and W, as far as both levels grant them. */
  permission = 0;
  /** Of the last walk: guest frame that first-level tables led to, or `-reason`. */
  guest = 0;
  readonly #memory: Memory;
  readonly #first: FirstLevelWalker;
  readonly #second: Walker;
  readonly #marker: AccessMarker;
  /** By AW: bits of an address's high word that second-level tables let through. */
  readonly #highBits = new Int32Array(8);
  /** By first level: guest and host frame of its table, level of the second level's leaf. */
  readonly #guests = new Int32Array(6);
  readonly #hosts = new Int32Array(6);
  readonly #leaves = new Int32Array(6);
  /** Bit n: the table of first level n may be written. */
  #writable = 0;
  #levels = 0;
  #under = 0;
  #aw = 0;

  constructor(memory: Memory, capability: VtdCapability) {
    this.#memory = memory;
    this.#first = new FirstLevelWalker(memory, capability, this);
    this.#second = new Walker(memory, capability);
    this.#marker = new AccessMarker(memory);
    for (let aw = 1; aw <= 3; aw++) this.#highBits[aw] = contextWidth(aw, capability) - 32;
  }

  /** First level at which the last walk ended. */
  get firstLevel(): number {
    return this.#first.level;
  }

  /**
   * `top`: guest frame of the first-level table of `levels` levels; `under`: host frame of the
   * second-level one, whose width is `aw`. The caller has checked that the address is canonical.
   * Returns the frame of its 4 KiB page, or `-reason`. It changes nothing in memory.
   */
  walk(
    top: number,
    levels: number,
    under: number,
    aw: number,
    hi: number,
    lo: number,
    write: boolean,
  ): number {
    this.#levels = levels;
    this.#under = under;
    this.#aw = aw;
    const first = this.#first, second = this.#second;
    const guest = first.walk(top, levels, hi, lo, write);
    this.guest = guest;
    if (guest < 0) return guest;
    if (this.#beyond(guest)) return -fault.VTD_FR_SL_BEYOND_WIDTH;
    const below = agawToLevels(aw), need = write ? ACCESS_WRITE : ACCESS_READ;
    const pfn = second.walk(under, below, guest >>> 20, guest << 12, need);
    if (pfn < 0) return secondLevelReason(pfn, second, below, write);
    this.#leaves[0] = second.level;
    this.level = Math.min(first.level, second.level);
    this.permission = first.permission & second.permission;
    return pfn;
  }

  /** Where a first-level table lies: the unit reads it, so the second level has to let it. */
  frameOf(table: number, level: number): number {
    if (this.#beyond(table)) return -fault.VTD_FR_FL_BEYOND_WIDTH;
    const second = this.#second, below = agawToLevels(this.#aw);
    const pfn = second.walk(this.#under, below, table >>> 20, table << 12, ACCESS_READ);
    if (pfn < 0) {
      const reason = secondLevelReason(pfn, second, below, false);
      if (reason !== denied(second.permission, false)) return reason;
      return level === this.#levels ? -fault.VTD_FR_FL_TOP_UNREADABLE : -fault.VTD_FR_FL_UNREADABLE;
    }
    this.#guests[level] = table;
    this.#hosts[level] = pfn;
    this.#leaves[level] = second.level;
    const writable = (second.permission & ACCESS_WRITE) !== 0 ? 1 << level : 0;
    this.#writable = this.#writable & ~(1 << level) | writable;
    return pfn;
  }

  /**
   * 0, or `-reason` (77) where a first-level entry on the way of the last walk, which found a page,
   * lacks a bit that {@link mark} would set and cannot be written.
   */
  refusal(hi: number, lo: number, write: boolean): number {
    const memory = this.#memory, leaf = this.#first.level;
    for (let level = this.#levels; level >= leaf; level--) {
      const low = memory.load(this.#hosts[level], wordOf(level, hi, lo));
      const stays = low === marked(low, write && level === leaf);
      if (!stays && (this.#writable >>> level & 1) === 0) return -fault.VTD_FR_FL_UNWRITABLE;
    }
    return 0;
  }

  /**
   * Sets A and D as {@link AccessMarker} does, on the way of a walk that {@link refusal} found
   * nothing against. `slade`: in second-level entries too, where reading a first-level entry is an
   * access and setting a bit in it a write. Returns whether D is set in every leaf it belongs to.
   */
  mark(hi: number, lo: number, write: boolean, slade: boolean): boolean {
    const memory = this.#memory, leaf = this.#first.level;
    let last = 0;
    for (let level = this.#levels; level >= leaf; level--) {
      const table = this.#hosts[level], word = wordOf(level, hi, lo);
      const low = memory.load(table, word);
      last = marked(low, write && level === leaf);
      if (last !== low) memory.store(table, word, last);
      if (slade) this.#markSecond(level, this.#guests[level], last !== low);
    }
    const dirty = (last & DMA_FL_PTE_DIRTY) !== 0;
    return (!slade || this.#markSecond(0, this.guest, write)) && dirty;
  }

  #markSecond(level: number, guest: number, write: boolean): boolean {
    const below = agawToLevels(this.#aw), leaf = this.#leaves[level];
    return this.#marker.second(this.#under, below, leaf, guest >>> 20, guest << 12, write);
  }

  #beyond(guest: number): boolean {
    return (guest >>> 20) >>> this.#highBits[this.#aw] !== 0;
  }
}

/** Where the entry at a level on the way of an address lies in its table: index of its low word. */
function wordOf(level: number, hi: number, lo: number): number {
  const page = (lo >>> 12) & 0x3ffff, upper = (hi << 2) | (lo >>> 30);
  return ((level > 2 ? upper >>> (9 * (level - 3)) : page >>> (9 * (level - 1))) & 511) << 1;
}

function marked(low: number, dirty: boolean): number {
  return low | DMA_FL_PTE_ACCESSED | (dirty ? DMA_FL_PTE_DIRTY : 0);
}
