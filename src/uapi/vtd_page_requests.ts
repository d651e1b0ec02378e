/**
 * Intel VT-d: page requests of devices (PRI). Registers, the descriptors in the page request queue,
 * and those of the invalidation queue that answer a device or empty its own cache of translations
 * (ATS). Numbers only, from Linux's drivers/iommu/intel (iommu.h, prq.c). `_WORDn` is the n-th 32-bit
 * word of a descriptor.
 */

/** Head and tail: byte offsets into the queue; the queue; its status; its interrupt. */
export const DMAR_PQH_REG = 0xc0;
export const DMAR_PQT_REG = 0xc8;
export const DMAR_PQA_REG = 0xd0;
export const DMAR_PRS_REG = 0xdc;
export const DMAR_PECTL_REG = 0xe0;
export const DMAR_PEDATA_REG = 0xe4;
export const DMAR_PEADDR_REG = 0xe8;
export const DMAR_PEUADDR_REG = 0xec;

/** PQA, low word: PQS in bits 0-2 (1 << PQS pages), base from bit 12. */
export const DMA_PQA_PQS_MASK = 0x7;
/** PQH and PQT: bits 5-18. */
export const DMA_PQ_OFFSET_MASK = 0x7ffe0;
/** PRS: a request is pending; one was lost for want of room. Both write-1-clear. */
export const DMA_PRS_PPR = 1 << 0;
export const DMA_PRS_PRO = 1 << 1;

/** ECAP, low word: PRS, page requests. DT, device-TLBs, is among EcapFields. */
export const ECAP_PRS = 1 << 29;

/** Bytes of a page request descriptor. */
export const PAGE_REQ_BYTES = 32;
/** Word 0: type, and PASID-present; the source id is in bits 16-31. */
export const PAGE_REQ_TYPE = 1;
export const PAGE_REQ_TYPE_MASK = 0xff;
export const PAGE_REQ_PASID_PRESENT = 1 << 8;
export const PAGE_REQ_RID_SHIFT = 16;
/** Word 1: PASID in bits 0-19. Word 2: what it wants to do, last in its group, group, address. */
export const PAGE_REQ_PASID_MASK_WORD1 = 0xfffff;
export const PAGE_REQ_READ_WORD2 = 1 << 0;
export const PAGE_REQ_WRITE_WORD2 = 1 << 1;
export const PAGE_REQ_LPIG_WORD2 = 1 << 2;
export const PAGE_REQ_PRGI_SHIFT_WORD2 = 3;
/** Page request group indexes are 9 bits wide. */
export const PRGI_MASK = 0x1ff;

/** Page group response, a descriptor of the invalidation queue. */
export const QI_PGRP_RESP_TYPE = 9;
/** Word 0: PASID-present, code in bits 12-15, source id above. Word 1: PASID. */
export const QI_PGRP_PASID_PRESENT = 1 << 4;
export const QI_PGRP_CODE_SHIFT = 12;
export const QI_PGRP_CODE_MASK = 0xf;
export const QI_PGRP_RID_SHIFT = 16;
/** Word 2: last page in group, then the group's index. */
export const QI_PGRP_LPIG_WORD2 = 1 << 2;
export const QI_PGRP_IDX_SHIFT_WORD2 = 3;
/** What a response says (PCI Express 10.4.2.2): ask again or go on; no such page; ask no more. */
export const QI_RESP_SUCCESS = 0x0;
export const QI_RESP_INVALID = 0x1;
export const QI_RESP_FAILURE = 0xf;

/** Device-TLB invalidation, type 3: source id in word 1; word 2 is the address, with S in bit 0. */
export const QI_DEV_IOTLB_SID_MASK_WORD1 = 0xffff;
export const QI_DEV_IOTLB_SIZE_WORD2 = 1 << 0;
/** The same for a PASID, type 8: source id in word 0; PASID in word 1; S in bit 11 of word 2. */
export const QI_DEV_EIOTLB_SID_SHIFT = 16;
export const QI_DEV_EIOTLB_PASID_MASK_WORD1 = 0xfffff;
export const QI_DEV_EIOTLB_SIZE_WORD2 = 1 << 11;
