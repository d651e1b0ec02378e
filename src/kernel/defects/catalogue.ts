import { BOILERPLATE_DEFECTS } from "./boilerplate.ts";
import { ID_DEFECTS } from "./ids.ts";
import { KEEP_ALIVE_DEFECTS } from "./keep_alive.ts";
import { MARKING_DEFECTS } from "./marking.ts";
import { PIN_DEFECTS } from "./pins.ts";
import { PLUMBING_DEFECTS } from "./plumbing.ts";
import { POLICY_DEFECTS } from "./policy.ts";
import { REHYDRATE_DEFECTS } from "./rehydrate.ts";
import { RESTORE_DEFECTS } from "./restore.ts";
import { SERIALISE_DEFECTS } from "./serialise.ts";
import { SYSFS_DEFECTS } from "./sysfs.ts";
import { SERIES_GAPS } from "./series.ts";
import { TABLE_DEFECTS } from "./tables.ts";
import type { Defect } from "./types.ts";
import { ZAP_DEFECTS } from "./zap.ts";

/** Every known fault of the posted series, by patch. */
const ALL = [
  ...MARKING_DEFECTS,
  ...PLUMBING_DEFECTS,
  ...ZAP_DEFECTS,
  ...ID_DEFECTS,
  ...SERIALISE_DEFECTS,
  ...SYSFS_DEFECTS,
  ...REHYDRATE_DEFECTS,
  ...BOILERPLATE_DEFECTS,
  ...TABLE_DEFECTS,
  ...RESTORE_DEFECTS,
  ...POLICY_DEFECTS,
  ...PIN_DEFECTS,
  ...SERIES_GAPS,
  ...KEEP_ALIVE_DEFECTS,
] as const;

/** Ids the kernel may ask for. */
export type DefectId = (typeof ALL)[number]["id"];

export const DEFECTS: readonly Defect[] = ALL;

/** The ones that are switches: they can show. */
export const SWITCHES: readonly Defect[] = DEFECTS.filter((d) => d.notShown === undefined);

export function findDefect(id: string): Defect | undefined {
  return DEFECTS.find((d) => d.id === id);
}
