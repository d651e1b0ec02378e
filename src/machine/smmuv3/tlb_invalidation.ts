import { LAST_CLASS, pageOf, pagesOf, Scope, scopeOf, type Tlb } from "./tlb.ts";

/**
 * What TLBI commands take out of the cache: each what it must, and no more. Stage-1 scopes are
 * `asid` and `global`. `pages`: a count of 4 KiB pages from the address on; an entry of any size
 * goes when it touches one of them.
 */

/** One ASID's own translations; its VMID's global ones stay. */
export function invalidateAsid(tlb: Tlb, tag: number): void {
  const words = tlb.words;
  for (let at = 0; at < words.length; at += 4) {
    if (scopeOf(words, at) === Scope.asid && words[at + 1] === tag) words[at] = 0;
  }
}

/** All of a VMID: stage 1 only, or both stages. */
export function invalidateVmid(tlb: Tlb, vmid: number, stage2Too: boolean): void {
  const words = tlb.words;
  for (let at = 0; at < words.length; at += 4) {
    if (words[at] === 0 || (words[at + 1] & 0xffff) !== vmid) continue;
    if (stage2Too || scopeOf(words, at) !== Scope.stage2) words[at] = 0;
  }
}

/** Some pages of one ASID, and of the VMID's global translations. */
export function invalidateVa(
  tlb: Tlb,
  tag: number,
  hi: number,
  lo: number,
  pages: number,
): void {
  if (pages === 1) {
    forgetPage(tlb, Scope.asid, tag, hi, lo);
    forgetPage(tlb, Scope.global, tag & 0xffff, hi, lo);
    return;
  }
  const words = tlb.words;
  for (let at = 0; at < words.length; at += 4) {
    const scope = scopeOf(words, at);
    const mine = scope === Scope.asid
      ? words[at + 1] === tag
      : scope === Scope.global && words[at + 1] === (tag & 0xffff);
    if (mine && touches(words, at, hi, lo, pages)) words[at] = 0;
  }
}

/** Some pages of every ASID of a VMID. */
export function invalidateVaAllAsids(
  tlb: Tlb,
  vmid: number,
  hi: number,
  lo: number,
  pages: number,
): void {
  const words = tlb.words;
  for (let at = 0; at < words.length; at += 4) {
    const scope = scopeOf(words, at);
    if (scope !== Scope.asid && scope !== Scope.global) continue;
    if ((words[at + 1] & 0xffff) === vmid && touches(words, at, hi, lo, pages)) words[at] = 0;
  }
}

/** Some pages of a VMID's stage 2. */
export function invalidateIpa(
  tlb: Tlb,
  vmid: number,
  hi: number,
  lo: number,
  pages: number,
): void {
  if (pages === 1) return forgetPage(tlb, Scope.stage2, vmid, hi, lo);
  const words = tlb.words;
  for (let at = 0; at < words.length; at += 4) {
    if (scopeOf(words, at) !== Scope.stage2 || words[at + 1] !== vmid) continue;
    if (touches(words, at, hi, lo, pages)) words[at] = 0;
  }
}

/** The entries, of any size, that hold one address. */
function forgetPage(tlb: Tlb, scope: Scope, tag: number, hi: number, lo: number): void {
  for (let size = 1; size <= LAST_CLASS; size++) {
    const at = tlb.find(scope, tag, hi, lo, size);
    if (at >= 0) tlb.words[at] = 0;
  }
}

function touches(words: Int32Array, at: number, hi: number, lo: number, pages: number): boolean {
  const first = (hi & 0xffff) * 1048576 + (lo >>> 12);
  const page = pageOf(words, at);
  return page < first + pages && page + pagesOf(words, at) > first;
}
