import {
  DTE_DOMAIN_MASK_WORD2,
  DTE_GV_WORD1,
  DTE_MODE_MASK,
  DTE_MODE_SHIFT,
  DTE_RESERVED,
  DTE_RESERVED_WORD1,
  DTE_SA_WORD3,
  DTE_SE_WORD3,
  DTE_TV,
  DTE_V,
} from "../../uapi/amdvi_tables.ts";
import type { Memory } from "../memory.ts";

/** What a device table entry comes to. */
export const enum DeviceKind {
  /** Nothing: an empty place in the cache. */
  none = 0,
  /** Every request is ILLEGAL_DEV_TABLE_ENTRY: reserved bits are set … */
  reserved = 1,
  /** … or Mode is none that there is. */
  badMode = 2,
  /** V = 0: requests are forwarded as they are. */
  forward = 3,
  /** V without TV: requests that need a translation are page faults. */
  noTranslation = 4,
  /** Mode 0: no tables; IR and IW decide. */
  passthrough = 5,
  tables = 6,
}

/** What a request needs, and what an entry grants: IR and IW. */
export const ACCESS_READ = 1;
export const ACCESS_WRITE = 2;

/**
 * A device table entry as the unit keeps it, in two words and one object for all requests:
 * control: kind in bits 0-2, Mode in 4-6, IR and IW in 8-9, SA 10, SE 11, quiet 12 (SE, and one
 * page fault has been logged), DomainID in 16-31; root: frame of the first table.
 */
export class DeviceEntry {
  control = 0;
  root = 0;

  get kind(): DeviceKind {
    return this.control & 7;
  }

  get mode(): number {
    return (this.control >>> 4) & 7;
  }

  /** {@link ACCESS_READ} and {@link ACCESS_WRITE}. */
  get permission(): number {
    return (this.control >>> 8) & 3;
  }

  get domain(): number {
    return this.control >>> 16;
  }

  /** No page fault of the device is logged, or none any more. */
  get quiet(): boolean {
    return (this.control & 0x1400) !== 0;
  }

  /** After a page fault was logged: was it the only one that SE lets through? */
  get quietens(): boolean {
    return (this.control & 0x800) !== 0;
  }

  /** Reads the entry at frame `pfn`, word `word`. `levels`: the most a Mode may ask for. */
  read(memory: Memory, pfn: number, word: number, levels: number): void {
    const w0 = memory.load(pfn, word), w1 = memory.load(pfn, word | 1);
    const w2 = memory.load(pfn, word | 2), w3 = memory.load(pfn, word | 3);
    const mode = (w0 >>> DTE_MODE_SHIFT) & DTE_MODE_MASK;
    const high = w1 & 0xfffff;
    this.root = high < 0x800 ? (high << 20) | (w0 >>> 12) : 0x7fffffff;
    this.control = kindOf(w0, w1, mode, levels) | (mode << 4) | (((w1 >>> 29) & 3) << 8) |
      ((w3 & DTE_SA_WORD3) !== 0 ? 0x400 : 0) | ((w3 & DTE_SE_WORD3) !== 0 ? 0x800 : 0) |
      ((w2 & DTE_DOMAIN_MASK_WORD2) << 16);
  }
}

/** Guest tables (GV) are not supported, and so are reserved. */
function kindOf(w0: number, w1: number, mode: number, levels: number): DeviceKind {
  if ((w0 & DTE_V) === 0) return DeviceKind.forward;
  if ((w0 & DTE_RESERVED) !== 0 || (w1 & (DTE_RESERVED_WORD1 | DTE_GV_WORD1)) !== 0) {
    return DeviceKind.reserved;
  }
  if ((w0 & DTE_TV) === 0) return DeviceKind.noTranslation;
  if (mode > levels) return DeviceKind.badMode;
  return mode === 0 ? DeviceKind.passthrough : DeviceKind.tables;
}
