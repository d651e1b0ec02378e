import type { Defect } from "./types.ts";

/** Faults of patch 4, the persistent id of a domain (FACTS 8.4). */
export const ID_DEFECTS = [
  {
    id: "D31",
    patch: 4,
    seedLine: 656,
    title: "a driver without domain_alloc_user makes domains that do not persist",
    posted: "only that operation is told the persistent id. Where a driver has none, as that of " +
      "devices without an IOMMU here, a plain domain is made, and nobody is told.",
    seen:
      "the HWPT of a persistent iommufd is not among what is handed over: who comes after finds " +
      "nothing to attach the device to.",
    invariants: ["guest-intact"],
    scenario: "noiommu-keepalive",
  },
  {
    id: "D32",
    patch: 4,
    seedLine: 606,
    title: "Arm and AMD refuse as late as the attach",
    posted:
      "their drivers answer EOPNOTSUPP to a persistent id, which they see when a domain is made.",
    seen: "a program finds out that its iommufd cannot persist when it attaches the first device.",
    invariants: [],
    scenario: "handover",
    notShown: "rfc-v1 answers the same at the same place: there is no earlier one that knows the " +
      "device. The VMM goes on without persistence.",
  },
  {
    id: "D33",
    patch: 4,
    seedLine: 646,
    title: "all domains of a context have the context's id",
    posted: "the id that marks the iommufd is handed to every domain that is made in it; domains " +
      "are tracked by that id, so that there can be one.",
    seen: "a card that needs a second address space, for its PASID, does not get it: the VM does " +
      "not start. (Posted there is only a warning, see D52.)",
    invariants: ["guest-intact"],
    scenario: "persisted-iommufd-pasid",
  },
  {
    id: "D34",
    patch: 4,
    seedLine: 664,
    title: "nested domains pass the id, and are not tracked",
    posted:
      "the id is handed to the driver for a nested domain as well, whose branch in the Intel " +
      "driver returns before the domain is entered anywhere.",
    seen: "a device on tables of its guest's own is not handed over, and nobody says so: its DMA " +
      "ends with the update. (Without, a context that persists refuses to nest, and the guest " +
      "goes on without an IOMMU of its own.)",
    invariants: ["no-dma-fault"],
    scenario: "guest-iommu",
  },
] as const satisfies readonly Defect[];
