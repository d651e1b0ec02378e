import type { Defect } from "./types.ts";

/** Faults of patches 10 and 11, domains in the next kernel (FACTS 8.10, 8.11). */
export const RESTORE_DEFECTS = [
  {
    id: "D63",
    patch: 10,
    seedLine: 1632,
    title: "a restored domain has no operations",
    posted: "the structure is put together by hand: tables, levels and id, but neither the " +
      "driver's operations nor geometry nor page sizes.",
    seen: "the first call that maps, unmaps or frees goes through a NULL pointer and takes its " +
      "process with it.",
    invariants: ["no-splat", "guest-intact"],
    scenario: "unmap-after-update",
  },
  {
    id: "D64",
    patch: 10,
    seedLine: 1635,
    title: "what is not in the tree is read all the same",
    posted: 'no answer of fdt_getprop is looked at. Without "mem" its length is -1, which in the ' +
      "comparison with a size_t is a very large number of entries.",
    seen: "a tree of another version (D68), or a damaged one, ends the boot: a NULL dereference " +
      "with no task to kill.",
    invariants: ["no-splat"],
    scenario: "older-format",
    needs: ["D68"],
  },
  {
    id: "D65",
    patch: 10,
    seedLine: 1636,
    title: "whether the tables could be claimed is not looked at",
    posted: "the pages are claimed one by one, and the answer thrown away: what could not be had " +
      "is used all the same.",
    seen: "the tables are nobody's. When the domain goes, pages are freed that the kernel does " +
      "not have.",
    invariants: ["no-splat"],
    scenario: "claim-fails",
  },
  {
    id: "D66",
    patch: 10,
    seedLine: 1592,
    title: "no device is attached to a restored domain",
    posted: "where a device is probed there is a comment that says it should be done about here. " +
      "So the device gets a default domain like any other.",
    seen: "its context entry is replaced under its running DMA: from the probe on everything it " +
      "does is a fault.",
    invariants: ["no-dma-fault"],
    scenario: "handover",
  },
  {
    id: "D67",
    patch: 10,
    seedLine: 1583,
    title: "the domain ids that hardware goes by are not reserved",
    posted: "restored domains come without their DID, and init_dmars gives DIDs away from the " +
      "first one on.",
    seen: "a new domain gets the DID of one that devices are on: the unit takes translations of " +
      "one for the other's.",
    invariants: ["no-stray-dma", "did-one-root", "iotlb-fresh", "guest-intact"],
    scenario: "ids-in-use",
  },
  {
    id: "D68",
    patch: 10,
    seedLine: 1660,
    title: "the version of what was handed over is not looked at",
    posted: "compatible is written, and read by nobody: whatever stands below /intel-iommu is " +
      "taken for version 0.",
    seen:
      "a later kernel keeps the pages of tables in another place. The older one takes the domain " +
      "over and claims nothing; when the domain goes, pages are freed that are not the kernel's.",
    invariants: ["no-splat"],
    scenario: "older-format",
  },
  {
    id: "D69",
    patch: 10,
    seedLine: 1636,
    title: "claimed pages are freed by another way than they came",
    posted:
      "pages of tables are claimed by KHO's rules for reference counts, and given back by the " +
      "driver's own function.",
    seen: "nothing as long as each page is listed once.",
    invariants: [],
    scenario: "handover",
    notShown:
      "claimed pages are ordinary pages here, as they are in KHO of 2024; what is listed twice " +
      "shows D51, what was not claimed D65.",
  },
  {
    id: "D70",
    patch: 11,
    seedLine: 1717,
    title: "a domain is given to whoever asks for it, as often as he asks",
    posted: "the pointer is looked up and returned: it stays in the xarray, and which device " +
      "asks is not looked at.",
    seen: "two iommufds that were made of one (D40) share a domain. The first to close frees the " +
      "tables under the other's device, the second frees them again.",
    invariants: ["no-splat", "tables-owned"],
    scenario: "picked-up-twice",
    needs: ["D40"],
  },
  {
    id: "D71",
    patch: 11,
    seedLine: 1718,
    title: "a domain that is not there is NULL, not an error",
    posted: "an id nobody knows is answered with a warning in the log and a NULL that callers " +
      "who look for an ERR_PTR take for a domain.",
    seen:
      "with a domain that could not be restored (D59) the read that picks the iommufd up goes " +
      "through a NULL pointer.",
    invariants: ["no-splat"],
    scenario: "handover",
    needs: ["D59"],
  },
] as const satisfies readonly Defect[];
