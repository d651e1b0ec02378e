/**
 * AMD-Vi structures in memory (FACTS 4.4; 48882 from general knowledge), made of little-endian
 * 64-bit words. `_WORDn`: the 32-bit word of the entry that the bits belong to; word 0 unless
 * said; `_HI`: the high word of a 64-bit one.
 */

/** Device table entry: 32 bytes. */
export const DTE_WORDS = 8;
export const DTE_V = 1 << 0;
export const DTE_TV = 1 << 1;
/** Mode in bits 9-11: levels of table, 0 = none, 7 = reserved. Root in bits 12-51. */
export const DTE_MODE_SHIFT = 9;
export const DTE_MODE_MASK = 7;
export const DTE_RESERVED = 0x7c;
/** Word 1: GV (bit 55 of the entry), IR, IW, and reserved bit 63. */
export const DTE_GV_WORD1 = 1 << 23;
export const DTE_IR_WORD1 = 1 << 29;
export const DTE_IW_WORD1 = 1 << 30;
export const DTE_RESERVED_WORD1 = 1 << 31;
/** Word 2: DomainID in bits 0-15. */
export const DTE_DOMAIN_MASK_WORD2 = 0xffff;
/** Word 3: SE (log the first page fault only), SA (log none). */
export const DTE_SE_WORD3 = 1 << 1;
export const DTE_SA_WORD3 = 1 << 2;

/** Page-table entry, version 1: PR, NextLevel in bits 9-11, address in bits 12-51. */
export const AMDVI_PTE_PR = 1 << 0;
export const AMDVI_PTE_NEXT_LEVEL_SHIFT = 9;
export const AMDVI_PTE_NEXT_LEVEL_MASK = 7;
/** NextLevel 0: a page of the level's own size; 7: the size is told by the address. */
export const AMDVI_NEXT_LEVEL_PAGE = 0;
export const AMDVI_NEXT_LEVEL_SIZED = 7;
export const AMDVI_PTE_RESERVED_HI = 0x7f00000;
export const AMDVI_PTE_FC_HI = 1 << 28;
export const AMDVI_PTE_IR_HI = 1 << 29;
export const AMDVI_PTE_IW_HI = 1 << 30;
