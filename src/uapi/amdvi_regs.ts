/**
 * AMD I/O virtualization (AMD-Vi): registers (FACTS 4.4; offsets and bit numbers of the
 * specification, 48882, from general knowledge). Numbers only. A 64-bit register is two 32-bit
 * words; a constant that ends in `_HI` belongs to the high word.
 */

/** Register offsets in bytes from the unit's register base. */
export const AMDVI_DEVICE_TABLE = 0x0000;
export const AMDVI_COMMAND_BASE = 0x0008;
export const AMDVI_EVENT_BASE = 0x0010;
export const AMDVI_CONTROL = 0x0018;
export const AMDVI_EXTENDED_FEATURES = 0x0030;
export const AMDVI_COMMAND_HEAD = 0x2000;
export const AMDVI_COMMAND_TAIL = 0x2008;
export const AMDVI_EVENT_HEAD = 0x2010;
export const AMDVI_EVENT_TAIL = 0x2018;
export const AMDVI_STATUS = 0x2020;
/** Bytes of the register window. */
export const AMDVI_REGISTER_BYTES = 0x4000;

/** Device table base: Size in bits 0-8, (Size + 1) * 4 KiB; address in bits 12-51. */
export const DEVICE_TABLE_SIZE_MASK = 0x1ff;
/** Command and event base: log2 of the entries in bits 56-59, 8..15; address in bits 12-51. */
export const BUFFER_LENGTH_SHIFT_HI = 24;
/** Heads and tails: byte offsets in bits 4-18. */
export const BUFFER_POINTER_MASK = 0x7fff0;

/** Control. The unit acts on these bits; the others are kept. */
export const CONTROL_IOMMU_EN = 1 << 0;
export const CONTROL_EVENT_LOG_EN = 1 << 2;
export const CONTROL_EVENT_INT_EN = 1 << 3;
export const CONTROL_COMPLETION_INT_EN = 1 << 4;
export const CONTROL_COMMAND_EN = 1 << 12;

/** Status. The first three are write-1-clear, the others read-only. */
export const STATUS_EVENT_OVERFLOW = 1 << 0;
export const STATUS_EVENT_INT = 1 << 1;
export const STATUS_COMPLETION_INT = 1 << 2;
export const STATUS_EVENT_RUN = 1 << 3;
export const STATUS_COMMAND_RUN = 1 << 4;

/** Extended features: INVALIDATE_IOMMU_ALL; HATS in bits 10-11: 4, 5 or 6 levels. */
export const FEATURE_IA = 1 << 6;
export const FEATURE_HATS_SHIFT = 10;
export const FEATURE_HATS_MASK = 3;
