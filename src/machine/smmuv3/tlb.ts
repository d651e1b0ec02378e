import { assert } from "../../base/assert.ts";
import { ACCESS_READ, ACCESS_WRITE } from "./walker.ts";

/** {@link Tlb.lookup}: nothing cached, or cached without the permission that is needed. */
export const TLB_MISS = -1;
export const TLB_DENIED = -2;

/** What a translation belongs to: one ASID of a VMID, all ASIDs of it, or the VMID's stage 2. */
export const enum Scope {
  asid = 1,
  global = 2,
  stage2 = 3,
}

/**
 * Size classes of translations, 1..6: a leaf of level 3, 2 or 1, and 16 of it side by side:
 * log2 of their 4 KiB pages.
 */
const PAGE_BITS = [0, 0, 4, 9, 13, 18, 22];
export const LAST_CLASS = 6;

/** The class of a leaf. */
export function sizeClass(level: number, contiguous: boolean): number {
  return 7 - 2 * level + (contiguous ? 1 : 0);
}

/** One cached translation, for whoever inspects the cache. */
export interface TlbEntry {
  scope: Scope;
  vmid: number;
  /** 0 unless `scope` is `asid`. */
  asid: number;
  /** First page of the translation, in 4 KiB pages of the input address space; below 2^36. */
  page: number;
  /** First frame. */
  pfn: number;
  /** Bytes: 4 KiB, 64 KiB, 2 MiB, 32 MiB, 1 GiB or 16 GiB. */
  size: number;
  read: boolean;
  write: boolean;
}

/**
 * The cache of finished translations of addresses below 2^48, tagged by VMID, ASID and stage
 * alone. It never looks at tables again: what it holds stays until a TLBI names it, or another
 * entry pushes it out.
 *
 * Direct-mapped, four words an entry:
 * - 0: class in bits 28-30 (0 = empty), scope in bits 24-25, address bits 28-47 in bits 0-19
 * - 1: tag: VMID in bits 0-15, ASID in bits 16-31
 * - 2: address bits 12-27 in bits 16-31; R and W in bits 0-1
 * - 3: first frame
 */
export class Tlb {
  /** Of the last lookup that was no miss: the class that answered. */
  hitClass = 0;
  #words: Int32Array;
  #mask: number;
  /** Bit n: entries of class n may be present; bit 8: global ones. */
  #present = 0;

  /** `entries`: a power of two, at most 65536. */
  constructor(entries: number) {
    assert(entries > 0 && entries <= 65536 && (entries & (entries - 1)) === 0, "TLB size");
    this.#words = new Int32Array(entries * 4);
    this.#mask = entries - 1;
  }

  /**
   * The frame for the 4 KiB page of an address, {@link TLB_MISS} or {@link TLB_DENIED}. `scope`:
   * `asid`, which finds global translations too, or `stage2`; `tag`: as in an entry.
   */
  lookup(scope: Scope, tag: number, hi: number, lo: number, need: number): number {
    const words = this.#words;
    const high = (1 << 28) | (scope << 24) | (hi << 4) | (lo >>> 28);
    const low = (lo << 4) & 0xffff0000;
    const at = this.#slot(high, tag, low, 0);
    if (words[at] === high && words[at + 1] === tag && (words[at + 2] & 0xffff0000) === low) {
      this.hitClass = 1;
      return (words[at + 2] & need) !== 0 ? words[at + 3] : TLB_DENIED;
    }
    return (this.#present & ~2) === 0 ? TLB_MISS : this.#lookupRest(scope, tag, hi, lo, need);
  }

  #lookupRest(scope: Scope, tag: number, hi: number, lo: number, need: number): number {
    const globals = scope === Scope.asid && (this.#present & 0x100) !== 0;
    for (let size = 1; size <= LAST_CLASS; size++) {
      if (((this.#present >>> size) & 1) === 0) continue;
      let at = this.find(scope, tag, hi, lo, size);
      if (at < 0 && globals) at = this.find(Scope.global, tag & 0xffff, hi, lo, size);
      if (at < 0) continue;
      this.hitClass = size;
      if ((this.#words[at + 2] & need) === 0) return TLB_DENIED;
      return this.#words[at + 3] | ((lo >>> 12) & ((1 << PAGE_BITS[size]) - 1));
    }
    return TLB_MISS;
  }

  /** Caches a translation. `pfn`: frame of the address's 4 KiB page; `permission`: R and W. */
  fill(
    scope: Scope,
    tag: number,
    hi: number,
    lo: number,
    pfn: number,
    size: number,
    permission: number,
  ): void {
    const words = this.#words;
    const high = tagHigh(scope, hi, lo, size), low = tagLow(lo, size);
    const at = this.#slot(high, tag, low, PAGE_BITS[size]);
    words[at] = high;
    words[at + 1] = tag;
    words[at + 2] = low | permission;
    words[at + 3] = pfn & ~((1 << PAGE_BITS[size]) - 1);
    this.#present |= (1 << size) | (scope === Scope.global ? 0x100 : 0);
  }

  /** Where the page that holds the address is cached under this class, -1 if it is not. */
  find(scope: Scope, tag: number, hi: number, lo: number, size: number): number {
    const words = this.#words;
    const high = tagHigh(scope, hi, lo, size), low = tagLow(lo, size);
    const at = this.#slot(high, tag, low, PAGE_BITS[size]);
    const found = words[at] === high && words[at + 1] === tag &&
      (words[at + 2] & 0xffff0000) === low;
    return found ? at : -1;
  }

  /** True when entries of a class below `size` may be present. */
  holdsSmaller(size: number): boolean {
    return (this.#present & ((1 << size) - 1)) !== 0;
  }

  /** The words of all entries, four each: for loops over the cache. A 0 empties one. */
  get words(): Int32Array {
    return this.#words;
  }

  invalidateAll(): void {
    this.#words.fill(0);
    this.#present = 0;
  }

  /** All that is cached, in the order of the slots. */
  *entries(): Generator<TlbEntry> {
    const words = this.#words;
    for (let at = 0; at < words.length; at += 4) {
      if (words[at] === 0) continue;
      yield {
        scope: scopeOf(words, at),
        vmid: words[at + 1] & 0xffff,
        asid: words[at + 1] >>> 16,
        page: pageOf(words, at),
        pfn: words[at + 3],
        size: 4096 * pagesOf(words, at),
        read: (words[at + 2] & ACCESS_READ) !== 0,
        write: (words[at + 2] & ACCESS_WRITE) !== 0,
      };
    }
  }

  /** Neighbouring pages of a tag get neighbouring slots; tags, scopes and sizes are spread. */
  #slot(high: number, tag: number, low: number, bits: number): number {
    const page = ((high << 16) | (low >>> 16)) >>> bits;
    const spread = Math.imul(high ^ (high >>> 17) ^ Math.imul(tag, 0x85ebca6b), 0x9e3779b1) >>> 14;
    return ((page ^ spread) & this.#mask) << 2;
  }
}

export function classOf(words: Int32Array, at: number): number {
  return words[at] >>> 28;
}

export function scopeOf(words: Int32Array, at: number): Scope {
  return (words[at] >>> 24) & 3;
}

/** First page of an entry. */
export function pageOf(words: Int32Array, at: number): number {
  return (words[at] & 0xfffff) * 65536 + (words[at + 2] >>> 16);
}

/** Pages of an entry. */
export function pagesOf(words: Int32Array, at: number): number {
  return 1 << PAGE_BITS[classOf(words, at)];
}

/** Pages of a class. */
export function pagesOfClass(size: number): number {
  return 1 << PAGE_BITS[size];
}

/** Word 0 of the entry for a page of this class. */
function tagHigh(scope: Scope, hi: number, lo: number, size: number): number {
  const bits = (hi << 4) | (lo >>> 28);
  const kept = PAGE_BITS[size] > 16 ? bits & (-1 << (PAGE_BITS[size] - 16)) : bits;
  return (size << 28) | (scope << 24) | kept;
}

/** Address bits 12-27 in bits 16-31, as far as a page of this class has them. */
function tagLow(lo: number, size: number): number {
  const bits = PAGE_BITS[size];
  return bits >= 16 ? 0 : (lo << 4) & (-1 << (bits + 16));
}
