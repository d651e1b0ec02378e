import {
  CD_EPD0,
  CD_V,
  STE_CONFIG_ABORT,
  STE_CONFIG_BYPASS,
  STE_CONFIG_MASK,
  STE_CONFIG_S2,
  STE_CONFIG_SHIFT,
  STE_S1DSS_BYPASS,
  STE_S1DSS_MASK_WORD2,
  STE_S2AA64_WORD5,
  STE_S2PTW_WORD5,
  STE_S2R_WORD5,
  STE_S2VMID_MASK_WORD4,
  STE_SHCFG_INCOMING_WORD3,
  STE_V,
} from "../../../uapi/smmuv3_tables.ts";
import { type Entry, ENTRY_WORDS } from "./entry_update.ts";

/** Config, as bits: 1 = stage 1 is on, 2 = stage 2 is on; bypass is 4 with neither. */
const CONFIG_STAGE1 = 1, CONFIG_STAGE2 = 2;

/** S1Fmt and S1ContextPtr; its upper part and S1CDMax. */
const S1_WORD0 = 0xfffffff0 | 0, S1_WORD1 = 0xf80fffff | 0;
/** S1DSS, S1CIR, S1COR, S1CSH, S1STALLD, EATS, STRW. */
const S1_WORD2 = 0xf80000ff | 0;
const EATS_WORD2 = 0x30000000;
const SHCFG_WORD3 = 0x3000;
/** VTCR, S2AA64, S2ENDI, S2AFFD, S2PTW, S2S, S2R. */
const S2_WORD5 = 0x67fffff;
/** TTB0 and S2TTB: bits 4-51. */
const TABLE_LOW = 0xfffffff0 | 0, TABLE_HIGH = 0xfffff;
/** T0SZ, TG0, IR0, OR0 and SH0 of a context descriptor. */
const CD_TTB0_FIELDS = 0x3fff;

/** Every request is aborted, without an event. */
export function abortSte(): Entry {
  const ste = new Int32Array(ENTRY_WORDS);
  ste[0] = STE_V | STE_CONFIG_ABORT << STE_CONFIG_SHIFT;
  return ste;
}

/** Translation by stage-2 tables. `vtcr`: bits 0-18; `root`: frame of the first table. */
export function stage2Ste(vmid: number, vtcr: number, root: number): Entry {
  const ste = new Int32Array(ENTRY_WORDS);
  ste[0] = STE_V | STE_CONFIG_S2 << STE_CONFIG_SHIFT;
  ste[3] = STE_SHCFG_INCOMING_WORD3;
  ste[4] = vmid & STE_S2VMID_MASK_WORD4;
  ste[5] = vtcr | STE_S2AA64_WORD5 | STE_S2PTW_WORD5 | STE_S2R_WORD5;
  ste[6] = root << 12;
  ste[7] = root >>> 20;
  return ste;
}

/** What hardware looks at in a stream table entry: what its Config makes it use. */
export function usedOfSte(ste: Entry): Entry {
  const used = new Int32Array(ENTRY_WORDS);
  used[0] = STE_V;
  if ((ste[0] & STE_V) === 0) return used;
  used[0] |= STE_CONFIG_MASK << STE_CONFIG_SHIFT;
  const config = (ste[0] >>> STE_CONFIG_SHIFT) & STE_CONFIG_MASK;
  if (config < STE_CONFIG_BYPASS) return used;
  if (config === STE_CONFIG_BYPASS) used[3] |= SHCFG_WORD3;
  if ((config & CONFIG_STAGE1) !== 0) {
    used[0] |= S1_WORD0;
    used[1] |= S1_WORD1;
    used[2] |= S1_WORD2;
    // The VMID tags stage-1 translations too.
    used[4] |= STE_S2VMID_MASK_WORD4;
    if ((ste[2] & STE_S1DSS_MASK_WORD2) === STE_S1DSS_BYPASS) used[3] |= SHCFG_WORD3;
  }
  if ((config & CONFIG_STAGE2) !== 0) {
    used[2] |= EATS_WORD2;
    used[3] |= SHCFG_WORD3;
    used[4] |= STE_S2VMID_MASK_WORD4;
    used[5] |= S2_WORD5;
    used[6] |= TABLE_LOW;
    used[7] |= TABLE_HIGH;
  }
  return used;
}

/** What hardware looks at in a context descriptor: all of it, but no TTB0 with EPD0. */
export function usedOfCd(cd: Entry): Entry {
  const used = new Int32Array(ENTRY_WORDS);
  used[0] = CD_V;
  if ((cd[0] & CD_V) === 0) return used;
  used.fill(-1);
  if ((cd[0] & CD_EPD0) !== 0) {
    used[0] &= ~CD_TTB0_FIELDS;
    used[2] &= ~TABLE_LOW;
    used[3] &= ~TABLE_HIGH;
  }
  return used;
}
