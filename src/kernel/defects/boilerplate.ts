import type { Defect } from "./types.ts";

/** Faults of patch 8, the driver's place in the KHO chain (FACTS 8.8). */
export const BOILERPLATE_DEFECTS = [
  {
    id: "D49",
    patch: 8,
    seedLine: 1226,
    title: "the subscriber is registered before it is known whether there is an IOMMU",
    posted: "registration comes before the exit for no_iommu, and no later error takes it back.",
    seen: "dumps ask a driver that has not come up.",
    invariants: [],
    scenario: "handover",
    notShown: "such a driver has no domains: what it writes is an empty node, with no harm done.",
  },
  {
    id: "D50",
    patch: 8,
    seedLine: 1330,
    title: "the domains are walked without a lock",
    posted: "nothing keeps a domain from being freed during the walk.",
    seen: "the dump reads a freed structure.",
    invariants: [],
    scenario: "handover",
    notShown:
      "one processor is emulated inside the kernel: nothing runs beside a dump. (What a walk " +
      "over freed domains is like shows D51.)",
  },
  {
    id: "D51",
    patch: 8,
    seedLine: 1247,
    title: "a domain that is freed stays among the persistent ones",
    posted: "domains are put into an xarray when they are made, and nothing ever takes them out.",
    seen: "the next dump reads a structure that was freed, and lists whatever its page tables' " +
      "pages are by then.",
    invariants: ["no-splat", "guest-intact"],
    scenario: "one-gone",
  },
  {
    id: "D52",
    patch: 8,
    seedLine: 1249,
    title: "a second domain with the same id is not tracked, with a warning only",
    posted:
      "where the id is taken, as it is by D33, the domain is given to its user all the same: " +
      "it says that it is persistent and is in no dump.",
    seen: "what the card does with its PASID has nowhere to go from the shutdown on.",
    invariants: ["no-dma-fault", "guest-intact"],
    scenario: "persisted-iommufd-pasid",
    needs: ["D33"],
  },
] as const satisfies readonly Defect[];
