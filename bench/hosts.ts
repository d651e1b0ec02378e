/** Scenarios of hosts of any size, for runs that show how cost grows. */

/** Of a host and the guests on it. */
export interface Host {
  readonly devices: number;
  readonly vms: number;
  /** RAM of each, MiB. */
  readonly guest: number;
  /** MiB for all guests' files. */
  readonly guestmemfs: number;
  /** MiB besides, for kernels, page tables and programs. */
  readonly rest: number;
}

/** A live update of it, while its cards are at work. */
export function updateOf({ devices, vms, guest, guestmemfs, rest }: Host): string {
  return `
version: 1
name: host
description: A host goes through a live update.
machine:
  memory: ${guestmemfs + rest}MiB
  guestmemfs: ${guestmemfs}MiB
  kho_scratch: 32MiB
  devices: [{ id: nic, model: nic, bdf: "10:00.0", count: ${devices}, interval: 20ms }]
  vms: [{ id: vm, memory: ${guest}MiB, count: ${vms}, devices: [nic], ring: 8 }]
steps: [{ do: vm.start }, { do: run, with: { for: 40ms } }, { do: update }]
expect: { update: done, invariants: [no-dma-fault, no-stray-dma, guest-intact] }
`;
}

/** A host full of small VMs with fifty cards each. */
export function fleetOf(devices: number): Host {
  const vms = Math.ceil(devices / 50);
  return { devices, vms, guest: 2, guestmemfs: 4 * vms + 16, rest: 320 };
}

/** Guests that take so much together, and as few of them as can have so many cards. */
export function guestsOf(gib: number, devices: number): Host {
  let vms = 1;
  while (vms * MOST_CARDS < devices) vms *= 2;
  return { devices, vms, guest: gib * 1024 / vms, guestmemfs: (gib + 1) * 1024, rest: 7 * 1024 };
}

/** A guest does not take more. */
const MOST_CARDS = 64;
