/**
 * Arm SMMUv3: registers of the non-secure programming interface (FACTS 4; offsets and bit numbers
 * of the architecture, IHI 0070, from general knowledge). Numbers only. A 64-bit register is two
 * 32-bit words; a constant that ends in `_HI` belongs to the high word.
 */

/** Register offsets in bytes from the unit's register base. */
export const SMMU_IDR0 = 0x00;
export const SMMU_IDR1 = 0x04;
export const SMMU_IDR2 = 0x08;
export const SMMU_IDR3 = 0x0c;
export const SMMU_IDR4 = 0x10;
export const SMMU_IDR5 = 0x14;
export const SMMU_IIDR = 0x18;
export const SMMU_AIDR = 0x1c;
export const SMMU_CR0 = 0x20;
export const SMMU_CR0ACK = 0x24;
export const SMMU_CR1 = 0x28;
export const SMMU_CR2 = 0x2c;
export const SMMU_GBPA = 0x44;
export const SMMU_IRQ_CTRL = 0x50;
export const SMMU_IRQ_CTRLACK = 0x54;
export const SMMU_GERROR = 0x60;
export const SMMU_GERRORN = 0x64;
export const SMMU_STRTAB_BASE = 0x80;
export const SMMU_STRTAB_BASE_CFG = 0x88;
export const SMMU_CMDQ_BASE = 0x90;
export const SMMU_CMDQ_PROD = 0x98;
export const SMMU_CMDQ_CONS = 0x9c;
export const SMMU_EVENTQ_BASE = 0xa0;
export const SMMU_EVENTQ_PROD = 0xa8;
export const SMMU_EVENTQ_CONS = 0xac;
/** EVENTQ_PROD and EVENTQ_CONS belong to register page 1; page 0 has an alias of them. */
export const SMMU_PAGE1 = 0x10000;
/** Bytes of both register pages. */
export const SMMU_REGISTER_BYTES = 0x20000;

/** IDR0. */
export const IDR0_S2P = 1 << 0;
export const IDR0_S1P = 1 << 1;
export const IDR0_TTF_AARCH64 = 2 << 2;
export const IDR0_COHACC = 1 << 4;
export const IDR0_ASID16 = 1 << 12;
export const IDR0_VMID16 = 1 << 18;
export const IDR0_TTENDIAN_LE = 2 << 21;
/** STALL_MODEL 1: faults terminate, nothing stalls. */
export const IDR0_STALL_MODEL_TERMINATE = 1 << 24;
/** TERM_MODEL: terminated means aborted (CD.A must be 1). */
export const IDR0_TERM_MODEL_ABORT = 1 << 26;
/** ST_LEVEL 1: linear and 2-level stream tables. */
export const IDR0_ST_LEVEL_2 = 1 << 27;
/** IDR1: SIDSIZE in bits 0-5. */
export const IDR1_SIDSIZE_MASK = 0x3f;
export const IDR1_SSIDSIZE_SHIFT = 6;
export const IDR1_EVENTQS_SHIFT = 16;
export const IDR1_CMDQS_SHIFT = 21;
/** IDR3. BBML in bits 11-12: 0, 1 or 2 (FACTS 4.3). */
export const IDR3_RIL = 1 << 10;
export const IDR3_BBML_SHIFT = 11;
export const IDR3_BBML_MASK = 3;
/** IDR5: OAS in bits 0-2, index into {@link SMMU_ADDRESS_BITS}. */
export const IDR5_OAS_MASK = 7;
export const IDR5_GRAN4K = 1 << 4;

/** Bits of an address by their 3-bit code: IDR5.OAS, CD.IPS, STE.S2PS. */
export const SMMU_ADDRESS_BITS = [32, 36, 40, 42, 44, 48, 52] as const;

/** CR0 and CR0ACK. */
export const CR0_SMMUEN = 1 << 0;
export const CR0_EVENTQEN = 1 << 2;
export const CR0_CMDQEN = 1 << 3;
/** CR1: tables and queues are read and written cached, inner shareable. */
export const CR1_CACHED = 3 << 10 | 1 << 8 | 1 << 6 | 3 << 4 | 1 << 2 | 1 << 0;
/** CR2: record C_BAD_STREAMID. */
export const CR2_RECINVSID = 1 << 1;
/** GBPA: a write counts only with UPDATE, which reads 0 once done. */
export const GBPA_UPDATE = 1 << 31;
export const GBPA_ABORT = 1 << 20;
/** IRQ_CTRL and IRQ_CTRLACK. */
export const IRQ_CTRL_GERROR = 1 << 0;
export const IRQ_CTRL_EVENTQ = 1 << 2;
/** GERROR: an error is active while its bit differs from GERRORN's. */
export const GERROR_CMDQ_ERR = 1 << 0;
export const GERROR_EVENTQ_ABT_ERR = 1 << 2;

/** STRTAB_BASE: address in bits 6-51; high word. */
export const STRTAB_BASE_ADDRESS_HI = 0xfffff;
export const STRTAB_BASE_ADDRESS = ~0x3f;
/** STRTAB_BASE_CFG: LOG2SIZE in bits 0-5. */
export const STRTAB_LOG2SIZE_MASK = 0x3f;
export const STRTAB_SPLIT_SHIFT = 6;
export const STRTAB_SPLIT_MASK = 0x1f;
export const STRTAB_FMT_SHIFT = 16;
export const STRTAB_FMT_LINEAR = 0;
export const STRTAB_FMT_2LEVEL = 1;

/** CMDQ_BASE and EVENTQ_BASE: LOG2SIZE in bits 0-4, address in bits 5-51. */
export const QUEUE_LOG2SIZE_MASK = 0x1f;
export const QUEUE_BASE_ADDRESS = ~0x1f;
/** CMDQ_CONS: ERR in bits 24-30. */
export const CMDQ_CONS_ERR_SHIFT = 24;
/** EVENTQ_PROD: OVFLG, EVENTQ_CONS: OVACKFLG. They differ from an overflow until it is seen to. */
export const EVENTQ_OVERFLOW = 1 << 31;
