import { SM_FAULT_TEXTS } from "./vtd_sm_faults.ts";

/**
 * Intel VT-d, legacy mode: registers, table entries and fault reasons (FACTS 3.1–3.5). Numbers
 * only. A 64-bit register or entry is two 32-bit words; a constant that ends in `_HI` belongs to
 * the high word, every other one to the low word or to a 32-bit register.
 */

/** Register offsets in bytes from the unit's register base. */
export const DMAR_VER_REG = 0x00;
export const DMAR_CAP_REG = 0x08;
export const DMAR_ECAP_REG = 0x10;
export const DMAR_GCMD_REG = 0x18;
export const DMAR_GSTS_REG = 0x1c;
export const DMAR_RTADDR_REG = 0x20;
export const DMAR_CCMD_REG = 0x28;
export const DMAR_FSTS_REG = 0x34;
export const DMAR_FECTL_REG = 0x38;
export const DMAR_FEDATA_REG = 0x3c;
export const DMAR_FEADDR_REG = 0x40;
export const DMAR_FEUADDR_REG = 0x44;
export const DMAR_PMEN_REG = 0x64;
/** Offsets from ECAP.IRO * 16. */
export const DMAR_IVA_REG = 0x00;
export const DMAR_IOTLB_REG = 0x08;
/** Bytes of one fault recording register; the first lies at CAP.FRO * 16. */
export const DMAR_FRCD_SIZE = 16;

/** GCMD is write-only; GSTS shows the state under the same bit numbers. */
export const DMA_GCMD_TE = 1 << 31;
export const DMA_GCMD_SRTP = 1 << 30;
export const DMA_GCMD_WBF = 1 << 27;
export const DMA_GCMD_QIE = 1 << 26;
export const DMA_GCMD_IRE = 1 << 25;
export const DMA_GCMD_SIRTP = 1 << 24;
export const DMA_GCMD_CFI = 1 << 23;
export const DMA_GSTS_TES = 1 << 31;
export const DMA_GSTS_RTPS = 1 << 30;
export const DMA_GSTS_QIES = 1 << 26;
export const DMA_GSTS_IRES = 1 << 25;

/** CCMD, high word: ICC, requested granularity (CIRG), performed granularity (CAIG), FM. */
export const DMA_CCMD_ICC_HI = 1 << 31;
export const DMA_CCMD_CIRG_SHIFT_HI = 29;
export const DMA_CCMD_CAIG_SHIFT_HI = 27;
export const DMA_CCMD_FM_MASK_HI = 0x3;
/** CCMD, low word: DID in bits 0-15, SID in bits 16-31. */
export const DMA_CCMD_SID_SHIFT = 16;

/** IOTLB, high word: IVT, requested (IIRG) and performed (IAIG) granularity, drains, DID 0-15. */
export const DMA_TLB_IVT_HI = 1 << 31;
export const DMA_TLB_IIRG_SHIFT_HI = 28;
export const DMA_TLB_IAIG_SHIFT_HI = 25;
export const DMA_TLB_READ_DRAIN_HI = 1 << 17;
export const DMA_TLB_WRITE_DRAIN_HI = 1 << 16;

/** Granularities of CCMD (2 bits) and IOTLB (2 bits). Performed 0 = the request was refused. */
export const GRANU_NONE = 0;
export const GRANU_GLOBAL = 1;
export const GRANU_DOMAIN = 2;
/** CCMD only: device-selective. */
export const GRANU_DEVICE = 3;
/** IOTLB only: page-selective within a domain. */
export const GRANU_PAGE = 3;

/** IVA, low word: AM (log2 of pages) in bits 0-5, IH in bit 6, address from bit 12. */
export const DMA_IVA_AM_MASK = 0x3f;
export const DMA_IVA_IH = 1 << 6;

/** FSTS. PFO is write-1-clear; PPF follows the records' F bits; FRI is in bits 8-15. */
export const DMA_FSTS_PFO = 1 << 0;
export const DMA_FSTS_PPF = 1 << 1;
export const DMA_FSTS_FRI_SHIFT = 8;
/** FECTL: interrupt mask, and an interrupt held back by it (read-only). */
export const DMA_FECTL_IM = 1 << 31;
export const DMA_FECTL_IP = 1 << 30;

/** Fault record, fourth word: F valid (write-1-clear), T (1 = read), reason in bits 0-7. */
export const DMA_FRCD_F_WORD3 = 1 << 31;
export const DMA_FRCD_T_WORD3 = 1 << 30;
export const DMA_FRCD_REASON_MASK_WORD3 = 0xff;
/** Fault record, third word: source id in bits 0-15. */
export const DMA_FRCD_SID_MASK_WORD2 = 0xffff;

/** PMEN: enable, and its status. */
export const DMA_PMEN_EPM = 1 << 31;
export const DMA_PMEN_PRS = 1 << 0;

/** Root entry: 16 bytes, 256 in a table, by bus. Low word; the address is in bits 12-63. */
export const ROOT_ENTRY_P = 1 << 0;
/** Context entry: 16 bytes, 256 in a table, by devfn. First word; ASR is in bits 12-63. */
export const CONTEXT_P = 1 << 0;
export const CONTEXT_FPD = 1 << 1;
export const CONTEXT_TT_SHIFT = 2;
export const CONTEXT_TT_MASK = 0x3;
/** Translation types. */
export const CONTEXT_TT_MULTI_LEVEL = 0;
export const CONTEXT_TT_DEV_IOTLB = 1;
export const CONTEXT_TT_PASS_THROUGH = 2;
/** Context entry, third word: AW in bits 0-2, bits 3-6 available to software, DID in 8-23. */
export const CONTEXT_AW_MASK_WORD2 = 0x7;
export const CONTEXT_DID_SHIFT_WORD2 = 8;

/** Second-level entry: low word; the address is in bits 12-51. */
export const DMA_PTE_READ = 1 << 0;
export const DMA_PTE_WRITE = 1 << 1;
export const DMA_PTE_LARGE_PAGE = 1 << 7;
export const DMA_PTE_SNP = 1 << 11;

/** agaw → levels of table and width in bits of the addresses they translate (FACTS 3.2). */
export function agawToLevels(agaw: number): number {
  return agaw + 2;
}

export function agawToWidth(agaw: number): number {
  return Math.min(30 + 9 * agaw, 64);
}

/** The smallest agaw whose tables translate `width` bits. */
export function widthToAgaw(width: number): number {
  return Math.ceil((width - 30) / 9);
}

/** The fields of CAP that legacy mode uses. */
export interface CapFields {
  /** Domain ids the unit tells apart: 16, 64 … 65536 (ND 0..6). */
  domains: number;
  /** RWBF: the write buffer must be flushed by command. */
  writeBufferFlush: boolean;
  /** CM: entries that are not present may be cached too. */
  cachingMode: boolean;
  /** Bit n: agaw n is supported (bit 1 = 39 bits, 2 = 48, 3 = 57). */
  sagaw: number;
  /** Bits of the widest address, 1..64. */
  mgaw: number;
  /** FRO: the fault records start at this times 16 bytes. */
  faultRecordOffset: number;
  /** SLLPS: bit 0 = 2 MiB, bit 1 = 1 GiB pages. */
  superpages: number;
  /** PSI: page-selective invalidation. */
  pageSelective: boolean;
  /** Fault recording registers, 1..256. */
  faultRecords: number;
  /** MAMV: the largest AM of a page-selective invalidation. */
  maxAddressMask: number;
  /** DWD and DRD: writes and reads can be drained. */
  drain: boolean;
  /** FL5LP: five-level first-level paging. */
  fiveLevelFirst: boolean;
}

/** CAP as [low, high]. */
export function encodeCap(f: CapFields): [number, number] {
  const low = (Math.log2(f.domains) - 4) / 2 | bit(f.writeBufferFlush, 4) |
    bit(f.cachingMode, 7) | f.sagaw << 8 | (f.mgaw - 1) << 16 | (f.faultRecordOffset & 0xff) << 24;
  const high = f.faultRecordOffset >>> 8 | f.superpages << 2 | bit(f.pageSelective, 7) |
    (f.faultRecords - 1) << 8 | f.maxAddressMask << 16 | bit(f.drain, 22) | bit(f.drain, 23) |
    bit(f.fiveLevelFirst, 28);
  return [low >>> 0, high >>> 0];
}

/** The fields of a CAP register. */
export function decodeCap(low: number, high: number): CapFields {
  return {
    domains: 2 ** (4 + 2 * (low & 7)),
    writeBufferFlush: (low >>> 4 & 1) === 1,
    cachingMode: (low >>> 7 & 1) === 1,
    sagaw: low >>> 8 & 0x1f,
    mgaw: (low >>> 16 & 0x3f) + 1,
    faultRecordOffset: low >>> 24 | (high & 3) << 8,
    superpages: high >>> 2 & 0xf,
    pageSelective: (high >>> 7 & 1) === 1,
    faultRecords: (high >>> 8 & 0xff) + 1,
    maxAddressMask: high >>> 16 & 0x3f,
    drain: (high >>> 22 & 3) === 3,
    fiveLevelFirst: (high >>> 28 & 1) === 1,
  };
}

/** The fields of ECAP that legacy mode uses. All of them lie in the low word. */
export interface EcapFields {
  /** C: table walks snoop the CPU's caches. */
  coherent: boolean;
  /** QI. */
  queuedInvalidation: boolean;
  /** DT. */
  deviceTlb: boolean;
  /** IR. */
  interruptRemapping: boolean;
  /** PT: TT = 2 is allowed. */
  passThrough: boolean;
  /** SC: SNP in page-table entries is allowed. */
  snoopControl: boolean;
  /** IRO: IVA and IOTLB lie at this times 16 bytes. */
  iotlbOffset: number;
}

/** ECAP as [low, high]. */
export function encodeEcap(f: EcapFields): [number, number] {
  const low = bit(f.coherent, 0) | bit(f.queuedInvalidation, 1) | bit(f.deviceTlb, 2) |
    bit(f.interruptRemapping, 3) | bit(f.passThrough, 6) | bit(f.snoopControl, 7) |
    f.iotlbOffset << 8;
  return [low >>> 0, 0];
}

/** The fields of an ECAP register's low word. */
export function decodeEcap(low: number): EcapFields {
  return {
    coherent: (low & 1) === 1,
    queuedInvalidation: (low >>> 1 & 1) === 1,
    deviceTlb: (low >>> 2 & 1) === 1,
    interruptRemapping: (low >>> 3 & 1) === 1,
    passThrough: (low >>> 6 & 1) === 1,
    snoopControl: (low >>> 7 & 1) === 1,
    iotlbOffset: low >>> 8 & 0x3ff,
  };
}

function bit(on: boolean, at: number): number {
  return on ? 1 << at : 0;
}

/** Fault reasons of legacy mode (FACTS 3.5); those of scalable mode are in vtd_sm_faults.ts. */
export const VTD_FR_ROOT_NOT_PRESENT = 0x01;
export const VTD_FR_CONTEXT_NOT_PRESENT = 0x02;
export const VTD_FR_CONTEXT_INVALID = 0x03;
export const VTD_FR_BEYOND_AGAW = 0x04;
export const VTD_FR_WRITE = 0x05;
export const VTD_FR_READ = 0x06;
export const VTD_FR_NEXT_TABLE = 0x07;
export const VTD_FR_ROOT_TABLE = 0x08;
export const VTD_FR_CONTEXT_TABLE = 0x09;
export const VTD_FR_ROOT_RESERVED = 0x0a;
export const VTD_FR_CONTEXT_RESERVED = 0x0b;
export const VTD_FR_PTE_RESERVED = 0x0c;
export const VTD_FR_TRANSLATION_BLOCKED = 0x0d;
/** The translation leads into the interrupt address range. */
export const VTD_FR_INTERRUPT_OUTPUT = 0x0e;
/**
 * The request itself lies in the interrupt address range and is not an interrupt; in scalable
 * mode also what 0E is in legacy mode.
 */
export const VTD_FR_INTERRUPT_INPUT = 0x87;

const FAULT_TEXTS = [
  "Software",
  "Present bit in root entry is clear",
  "Present bit in context entry is clear",
  "Invalid context entry",
  "Access beyond MGAW",
  "PTE Write access is not set",
  "PTE Read access is not set",
  "Next page table ptr is invalid",
  "Root table address invalid",
  "Context table ptr is invalid",
  "non-zero reserved fields in RTP",
  "non-zero reserved fields in CTP",
  "non-zero reserved fields in PTE",
  "PCE for translation request specifies blocking",
  "Output address in the interrupt address range",
];

/** The text the log prints for a fault reason. */
export function faultReasonText(reason: number): string {
  if (reason === VTD_FR_INTERRUPT_INPUT) return "Address in the interrupt address range";
  return FAULT_TEXTS[reason] ?? SM_FAULT_TEXTS[reason] ?? "Unknown";
}
