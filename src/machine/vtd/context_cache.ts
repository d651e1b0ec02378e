/**
 * A context entry as the unit keeps it, in one word:
 * bit 0 valid, bit 1 FPD, bits 2-3 TT, bits 4-6 AW, bits 8-15 fault reason (0 = usable),
 * bits 16-31 DID.
 */
export type PackedContext = number;

const VALID = 1;
const REASON_MASK = 0xff00;

/** A context entry that can be used. `did`: 0..65535. */
export function packContext(did: number, aw: number, tt: number, fpd: boolean): PackedContext {
  return (did << 16) | (aw << 4) | (tt << 2) | (fpd ? 2 : 0) | VALID;
}

/** A context entry that cannot: every request of the device ends in this fault. */
export function packBadContext(reason: number, fpd: boolean): PackedContext {
  return (reason << 8) | (fpd ? 2 : 0) | VALID;
}

export function contextReason(c: PackedContext): number {
  return (c & REASON_MASK) >>> 8;
}

export function contextFpd(c: PackedContext): boolean {
  return (c & 2) !== 0;
}

export function contextTt(c: PackedContext): number {
  return (c >>> 2) & 3;
}

export function contextAw(c: PackedContext): number {
  return (c >>> 4) & 7;
}

export function contextDid(c: PackedContext): number {
  return c >>> 16;
}

/** One cached context entry, for whoever inspects the cache. */
export interface ContextCacheEntry {
  sid: number;
  did: number;
  tt: number;
  aw: number;
  fpd: boolean;
  /** Frame of the top-level table; means nothing where `tt` is 2 or `reason` is not 0. */
  asr: number;
  /** 0, or the fault reason a unit in caching mode remembers. */
  reason: number;
}

/** Function number bits that a device-selective invalidation ignores, by FM. */
export const FUNCTION_MASK = [0, 4, 6, 7];

/**
 * The cache of context entries, by source id. An entry keeps answering, whatever becomes of the
 * tables or of the root pointer, until it is invalidated: globally, by its DID, or by its source
 * id together with its DID (FACTS 3.4). Room for every function: nothing is ever pushed out.
 */
export class ContextCache {
  /** By bus: two words for each devfn, the packed entry and the frame of its tables. */
  #buses: (Int32Array | undefined)[] = new Array(256).fill(undefined);

  /** The packed entry of a source id, 0 when nothing is cached. */
  lookup(sid: number): PackedContext {
    const bus = this.#buses[sid >>> 8];
    return bus === undefined ? 0 : bus[(sid & 255) << 1];
  }

  /** Frame of the top-level table of a source id that {@link lookup} found. */
  asr(sid: number): number {
    const bus = this.#buses[sid >>> 8];
    return bus === undefined ? -1 : bus[((sid & 255) << 1) | 1];
  }

  fill(sid: number, context: PackedContext, asr: number): void {
    const bus = this.#buses[sid >>> 8] ??= new Int32Array(512);
    bus[(sid & 255) << 1] = context;
    bus[((sid & 255) << 1) | 1] = asr;
  }

  invalidateAll(): void {
    for (let bus = 0; bus < 256; bus++) this.#buses[bus]?.fill(0);
  }

  invalidateDomain(did: number): void {
    for (let number = 0; number < 256; number++) {
      const bus = this.#buses[number];
      if (bus === undefined) continue;
      for (let at = 0; at < bus.length; at += 2) {
        if (bus[at] !== 0 && contextDid(bus[at]) === did) bus[at] = 0;
      }
    }
  }

  /** `fm`: 0..3, how many low-order function bits, from the top one down, do not count. */
  invalidateDevice(did: number, sid: number, fm: number): void {
    const bus = this.#buses[sid >>> 8];
    if (bus === undefined) return;
    const mask = FUNCTION_MASK[fm];
    const wanted = sid & 255 & ~mask;
    for (let devfn = sid & 0xf8; devfn <= (sid & 255 | 7); devfn++) {
      const entry = bus[devfn << 1];
      if ((devfn & ~mask) !== wanted || entry === 0) continue;
      if (contextDid(entry) === did) bus[devfn << 1] = 0;
    }
  }

  /** All that is cached, by ascending source id. */
  *entries(): Generator<ContextCacheEntry> {
    for (let number = 0; number < 256; number++) {
      const bus = this.#buses[number];
      if (bus === undefined) continue;
      for (let at = 0; (at = nextValid(bus, at)) < bus.length; at += 2) {
        const context = bus[at];
        yield {
          sid: (number << 8) | (at >>> 1),
          did: contextDid(context),
          tt: contextTt(context),
          aw: contextAw(context),
          fpd: contextFpd(context),
          asr: bus[at + 1],
          reason: contextReason(context),
        };
      }
    }
  }
}

/** Where the next entry is, from one on; behind the last one: there is none. */
function nextValid(bus: Int32Array, at: number): number {
  while (at < bus.length && bus[at] === 0) at += 2;
  return at;
}
