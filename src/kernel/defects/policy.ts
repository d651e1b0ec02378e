import type { Defect } from "./types.ts";

/** Faults of patch 12, only persistent memory for persistent DMA (FACTS 8.12). */
export const POLICY_DEFECTS = [
  {
    id: "D72",
    patch: 12,
    seedLine: 1848,
    title: "only the first mapping of the range is looked at",
    posted:
      "find_vma_intersection answers the first mapping that meets the range. What follows it, " +
      "and a hole before it, are not looked at.",
    seen: "a range that begins in guestmemfs and goes on in anonymous memory is taken: after the " +
      "kexec devices reach pages the new kernel uses for something else.",
    invariants: ["leaves-owned"],
    scenario: "mixed-memory",
    vector: "a mapping of guestmemfs is, to its end and no further",
  },
  {
    id: "D73",
    patch: 12,
    seedLine: 1849,
    title: "the end of the range may wrap",
    posted: "user_va + length is computed in 64 bits, and compared when it is small again.",
    seen: "a range of nearly the whole address space passes the test. What refuses it is a later " +
      "check, by luck: EOVERFLOW instead of EFAULT.",
    invariants: [],
    scenario: "mixed-memory",
    vector: "a range that wraps shows no file",
  },
  {
    id: "D74",
    patch: 12,
    seedLine: 1854,
    title: "the look is over before the pages are pinned",
    posted: "mmap_lock is dropped after the test; pinning looks the address up again.",
    seen: "another thread maps anonymous memory in the place of the file in between, and that is " +
      "what gets pinned: devices reach it, and after the kexec it is free.",
    invariants: ["leaves-owned"],
    scenario: "racing-threads",
  },
  {
    id: "D75",
    patch: 12,
    seedLine: 1842,
    title: "only IOAS_MAP looks",
    posted: "test and pin are in one of the ways to map. MAP_FILE, MAP_DMA of a container and " +
      "accesses pass them by.",
    seen: "anonymous memory is mapped into a persistent iommufd by MAP_DMA; its pages are free " +
      "after the kexec. And a guestmemfs file that is mapped by descriptor has no pin.",
    invariants: ["leaves-owned", "pins-balanced"],
    scenario: "mixed-memory",
    vector: "a persistent iommufd takes files of guestmemfs, nothing else",
  },
  {
    id: "D76",
    patch: 12,
    seedLine: 1850,
    title: "a refusal by policy is EFAULT, and each call is logged",
    posted: "EFAULT is for bad addresses; EOPNOTSUPP or EINVAL would say it. pr_info for each map.",
    seen: "a program cannot tell wrong memory from a wrong address.",
    invariants: [],
    scenario: "mixed-memory",
    notShown:
      "rfc-v1 keeps the errno: it is the interface the series proposes. The log has no end " +
      "here.",
  },
  {
    id: "D77",
    patch: 12,
    seedLine: 1850,
    title: "what passes the test cannot be pinned",
    posted: "guestmemfs maps its memory with remap_pfn_range; get_user_pages answers EFAULT for " +
      "such mappings.",
    seen: "IOAS_MAP of the only memory that is allowed answers EFAULT once a device is attached; " +
      "without one it succeeds, and the attach fails.",
    invariants: [],
    scenario: "file-pins",
    vector: "guestmemfs memory is mapped by address under a device",
  },
  {
    id: "D78",
    patch: 12,
    seedLine: 1895,
    title: "stubs that are inline and not static, or missing",
    posted:
      "without guestmemfs the header has an inline function that is emitted nowhere, and no " +
      "pin functions.",
    seen: "the link fails.",
    invariants: [],
    scenario: "mixed-memory",
    notShown: "a fault of the build, not of the running kernel.",
  },
] as const satisfies readonly Defect[];
