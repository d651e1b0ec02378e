/**
 * AMD-Vi commands and event records, 16 bytes each, and what an access that gets no frame is told
 * (FACTS 4.4; 48882 from general knowledge). `_WORDn`: the 32-bit word that the bits belong to.
 */

/** Commands: opcode in bits 28-31 of word 1. */
export const COMMAND_OPCODE_SHIFT_WORD1 = 28;
export const COMPLETION_WAIT = 1;
export const INVALIDATE_DEVTAB_ENTRY = 2;
export const INVALIDATE_IOMMU_PAGES = 3;
export const INVALIDATE_IOTLB_PAGES = 4;
export const INVALIDATE_INTERRUPT_TABLE = 5;
export const INVALIDATE_IOMMU_ALL = 8;

/** COMPLETION_WAIT, word 0: s (store words 2 and 3 at the address in bits 3-51), i (interrupt). */
export const COMPLETION_WAIT_S_WORD0 = 1 << 0;
export const COMPLETION_WAIT_I_WORD0 = 1 << 1;
/**
 * INVALIDATE_IOMMU_PAGES: word 1: DomainID in bits 0-15; words 2 and 3: the address from bit 12;
 * word 2: S (more than one page: the lowest clear bit of the address from bit 12 on says how
 * many), PDE (inner entries too), GN (guest tables).
 */
export const INVALIDATE_PAGES_S_WORD2 = 1 << 0;
export const INVALIDATE_PAGES_PDE_WORD2 = 1 << 1;
export const INVALIDATE_PAGES_GN_WORD2 = 1 << 2;
/** The address, with S, that names all pages of a domain, as two words. */
export const INVALIDATE_ALL_PAGES = [0xfffff000, 0x7fffffff] as const;

/** Events: code in bits 28-31 of word 1; DeviceID in bits 0-15 of word 0; address in 2 and 3. */
export const EVENT_CODE_SHIFT_WORD1 = 28;
export const ILLEGAL_DEV_TABLE_ENTRY = 1;
export const IO_PAGE_FAULT = 2;
export const DEV_TAB_HARDWARE_ERROR = 3;
export const PAGE_TAB_HARDWARE_ERROR = 4;
export const ILLEGAL_COMMAND_ERROR = 5;
export const COMMAND_HARDWARE_ERROR = 6;
/** Word 1: DomainID in bits 0-15; PR present, RW write, PE permission, RZ reserved bits. */
export const EVENT_PR_WORD1 = 1 << 20;
export const EVENT_RW_WORD1 = 1 << 21;
export const EVENT_PE_WORD1 = 1 << 22;
export const EVENT_RZ_WORD1 = 1 << 23;
/** Hardware errors: Type 1, master abort: there is no memory. */
export const EVENT_MASTER_ABORT_WORD1 = 1 << 25;

/**
 * What {@link Remapper.translate} returns for an access that ends here: `-(0x200 | n)`, with the
 * event's code in bits 4-7 of n and, for a page fault, what is wrong in bits 0-3, whether the
 * event was logged or not. So all of them lie in -0x2ff..-0x200, apart from VT-d's reasons, the
 * codes of an SMMU (-0x1ff..-0x100) and those of the bus (-1000 and on).
 */
export const AMDVI_CODE = 0x200;
/** n of each. */
export const FAULT_ILLEGAL_DTE = ILLEGAL_DEV_TABLE_ENTRY << 4;
export const FAULT_NOT_PRESENT = IO_PAGE_FAULT << 4;
export const FAULT_PERMISSION = FAULT_NOT_PRESENT | 1;
/** Reserved bits, or a NextLevel that cannot be. */
export const FAULT_RESERVED = FAULT_NOT_PRESENT | 2;
export const FAULT_BEYOND_TABLES = FAULT_NOT_PRESENT | 3;
/** Address bits of a level that was skipped are not 0. */
export const FAULT_SKIPPED_LEVEL = FAULT_NOT_PRESENT | 4;
/** The device table entry has V without TV. */
export const FAULT_NO_TRANSLATION = FAULT_NOT_PRESENT | 5;
export const FAULT_BEYOND_DEVICE_TABLE = FAULT_NOT_PRESENT | 6;
/** A read from the interrupt address range. */
export const FAULT_INTERRUPT_RANGE = FAULT_NOT_PRESENT | 7;
export const FAULT_DEVICE_TABLE_MEMORY = DEV_TAB_HARDWARE_ERROR << 4;
export const FAULT_PAGE_TABLE_MEMORY = PAGE_TAB_HARDWARE_ERROR << 4;

const TEXTS = new Map([
  [FAULT_ILLEGAL_DTE, "ILLEGAL_DEV_TABLE_ENTRY: invalid device table entry"],
  [FAULT_NOT_PRESENT, "IO_PAGE_FAULT: nothing is mapped there"],
  [FAULT_PERMISSION, "IO_PAGE_FAULT: the page does not allow it"],
  [FAULT_RESERVED, "IO_PAGE_FAULT: reserved bits or an impossible level in a table"],
  [FAULT_BEYOND_TABLES, "IO_PAGE_FAULT: address wider than the tables"],
  [FAULT_SKIPPED_LEVEL, "IO_PAGE_FAULT: address bits of a skipped level"],
  [FAULT_NO_TRANSLATION, "IO_PAGE_FAULT: the device has no translation"],
  [FAULT_BEYOND_DEVICE_TABLE, "IO_PAGE_FAULT: the device table does not reach this device"],
  [FAULT_INTERRUPT_RANGE, "IO_PAGE_FAULT: read from the interrupt address range"],
  [FAULT_DEVICE_TABLE_MEMORY, "DEV_TAB_HARDWARE_ERROR: the device table lies outside memory"],
  [FAULT_PAGE_TABLE_MEMORY, "PAGE_TAB_HARDWARE_ERROR: a page table lies outside memory"],
]);

/** The text of a code from translate(), undefined for one that is none of this unit's. */
export function amdviFaultText(code: number): string | undefined {
  return code <= -AMDVI_CODE && code > -AMDVI_CODE - 0x100
    ? TEXTS.get(-code & 0xff) ?? "Unknown"
    : undefined;
}
