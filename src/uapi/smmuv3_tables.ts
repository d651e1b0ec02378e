/**
 * SMMUv3 structures in memory (FACTS 4.1) and VMSAv8-64 descriptors of the 4 KiB granule (Arm ARM
 * from general knowledge). All are made of little-endian 64-bit words; `_WORDn`: the 32-bit word
 * of the structure that the bits belong to; word 0 unless said.
 */

/** Level-1 stream table descriptor, 8 bytes: Span in bits 0-4, L2Ptr in bits 6-51. */
export const L1STD_SPAN_MASK = 0x1f;

/** Stream table entry: 64 bytes. */
export const STE_WORDS = 16;
export const STE_V = 1 << 0;
export const STE_CONFIG_SHIFT = 1;
export const STE_CONFIG_MASK = 7;
export const STE_CONFIG_ABORT = 0;
export const STE_CONFIG_BYPASS = 4;
export const STE_CONFIG_S1 = 5;
export const STE_CONFIG_S2 = 6;
export const STE_CONFIG_NESTED = 7;
/** Word 1: S1CDMax in bits 27-31, above S1ContextPtr's upper bits. */
export const STE_S1CDMAX_SHIFT_WORD1 = 27;
/** Word 2: S1DSS in bits 0-1: what becomes of requests without a SubstreamID. */
export const STE_S1DSS_MASK_WORD2 = 3;
export const STE_S1DSS_TERMINATE = 0;
export const STE_S1DSS_BYPASS = 1;
export const STE_S1DSS_SSID0 = 2;
/** Word 3: SHCFG in bits 12-13, 1: the shareability that comes in. */
export const STE_SHCFG_INCOMING_WORD3 = 1 << 12;
/** Word 4: S2VMID in bits 0-15; it tags stage-1 translations too. */
export const STE_S2VMID_MASK_WORD4 = 0xffff;
/** Word 5: S2T0SZ in bits 0-5. */
export const STE_S2T0SZ_MASK_WORD5 = 0x3f;
export const STE_S2SL0_SHIFT_WORD5 = 6;
export const STE_S2TG_SHIFT_WORD5 = 14;
export const STE_S2PS_SHIFT_WORD5 = 16;
/** Walks are inner shareable, write-back: IR0, OR0 and SH0. */
export const STE_S2_WALK_CACHED_WORD5 = 1 << 8 | 1 << 10 | 3 << 12;
export const STE_S2AA64_WORD5 = 1 << 19;
export const STE_S2ENDI_WORD5 = 1 << 20;
export const STE_S2AFFD_WORD5 = 1 << 21;
export const STE_S2PTW_WORD5 = 1 << 22;
export const STE_S2S_WORD5 = 1 << 25;
export const STE_S2R_WORD5 = 1 << 26;
/** Words 6 and 7: S2TTB in bits 4-51. */

/** Context descriptor: 64 bytes. T0SZ in bits 0-5. */
export const CD_WORDS = 16;
export const CD_T0SZ_MASK = 0x3f;
export const CD_TG0_SHIFT = 6;
export const CD_EPD0 = 1 << 14;
export const CD_ENDI = 1 << 15;
export const CD_EPD1 = 1 << 30;
export const CD_V = 1 << 31;
/** Word 1: IPS in bits 0-2, ASID in bits 16-31. */
export const CD_IPS_MASK_WORD1 = 7;
export const CD_AFFD_WORD1 = 1 << 3;
export const CD_AA64_WORD1 = 1 << 9;
export const CD_S_WORD1 = 1 << 12;
export const CD_R_WORD1 = 1 << 13;
export const CD_A_WORD1 = 1 << 14;
export const CD_ASET_WORD1 = 1 << 15;
export const CD_ASID_SHIFT_WORD1 = 16;
/** Words 2 and 3: TTB0 in bits 4-51. */

/** Granule code of 4 KiB, in TG0 and S2TG alike. */
export const TG_4K = 0;

/** Descriptor: valid; at levels 0-2 bit 1 set is a table, clear a block; at level 3 it must be 1. */
export const PTE_VALID = 1 << 0;
export const PTE_TABLE = 1 << 1;
/** Stage 1: AP[1] unprivileged access, AP[2] read-only. */
export const PTE_AP_UNPRIVILEGED = 1 << 6;
export const PTE_AP_READ_ONLY = 1 << 7;
/** Stage 2: S2AP. */
export const PTE_S2AP_READ = 1 << 6;
export const PTE_S2AP_WRITE = 1 << 7;
/** Stage 2: MemAttr normal write-back; inner shareable. */
export const PTE_S2_NORMAL = 0xf << 2 | 3 << 8;
export const PTE_AF = 1 << 10;
/** Stage 1: nG, the translation belongs to one ASID. */
export const PTE_NG = 1 << 11;
/** Blocks only: nT, the level-1 promise of break-before-make (FACTS 4.3). */
export const PTE_NT = 1 << 16;
/** High word: the contiguous hint, and what a stage-1 table takes away from all below it. */
export const PTE_CONTIGUOUS_HI = 1 << 20;
export const PTE_APTABLE_PRIVILEGED_HI = 1 << 29;
export const PTE_APTABLE_READ_ONLY_HI = 1 << 30;
