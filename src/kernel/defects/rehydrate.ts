import type { Defect } from "./types.ts";

/** Faults of patch 7, an iommufd made anew from the tree (FACTS 8.7). */
export const REHYDRATE_DEFECTS = [
  {
    id: "D39",
    patch: 7,
    seedLine: 1150,
    title: 'every file restores iommufd "1"',
    posted:
      'the show function passes the constant "1" instead of its own name. Where there is no 1, ' +
      "nothing is found, and an empty iommufd is handed out as if it were good.",
    seen: "who reads the file of iommufd 2 gets what iommufd 1 had.",
    invariants: ["dump-true"],
    scenario: "picked-up",
    vector: "each file is its own iommufd",
  },
  {
    id: "D40",
    patch: 7,
    seedLine: 1107,
    title: "each read makes another iommufd of the same",
    posted: "read() creates a descriptor in the reader, as often as somebody reads; an error is " +
      "printed as text, and the read succeeds.",
    seen: "two iommufds have the same id and the same areas, neither knows of the other; `cat` " +
      "makes one and loses it.",
    invariants: ["one-claimant"],
    scenario: "picked-up",
    vector: "it is picked up once",
  },
  {
    id: "D41",
    patch: 7,
    seedLine: 1107,
    title: "the descriptor is there before what it stands for",
    posted:
      "the file is installed first, and gets its iommufd_ctx afterwards; it is found again by " +
      "number, without a lock.",
    seen: "another thread's ioctl on the new descriptor goes through a NULL pointer.",
    invariants: ["no-splat"],
    scenario: "racing-threads",
  },
  {
    id: "D42",
    patch: 7,
    seedLine: 1111,
    title: "a failed open is not noticed",
    posted:
      "iommufd_fops_open may run out of memory; its answer is dropped and private_data, which " +
      "is NULL then, used.",
    seen: "the reader is killed by a NULL dereference instead of reading ENOMEM.",
    invariants: ["no-splat"],
    scenario: "no-memory-for-pick-up",
    vector: "without memory it can be picked up later",
  },
  {
    id: "D43",
    patch: 7,
    seedLine: 1112,
    title: "a restored iommufd is not persistent",
    posted: "persistent_id stays 0 and the iommufd is not entered among the persistent ones.",
    seen:
      "the second live update loses it: the guest does not come back. And memory that would not " +
      "survive can be mapped into it.",
    invariants: ["guest-intact"],
    scenario: "twice",
    vector: "it is persistent under its id again",
  },
  {
    id: "D44",
    patch: 7,
    seedLine: 1126,
    title: "restored areas have no pages",
    posted: "an area is put into the tree around every check, with no pages object behind it. To " +
      "the rest of iommufd it looks like one that is still being made.",
    seen:
      "UNMAP answers EBUSY for ever, COPY from it ENOENT, MAP over it EEXIST; a new domain is " +
      "filled without it; closing warns, and the area and its pin are lost.",
    invariants: ["areas-mapped", "no-splat", "pins-balanced"],
    scenario: "picked-up",
    vector: "what was mapped is there, to be copied, and in nobody's way once it is gone",
  },
  {
    id: "D45",
    patch: 7,
    seedLine: 1119,
    title: "object ids are given afresh",
    posted: "IOASes get the lowest free ids in the order of the tree, whatever they were.",
    seen: "where there was a gap, the id that a program has saved is another object or none.",
    invariants: ["dump-true"],
    scenario: "picked-up",
    vector: "its objects have the ids they had",
  },
  {
    id: "D46",
    patch: 7,
    seedLine: 1128,
    title: "a property that is missing is read through NULL",
    posted: "what fdt_getprop answers is dereferenced unseen.",
    seen: "a tree that lacks a property (D35) kills whoever reads the file.",
    invariants: ["no-splat"],
    scenario: "full-blob",
    needs: ["D35", "D38"],
  },
  {
    id: "D47",
    patch: 7,
    seedLine: 1120,
    title: "a restored IOAS charges nobody",
    posted: "the pinned memory of a restored area counts against no user and no process.",
    seen: "RLIMIT_MEMLOCK can be passed by.",
    invariants: [],
    scenario: "picked-up",
    notShown:
      "only guestmemfs memory is handed over, and that counts against no limit before the " +
      "kexec either: it is no part of the system's memory.",
  },
  {
    id: "D48",
    patch: 7,
    seedLine: 1137,
    title: "no HWPT, no device: the link from IOAS to hardware is a TODO",
    posted: "the restored iommufd has address spaces, and nothing uses them.",
    seen: "the devices cannot be bound: their domain is nobody's. The guest does not come back.",
    invariants: ["guest-intact"],
    scenario: "persisted-iommufd",
    vector: "the heir binds the device and finds it attached",
  },
] as const satisfies readonly Defect[];
