import type { Chooser } from "../base/choice.ts";

/**
 * The places where this kernel can be made to fail, by the name they are armed with. Every one is a
 * thing that can go wrong in reality: memory runs out, a copy from user memory faults, a subscriber
 * of the KHO chain refuses, the blob is full, a program dies. Quiet unless armed.
 */
export const FAULT_POINTS = {
  allocPage: "fault:alloc_page",
  allocPages: "fault:alloc_pages",
  /** Followed by the name of what is to be allocated. */
  kmalloc: "fault:kmalloc:",
  copyFromUser: "fault:copy_from_user",
  copyToUser: "fault:copy_to_user",
  /** A range of handed-over memory cannot be claimed. Followed by the subscriber's name. */
  khoClaim: "fault:kho_claim:",
  /** Somebody else has the lock of a device that is to be reset. */
  pciLock: "fault:pci_lock",
  /** A device does not answer after its reset. */
  pciReset: "fault:pci_reset",
  khoBlobFull: "fault:kho_blob_full",
  /** Followed by the subscriber's name. */
  khoNotify: "fault:kho_notify:",
  /** Followed by the program's name: it dies before it runs next. */
  program: "fault:program:",
} as const;

/** The name a point is picked by. `detail`: what comes behind its own, where something does. */
export function faultPoint(point: keyof typeof FAULT_POINTS, detail = ""): string {
  return FAULT_POINTS[point] + detail;
}

/** True when the point fires now. `detail`: what comes behind the name, where something does. */
export function fails(
  chooser: Chooser,
  point: keyof typeof FAULT_POINTS,
  detail = "",
): boolean {
  return chooser.pick(faultPoint(point, detail), 1) === 1;
}
