import { F_PERMISSION, F_TLB_CONFLICT } from "../../uapi/smmuv3_queues.ts";
import type { Bbml } from "./capability.ts";
import { Kind, type Regime } from "./regime.ts";
import {
  classOf,
  pageOf,
  pagesOfClass,
  Scope,
  scopeOf,
  sizeClass,
  type Tlb,
  TLB_DENIED,
  TLB_MISS,
} from "./tlb.ts";
import type { Walker } from "./walker.ts";

/**
 * Addresses to frames: the TLB, the walker, and what happens when the two disagree about the
 * SIZE of a translation, because software changed it without break-before-make (FACTS 4.3).
 *
 * Hardware may walk at any time and is struck by two translations of different size for one
 * address under one tag. This unit is as strict as the architecture lets one be: below level 2 it
 * walks again on each hit in a block or a contiguous run, so that a change of size is found
 * whichever way it went, on the first access that could meet it. A walk that fails, or ends in
 * another frame of the same size, changes nothing: the TLB goes on answering.
 *
 * - Level 0: any difference in size is a conflict.
 * - Level 1: the same, except that a block with nT set conflicts with nothing; it is not cached.
 *   A plain block cached before nT was set has to be invalidated all the same.
 * - Level 2: never a conflict; the smallest cached translation of an address answers. nT means
 *   nothing.
 *
 * After a conflict nothing was learnt: it comes back until the TLB is invalidated.
 */
export class Translator {
  /** Walks made for misses so far. */
  walks = 0;

  constructor(readonly tlb: Tlb, readonly walker: Walker, readonly bbml: Bbml) {}

  /** The frame for an address that fits the regime's input size, or `-event`. */
  translate(regime: Regime, hi: number, lo: number, need: number): number {
    const scope = regime.kind === Kind.stage2 ? Scope.stage2 : Scope.asid;
    const pfn = this.tlb.lookup(scope, regime.tag, hi, lo, need);
    if (pfn === TLB_MISS) return this.#walk(regime, hi, lo, need);
    if (this.bbml < 2 && this.tlb.hitClass > 1 && this.#sizeChanged(regime, hi, lo)) {
      return -F_TLB_CONFLICT;
    }
    return pfn === TLB_DENIED ? -F_PERMISSION : pfn;
  }

  #walk(regime: Regime, hi: number, lo: number, need: number): number {
    const { walker, tlb } = this;
    this.walks++;
    const pfn = walker.walk(regime, hi, lo, need);
    if (pfn < 0) return pfn;
    if (this.bbml === 1 && walker.noTranslation) return pfn;
    const size = sizeClass(walker.level, walker.contiguous);
    if (this.bbml < 2 && tlb.holdsSmaller(size) && this.#holdsInside(regime, hi, lo, size)) {
      return -F_TLB_CONFLICT;
    }
    const stage2 = regime.kind === Kind.stage2;
    const scope = stage2 ? Scope.stage2 : walker.global ? Scope.global : Scope.asid;
    const tag = walker.global ? regime.vmid : regime.tag;
    tlb.fill(scope, tag, hi, lo, pfn, size, walker.permission);
    return pfn;
  }

  /** After a hit: do the tables now say another size? */
  #sizeChanged(regime: Regime, hi: number, lo: number): boolean {
    const { walker, tlb } = this;
    const hit = tlb.hitClass;
    if (walker.walk(regime, hi, lo, 0) < 0) return false;
    if (this.bbml === 1 && walker.noTranslation) return false;
    return sizeClass(walker.level, walker.contiguous) !== hit;
  }

  /**
   * After a miss, so that nothing as large or larger is cached for the address: is anything
   * smaller cached inside the page of this class?
   */
  #holdsInside(regime: Regime, hi: number, lo: number, size: number): boolean {
    const words = this.tlb.words;
    const own = regime.kind === Kind.stage2 ? Scope.stage2 : Scope.asid;
    const pages = pagesOfClass(size);
    const page = (hi & 0xffff) * 1048576 + (lo >>> 12);
    const first = page - page % pages;
    for (let at = 0; at < words.length; at += 4) {
      if (words[at] === 0 || classOf(words, at) >= size) continue;
      const scope = scopeOf(words, at);
      const mine = scope === own
        ? words[at + 1] === regime.tag
        : own === Scope.asid && scope === Scope.global && words[at + 1] === regime.vmid;
      if (!mine) continue;
      const cached = pageOf(words, at);
      if (cached >= first && cached < first + pages) return true;
    }
    return false;
  }
}
