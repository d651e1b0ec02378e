import { assert } from "../../base/assert.ts";
import { ACCESS_READ, ACCESS_WRITE } from "./walker.ts";

/**
 * A permission beside R and W: writing is granted, but D is not set in the tables yet, so that a
 * write has to walk.
 */
export const ACCESS_WRITE_WALKS = 4;
const PERMISSION = ACCESS_READ | ACCESS_WRITE | ACCESS_WRITE_WALKS;

/** {@link Iotlb.lookup}: nothing cached, or cached without the permission that is needed. */
export const IOTLB_MISS = -1;
/** The same as the compiler can see it: what a module exports is looked up at each use. */
const MISS = -1;
export const IOTLB_DENIED = -2;

/** Word 0 of a 4 KiB entry beside the address; the levels an empty cache has to look at. */
const SMALL_PAGE = 1 << 29;
const ONLY_SMALL = 1 << 1;
/** Word 0 of an entry that has a PASID in its tag, and what stands for the PASID of one without. */
const TAGGED = 1 << 31;
const UNTAGGED = -1;
/** An odd number whose product spreads neighbours over all slots. */
const SPREAD = 0x9e3779b1 | 0;
/** Word 3: place of the PASID. */
const PASID_SHIFT = 8;
/** High word of an address: bits 32-56. The bits above repeat bit 47 or 56 where PASIDs are. */
const HIGH_ADDRESS = 0x1ffffff;

/** One cached translation, for whoever inspects the cache. */
export interface IotlbEntry {
  did: number;
  /** Of a first-level or nested translation only. */
  pasid?: number;
  /** First page of the translation, in 4 KiB pages of the address space; below 2^45. */
  page: number;
  /** First frame. */
  pfn: number;
  /** Bytes: 4 KiB, 2 MiB or 1 GiB. */
  size: number;
  read: boolean;
  /** False too where a write has to walk again to set D; then `writeWalks` says so. */
  write: boolean;
  writeWalks: boolean;
}

/**
 * The cache of finished translations, tagged by domain id (FACTS 3.4), those of first-level
 * tables, alone or over second-level ones, by PASID too: it neither knows nor looks at the tables again, so what it holds stays
 * until it is invalidated under the right tag or pushed out by another entry.
 *
 * Direct-mapped, four words an entry:
 * - 0: page size as a level (1..3, 0 = empty) in bits 29-30; address bits 28-56; bit 31: PASID
 * - 1: address bits 12-27 in bits 16-31; DID in bits 0-15
 * - 2: first frame
 * - 3: R, W and {@link ACCESS_WRITE_WALKS}; PASID in bits 8-27
 */
export class Iotlb {
  /** What the entry that led to {@link IOTLB_DENIED} grants. */
  granted = 0;
  #words: Int32Array;
  /** Which words can be an entry's first. */
  #mask = 0;
  /** Bit n: entries of level n may be present. Level 1 always counts as present. */
  #levels = ONLY_SMALL;

  /** `entries`: a power of two, at most 65536. */
  constructor(entries: number) {
    assert(entries > 0 && entries <= 65536 && (entries & (entries - 1)) === 0, "IOTLB size");
    this.#words = new Int32Array(entries * 4);
    this.#mask = (entries - 1) << 2;
  }

  /**
   * The frame for the 4 KiB page of an address below 2^57, as far as one look can tell: any other
   * answer than {@link IOTLB_MISS} is what {@link lookup} says too.
   */
  hit(hi: number, lo: number, did: number, need: number): number {
    const words = this.#words;
    const page = (hi << 20) | (lo >>> 12);
    const high = SMALL_PAGE | (hi << 4) | (lo >>> 28), low = did | (page << 16);
    // What #slot says of a small page without a PASID.
    const at = ((page << 2) ^ (Math.imul(high ^ (did << 13), SPREAD) >>> 12)) & this.#mask;
    // No branch leaves from here: whatever else there is to do is the caller's.
    return words[at] === high && words[at | 1] === low && (words[at | 3] & need) !== 0
      ? words[at | 2]
      : MISS;
  }

  /**
   * The frame for the 4 KiB page of an address below 2^57, {@link IOTLB_MISS} or
   * {@link IOTLB_DENIED}. `need`: ACCESS_READ or ACCESS_WRITE.
   */
  lookup(hi: number, lo: number, did: number, need: number): number {
    const last = this.#levels === ONLY_SMALL ? 1 : 3;
    return this.#lookup(last, hi, lo, did, UNTAGGED, need);
  }

  /** The same for first-level tables: an address of 64 bits, under a PASID. */
  lookupPasid(hi: number, lo: number, did: number, pasid: number, need: number): number {
    return this.#lookup(3, hi & HIGH_ADDRESS, lo, did, pasid, need);
  }

  #lookup(
    last: number,
    hi: number,
    lo: number,
    did: number,
    pasid: number,
    need: number,
  ): number {
    for (let level = 1; level <= last; level++) {
      if (((this.#levels >>> level) & 1) === 0) continue;
      const at = this.#find(hi, lo, did, level, pasid);
      if (at < 0) continue;
      if ((this.#words[at + 3] & need) === 0) return this.#deny(at);
      return this.#words[at + 2] | ((lo >>> 12) & ((1 << (9 * (level - 1))) - 1));
    }
    return IOTLB_MISS;
  }

  #deny(at: number): number {
    const granted = this.#words[at + 3] & PERMISSION;
    this.granted = granted;
    return (granted & ACCESS_WRITE_WALKS) !== 0 ? IOTLB_MISS : IOTLB_DENIED;
  }

  /**
   * Caches a translation. `pfn`: frame of the address's 4 KiB page; `level`: 1..3, the level of
   * the leaf; `permission`: R and W bits, 0 = known to be absent.
   */
  fill(hi: number, lo: number, did: number, pfn: number, level: number, permission: number): void {
    const high = tagHigh(hi, lo, level), low = tagLow(lo, did, level);
    this.#store(this.#slot(high, low, level, 0), high, low, pfn, level, permission);
  }

  fillPasid(
    hi: number,
    lo: number,
    did: number,
    pasid: number,
    pfn: number,
    level: number,
    permission: number,
  ): void {
    const high = tagHigh(hi & HIGH_ADDRESS, lo, level) | TAGGED, low = tagLow(lo, did, level);
    const at = this.#slot(high, low, level, pasid);
    this.#store(at, high, low, pfn, level, permission | (pasid << PASID_SHIFT));
  }

  #store(at: number, high: number, low: number, pfn: number, level: number, last: number): void {
    const words = this.#words;
    words[at] = high;
    words[at + 1] = low;
    words[at + 2] = pfn & ~((1 << (9 * (level - 1))) - 1);
    words[at + 3] = last;
    this.#levels |= 1 << level;
  }

  invalidateAll(): void {
    this.#words.fill(0);
    this.#levels = ONLY_SMALL;
  }

  /** Whatever is tagged with the domain, under whichever PASID. */
  invalidateDomain(did: number): void {
    const words = this.#words;
    for (let at = 0; at < words.length; at += 4) {
      if (words[at] !== 0 && (words[at + 1] & 0xffff) === did) words[at] = 0;
    }
  }

  /** Whatever is tagged with the domain and the PASID. */
  invalidatePasid(did: number, pasid: number): void {
    const words = this.#words;
    for (let at = 0; at < words.length; at += 4) {
      if ((words[at + 1] & 0xffff) === did && this.#tagIs(at, pasid)) words[at] = 0;
    }
  }

  /**
   * Invalidates whatever has no PASID in its tag and touches the 2^am pages around the address
   * (the low `am` bits of its page number do not count), superpages as a whole. `am`: 0..63.
   */
  invalidatePages(did: number, hi: number, lo: number, am: number): void {
    this.#invalidatePages(did, UNTAGGED, hi, lo, am);
  }

  /** The same for what is tagged with this PASID; an address of 64 bits. */
  invalidatePasidPages(did: number, pasid: number, hi: number, lo: number, am: number): void {
    this.#invalidatePages(did, pasid, hi & HIGH_ADDRESS, lo, am);
  }

  #invalidatePages(did: number, pasid: number, hi: number, lo: number, am: number): void {
    if (am > 16 || (1 << am) > this.#mask >>> 2) return this.#scanPages(did, pasid, hi, lo, am);
    const first = lo & ~((1 << (am + 12)) - 1);
    for (let level = 1; level <= 3; level++) {
      if (((this.#levels >>> level) & 1) === 0) continue;
      const bits = 9 * (level - 1);
      const count = am > bits ? 1 << (am - bits) : 1;
      for (let i = 0; i < count; i++) {
        const at = this.#find(hi, first | (i << (12 + bits)), did, level, pasid);
        if (at >= 0) this.#words[at] = 0;
      }
    }
  }

  /** All that is cached, in the order of the slots. */
  *entries(): Generator<IotlbEntry> {
    const words = this.#words;
    for (let at = 0; (at = nextFilled(words, at)) < words.length; at += 4) {
      const level = (words[at] >>> 29) & 3;
      const tagged = words[at] < 0 ? { pasid: (words[at + 3] >>> PASID_SHIFT) & 0xfffff } : {};
      yield {
        did: words[at + 1] & 0xffff,
        ...tagged,
        page: (words[at] & 0x1fffffff) * 65536 + (words[at + 1] >>> 16),
        pfn: words[at + 2],
        size: 4096 * 512 ** (level - 1),
        read: (words[at + 3] & ACCESS_READ) !== 0,
        write: (words[at + 3] & ACCESS_WRITE) !== 0,
        writeWalks: (words[at + 3] & ACCESS_WRITE_WALKS) !== 0,
      };
    }
  }

  /** Where the page that holds the address is cached under this size and tag, -1 if it is not. */
  #find(hi: number, lo: number, did: number, level: number, pasid: number): number {
    const tagged = pasid !== UNTAGGED;
    const high = tagHigh(hi, lo, level) | (tagged ? TAGGED : 0), low = tagLow(lo, did, level);
    const at = this.#slot(high, low, level, tagged ? pasid : 0);
    if (this.#words[at] !== high || this.#words[at + 1] !== low) return -1;
    return !tagged || this.#tagIs(at, pasid) ? at : -1;
  }

  #tagIs(at: number, pasid: number): boolean {
    const words = this.#words;
    return pasid === UNTAGGED
      ? words[at] > 0
      : words[at] < 0 && ((words[at + 3] >>> PASID_SHIFT) & 0xfffff) === pasid;
  }

  /** Neighbouring pages of a domain get neighbouring slots; domains and PASIDs are spread. */
  #slot(high: number, low: number, level: number, pasid: number): number {
    const page = ((high << 16) | (low >>> 16)) >>> (9 * (level - 1));
    const spread = Math.imul(high ^ ((low & 0xffff) << 13) ^ pasid, SPREAD) >>> 14;
    return ((page ^ spread) << 2) & this.#mask;
  }

  #scanPages(did: number, pasid: number, hi: number, lo: number, am: number): void {
    const words = this.#words;
    const high = tagHigh(hi, lo, 1) & 0x1fffffff, low = lo >>> 12 & 0xffff;
    for (let at = 0; at < words.length; at += 4) {
      const tag = words[at];
      if ((words[at + 1] & 0xffff) !== did || !this.#tagIs(at, pasid)) continue;
      const bits = Math.max(am, 9 * (((tag >>> 29) & 3) - 1));
      const differs = (tag & 0x1fffffff) ^ high;
      const touches = bits > 16
        ? differs >>> Math.min(bits - 16, 31) === 0
        : differs === 0 && ((words[at + 1] >>> 16) ^ low) >>> bits === 0;
      if (touches) words[at] = 0;
    }
  }
}

/** Word 0 of the entry for a page of this size. */
function tagHigh(hi: number, lo: number, level: number): number {
  const bits = (hi << 4) | (lo >>> 28);
  return (level << 29) | (level === 3 ? bits & ~3 : bits);
}

/** Word 1 of the entry for a page of this size. */
function tagLow(lo: number, did: number, level: number): number {
  const bits = (lo << 4) & 0xffff0000;
  return did | (level === 1 ? bits : level === 2 ? bits & 0xfe000000 : 0);
}

/** Where the next entry is, from one on; behind the last one: there is none. */
function nextFilled(words: Int32Array, at: number): number {
  while (at < words.length && ((words[at] >>> 29) & 3) === 0) at += 4;
  return at;
}
