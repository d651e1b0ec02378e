import type { Defect } from "./types.ts";

/** Faults of patch 1, marking an iommufd persistent (FACTS 8.1). */
export const MARKING_DEFECTS = [
  {
    id: "D01",
    patch: 1,
    seedLine: 195,
    title: "SET marks the iommufd whatever the value is",
    posted: "val64 of the option is written and never read. 0, which by the header's own words " +
      "would mean off, marks the iommufd like 1 does.",
    seen: "SET with 0 answers success and a persistent id; right is EINVAL.",
    invariants: [],
    scenario: "marking",
    vector: "nothing but 1 marks it, and nothing takes the mark away",
  },
  {
    id: "D02",
    patch: 1,
    seedLine: 206,
    title: "a second SET leaves a pointer that nobody takes away",
    posted: "each SET enters the iommufd under one more id, and only the last id is remembered. " +
      "Close erases that one; the others go on pointing to freed memory.",
    seen: "the next KHO activation reads the freed iommufd_ctx (KASAN) and hands over an iommufd " +
      "that nobody has.",
    invariants: ["no-splat", "dump-true"],
    scenario: "marking",
    vector: "it is marked once",
  },
  {
    id: "D03",
    patch: 1,
    seedLine: 195,
    title: "object_id is not looked at",
    posted: "the other options refuse an object id they have no use for; this one takes anything.",
    seen: "SET with an object id answers success; right is EOPNOTSUPP.",
    invariants: [],
    scenario: "marking",
    vector: "it is the iommufd's, no object's",
  },
  {
    id: "D04",
    patch: 1,
    seedLine: 203,
    title: "EFAULT says that the iommufd was used already",
    posted: "EFAULT is for bad addresses; RLIMIT_MODE answers EBUSY in the same situation.",
    seen: "a program cannot tell a bad pointer from a call that came too late.",
    invariants: [],
    scenario: "marking",
    notShown: "rfc-v1 keeps the errno: it is the interface the series proposes, and programs " +
      "written for it expect it. A switch would change nothing.",
  },
  {
    id: "D05",
    patch: 1,
    seedLine: 201,
    title: "no lock is held from the look at the objects to the mark",
    posted: "the test that nothing was made in the iommufd yet, and the marking, are two steps. " +
      "Another thread may make an IOAS and a HWPT in between.",
    seen:
      "a persistent iommufd has a HWPT whose domain is not persistent: the dump cannot name it, " +
      "and its device is not handed over.",
    invariants: ["dump-true"],
    scenario: "racing-threads",
  },
  {
    id: "D06",
    patch: 1,
    seedLine: 174,
    title: "close frees the iommufd while the dump may be reading it",
    posted:
      "the entry is erased under rcu_read_lock, which protects nothing here, and the memory " +
      "is freed at once; the dump walks the entries without taking a reference.",
    seen: "a close in the middle of a dump makes it read freed memory (KASAN).",
    invariants: ["no-splat"],
    scenario: "racing-threads",
  },
  {
    id: "D07",
    patch: 1,
    seedLine: 241,
    title: "no way to unmark, and no limit",
    posted:
      "an iommufd stays persistent until it is closed, and a user may mark as many as files " +
      "can be opened.",
    seen: "one user can fill the KHO blob for everybody.",
    invariants: [],
    scenario: "marking",
    notShown: "rfc-v1 has neither an unmark nor a limit: what the right policy is, the thread " +
      "leaves open.",
  },
  {
    id: "D08",
    patch: 1,
    seedLine: 206,
    title: "ids that wait from the previous kernel are given out again",
    posted:
      "each boot allocates the lowest id from 1 up, and does not know of the ids in the tree " +
      "it was handed.",
    seen:
      "a fresh iommufd gets the id of one that waits to be picked up: two iommufds are number " +
      "1, and the next dump has one of them.",
    invariants: ["one-claimant", "dump-true"],
    scenario: "picked-up",
    vector: "an id that waits is not given out",
  },
  {
    id: "D09",
    patch: 1,
    seedLine: 202,
    title: "every refused call writes to the log",
    posted: "a warning is printed for each call that fails, without a rate limit.",
    seen: "any user who may open /dev/iommu can flood the log.",
    invariants: [],
    scenario: "marking",
    notShown:
      "rfc-v1 prints the same line; the log here has no end that it could push others out " +
      "of.",
  },
] as const satisfies readonly Defect[];
