/**
 * SMMUv3 commands (16 bytes), event records (32 bytes) and what an access that gets no frame is
 * told (FACTS 4.1; IHI 0070 chapters 4 and 7 from general knowledge). `_WORDn`: the 32-bit word
 * of the command or record that the bits belong to; word 0 unless said.
 */

export const COMMAND_BYTES = 16;
export const EVENT_BYTES = 32;

/** Commands: opcode in bits 0-7. */
export const CMD_PREFETCH_CONFIG = 0x01;
export const CMD_PREFETCH_ADDR = 0x02;
export const CMD_CFGI_STE = 0x03;
/** CFGI_ALL is CFGI_STE_RANGE with Range 31. */
export const CMD_CFGI_STE_RANGE = 0x04;
export const CMD_CFGI_CD = 0x05;
export const CMD_CFGI_CD_ALL = 0x06;
export const CMD_TLBI_NH_ALL = 0x10;
export const CMD_TLBI_NH_ASID = 0x11;
export const CMD_TLBI_NH_VA = 0x12;
export const CMD_TLBI_NH_VAA = 0x13;
export const CMD_TLBI_S12_VMALL = 0x28;
export const CMD_TLBI_S2_IPA = 0x2a;
export const CMD_TLBI_NSNH_ALL = 0x30;
export const CMD_ATC_INV = 0x40;
export const CMD_SYNC = 0x46;

/** CFGI_*: SSID in bits 12-31; word 1 is the StreamID; word 2: Leaf in bit 0, Range in 0-4. */
export const CFGI_SSID_SHIFT = 12;
export const CFGI_LEAF_WORD2 = 1 << 0;
export const CFGI_RANGE_MASK_WORD2 = 0x1f;
export const CFGI_RANGE_ALL = 31;
/**
 * TLBI_*: word 1: VMID in bits 0-15, ASID in 16-31; words 2 and 3: the address from bit 12. With
 * RIL and TG in word 2 not 0: (NUM + 1) << SCALE pages from the address on.
 */
export const TLBI_NUM_SHIFT = 12;
export const TLBI_SCALE_SHIFT = 20;
export const TLBI_RANGE_MASK = 0x1f;
export const TLBI_TG_SHIFT_WORD2 = 10;
export const TLBI_TG_4K = 1;
/** SYNC: completion signal in bits 12-13. */
export const SYNC_CS_SHIFT = 12;
export const SYNC_CS_NONE = 0;
export const SYNC_CS_IRQ = 1;
export const SYNC_CS_SEV = 2;

/** CMDQ_CONS.ERR. */
export const CERROR_NONE = 0;
export const CERROR_ILL = 1;
export const CERROR_ABT = 2;

/** Event numbers: bits 0-7 of a record. */
export const C_BAD_STREAMID = 0x02;
export const F_STE_FETCH = 0x03;
export const C_BAD_STE = 0x04;
export const F_STREAM_DISABLED = 0x06;
export const C_BAD_SUBSTREAMID = 0x08;
export const F_CD_FETCH = 0x09;
export const C_BAD_CD = 0x0a;
export const F_WALK_EABT = 0x0b;
export const F_TRANSLATION = 0x10;
export const F_ADDR_SIZE = 0x11;
export const F_ACCESS = 0x12;
export const F_PERMISSION = 0x13;
export const F_TLB_CONFLICT = 0x20;

/** Event records: SSV and SSID; word 1 is the StreamID, words 4 and 5 the address. */
export const EVENT_SSV = 1 << 11;
export const EVENT_SSID_SHIFT = 12;
/** Word 3: RnW (1 = read), S2, CLASS. */
export const EVENT_RNW_WORD3 = 1 << 3;
export const EVENT_S2_WORD3 = 1 << 7;
/** CLASS 2, IN: the input address caused the fault. The only one there is without nesting. */
export const EVENT_CLASS_IN_WORD3 = 2 << 8;
/** CLASS 1, TTD: the fetch of a translation-table descriptor did. */
export const EVENT_CLASS_TTD_WORD3 = 1 << 8;

/**
 * What {@link Remapper.translate} returns for an access that ends here: `-(0x100 | n)`, with n an
 * event number, recorded or not, or one of the two below, which have no event. So all of them lie
 * in -0x1ff..-0x100, apart from VT-d's reasons (-0xff..-1) and the codes of the bus (-1000 and on).
 */
export const SMMU_CODE = 0x100;
/** STE.Config says abort. */
export const SMMU_STE_ABORT = 0xf0;
/** The unit is disabled and GBPA says abort. */
export const SMMU_GLOBAL_ABORT = 0xf1;

const TEXTS = new Map([
  [C_BAD_STREAMID, "C_BAD_STREAMID: no stream table entry for this StreamID"],
  [F_STE_FETCH, "F_STE_FETCH: the stream table lies outside memory"],
  [C_BAD_STE, "C_BAD_STE: invalid stream table entry"],
  [F_STREAM_DISABLED, "F_STREAM_DISABLED: the stream takes only requests with a SubstreamID"],
  [C_BAD_SUBSTREAMID, "C_BAD_SUBSTREAMID: no context descriptor for this SubstreamID"],
  [F_CD_FETCH, "F_CD_FETCH: the context descriptor lies outside memory"],
  [C_BAD_CD, "C_BAD_CD: invalid context descriptor"],
  [F_WALK_EABT, "F_WALK_EABT: a translation table lies outside memory"],
  [F_TRANSLATION, "F_TRANSLATION: nothing is mapped there"],
  [F_ADDR_SIZE, "F_ADDR_SIZE: address too large"],
  [F_ACCESS, "F_ACCESS: access flag is clear"],
  [F_PERMISSION, "F_PERMISSION: the page does not allow it"],
  [F_TLB_CONFLICT, "F_TLB_CONFLICT: page size changed without break-before-make"],
  [SMMU_STE_ABORT, "stream table entry says abort"],
  [SMMU_GLOBAL_ABORT, "unit disabled, GBPA says abort"],
]);

/** The text of a code from translate(), undefined for one that is none of this unit's. */
export function smmuFaultText(code: number): string | undefined {
  return code <= -SMMU_CODE && code > -2 * SMMU_CODE
    ? TEXTS.get(-code & 0xff) ?? "Unknown"
    : undefined;
}
