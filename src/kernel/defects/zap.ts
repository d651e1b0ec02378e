import type { Defect } from "./types.ts";

/** Faults of patch 3, zapping context entries on kexec (FACTS 8.3). */
export const ZAP_DEFECTS = [
  {
    id: "D16",
    patch: 3,
    seedLine: 499,
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
    seedLine: 502,
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
    seedLine: 503,
    title: "the context cache is flushed for a source id that was never set",
    posted: "bus and devfn are local variables that nobody initialises; those of the device " +
      "are at hand, in the list entry the loop is at.",
    seen: "the unit goes on by the cached context entry of the zapped device.",
    invariants: ["no-splat", "closed-at-jump"],
    scenario: "handover",
  },
  {
    id: "D19",
    patch: 3,
    seedLine: 477,
    title: "one list node for as many lists as there are units",
    posted:
      "a domain is put into the list of every unit it is attached to, by one and the same node: " +
      "the second time both lists are broken.",
    seen: "walks that never end, or end too soon.",
    invariants: [],
    scenario: "handover",
    notShown:
      "the machines here have one remapping unit, and a domain of this driver belongs to one.",
  },
  {
    id: "D20",
    patch: 3,
    seedLine: 477,
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
    id: "D21",
    patch: 3,
    seedLine: 493,
    title: "neither the unit's lock nor the domain's is held",
    posted: "the walk at shutdown races with devices that are unplugged or attached meanwhile.",
    seen: "list entries that change under the walk.",
    invariants: [],
    scenario: "handover",
    notShown: "one processor is emulated inside the kernel: nothing runs beside the shutdown.",
  },
  {
    id: "D22",
    patch: 3,
    seedLine: 494,
    title: "devices of other units are looked up in this unit's tables",
    posted:
      "the inner loop takes every device of the domain, and uses its bus and devfn in the unit " +
      "that is being shut down.",
    seen: "a device of another segment with the same numbers loses its context entry.",
    invariants: [],
    scenario: "handover",
    notShown: "the machines here have one remapping unit and one PCI segment.",
  },
  {
    id: "D23",
    patch: 3,
    seedLine: 495,
    title: "other ids a device's requests may carry are not cleared",
    posted:
      "one context entry is looked up for a device, by its own bus and devfn. Entries that were " +
      "made for its aliases, behind a bridge or for a card with a quirk, stay, as do devices that no " +
      "domain's list knows.",
    seen:
      "a card whose requests come from another function is led to its old domain still, whose " +
      "tables are the next kernel's to use.",
    invariants: ["closed-at-jump", "tables-kept", "tables-owned"],
    scenario: "alias",
  },
  {
    id: "D24",
    patch: 3,
    seedLine: 499,
    title: "devices that firmware counts on are zapped",
    posted:
      "a device with an RMRR has a domain like any other, and its context entry is cleared like " +
      "any other. (In the review: one cannot always apply a blocking domain.)",
    seen: "the management controller's heartbeat ends in faults, or finds bus mastering off.",
    invariants: ["no-dma-fault"],
    scenario: "firmware-device",
  },
  {
    id: "D25",
    patch: 3,
    seedLine: 519,
    title: "protected memory regions are not disabled any more",
    posted: "the loop that switched them off has got the zapping into its place.",
    seen: "where firmware has set them up DMA into them would go on being refused.",
    invariants: [],
    scenario: "handover",
    notShown: "init_dmars switches them off when it turns translation on, at every boot: at the " +
      "shutdown of a kernel with its IOMMU on there is nothing left to switch off.",
  },
  {
    id: "D26",
    patch: 3,
    seedLine: 524,
    title: "a return without a semicolon",
    posted:
      "the statement after it becomes its operand; GNU C takes that for returning what a void " +
      "function returns, and the lock is released all the same.",
    seen: "nothing; a warning of the compiler.",
    invariants: [],
    scenario: "handover",
    notShown: "by luck it does what it was to do; a fault of the build at worst.",
  },
  {
    id: "D27",
    patch: 3,
    seedLine: 523,
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
    seedLine: 522,
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
    seedLine: 506,
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
