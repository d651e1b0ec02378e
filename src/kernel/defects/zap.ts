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
  {
    id: "D20",
    patch: 3,
    seedLine: 475,
    title: "a domain is never taken out of its unit's list",
    posted:
      "the first device of a domain puts it into the list of the unit; neither the last one " +
      "to leave nor the end of the domain takes it out.",
    seen: "the next domain to be attached is linked to a freed one, and the walk at shutdown " +
      "goes over it.",
    invariants: ["no-splat"],
    scenario: "one-gone",
  },
  {
    id: "D27",
    patch: 3,
    seedLine: 512,
    title: "translation stays on for a kernel that was handed nothing",
    posted:
      "the shutdown zaps on every reboot and kexec, live update or not, and no longer turns " +
      "the units off.",
    seen: "hardware walks a root table that is free memory to the next kernel.",
    invariants: ["tables-kept"],
    scenario: "plain-kexec",
  },
  {
    id: "D28",
    patch: 3,
    seedLine: 519,
    title: "root and context tables are not preserved",
    posted:
      "translation is left on, but the tables it begins at belong to the old kernel, and no " +
      "patch lists them for the next one.",
    seen: "early boot writes over them: from then on hardware takes whatever lies there for " +
      "context entries.",
    invariants: ["tables-kept", "tables-owned", "no-dma-fault", "guest-intact"],
    scenario: "handover",
  },
  {
    id: "D30",
    patch: 3,
    seedLine: 507,
    title: "scalable mode: the flush knows nothing of PASIDs",
    posted:
      "a context entry of scalable mode has no domain id: what is flushed by is other bits of " +
      "it. The PASID cache is not told at all, nor are device TLBs.",
    seen:
      "what the unit remembers under the zapped device's domain ids stays, and the next kernel " +
      "gives these ids away.",
    invariants: ["iotlb-fresh"],
    scenario: "handover-scalable",
  },
] as const satisfies readonly Defect[];
