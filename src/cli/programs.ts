import { PROFILES } from "../machine/profile.ts";

/**
 * What few invocations are about is loaded by those alone. A path that is written out needs no
 * permission, and comes along in the one file of a bundle.
 */
export const PROGRAMS = {
  compare: () => import("./compare.ts"),
  dashboard: () => import("./dashboard.ts"),
  defects: () => import("./defects.ts"),
  dump: () => import("./dump.ts"),
  kho: () => import("./kho.ts"),
  versions: () => import("./versions.ts"),
};

/** Forms of the table of designs. */
export const COMPARE_FORMS = ["text", "json", "markdown"] as const;
export type CompareForm = typeof COMPARE_FORMS[number];

/** Machines on which a guest can drive a card itself. */
export const VERSION_PROFILES: readonly string[] = PROFILES
  .filter((p) => (p.vtd ?? p.smmu ?? p.amdvi) !== undefined).map(({ name }) => name);

/** In the place of a profile's name: one after the other. */
export const ALL_PROFILES = "all";
