import { FUNCTION_MASK } from "./context_cache.ts";

/**
 * A scalable context entry as the unit keeps it, in one word: bit 0 valid, bit 1 FPD, bit 2
 * PASIDE, bit 3 DTE, bits 4-6 PDTS, bit 7 PRE, bits 8-15 fault reason (0 = usable).
 */
export type PackedScalableContext = number;

/** What a context entry lets its device do with translations of its own (ATS, PRI). */
const DTE = 1 << 3, PRE = 1 << 7;

export function packScalableContext(
  pdts: number,
  paside: boolean,
  fpd: boolean,
  reason: number,
  dte = false,
  pre = false,
): PackedScalableContext {
  return (reason << 8) | (pre ? PRE : 0) | (pdts << 4) | (dte ? DTE : 0) | (paside ? 4 : 0) |
    (fpd ? 2 : 0) | 1;
}

/** The device may ask for translations, and use what it was told. */
export function scalableDte(c: PackedScalableContext): boolean {
  return (c & DTE) !== 0;
}

/** The device may ask for pages. */
export function scalablePre(c: PackedScalableContext): boolean {
  return (c & PRE) !== 0;
}

export function scalableReason(c: PackedScalableContext): number {
  return (c >>> 8) & 0xff;
}

export function scalableFpd(c: PackedScalableContext): boolean {
  return (c & 2) !== 0;
}

export function scalablePaside(c: PackedScalableContext): boolean {
  return (c & 4) !== 0;
}

/** Bits of the PASIDs its directory has entries for: 13..20. */
export function scalablePasidBits(c: PackedScalableContext): number {
  return 13 + ((c >>> 4) & 7);
}

/** One cached entry, for whoever inspects the cache. */
export interface ScalableContextCacheEntry {
  sid: number;
  /** Frame of the PASID directory. */
  directory: number;
  ridPasid: number;
  paside: boolean;
  pasidBits: number;
  fpd: boolean;
  /** 0, or the fault reason a unit in caching mode remembers. */
  reason: number;
}

/**
 * The cache of scalable-mode context entries, by source id. As {@link ContextCache}, but these
 * entries belong to no domain. Legacy entries lie in a cache of their own: a change of mode mixes
 * nothing up, and what was cached before is still there after a change back.
 */
export class ScalableContextCache {
  /** By bus: four words for each devfn: packed entry, directory frame, RID_PASID, nothing. */
  #buses: (Int32Array | undefined)[] = [];

  /** The packed entry of a source id, 0 when nothing is cached. */
  lookup(sid: number): PackedScalableContext {
    const bus = this.#buses[sid >>> 8];
    return bus === undefined ? 0 : bus[(sid & 255) << 2];
  }

  /** Frame of the PASID directory of a source id that {@link lookup} found. */
  directory(sid: number): number {
    const bus = this.#buses[sid >>> 8];
    return bus === undefined ? -1 : bus[((sid & 255) << 2) | 1];
  }

  /** Its RID_PASID. */
  ridPasid(sid: number): number {
    const bus = this.#buses[sid >>> 8];
    return bus === undefined ? -1 : bus[((sid & 255) << 2) | 2];
  }

  fill(sid: number, context: PackedScalableContext, directory: number, ridPasid: number): void {
    if (this.#buses.length === 0) this.#buses = new Array(256).fill(undefined);
    const bus = this.#buses[sid >>> 8] ??= new Int32Array(1024);
    const at = (sid & 255) << 2;
    bus[at] = context;
    bus[at | 1] = directory;
    bus[at | 2] = ridPasid;
  }

  invalidateAll(): void {
    for (const bus of this.#buses) bus?.fill(0);
  }

  /** `fm`: 0..3, how many low-order function bits, from the top one down, do not count. */
  invalidateDevice(sid: number, fm: number): void {
    const bus = this.#buses[sid >>> 8];
    if (bus === undefined) return;
    const mask = FUNCTION_MASK[fm];
    const wanted = sid & 255 & ~mask;
    for (let devfn = sid & 0xf8; devfn <= (sid & 255 | 7); devfn++) {
      if ((devfn & ~mask) === wanted) bus[devfn << 2] = 0;
    }
  }

  /** All that is cached, by ascending source id. */
  *entries(): Generator<ScalableContextCacheEntry> {
    for (let sid = 0; sid < 65536; sid++) {
      const context = this.lookup(sid);
      if (context === 0) {
        if (this.#buses[sid >>> 8] === undefined) sid |= 255;
        continue;
      }
      yield {
        sid,
        directory: this.directory(sid),
        ridPasid: this.ridPasid(sid),
        paside: scalablePaside(context),
        pasidBits: scalablePasidBits(context),
        fpd: scalableFpd(context),
        reason: scalableReason(context),
      };
    }
  }
}
