import type { Defect } from "./types.ts";

/** Faults of patch 3, zapping context entries on kexec (FACTS 8.3). */
export const ZAP_DEFECTS = [
  {
    id: "D16",
    patch: 3,
    seedLine: 497,
    title: "devices on persistent domains are zapped as well",
    posted: "the walk at shutdown clears the context entry of every device on every domain. That " +
      "persistent domains are to be skipped stands in the commit message only.",
    seen: "the device that was to go on has no context entry from the shutdown on: every DMA of " +
      "it is a fault, and after the kexec there is nothing its domain could be restored to.",
    invariants: ["no-dma-fault", "guest-intact"],
    scenario: "handover",
  },
  {
    id: "D17",
    patch: 3,
    seedLine: 495,
    title: "the flush goes by a domain id that was never set",
    posted: "the id is read from the context entry and thrown away; the variable the flush goes " +
      "by is not initialised. The unit forgets what it has cached of some other domain.",
    seen: "the zapped device's context entry and translations stay cached: DMA of it would go on " +
      "into memory that is the next kernel's.",
    invariants: ["no-splat", "closed-at-jump", "iotlb-fresh"],
    scenario: "handover",
  },
  {
    id: "D18",
    patch: 3,
    seedLine: 494,
    title: "the context cache is flushed for a source id that was never set",
    posted: "bus and devfn are local variables that nobody initialises; those of the device " +
      "are at hand, in the list entry the loop is at.",
    seen: "the unit goes on by the cached context entry of the zapped device.",
    invariants: ["no-splat", "closed-at-jump"],
    scenario: "handover",
  },
] as const satisfies readonly Defect[];
