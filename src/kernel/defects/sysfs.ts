import type { Defect } from "./types.ts";

/** Faults of patch 6, the entries in sysfs (FACTS 8.6). */
export const SYSFS_DEFECTS = [
  {
    id: "D38d",
    patch: 6,
    seedLine: 913,
    title: "the message names another path than the code makes",
    posted: "/sys/kernel/persisted_iommufd/<id> in the text, " +
      "/sys/kernel/iommufd_persisted/<id>/iommufd in the code.",
    seen: "who follows the text finds nothing.",
    invariants: [],
    scenario: "picked-up",
    notShown: "a word in a commit message; the code is consistent with itself.",
  },
  {
    id: "D38e",
    patch: 6,
    seedLine: 960,
    title: "a kobject that could not be made is used",
    posted:
      "kobject_create_and_add answers NULL when memory is out, and the pointer goes straight " +
      "to sysfs_create_file.",
    seen:
      "the boot of the next kernel ends in a NULL dereference and a panic, with devices at work.",
    invariants: ["no-splat"],
    scenario: "no-memory-at-boot",
  },
  {
    id: "D38f",
    patch: 6,
    seedLine: 960,
    title: "the entries stay after the iommufd was picked up",
    posted: "kobjects are never removed.",
    seen: "the id can be read again for ever.",
    invariants: [],
    scenario: "picked-up",
    notShown: "the entry stays in rfc-v1 too and answers EBUSY; what reading it again does is D40.",
  },
  {
    id: "D38g",
    patch: 6,
    seedLine: 978,
    title: "the directory is made for nothing",
    posted: "/sys/kernel/iommufd_persisted appears on every boot with a KHO tree, also when that " +
      "has nothing of iommufd in it.",
    seen: "a program that looks for the directory takes it for a sign that something waits.",
    invariants: [],
    scenario: "nothing-to-pick-up",
    vector: "with nothing to pick up there is no directory",
  },
  {
    id: "D38h",
    patch: 6,
    seedLine: 945,
    title: "only root can pick up, and anybody's",
    posted: "mode 0440, and no word of who owned the descriptor.",
    seen: "a VMM that is not root cannot come back; one that is can take another's.",
    invariants: [],
    scenario: "picked-up",
    notShown: "files have no modes and no owners here.",
  },
] as const satisfies readonly Defect[];
