import type { Defect } from "./types.ts";

/** Faults of patch 2, the hooks into KHO (FACTS 8.2). */
export const PLUMBING_DEFECTS = [
  {
    id: "D10",
    patch: 2,
    seedLine: 385,
    title: "the notifier stays when the module goes",
    posted: "module exit asks for the configuration symbol of another KHO user, so that the " +
      "notifier is never unregistered.",
    seen: "the first dump after rmmod jumps into freed text.",
    invariants: [],
    scenario: "frozen",
    notShown: "iommufd is built into the kernel here: there are no modules to unload.",
  },
  {
    id: "D11",
    patch: 2,
    seedLine: 296,
    title: "serialise.o is linked into vmlinux, not into the module",
    posted: "the object is added to obj-y by itself instead of to iommufd's objects.",
    seen: "with IOMMUFD=m the link fails: it refers to symbols of the module.",
    invariants: [],
    scenario: "frozen",
    notShown: "a fault of the build, not of the running kernel.",
  },
  {
    id: "D12",
    patch: 2,
    seedLine: 316,
    title: "stubs in a header that are not inline",
    posted: "without KHO the header defines the functions in every file that includes it.",
    seen: "the link fails with multiple definitions.",
    invariants: [],
    scenario: "frozen",
    notShown: "a fault of the build, not of the running kernel.",
  },
  {
    id: "D13",
    patch: 2,
    seedLine: 364,
    title: "an error of deserialise would unload iommufd, and there never is one",
    posted:
      "init undoes itself when deserialising fails; but deserialising answers 0 whatever it " +
      "found.",
    seen: "bad data is passed over in silence.",
    invariants: [],
    scenario: "frozen",
    notShown: "rfc-v1 goes on without bad data as well, with a line in the log: iommufd must not " +
      "be missing because of it.",
  },
  {
    id: "D14",
    patch: 2,
    seedLine: 412,
    title: "a command that the notifier does not know aborts the dump",
    posted: "anything but DUMP and ABORT is answered with NOTIFY_BAD.",
    seen: "a KHO that learns a third command stops working with iommufd.",
    invariants: [],
    scenario: "frozen",
    notShown: "this version of KHO has two commands.",
  },
  {
    id: "D15",
    patch: 2,
    seedLine: 407,
    title: "ABORT undoes nothing",
    posted: "the notifier returns at once: what a dump froze stays frozen. As posted nothing is " +
      "frozen to begin with (D36); on a kernel that freezes, this is what is missing.",
    seen: "after an update that was called off, the iommufds answer EBUSY for ever.",
    invariants: ["abort-restores"],
    scenario: "abort",
  },
] as const satisfies readonly Defect[];
