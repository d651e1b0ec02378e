import type { Defect } from "./types.ts";

/** Faults of patch 5, iommufd's part of the dump (FACTS 8.5). */
export const SERIALISE_DEFECTS = [
  {
    id: "D35",
    patch: 5,
    seedLine: 854,
    title: "errors of one iommufd's serialisation are dropped",
    posted:
      "serialise_iommufd collects what libfdt answers and returns 0. A full blob is no error.",
    seen:
      "the tree that is handed over lacks a part. (libfdt itself refuses to finish a tree that " +
      "has no room for its end, so it must run out within the last bytes.)",
    invariants: ["dump-true"],
    scenario: "full-blob",
    needs: ["D38"],
  },
  {
    id: "D36",
    patch: 5,
    seedLine: 870,
    title: "nothing is frozen once the dump is written",
    posted:
      "programs go on mapping, unmapping and closing after the dump; the tree stays as it was.",
    seen:
      "an area that was unmapped comes back after the kexec, with no tables behind it; what was " +
      "mapped since is not in the tree, nor are its tables kept.",
    invariants: ["dump-true", "areas-mapped"],
    scenario: "frozen",
    vector: "what was dumped is frozen until the abort, what was not is free",
  },
  {
    id: "D37",
    patch: 5,
    seedLine: 833,
    title: "areas and objects are walked without a lock",
    posted: "neither iova_rwsem nor a reference on the objects is taken.",
    seen: "half-built areas are written down as if they were whole.",
    invariants: [],
    scenario: "frozen",
    notShown:
      "one processor runs here, and nothing gives it away inside the walk: no map is half " +
      "done while a dump is made.",
  },
  {
    id: "D38",
    patch: 5,
    seedLine: 837,
    title: "IOVA, length and permissions are all that is written of an area",
    posted:
      "no address or file, no sharing of pages, no HWPT, no device, no options, no accounting.",
    seen: "the next kernel cannot make an address space of it that works: no memory behind the " +
      "areas, no domain, no device.",
    invariants: ["dump-true", "guest-intact"],
    scenario: "persisted-iommufd",
    vector: "a handed-over iommufd is picked up by reading its file",
  },
  {
    id: "D38b",
    patch: 5,
    seedLine: 874,
    title: "/iommufd is written even when it is empty",
    posted:
      "the node is made before anybody has looked whether there is something to say, and the " +
      "answer for its compatible string is not looked at.",
    seen: "an empty node.",
    invariants: [],
    scenario: "frozen",
    notShown: "an empty node harms nobody, and rfc-v1 writes it as well.",
  },
  {
    id: "D38c",
    patch: 5,
    seedLine: 980,
    title: "the reader does not look at the version",
    posted:
      "numbers are written as this machine's unsigned long, and the compatible string is not " +
      "compared when they are read: a tree of another version is taken for this one.",
    seen: "rolled back from a kernel with another format, iommufd makes something of a tree it " +
      "does not understand: an empty iommufd, as if it were good, and no pin on its files.",
    invariants: ["pins-balanced"],
    scenario: "other-format",
  },
] as const satisfies readonly Defect[];
