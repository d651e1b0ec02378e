import type { Defect } from "./types.ts";

/** What the series as a whole leaves out (FACTS 8.14). */
export const SERIES_GAPS = [
  {
    id: "D29",
    patch: 0,
    seedLine: 1583,
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
    id: "G1",
    patch: 0,
    seedLine: 61,
    title: "interrupts are not handed over",
    posted: "neither remapping entries nor vectors nor what VFIO has set up of them is kept.",
    seen: "a device's interrupts in the gap are lost, and its vectors have to be set up again.",
    invariants: [],
    scenario: "handover",
    notShown:
      "no design here hands interrupts over: guests look at their rings themselves, and what " +
      "happened in the gap they find there.",
  },
  {
    id: "G2",
    patch: 0,
    seedLine: 2190,
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
    id: "G5",
    patch: 0,
    seedLine: 2243,
    title: "nothing happens when nobody comes for what was handed over",
    posted:
      "there is no end to it: no way to give a handed-over iommufd up, none to say that all of " +
      "it has been taken.",
    seen: "devices and memory stay as they are until the next boot.",
    invariants: [],
    scenario: "handover",
    notShown:
      "rfc-v1 has none either: it is the series completed, not another design. In redrive and " +
      "replay there are `finish` and `discard`.",
  },
  {
    id: "G6",
    patch: 0,
    seedLine: 1645,
    title: "what was restored is not handed on at the next kexec",
    posted:
      "a restored domain has too little in it to be written down again, and an iommufd that " +
      "nobody has picked up is not written down at all.",
    seen: "the second live update silences the device.",
    invariants: ["no-dma-fault", "guest-intact"],
    scenario: "twice",
  },
  {
    id: "G7",
    patch: 0,
    seedLine: 2641,
    title: "locked memory is not accounted for again",
    posted: "a restored address space charges nobody for what it has pinned.",
    seen: "a user may pin twice what he is allowed to.",
    invariants: [],
    scenario: "handover",
    notShown:
      "the memory of guests is guestmemfs's, which counts against nobody's limit; D47 says the " +
      "rest.",
  },
  {
    id: "G8",
    patch: 0,
    seedLine: 939,
    title: "there is no model of who may have what was handed over",
    posted:
      "the files are root's, mode 0440: whoever is root may take any iommufd, nobody else his own.",
    seen: "the VMM that had it must be root to have it again.",
    invariants: [],
    scenario: "handover",
    notShown: "rfc-v1 keeps the posted interface, and VMMs run as root here.",
  },
  {
    id: "G9",
    patch: 0,
    seedLine: 2243,
    title: "no way from a failed restore to a cold start",
    posted: "what a program does whose iommufd cannot be restored is not said.",
    seen: "the guest is gone though its memory is there.",
    invariants: [],
    scenario: "handover",
    notShown: "that is the VMM's to decide, not the kernel's: the one here gives up.",
  },
  {
    id: "G10",
    patch: 0,
    seedLine: 1654,
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
  {
    id: "G12",
    patch: 0,
    seedLine: 523,
    title: "an ordinary reboot is not told from a live update",
    posted: "the shutdown does the same whatever comes after it.",
    seen: "firmware finds units that translate.",
    invariants: [],
    scenario: "plain-kexec",
    notShown: "kexec is the only reboot here; D27 shows it with nothing handed over.",
  },
  {
    id: "G13",
    patch: 0,
    seedLine: 61,
    title: "a crash kernel during a live update",
    posted:
      "what a kernel for kdump finds when the dump stands, or devices wait for their heirs, is " +
      "not thought of.",
    seen: "undefined.",
    invariants: [],
    scenario: "handover",
    notShown: "there is no crash kernel here: one that panics stops.",
  },
  {
    id: "G14",
    patch: 0,
    seedLine: 2150,
    title: "page requests are not handed over",
    posted: "vIOMMUs, ATS, PRI and SVA are left out: nobody tells the next kernel where hardware " +
      "writes what devices ask for.",
    seen:
      "the queue is free memory to the next kernel, which starts one of its own; a device that " +
      "has asked in between waits for ever.",
    invariants: ["page-requests-kept"],
    scenario: "page-requests",
  },
  {
    id: "G15",
    patch: 0,
    seedLine: 1850,
    title: "mappings of other devices' registers cannot be expressed",
    posted: "what may be mapped for persistent DMA is guestmemfs: a device's BAR is not.",
    seen: "peer-to-peer DMA is refused in a persistent iommufd.",
    invariants: [],
    scenario: "only-guestmemfs",
    notShown:
      "rfc-v1 refuses the same, on purpose: a BAR's address need not be the same after a kexec.",
  },
] as const satisfies readonly Defect[];
