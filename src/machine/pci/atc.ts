import { ALL_PAGES } from "../ats.ts";

/** A translation a device remembers, for whoever inspects the cache. */
export interface AtcEntry {
  /** -1: of requests without a PASID. */
  readonly pasid: number;
  /** Page number: IOVA / 4 KiB. */
  readonly page: number;
  readonly pfn: number;
  readonly write: boolean;
}

const SLOTS = 64, WORDS = 5;
const VALID = 1, WRITE = 2;

/**
 * A device's own cache of translations: 64 pages of 4 KiB, direct-mapped. The IOMMU is not asked again
 * for what is in here, so that whoever takes a mapping away has to say so to the device as well.
 */
export class Atc {
  /** Flags, PASID, high word, low word of the page, frame. */
  readonly #words = new Int32Array(SLOTS * WORDS);

  /** A frame, or -1 where nothing is known that would do. */
  lookup(pasid: number, hi: number, lo: number, write: boolean): number {
    const words = this.#words, at = slot(pasid, hi, lo);
    const flags = words[at];
    if (flags === 0 || words[at + 1] !== pasid || words[at + 2] !== (hi | 0)) return -1;
    if (words[at + 3] !== (lo & ~0xfff) || (write && (flags & WRITE) === 0)) return -1;
    return words[at + 4];
  }

  fill(pasid: number, hi: number, lo: number, write: boolean, pfn: number): void {
    const words = this.#words, at = slot(pasid, hi, lo);
    words[at] = VALID | (write ? WRITE : 0);
    words[at + 1] = pasid;
    words[at + 2] = hi;
    words[at + 3] = lo & ~0xfff;
    words[at + 4] = pfn;
  }

  invalidateAll(): void {
    this.#words.fill(0);
  }

  /** Forgets `2 ** order` pages of a PASID from an address on. */
  invalidate(pasid: number, hi: number, lo: number, order: number): void {
    const words = this.#words;
    const first = pageOf(hi, lo), count = 2 ** order;
    for (let at = 0; at < words.length; at += WORDS) {
      if (words[at] === 0 || words[at + 1] !== pasid) continue;
      const page = pageOf(words[at + 2], words[at + 3]);
      if (order >= ALL_PAGES || (page >= first && page < first + count)) words[at] = 0;
    }
  }

  *entries(): Generator<AtcEntry> {
    const words = this.#words;
    for (let at = 0; at < words.length; at += WORDS) {
      const flags = words[at];
      if (flags === 0) continue;
      const page = pageOf(words[at + 2], words[at + 3]);
      yield { pasid: words[at + 1], page, pfn: words[at + 4], write: (flags & WRITE) !== 0 };
    }
  }
}

function pageOf(hi: number, lo: number): number {
  return (hi >>> 0) * 1048576 + (lo >>> 12);
}

function slot(pasid: number, hi: number, lo: number): number {
  return (((lo >>> 12) ^ (lo >>> 18) ^ hi ^ pasid) & (SLOTS - 1)) * WORDS;
}
