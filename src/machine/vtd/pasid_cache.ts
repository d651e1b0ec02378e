import { assert } from "../../base/assert.ts";
import { PGTT_NESTED } from "../../uapi/vtd_scalable.ts";

/**
 * A PASID entry as the unit keeps it, in one word: bit 0 valid, bit 1 FPD (of the entry or of its
 * directory entry), bits 2-4 PGTT, bits 5-7 AW of second-level or levels of first-level tables,
 * bit 8 SLADE, bits 9-11 AW of the second level under a nested first one, bits 16-31 DID. An entry that cannot be used has PGTT 0 and the fault reason in
 * bits 16-23.
 */
export type PackedPasid = number;

export function packPasid(
  did: number,
  pgtt: number,
  size: number,
  slade: boolean,
  fpd: boolean,
  under = 0,
): PackedPasid {
  return (did << 16) | (under << 9) | (slade ? 0x100 : 0) | (size << 5) | (pgtt << 2) |
    (fpd ? 2 : 0) | 1;
}

export function packBadPasid(reason: number, fpd: boolean): PackedPasid {
  return (reason << 16) | (fpd ? 2 : 0) | 1;
}

/** 0 where the entry cannot be used. */
export function pasidPgtt(p: PackedPasid): number {
  return (p >>> 2) & 7;
}

export function pasidReason(p: PackedPasid): number {
  return pasidPgtt(p) === 0 ? (p >>> 16) & 0xff : 0;
}

export function pasidFpd(p: PackedPasid): boolean {
  return (p & 2) !== 0;
}

/** AW where PGTT says second level or pass-through, levels where it says first level or nested. */
export function pasidSize(p: PackedPasid): number {
  return (p >>> 5) & 7;
}

/** AW of the second level under a nested first one. */
export function pasidUnder(p: PackedPasid): number {
  return (p >>> 9) & 7;
}

export function pasidSlade(p: PackedPasid): boolean {
  return (p & 0x100) !== 0;
}

/** 0 for an entry that cannot be used. */
export function pasidDid(p: PackedPasid): number {
  return pasidPgtt(p) === 0 ? 0 : p >>> 16;
}

/** One cached entry, for whoever inspects the cache. */
export interface PasidCacheEntry {
  sid: number;
  pasid: number;
  did: number;
  pgtt: number;
  /** Frame of the top-level table; means nothing in a pass-through entry. */
  top: number;
  /** Frame of the second-level table under it, in a nested entry. */
  under?: number;
  fpd: boolean;
  /** 0, or the fault reason a unit in caching mode remembers. */
  reason: number;
}

/**
 * The cache of PASID table entries, by source id and PASID. An entry keeps answering, whatever
 * becomes of directory and table, until it is invalidated: globally, by its DID, by DID and PASID
 * together (FACTS 3.4), or pushed out by another. Direct-mapped, four words an entry: packed
 * entry (0 = empty), source id, PASID, frame of the top-level table.
 */
export class PasidCache {
  #words: Int32Array;
  /** Second-level top tables of nested entries, by slot; none before the first such entry. */
  #under: Int32Array | undefined;
  #mask: number;

  /** `entries`: a power of two. */
  constructor(entries: number) {
    assert(entries > 0 && (entries & (entries - 1)) === 0, "PASID cache size");
    this.#words = new Int32Array(entries * 4);
    this.#mask = entries - 1;
  }

  /** The packed entry of a source id and PASID, 0 when nothing is cached. */
  lookup(sid: number, pasid: number): PackedPasid {
    const words = this.#words, at = this.#slot(sid, pasid);
    return words[at + 1] === sid && words[at + 2] === pasid ? words[at] : 0;
  }

  /** Frame of the top-level table of an entry that {@link lookup} found. */
  top(sid: number, pasid: number): number {
    return this.#words[this.#slot(sid, pasid) + 3];
  }

  /** Of a nested entry: frame of the second-level table under that. */
  under(sid: number, pasid: number): number {
    return this.#under?.[this.#slot(sid, pasid) >>> 2] ?? -1;
  }

  /** `under`: of a nested entry, the frame of its second-level table. */
  fill(sid: number, pasid: number, entry: PackedPasid, top: number, under = -1): void {
    const words = this.#words, at = this.#slot(sid, pasid);
    words[at] = entry;
    words[at + 1] = sid;
    words[at + 2] = pasid;
    words[at + 3] = top;
    if (pasidPgtt(entry) === PGTT_NESTED) {
      this.#under ??= new Int32Array(this.#mask + 1);
      this.#under[at >>> 2] = under;
    }
  }

  invalidateAll(): void {
    this.#words.fill(0);
  }

  /** Entries that cannot be used count as those of domain 0, as absent contexts do. */
  invalidateDomain(did: number): void {
    const words = this.#words;
    for (let at = 0; at < words.length; at += 4) {
      if (words[at] !== 0 && pasidDid(words[at]) === did) words[at] = 0;
    }
  }

  /** An entry that cannot be used has no DID to compare: its PASID decides. */
  invalidatePasid(did: number, pasid: number): void {
    const words = this.#words;
    for (let at = 0; at < words.length; at += 4) {
      const entry = words[at];
      if (entry === 0 || words[at + 2] !== pasid) continue;
      if (pasidPgtt(entry) === 0 || pasidDid(entry) === did) words[at] = 0;
    }
  }

  /** All that is cached, in the order of the slots. */
  *entries(): Generator<PasidCacheEntry> {
    const words = this.#words;
    for (let at = 0; at < words.length; at += 4) {
      const entry = words[at];
      if (entry === 0) continue;
      yield {
        sid: words[at + 1],
        pasid: words[at + 2],
        did: pasidDid(entry),
        pgtt: pasidPgtt(entry),
        top: words[at + 3],
        ...(pasidPgtt(entry) === PGTT_NESTED ? { under: this.#under?.[at >>> 2] ?? -1 } : {}),
        fpd: pasidFpd(entry),
        reason: pasidReason(entry),
      };
    }
  }

  #slot(sid: number, pasid: number): number {
    return ((pasid ^ (Math.imul(sid, 0x9e3779b1) >>> 16)) & this.#mask) << 2;
  }
}
