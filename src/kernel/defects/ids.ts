import type { Defect } from "./types.ts";

/** Faults of patch 4, the persistent id of a domain (FACTS 8.4). */
export const ID_DEFECTS = [
  {
    id: "D33",
    patch: 4,
    seedLine: 646,
    title: "all domains of a context have the context's id",
    posted: "the id that marks the iommufd is handed to every domain that is made in it; domains " +
      "are tracked by that id, so that there can be one.",
    seen: "a card that needs a second address space, for its PASID, does not get it: the VM does " +
      "not start. (Posted there is only a warning, see D52.)",
    invariants: ["guest-intact"],
    scenario: "persisted-iommufd-pasid",
  },
] as const satisfies readonly Defect[];
