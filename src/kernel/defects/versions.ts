import type { Defect } from "./types.ts";

/** What the series says nothing of: kernels that cannot read each other (FACTS 8.14). */
export const VERSION_DEFECTS = [
  {
    id: "G11",
    patch: 0,
    seedLine: 2349,
    title: "a kernel is loaded that cannot read what is handed over",
    posted: "nobody asks the next image whether it knows the formats. One without any of this " +
      "clears translation before it sets it up anew, while the devices go on.",
    seen: "IOVAs are taken for physical addresses, then everything is refused.",
    invariants: ["no-dma-fault"],
    scenario: "rollback",
  },
] as const satisfies readonly Defect[];
