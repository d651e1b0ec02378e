import type { Defect } from "./types.ts";

/**
 * What keeps a device without an IOMMU alive through a kexec, each protection taken away. The posted
 * series has none of them (FACTS 8.14 G2 to G4; seed lines 3190-3196, 3283-3287).
 */
export const KEEP_ALIVE_DEFECTS = [
  {
    id: "K01",
    patch: 0,
    seedLine: 3190,
    title: "bus mastering of a kept device goes off at the kexec",
    posted: "the PCI core is not told that a device is to go on: its shutdown clears the bus " +
      "master bit of every device before the jump.",
    seen:
      "commands in hand finish into nothing: their data and completions find bus mastering off.",
    invariants: ["no-dma-fault"],
    scenario: "noiommu-keepalive",
  },
  {
    id: "K02",
    patch: 0,
    seedLine: 3190,
    title: "a kept device is reset when its heir opens it",
    posted: "the first open of a VFIO device resets it, whatever it is at.",
    seen: "queues and commands in hand are gone from the device; the heir waits for completions " +
      "that nobody will write.",
    invariants: ["no-dma-fault", "guest-intact"],
    scenario: "noiommu-keepalive",
  },
  {
    id: "K03",
    patch: 0,
    seedLine: 3305,
    title: "any driver may bind a kept device after the jump",
    posted: "the next kernel probes all devices alike; the native driver comes before anybody " +
      "could tell it not to, and resets the device to make it its own.",
    seen: "the commands in hand are gone, the device writes into memory of the kernel.",
    invariants: ["no-dma-fault", "no-stray-dma"],
    scenario: "noiommu-keepalive",
  },
  {
    id: "K04",
    patch: 0,
    seedLine: 3283,
    title: 'the pinned pages of a context are not in "mem"',
    posted: "what the device reads and writes is ordinary memory, and nobody tells the next " +
      "kernel to keep off it.",
    seen: "the next kernel takes the pages for free memory; the device goes on writing into them.",
    invariants: ["no-stray-dma"],
    scenario: "noiommu-keepalive",
  },
  {
    id: "K05",
    patch: 0,
    seedLine: 3360,
    title: "MAP for a device without an IOMMU pins nothing",
    posted: "noiommu had no kernel-managed pinning: a page whose physical address the device was " +
      "given stayed where it was by luck.",
    seen: "memory is compacted, the page moves, and the device writes to where it was.",
    invariants: ["no-stray-dma"],
    scenario: "noiommu-compaction",
  },
] as const satisfies readonly Defect[];
