/**
 * Intel VT-d, scalable mode: fault reasons and the log's texts for them (FACTS 3.5).
 *
 * FACTS tells neither when 79 is meant and when 85 or 86, nor which of two codes stands for a
 * table that cannot be read. Here: 79 is a page whose entries grant neither reading nor writing,
 * 85 and 86 one that grants the other of the two; 73 and 7B are a top-level table, 70 and 78 one
 * further down; 38 is a root table that cannot be read, 30 a table mode the unit lacks. In nested
 * translation 74 to 77 are of the way to first-level tables, 84, 79, 85 and 86 of the page itself;
 * 75 is the top-level table, 76 one further down, 77 either when an A or D bit is to be set in it.
 */
export const VTD_FR_SM_RTA_MODE = 0x30;
export const VTD_FR_SM_RTA_LEGACY = 0x31;
export const VTD_FR_SM_REQUEST_LEGACY = 0x32;
export const VTD_FR_SM_ROOT_TABLE = 0x38;
export const VTD_FR_SM_ROOT_NOT_PRESENT = 0x39;
export const VTD_FR_SM_ROOT_RESERVED = 0x3a;
export const VTD_FR_SM_CONTEXT_TABLE = 0x40;
export const VTD_FR_SM_CONTEXT_NOT_PRESENT = 0x41;
export const VTD_FR_SM_CONTEXT_RESERVED = 0x42;
export const VTD_FR_SM_CONTEXT_INVALID = 0x43;
export const VTD_FR_SM_NO_DEVICE_TLB = 0x44;
export const VTD_FR_SM_PASID_DISABLED = 0x45;
export const VTD_FR_SM_PASID_TOO_LARGE = 0x46;
export const VTD_FR_SM_NO_PAGE_REQUESTS = 0x47;
export const VTD_FR_SM_RID_PASID = 0x48;
export const VTD_FR_SM_DIRECTORY = 0x50;
export const VTD_FR_SM_DIRECTORY_NOT_PRESENT = 0x51;
export const VTD_FR_SM_DIRECTORY_RESERVED = 0x52;
export const VTD_FR_SM_PASID_TABLE = 0x58;
export const VTD_FR_SM_PASID_NOT_PRESENT = 0x59;
export const VTD_FR_SM_PASID_RESERVED = 0x5a;
export const VTD_FR_SM_PASID_INVALID = 0x5b;
export const VTD_FR_FL_NEXT_TABLE = 0x70;
export const VTD_FR_FL_NOT_PRESENT = 0x71;
export const VTD_FR_FL_RESERVED = 0x72;
export const VTD_FR_FL_TOP_TABLE = 0x73;
export const VTD_FR_FL_BEYOND_WIDTH = 0x74;
export const VTD_FR_FL_TOP_UNREADABLE = 0x75;
export const VTD_FR_FL_UNREADABLE = 0x76;
export const VTD_FR_FL_UNWRITABLE = 0x77;
export const VTD_FR_SL_NEXT_TABLE = 0x78;
export const VTD_FR_SL_DENIED = 0x79;
export const VTD_FR_SL_RESERVED = 0x7a;
export const VTD_FR_SL_TOP_TABLE = 0x7b;
export const VTD_FR_FL_NOT_CANONICAL = 0x80;
export const VTD_FR_FL_PRIVILEGE = 0x81;
export const VTD_FR_SM_BEYOND_HARDWARE = 0x83;
export const VTD_FR_SL_BEYOND_WIDTH = 0x84;
export const VTD_FR_SM_WRITE = 0x85;
export const VTD_FR_SM_READ = 0x86;

/** By reason. */
export const SM_FAULT_TEXTS: Readonly<Record<number, string>> = {
  0x30: "SM: Invalid Root Table Address",
  0x31: "SM: TTM 0 for request with PASID",
  0x32: "SM: TTM 0 for page group request",
  0x38: "SM: Error attempting to access Root Entry",
  0x39: "SM: Present bit in Root Entry is clear",
  0x3a: "SM: Non-zero reserved field set in Root Entry",
  0x40: "SM: Error attempting to access Context Entry",
  0x41: "SM: Present bit in Context Entry is clear",
  0x42: "SM: Non-zero reserved field set in the Context Entry",
  0x43: "SM: Invalid Context Entry",
  0x44: "SM: DTE field in Context Entry is clear",
  0x45: "SM: PASID Enable field in Context Entry is clear",
  0x46: "SM: PASID is larger than the max in Context Entry",
  0x47: "SM: PRE field in Context-Entry is clear",
  0x48: "SM: RID_PASID field error in Context-Entry",
  0x50: "SM: Error attempting to access the PASID Directory Entry",
  0x51: "SM: Present bit in Directory Entry is clear",
  0x52: "SM: Non-zero reserved field set in PASID Directory Entry",
  0x58: "SM: Error attempting to access PASID Table Entry",
  0x59: "SM: Present bit in PASID Table Entry is clear",
  0x5a: "SM: Non-zero reserved field set in PASID Table Entry",
  0x5b: "SM: Invalid Scalable-Mode PASID Table Entry",
  0x5c: "SM: ERE field is clear in PASID Table Entry",
  0x5d: "SM: SRE field is clear in PASID Table Entry",
  0x70: "SM: Error attempting to access first-level paging entry",
  0x71: "SM: Present bit in first-level paging entry is clear",
  0x72: "SM: Non-zero reserved field set in first-level paging entry",
  0x73: "SM: Error attempting to access FL-PML4 entry",
  0x74: "SM: First-level entry address beyond MGAW in Nested translation",
  0x75: "SM: Read permission error in FL-PML4 entry in Nested translation",
  0x76: "SM: Read permission error in first-level paging entry in Nested translation",
  0x77: "SM: Write permission error in first-level paging entry in Nested translation",
  0x78: "SM: Error attempting to access second-level paging entry",
  0x79: "SM: Read/Write permission error in second-level paging entry",
  0x7a: "SM: Non-zero reserved field set in second-level paging entry",
  0x7b: "SM: Invalid second-level page table pointer",
  0x7c: "SM: A/D bit update needed in second-level entry when set up in no snoop",
  0x80: "SM: Address in first-level translation is not canonical",
  0x81: "SM: U/S set 0 for first-level translation with user privilege",
  0x82: "SM: No execute permission for request with PASID and ER=1",
  0x83: "SM: Address beyond the DMA hardware max",
  0x84: "SM: Second-level entry address beyond the max",
  0x85: "SM: No write permission for Write/AtomicOp request",
  0x86: "SM: No read permission for Read/AtomicOp request",
  0x90: "SM: A/D bit update needed in first-level entry when set up in no snoop",
};
