import type { Defect } from "./types.ts";

/** Faults of patch 9, page-table serialisation (FACTS 8.9). */
export const TABLE_DEFECTS = [
  {
    id: "D53",
    patch: 9,
    seedLine: 1499,
    title: "only the tables under the first entry of the pgd are preserved",
    posted: "a function that expects a table is handed the pgd's first entry, and takes that for " +
      "the table's only one. What begins at 512 GiB or above is left out with 4 levels, with 3 " +
      "what begins at 1 GiB, with 5 at 256 TiB.",
    seen: "the tables of the higher addresses are free memory to the next kernel, and hardware " +
      "goes on walking what it writes there.",
    invariants: ["tables-kept", "tables-owned", "no-dma-fault"],
    scenario: "high-iova",
  },
  {
    id: "D54",
    patch: 9,
    seedLine: 1472,
    title: "the walk is one level off: pages of data are preserved as tables",
    posted:
      "the entry the walk starts with is one of the pgd's, the level it is given is that of " +
      "the pgd itself. So the last level it looks at is that of the leaves, and each page of data, " +
      "of superpages the first 4 KiB, is listed as a table.",
    seen:
      "the next kernel's IOMMU driver claims guest memory as its tables, and guestmemfs, whose " +
      "memory it is, cannot have it any more.",
    invariants: ["no-splat", "no-dma-fault", "guest-intact"],
    scenario: "handover",
  },
  {
    id: "D55",
    patch: 9,
    seedLine: 1499,
    title: 'the pgd page is not in "mem"',
    posted: "the walk begins with the first entry of the pgd and lists what lies below it. The " +
      "pgd itself, and the table its first entry leads to, are never listed.",
    seen: "the next kernel takes the pgd for free memory and writes over it; hardware goes on " +
      "walking what is there then.",
    invariants: ["tables-kept", "tables-owned", "no-dma-fault"],
    scenario: "handover",
  },
  {
    id: "D56",
    patch: 9,
    seedLine: 1460,
    title: "the first entry of the pgd is followed even where it is not present",
    posted: "the address in it is used without a look at its present bits: an empty entry leads " +
      "to physical page 0, whose contents are taken for a table.",
    seen: "what firmware keeps there, the real-mode interrupt vectors, leads to addresses where " +
      "there is no memory: the write to active does not come back.",
    invariants: ["no-splat"],
    scenario: "high-iova",
  },
  {
    id: "D57",
    patch: 9,
    seedLine: 1497,
    title: "the list of pages is one page long, and nobody looks whether it is full",
    posted:
      "an array of 4096 bytes takes 256 entries; the walk goes on behind its end. It is not " +
      "looked at whether it could be had, and it is never freed.",
    seen: "with data listed too (D54) 1 MiB of 4 KiB pages is enough to write over whatever lies " +
      "behind the array.",
    invariants: ["no-splat"],
    scenario: "small-pages",
    needs: ["D54"],
  },
  {
    id: "D58",
    patch: 9,
    seedLine: 1469,
    title: "pages that lie side by side are listed one by one",
    posted:
      "each page gets an entry of 16 bytes of its own. A guest of 1 TiB in 2 MiB pages, data " +
      "counted, makes 8 MiB of them; the whole tree may have 10 MiB.",
    seen: "a tree that has room for everything overflows: no live update.",
    invariants: [],
    vector: "page tables take little room in the tree, a page for a page of guest memory or not",
    scenario: "small-tree",
  },
  {
    id: "D59",
    patch: 9,
    seedLine: 1508,
    title: "half of what a domain is made of is not written down",
    posted:
      "no domain id, no unit, no owner, no PASIDs, and nothing of the root and context tables " +
      "that lead to it.",
    seen: "the next kernel cannot take over a unit it knows nothing of: everything is blocked.",
    invariants: ["tables-kept", "no-dma-fault", "guest-intact"],
    scenario: "handover",
  },
  {
    id: "D60",
    patch: 9,
    seedLine: 1499,
    title: "mappings may change during the walk",
    posted: "nothing is frozen: tables that are made meanwhile are missing, freed ones are listed.",
    seen: "the tree does not fit the tables.",
    invariants: [],
    scenario: "handover",
    notShown:
      "one processor is emulated inside the kernel: nothing runs beside a dump. (That nothing " +
      "is frozen after it shows D36.)",
  },
  {
    id: "D61",
    patch: 9,
    seedLine: 1514,
    title: "the list of devices is read without its lock",
    posted: "devices may be attached or leave during the walk over them.",
    seen: "an entry too many, or a list that is followed into nowhere.",
    invariants: [],
    scenario: "handover",
    notShown: "one processor is emulated inside the kernel: nothing runs beside a dump.",
  },
  {
    id: "D62",
    patch: 9,
    seedLine: 1467,
    title: "tables of the first level's format are not told apart",
    posted:
      "the walk looks at entries as second-level ones have them, whatever format they are in.",
    seen: "bits that mean something else are taken for an address.",
    invariants: [],
    scenario: "handover",
    notShown:
      "the driver makes second-level tables for every domain a program can have, in scalable " +
      "mode too.",
  },
] as const satisfies readonly Defect[];
