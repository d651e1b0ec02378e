import { assert } from "../../base/assert.ts";

/** {@link Tlb.lookup}: nothing cached, or cached without the permission that is needed. */
export const TLB_MISS = -1;
export const TLB_DENIED = -2;

/** Classes of cached pages, 1..3: log2 of their 4 KiB pages. */
const PAGE_BITS = [0, 0, 9, 18];

/** One cached translation, for whoever inspects the cache. */
export interface TlbEntry {
  domain: number;
  /** First page, in 4 KiB pages of the address space; below 2^52. */
  page: number;
  /** First frame. */
  pfn: number;
  /** Bytes: 4 KiB, 2 MiB or 1 GiB. A page of another size is cached in parts of these. */
  size: number;
  read: boolean;
  write: boolean;
}

/**
 * The cache of finished translations, tagged by DomainID alone. It never looks at tables again:
 * what it holds stays until an invalidation names it, or another entry pushes it out.
 *
 * Direct-mapped, four words an entry:
 * - 0: address bits 32-63
 * - 1: address bits 12-31; class in bits 0-1 (0 = empty)
 * - 2: DomainID in bits 0-15; IR and IW in bits 16-17
 * - 3: first frame
 */
export class Tlb {
  #words: Int32Array;
  #mask: number;
  /** Bit n: entries of class n may be present. */
  #present = 0;

  /** `entries`: a power of two, at most 65536. */
  constructor(entries: number) {
    assert(entries > 0 && entries <= 65536 && (entries & (entries - 1)) === 0, "TLB size");
    this.#words = new Int32Array(entries * 4);
    this.#mask = entries - 1;
  }

  /** The frame for the 4 KiB page of an address, {@link TLB_MISS} or {@link TLB_DENIED}. */
  lookup(domain: number, hi: number, lo: number, need: number): number {
    const words = this.#words;
    for (let size = 1; size <= 3; size++) {
      if (((this.#present >>> size) & 1) === 0) continue;
      const at = this.#find(domain, hi, lo, size);
      if (at < 0) continue;
      if (((words[at + 2] >>> 16) & need) === 0) return TLB_DENIED;
      return words[at + 3] | ((lo >>> 12) & ((1 << PAGE_BITS[size]) - 1));
    }
    return TLB_MISS;
  }

  /**
   * Caches a translation. `pfn`: frame of the address's 4 KiB page; `pageBits`: log2 of the 4 KiB
   * pages of the page it was found in.
   */
  fill(
    domain: number,
    hi: number,
    lo: number,
    pfn: number,
    pageBits: number,
    permission: number,
  ): void {
    const words = this.#words;
    const size = pageBits >= 18 ? 3 : pageBits >= 9 ? 2 : 1;
    const low = tagLow(lo, size);
    const at = this.#slot(domain, hi, low, size);
    words[at] = hi;
    words[at + 1] = low;
    words[at + 2] = domain | (permission << 16);
    words[at + 3] = pfn & ~((1 << PAGE_BITS[size]) - 1);
    this.#present |= 1 << size;
  }

  invalidateAll(): void {
    this.#words.fill(0);
    this.#present = 0;
  }

  /** Invalidates what touches `pages` 4 KiB pages of a domain from `first` on. */
  invalidatePages(domain: number, first: number, pages: number): void {
    const words = this.#words;
    for (let at = 0; at < words.length; at += 4) {
      if (words[at + 1] === 0 || (words[at + 2] & 0xffff) !== domain) continue;
      const page = pageOf(words, at);
      const span = 1 << PAGE_BITS[words[at + 1] & 3];
      if (page < first + pages && page + span > first) words[at + 1] = 0;
    }
  }

  /** Invalidates what holds one address. */
  invalidatePage(domain: number, hi: number, lo: number): void {
    for (let size = 1; size <= 3; size++) {
      const at = this.#find(domain, hi, lo, size);
      if (at >= 0) this.#words[at + 1] = 0;
    }
  }

  /** All that is cached, in the order of the slots. */
  *entries(): Generator<TlbEntry> {
    const words = this.#words;
    for (let at = 0; at < words.length; at += 4) {
      if (words[at + 1] === 0) continue;
      yield {
        domain: words[at + 2] & 0xffff,
        page: pageOf(words, at),
        pfn: words[at + 3],
        size: 4096 << PAGE_BITS[words[at + 1] & 3],
        read: ((words[at + 2] >>> 16) & 1) !== 0,
        write: ((words[at + 2] >>> 17) & 1) !== 0,
      };
    }
  }

  /** Where the page that holds the address is cached under this class, -1 if it is not. */
  #find(domain: number, hi: number, lo: number, size: number): number {
    const words = this.#words;
    const low = tagLow(lo, size);
    const at = this.#slot(domain, hi, low, size);
    const found = words[at] === hi && words[at + 1] === low && (words[at + 2] & 0xffff) === domain;
    return found ? at : -1;
  }

  /** Neighbouring pages of a domain get neighbouring slots; domains and sizes are spread. */
  #slot(domain: number, hi: number, low: number, size: number): number {
    const page = (hi << (20 - PAGE_BITS[size])) | (low >>> (12 + PAGE_BITS[size]));
    const spread = Math.imul(hi ^ (domain << 13) ^ (size << 4), 0x9e3779b1) >>> 14;
    return ((page ^ spread) & this.#mask) << 2;
  }
}

function pageOf(words: Int32Array, at: number): number {
  return (words[at] >>> 0) * 1048576 + (words[at + 1] >>> 12);
}

/** Word 1 of the entry for a page of this class. */
function tagLow(lo: number, size: number): number {
  return (lo & (-4096 << PAGE_BITS[size])) | size;
}
