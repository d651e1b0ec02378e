/**
 * Intel VT-d: the invalidation queue, its registers and descriptors (FACTS 3.3, 3.4). Numbers
 * only. A descriptor is 16 bytes, or 32 where IQA.DW says so; `_WORDn` is its n-th 32-bit word.
 */

export const DMAR_IQH_REG = 0x80;
export const DMAR_IQT_REG = 0x88;
export const DMAR_IQA_REG = 0x90;
export const DMAR_ICS_REG = 0x9c;
export const DMAR_IECTL_REG = 0xa0;
export const DMAR_IEDATA_REG = 0xa4;
export const DMAR_IEADDR_REG = 0xa8;
export const DMAR_IEUADDR_REG = 0xac;

/** IQH and IQT: byte offset into the queue, bits 4-18. */
export const DMA_IQ_OFFSET_MASK = 0x7fff0;
/** IQA, low word: QS in bits 0-2 (1 << QS pages), DW (32-byte descriptors), base from bit 12. */
export const DMA_IQA_QS_MASK = 0x7;
export const DMA_IQA_DW = 1 << 11;
/** ICS: a WAIT with the interrupt flag has completed; write-1-clear. */
export const DMA_ICS_IWC = 1 << 0;
/** IECTL: interrupt mask, and an interrupt held back by it (read-only), as in FECTL. */
export const DMA_IECTL_IM = 1 << 31;
export const DMA_IECTL_IP = 1 << 30;
/** FSTS: the queue met a descriptor it cannot carry out; write-1-clear. */
export const DMA_FSTS_IQE = 1 << 4;
export const DMA_FSTS_ICE = 1 << 5;
export const DMA_FSTS_ITE = 1 << 6;

/** Descriptor types: bits 0-3, and bits 9-11 above them. */
export const QI_TYPE_MASK = 0xf;
export const QI_TYPE_HIGH_MASK = 0xe00;
export const QI_CC_TYPE = 1;
export const QI_IOTLB_TYPE = 2;
export const QI_DIOTLB_TYPE = 3;
export const QI_IEC_TYPE = 4;
export const QI_IWD_TYPE = 5;
export const QI_EIOTLB_TYPE = 6;
export const QI_PC_TYPE = 7;
export const QI_DEIOTLB_TYPE = 8;

/** Granularity in bits 4-5. Types 1 and 2 use the numbers of CCMD and IOTLB (GRANU_GLOBAL …). */
export const QI_GRAN_SHIFT = 4;
export const QI_GRAN_MASK = 0x3;
/** Type 6: all of a PASID, or pages within it. */
export const QI_GRAN_NONG_PASID = 2;
export const QI_GRAN_PSI_PASID = 3;
/** Type 7: all PASIDs of a domain, one PASID of a domain, everything. */
export const QI_PC_ALL_PASIDS = 0;
export const QI_PC_PASID_SEL = 1;
export const QI_PC_GLOBAL = 3;

/** Types 1, 2, 6, 7: DID in bits 16-31. Type 1: SID in bits 0-15 of word 1, FM above it. */
export const QI_DID_SHIFT = 16;
export const QI_CC_FM_SHIFT_WORD1 = 16;
/** Types 6, 7: PASID in bits 0-19 of word 1. Types 2, 6: word 2 is laid out as IVA. */
export const QI_PASID_MASK_WORD1 = 0xfffff;
/** Type 5: interrupt flag, status write, fence, page-request drain; word 1 is the status. */
export const QI_IWD_INTERRUPT = 1 << 4;
export const QI_IWD_STATUS_WRITE = 1 << 5;
export const QI_IWD_FENCE = 1 << 6;
export const QI_IWD_PRQ_DRAIN = 1 << 7;
