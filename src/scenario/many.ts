import { formatBdf, parseBdf } from "../uapi/pci_regs.ts";
import type { Scenario } from "./schema.ts";

type Machine = Scenario["machine"];
type Device = Machine["devices"][number];
type Vm = Machine["vms"][number];

/** Where a path in the scenario that is run lies in the one that was written. */
export type Origin = (path: readonly PropertyKey[]) => PropertyKey[];

/** A device that would be at an address no bus has. */
export class TooMany extends Error {
  constructor(message: string, readonly path: PropertyKey[]) {
    super(message);
  }
}

/**
 * Puts as many devices and VMs in the place of each as its `count` says. Devices are at one address
 * after the other; those that a VM names are dealt out to its copies in order, alike as far as that
 * goes. Throws {@link TooMany}.
 */
export function makeMany(machine: Machine): Origin {
  const groups = machine.devices.map((device, i) => devicesOf(device, i));
  const ids = new Map(machine.devices.map(({ id }, i) => [id, groups[i].map((d) => d.id)]));
  const vms = machine.vms.flatMap((vm, i) => vmsOf(vm, i, ids));
  const origins = groups.flatMap((group, i) => group.map(() => i));
  machine.devices = groups.flat();
  machine.vms = vms.map(({ vm }) => vm);
  return ([first, list, index, key, part]) => {
    const vm = list === "vms" ? vms[Number(index)] : undefined;
    const written = list === "devices" ? origins[Number(index)] : vm?.origin;
    const name = key === "devices" && vm !== undefined ? vm.named[Number(part)] : part;
    return [first, list, written ?? index, key, name].filter((step) => step !== undefined);
  };
}

/** A VM, where it was written, and by which of the names there each of its devices goes. */
interface MadeVm {
  readonly vm: Vm;
  readonly origin: number;
  readonly named: readonly number[];
}

function vmsOf(
  { count, ...vm }: Vm,
  origin: number,
  ids: ReadonlyMap<string, readonly string[]>,
): MadeVm[] {
  const all = vm.devices.flatMap((name, i) => (ids.get(name) ?? [name]).map((id) => ({ id, i })));
  const share = Math.ceil(all.length / (count ?? 1));
  return Array.from({ length: count ?? 1 }, (_, i) => {
    const mine = all.slice(i * share, (i + 1) * share);
    const id = count === undefined ? vm.id : `${vm.id}${i}`;
    return {
      vm: { ...vm, id, devices: mine.map((d) => d.id) },
      origin,
      named: mine.map((d) => d.i),
    };
  });
}

function devicesOf(device: Device, index: number): Device[] {
  const { count, ...one } = device;
  if (count === undefined) return [one];
  const first = parseBdf(device.bdf) ?? 0;
  if (first + count > 65536) {
    const path = ["machine", "devices", index, "count"];
    throw new TooMany(`from ${device.bdf} on there are ${65536 - first} addresses`, path);
  }
  return Array.from({ length: count }, (_, i) => {
    const sid = first + i;
    return { ...one, id: `${device.id}${i}`, bdf: formatBdf(sid >> 8, sid & 255) };
  });
}
