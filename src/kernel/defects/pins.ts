import type { Defect } from "./types.ts";

/** Faults of patch 13, files pinned while they are mapped (FACTS 8.13). */
export const PIN_DEFECTS = [
  {
    id: "D79",
    patch: 13,
    seedLine: 1953,
    title: "an IOAS remembers one file",
    posted:
      "pinned_file_handle is overwritten by each map; what is unpinned later is the last file.",
    seen:
      "with two files mapped, one is unpinned twice and the other never: it cannot be removed " +
      "any more.",
    invariants: ["pins-balanced", "no-splat"],
    scenario: "file-pins",
  },
  {
    id: "D80",
    patch: 13,
    seedLine: 1953,
    title: "the pin is taken before the map is tried",
    posted: "when the map fails, the pin stays.",
    seen: "a map that answers EEXIST makes the file undeletable.",
    invariants: ["pins-balanced"],
    scenario: "file-pins",
    vector: "a mapping that fails leaves no pin",
  },
  {
    id: "D81",
    patch: 13,
    seedLine: 1962,
    title: "an UNMAP is one pin, however much it unmaps",
    posted:
      "each UNMAP of a range that succeeds drops one pin of the last file that was mapped; the " +
      "handle is never cleared.",
    seen:
      "two maps and one UNMAP leave a pin; one map, a COPY and two UNMAPs leave the count at -1, " +
      "which is not 0 either: EBUSY for ever.",
    invariants: ["pins-balanced", "no-splat"],
    scenario: "file-pins",
  },
  {
    id: "D82",
    patch: 13,
    seedLine: 1962,
    title: "unmapping everything, DESTROY and close do not unpin",
    posted: "only one of the branches of UNMAP unpins. The count is in persistent memory, and " +
      "nobody counts again after a kexec.",
    seen: "a program that simply ends leaves its file pinned, through every kernel to come.",
    invariants: ["pins-balanced"],
    scenario: "file-pins",
    vector: "closing the iommufd lets the file go",
  },
  {
    id: "D83",
    patch: 13,
    seedLine: 2053,
    title: "unpin goes through the super block of the mount",
    posted:
      "pin takes the file's super block, unpin a global pointer that is NULL until guestmemfs " +
      "is mounted.",
    seen: "an UNMAP in a restored IOAS, before the mount, is a NULL dereference.",
    invariants: ["no-splat"],
    scenario: "not-mounted",
    needs: ["D43", "D44", "D81", "D85"],
  },
  {
    id: "D84",
    patch: 13,
    seedLine: 2094,
    title: "a pinned file can be truncated",
    posted:
      "the header promises that the memory of a pinned file does not change; setattr does not " +
      "ask for pins.",
    seen: "blocks under a device's DMA go back to the file system and into the next file.",
    invariants: ["leaves-owned", "areas-mapped"],
    scenario: "file-pins",
    vector: "a file that is mapped for persistent DMA can be neither removed nor resized",
  },
  {
    id: "D85",
    patch: 13,
    seedLine: 2021,
    title: "the pin of a restored area is a number in its IOAS",
    posted:
      "what is restored is the handle of the last file; no area has the pin that it came with.",
    seen: "unmapped or closed, by a program or its crash, the restored areas leave their pins.",
    invariants: ["pins-balanced"],
    scenario: "picked-up",
    vector: "its file is let go with the last mapping",
  },
  {
    id: "D86",
    patch: 13,
    seedLine: 2021,
    title: "restored twice, a pin is dropped twice",
    posted: "each restore takes the handle over without pinning.",
    seen: "two iommufds drop the one pin there is: the count is below 0.",
    invariants: ["pins-balanced", "no-splat"],
    scenario: "picked-up",
    needs: ["D40"],
  },
  {
    id: "D87",
    patch: 13,
    seedLine: 2067,
    title: "a new file has the pins of the inode's last one",
    posted: "nothing sets the count when an inode is taken from the free list.",
    seen:
      "a file that was just made cannot be removed: the inode was unpinned once too often (D81).",
    invariants: ["pins-balanced"],
    scenario: "reused-inode",
    needs: ["D81"],
  },
] as const satisfies readonly Defect[];
