/** What must hold, and the situation that must have been seen for its holding to mean anything. */
export interface Invariant {
  readonly id: string;
  readonly title: string;
  /** A situation; see {@link PREMISES}. */
  readonly premise: Premise;
  /** Where it comes from. */
  readonly source: string;
}

/** Situations that make an invariant's verdict worth something. */
export const PREMISES = {
  "dma-during-kexec":
    "a device of a persistent VM reached memory between the jump and the next kernel's readiness",
  "dma-seen": "a device reached memory",
  "unheld-at-kexec": "a device that was doing DMA was not handed over at a kexec",
  "tables-after-kexec": "page tables in use were looked at after a kexec",
  "translates-at-jump": "an IOMMU translated at a jump",
  "two-domains": "a unit had two domains in use at once",
  "file-pinned": "a memory file was pinned for DMA",
  "kho-active": "a KHO dump stood",
  "update-aborted": "a live update was called off before the jump",
  "page-asked": "a device asked for a page that was not there",
  "iotlb-filled": "the IOTLB had entries when it was compared with the tables",
  "guest-resumed": "a guest ran on after a kexec",
  "programs-ran": "a kernel got as far as running programs",
  "groups-probed": "IOMMU groups had domains",
  "memory-mapped": "the tables of a device led to memory",
  "areas-attached": "a device was on an address space with something mapped in it",
  "iommufd-persistent": "a persistent iommufd was open",
  "iommufd-dumped": "a KHO dump stood with a persistent iommufd in it",
} as const;

export type Premise = keyof typeof PREMISES;

/** FACTS 10.3, as far as they apply to what can be run. In the order a report names them. */
export const INVARIANTS = [
  {
    id: "no-dma-fault",
    title: "a device of a persistent VM never has a DMA refused or lost",
    premise: "dma-during-kexec",
    source: "FACTS 10.3 I1",
  },
  {
    id: "no-stray-dma",
    title: "every DMA lands in memory of the guest the device belongs to",
    premise: "dma-seen",
    source: "FACTS 10.3 I1",
  },
  {
    id: "quiet-unless-held",
    title: "a device that is not handed over does no DMA between the jump and its driver's probe",
    premise: "unheld-at-kexec",
    source: "FACTS 10.3 I2",
  },
  {
    id: "closed-at-jump",
    title: "at a jump hardware leads no device anywhere that is not handed over",
    premise: "translates-at-jump",
    source: "FACTS 10.3 I2",
  },
  {
    id: "tables-kept",
    title: "at a jump every table in use by hardware is kept for the next kernel",
    premise: "translates-at-jump",
    source: "FACTS 10.3 I3",
  },
  {
    id: "tables-owned",
    title: "no table in use by hardware is free memory or somebody else's",
    premise: "tables-after-kexec",
    source: "FACTS 10.3 I3",
  },
  {
    id: "leaves-owned",
    title: "no page a device can reach is free memory or somebody else's",
    premise: "memory-mapped",
    source: "FACTS 10.3 I3",
  },
  {
    id: "domain-in-hardware",
    title: "every group has a domain, and hardware translates with that one",
    premise: "groups-probed",
    source: "FACTS 10.3 I4",
  },
  {
    id: "did-one-root",
    title:
      "each domain id in hardware stands for one page-table root, or for roots that say the same",
    premise: "two-domains",
    source: "FACTS 10.3 I5",
  },
  {
    id: "areas-mapped",
    title: "the tables of a device hold the areas of its address space, and nothing else",
    premise: "areas-attached",
    source: "FACTS 1.4, 10.3 I6",
  },
  {
    id: "pins-balanced",
    title: "a memory file has as many pins as there are mappings of it for DMA",
    premise: "file-pinned",
    source: "FACTS 10.3 I6",
  },
  {
    id: "scratch-clean",
    title: "nothing that is preserved lies in the scratch region",
    premise: "kho-active",
    source: "FACTS 10.3 I7",
  },
  {
    id: "one-claimant",
    title: "what there is one of has one owner: a persistent id, a domain, a file's block",
    premise: "iommufd-persistent",
    source: "FACTS 10.3 I7",
  },
  {
    id: "dump-true",
    title: "a KHO tree says of each iommufd what it is, when it is written and when it is read",
    premise: "iommufd-dumped",
    source: "FACTS 10.3 I9",
  },
  {
    id: "abort-restores",
    title: "an update called off before the jump leaves the system as it was",
    premise: "update-aborted",
    source: "FACTS 10.3 I10",
  },
  {
    id: "no-untranslated-dma",
    title: "no device behind an IOMMU reaches memory untranslated",
    premise: "dma-seen",
    source: "FACTS 10.3 I11",
  },
  {
    id: "iotlb-fresh",
    title: "every cached translation is in the tables of today",
    premise: "iotlb-filled",
    source: "FACTS 10.3 I12",
  },
  {
    id: "page-requests-kept",
    title: "a page that a device waits for is not forgotten, and it is answered once",
    premise: "page-asked",
    source: "seed lines 2909-2914",
  },
  {
    id: "guest-intact",
    title: "nothing a guest or its devices wrote is lost, moved or changed by anybody else",
    premise: "guest-resumed",
    source: "seed lines 24-32",
  },
  {
    id: "no-splat",
    title: "no kernel reports a bug of its own: memory misused, a belief that failed, a panic",
    premise: "programs-ran",
    source: "KASAN, KMSAN, WARN and BUG of a kernel built with its checkers",
  },
] as const satisfies readonly Invariant[];

export type InvariantId = (typeof INVARIANTS)[number]["id"];

export const INVARIANT_IDS: readonly InvariantId[] = INVARIANTS.map((i) => i.id);

/** One broken invariant: the first time it was seen broken, for a device or for all. */
export interface Violation {
  readonly invariant: InvariantId;
  /** Virtual nanoseconds. */
  readonly time: number;
  /** Name of the device or guest it was seen at. */
  readonly subject: string;
  /** IOVA or guest-physical address, where there is one. */
  readonly address?: number;
  readonly detail: string;
  /** How often it was seen at this subject. */
  count: number;
}
