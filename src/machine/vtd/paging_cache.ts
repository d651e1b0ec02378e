/** Entries at first, and at most: powers of two. */
const FEW = 32, MANY = 1 << 15;
/** An odd number whose product spreads neighbours over all slots. */
const SPREAD = 0x9e3779b1 | 0;
/** Word 1 beside the DID: there is an entry; the address bits that word 0 has no room for. */
const VALID = 1 << 16, HIGH_SHIFT = 17;
/** Pages that an entry is for, and their number in bits. */
const PAGES = 512, PAGE_BITS = 9;

/** One cached entry, for whoever inspects the cache. */
export interface PagingCacheEntry {
  did: number;
  /** First page of the 512 that it is for; below 2^45. */
  page: number;
  /** Frame of the table of level 1 that it leads to. */
  table: number;
  /** R and W, ANDed over the entry and those above it. */
  permission: number;
}

/**
 * The paging-structure cache: of entries that lead to tables of level 1, tagged by domain id. A miss
 * of the IOTLB then reads one entry in memory. What it holds stays until the IOTLB is invalidated under
 * its tag, unless that request says that only leaves have changed (IH, FACTS 3.4).
 *
 * Direct-mapped, four words an entry: address bits 21-52; DID, {@link VALID} and address bits 53-56;
 * the table; the permission. It grows with what is in use: how much a unit keeps is open, and one
 * that keeps more shows more of what was not invalidated.
 */
export class PagingCache {
  #words = new Int32Array(FEW * 4);
  /** Which words can be an entry's first. */
  #mask = (FEW - 1) << 2;
  #live = 0;

  /** Place of the entry for an address below 2^57, for {@link table} and {@link permission}; -1: none. */
  find(hi: number, lo: number, did: number): number {
    const words = this.#words, low = lowTag(hi, lo), at = slot(low, did) & this.#mask;
    return words[at] === low && words[at | 1] === highTag(hi, did) ? at : -1;
  }

  table(at: number): number {
    return this.#words[at | 2];
  }

  permission(at: number): number {
    return this.#words[at | 3];
  }

  fill(hi: number, lo: number, did: number, table: number, permission: number): void {
    this.#store(lowTag(hi, lo), highTag(hi, did), table, permission);
  }

  #store(low: number, high: number, table: number, permission: number): void {
    if (this.#live * 8 > this.#words.length && this.#words.length < MANY * 4) this.#grow();
    const words = this.#words, at = slot(low, high) & this.#mask;
    if (words[at | 1] === 0) this.#live++;
    words[at] = low;
    words[at | 1] = high;
    words[at | 2] = table;
    words[at | 3] = permission;
  }

  #grow(): void {
    const old = this.#words;
    this.#words = new Int32Array(old.length * 2);
    this.#mask = this.#words.length - 4;
    this.#live = 0;
    for (let at = 0; at < old.length; at += 4) {
      if (old[at | 1] !== 0) this.#store(old[at], old[at | 1], old[at | 2], old[at | 3]);
    }
  }

  invalidateAll(): void {
    if (this.#live > 0) this.#words.fill(0);
    this.#live = 0;
  }

  invalidateDomain(did: number): void {
    const words = this.#words;
    for (let at = 0; at < words.length; at += 4) {
      if (words[at | 1] !== 0 && (words[at | 1] & 0xffff) === did) this.#drop(at);
    }
  }

  /** Whatever is for one of the 2^am pages around the address, whose low bits do not count. `am`: 0..63. */
  invalidatePages(did: number, hi: number, lo: number, am: number): void {
    const bits = Math.max(0, am - PAGE_BITS), words = this.#words;
    if (bits === 0) {
      const at = this.find(hi, lo, did);
      if (at >= 0) this.#drop(at);
      return;
    }
    const low = lowTag(hi, lo), high = highTag(hi, did);
    const above = Math.min(31, HIGH_SHIFT + Math.max(0, bits - 32));
    for (let at = 0; at < words.length; at += 4) {
      const differs = words[at | 1] ^ high;
      if ((differs & (VALID | 0xffff)) !== 0 || differs >>> above !== 0) continue;
      if (bits > 31 || (words[at] ^ low) >>> bits === 0) this.#drop(at);
    }
  }

  #drop(at: number): void {
    this.#words[at | 1] = 0;
    this.#live--;
  }

  /** All that is cached, in the order of the slots. */
  *entries(): Generator<PagingCacheEntry> {
    const words = this.#words;
    for (let at = 0; at < words.length; at += 4) {
      const high = words[at | 1];
      if (high === 0) continue;
      const page = ((high >>> HIGH_SHIFT) * 2 ** 32 + (words[at] >>> 0)) * PAGES;
      yield { did: high & 0xffff, page, table: words[at | 2], permission: words[at | 3] };
    }
  }
}

function lowTag(hi: number, lo: number): number {
  return (hi << 11) | (lo >>> 21);
}

function highTag(hi: number, did: number): number {
  return did | VALID | ((hi >>> 21) << HIGH_SHIFT);
}

/** Domains with the same addresses get different slots; addresses are spread. `did`: its low 16 bits count. */
function slot(low: number, did: number): number {
  return ((Math.imul(low, SPREAD) >>> 17) ^ (did & 0xffff)) << 2;
}
