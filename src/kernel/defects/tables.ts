import type { Defect } from "./types.ts";

/** Faults of patch 9, page-table serialisation (FACTS 8.9). */
export const TABLE_DEFECTS = [
  {
    id: "D55",
    patch: 9,
    seedLine: 1499,
    title: 'the pgd page is not in "mem"',
    posted: "the walk begins with the first entry of the pgd and lists what lies below it. The " +
      "pgd itself, and the table its first entry leads to, are never listed.",
    seen: "the next kernel takes the pgd for free memory and writes over it; hardware goes on " +
      "walking what is there then.",
    invariants: ["tables-owned", "no-dma-fault", "no-stray-dma"],
    scenario: "persisted-iommufd",
  },
] as const satisfies readonly Defect[];
