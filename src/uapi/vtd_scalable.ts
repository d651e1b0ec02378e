/**
 * Intel VT-d, scalable mode: capability bits, root, context and PASID entries, first-level
 * entries (FACTS 3.1–3.3). Numbers only. A constant that ends in `_HI` belongs to the high word of
 * a 64-bit register, one that ends in `_WORDn` to the n-th 32-bit word of an entry or record, every
 * other one to the first word.
 */

import { ECAP_PRS } from "./vtd_page_requests.ts";

/** RTADDR, low word: translation table mode, as SRTP latches it. Bit 10 is SMT. */
export const DMA_RTADDR_SMT = 1 << 10;
export const DMA_RTADDR_TTM_MASK = 3 << 10;

/** ECAP.NEST, low word: nested translation. */
export const ECAP_NEST = 1 << 26;
/** ECAP, high word: PSS (PASID bits - 1), PASID, SMTS, SLADS, SLTS, FLTS, RPS. */
export const ECAP_PSS_SHIFT_HI = 3;
export const ECAP_PSS_MASK_HI = 0x1f << ECAP_PSS_SHIFT_HI;
export const ECAP_PASID_HI = 1 << 8;
export const ECAP_SMTS_HI = 1 << 11;
export const ECAP_SLADS_HI = 1 << 13;
export const ECAP_SLTS_HI = 1 << 14;
export const ECAP_FLTS_HI = 1 << 15;
export const ECAP_RPS_HI = 1 << 17;
/** CAP.FL1GP, high word: first-level pages of 1 GiB. CAP.FL5LP is among CapFields. */
export const CAP_FL1GP_HI = 1 << 24;

/** What a unit offers beyond legacy mode. */
export interface ScalableFields {
  /** SMTS: scalable-mode tables. */
  scalable: boolean;
  /** PASID and PSS: bits of the PASIDs in requests; 0 = requests carry none. */
  pasidBits: number;
  /** FLTS and SLTS: first-level and second-level tables under a PASID entry. */
  firstLevel: boolean;
  secondLevel: boolean;
  /** SLADS: accessed and dirty bits in second-level tables. */
  slads: boolean;
  /** NEST. */
  nested: boolean;
  /** RPS: requests without a PASID use RID_PASID of their context entry. */
  ridPasid: boolean;
  /** FL1GP. */
  firstLevel1GiB: boolean;
  /** PRS: a queue for page requests. */
  pageRequests: boolean;
}

/** The bits to be set beside those of legacy mode. */
export function encodeScalable(
  f: ScalableFields,
): { capHigh: number; ecapLow: number; ecapHigh: number } {
  const pasid = f.pasidBits === 0 ? 0 : (f.pasidBits - 1) << ECAP_PSS_SHIFT_HI | ECAP_PASID_HI;
  return {
    capHigh: f.firstLevel1GiB ? CAP_FL1GP_HI : 0,
    ecapLow: (f.nested ? ECAP_NEST : 0) | (f.pageRequests ? ECAP_PRS : 0),
    ecapHigh: pasid | (f.scalable ? ECAP_SMTS_HI : 0) | (f.slads ? ECAP_SLADS_HI : 0) |
      (f.secondLevel ? ECAP_SLTS_HI : 0) | (f.firstLevel ? ECAP_FLTS_HI : 0) |
      (f.ridPasid ? ECAP_RPS_HI : 0),
  };
}

export function decodeScalable(
  capHigh: number,
  ecapLow: number,
  ecapHigh: number,
): ScalableFields {
  const pss = (ecapHigh & ECAP_PSS_MASK_HI) >>> ECAP_PSS_SHIFT_HI;
  return {
    scalable: (ecapHigh & ECAP_SMTS_HI) !== 0,
    pasidBits: (ecapHigh & ECAP_PASID_HI) === 0 ? 0 : pss + 1,
    firstLevel: (ecapHigh & ECAP_FLTS_HI) !== 0,
    secondLevel: (ecapHigh & ECAP_SLTS_HI) !== 0,
    slads: (ecapHigh & ECAP_SLADS_HI) !== 0,
    nested: (ecapLow & ECAP_NEST) !== 0,
    ridPasid: (ecapHigh & ECAP_RPS_HI) !== 0,
    firstLevel1GiB: (capHigh & CAP_FL1GP_HI) !== 0,
    pageRequests: (ecapLow & ECAP_PRS) !== 0,
  };
}

/** PASIDs have at most 20 bits. */
export const PASID_BITS = 20;

/**
 * Scalable context entry: 32 bytes, 128 in a table, by devfn & 0x7f. Bits 12-63 of the first two
 * words are the PASID directory; the third word's bits 0-19 are RID_PASID.
 */
export const SM_CONTEXT_P = 1 << 0;
export const SM_CONTEXT_FPD = 1 << 1;
export const SM_CONTEXT_DTE = 1 << 2;
export const SM_CONTEXT_PASIDE = 1 << 3;
export const SM_CONTEXT_PRE = 1 << 4;
/** PDTS: the directory has 1 << (PDTS + 7) entries. */
export const SM_CONTEXT_PDTS_SHIFT = 9;
export const SM_CONTEXT_PDTS_MASK = 0x7;
export const SM_CONTEXT_RID_PASID_MASK_WORD2 = 0xfffff;

/** PASID directory entry: 8 bytes, by PASID >> 6; the address of a table is in bits 12-63. */
export const PASID_DIR_P = 1 << 0;
export const PASID_DIR_FPD = 1 << 1;
/** PASIDs under one directory entry: 1 << 6. */
export const PASID_TABLE_BITS = 6;

/** PASID table entry: 64 bytes. Words 0 and 1 hold SLPTPTR, words 4 and 5 FLPTPTR. */
export const PASID_P = 1 << 0;
export const PASID_FPD = 1 << 1;
export const PASID_AW_SHIFT = 2;
export const PASID_AW_MASK = 0x7;
export const PASID_PGTT_SHIFT = 6;
export const PASID_PGTT_MASK = 0x7;
export const PASID_SLADE = 1 << 9;
export const PASID_DID_MASK_WORD2 = 0xffff;
export const PASID_FLPM_SHIFT_WORD4 = 2;
export const PASID_FLPM_MASK_WORD4 = 0x3;
/** PGTT: how a PASID's addresses are translated. */
export const PGTT_FIRST_LEVEL = 1;
export const PGTT_SECOND_LEVEL = 2;
export const PGTT_NESTED = 3;
export const PGTT_PASS_THROUGH = 4;

/** Second-level entry: accessed and dirty, where SLADE is set (FACTS 3.2). */
export const DMA_SL_PTE_ACCESSED = 1 << 8;
export const DMA_SL_PTE_DIRTY = 1 << 9;

/** First-level entry, as the processor's own (FACTS 3.2); the address is in bits 12-51. */
export const DMA_FL_PTE_PRESENT = 1 << 0;
export const DMA_FL_PTE_WRITE = 1 << 1;
export const DMA_FL_PTE_US = 1 << 2;
export const DMA_FL_PTE_ACCESSED = 1 << 5;
export const DMA_FL_PTE_DIRTY = 1 << 6;
export const DMA_FL_PTE_LARGE_PAGE = 1 << 7;

/** Fault record: PP, a PASID is present, in the third word; its value in the fourth. */
export const DMA_FRCD_PP_WORD2 = 1 << 31;
export const DMA_FRCD_PASID_SHIFT_WORD3 = 8;
export const DMA_FRCD_PASID_MASK_WORD3 = 0xfffff;
