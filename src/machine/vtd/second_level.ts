import { VTD_FR_NEXT_TABLE, VTD_FR_PTE_RESERVED } from "../../uapi/vtd_regs.ts";
import * as fault from "../../uapi/vtd_sm_faults.ts";
import type { Walker } from "./walker.ts";

/** Scalable mode's name for what the second-level walker returned (FACTS 3.5). */
export function secondLevelReason(
  code: number,
  walker: Walker,
  levels: number,
  write: boolean,
): number {
  if (code === -VTD_FR_NEXT_TABLE) {
    return walker.level === levels ? -fault.VTD_FR_SL_TOP_TABLE : -fault.VTD_FR_SL_NEXT_TABLE;
  }
  if (code === -VTD_FR_PTE_RESERVED) return -fault.VTD_FR_SL_RESERVED;
  return denied(walker.permission, write);
}

/** A page that lacks the permission a request needs: by what it grants instead. */
export function denied(granted: number, write: boolean): number {
  if (granted === 0) return -fault.VTD_FR_SL_DENIED;
  return write ? -fault.VTD_FR_SM_WRITE : -fault.VTD_FR_SM_READ;
}
