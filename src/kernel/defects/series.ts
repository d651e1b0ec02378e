import type { Defect } from "./types.ts";

/** What the series as a whole leaves out (FACTS 8.14). */
export const SERIES_GAPS = [
  {
    id: "D29",
    patch: 0,
    seedLine: 1644,
    title: "the next kernel turns translation off before it turns it on again",
    posted:
      "init_dmars is left as it is: it finds a unit that translates, is not a kdump kernel, " +
      "and clears TE; when it sets it again the root table is empty.",
    seen: "in between, the running devices' IOVAs are used as physical addresses; afterwards all " +
      "their DMA are faults.",
    invariants: ["no-untranslated-dma", "no-stray-dma", "no-dma-fault", "guest-intact"],
    scenario: "handover",
  },
  {
    id: "G2",
    patch: 0,
    seedLine: 497,
    title: "the PCI core takes bus mastering from every device at a kexec",
    posted: "no patch touches the PCI core, whose shutdown clears the bit so that no stray DMA " +
      "meets the next kernel.",
    seen: "the device that was to go on is silenced 55 ms before the jump.",
    invariants: ["no-dma-fault"],
    scenario: "handover",
  },
  {
    id: "G3",
    patch: 0,
    seedLine: 2237,
    title: "VFIO blocks and resets a device when its heir opens it",
    posted: "no patch touches VFIO: claiming a device puts it on the blocking domain, and the " +
      "first open resets it.",
    seen: "the DMA that came through the kexec ends in the hands of those it was kept for.",
    invariants: ["no-dma-fault"],
    scenario: "handover",
  },
  {
    id: "G4",
    patch: 0,
    seedLine: 2237,
    title: "any driver may bind a handed-over device after the jump",
    posted:
      "the next kernel probes all devices alike; a native driver that finds one of its kind " +
      "resets it and makes it its own.",
    seen: "the guest's disk is the host's: commands in hand are gone.",
    invariants: ["no-dma-fault", "guest-intact"],
    scenario: "native-driver",
  },
  {
    id: "G6",
    patch: 0,
    seedLine: 1641,
    title: "what was restored is not handed on at the next kexec",
    posted:
      "a restored domain has too little in it to be written down again, and an iommufd that " +
      "nobody has picked up is not written down at all.",
    seen: "the second live update silences the device.",
    invariants: ["no-dma-fault", "guest-intact"],
    scenario: "twice",
  },
  {
    id: "G10",
    patch: 0,
    seedLine: 1655,
    title: "a handover that cannot be read leaves DMA running",
    posted:
      "where KHO's tree is of another version, all that was preserved is free memory at once, " +
      "and nobody stops the devices before that.",
    seen: "hardware goes on walking tables in memory that is being written over.",
    invariants: ["tables-owned"],
    scenario: "kho-version",
  },
  {
    id: "G11",
    patch: 0,
    seedLine: 2349,
    title: "going back to a kernel without the support is not prevented",
    posted: "the tree is handed to whatever kernel is loaded. An older one does not know of it, " +
      "finds a unit that translates and turns it off, with devices at work behind it.",
    seen:
      "their IOVAs are used as physical addresses, in a kernel that takes that memory for its own.",
    invariants: ["no-untranslated-dma", "no-stray-dma"],
    scenario: "rollback-mainline",
  },
] as const satisfies readonly Defect[];
