import { formatSize } from "../base/units.ts";
import { layOut } from "../userspace/guest/layout.ts";
import { BAR_WINDOW, BAR_WINDOW_END } from "../userspace/vmm/config.ts";
import { besideTables, GUEST_IOMMU_REACH } from "../userspace/vmm/guest_iommu.ts";
import type { Scenario } from "./schema.ts";

/** What is wrong with the size of a guest's RAM, or with its place. */
export interface RamComplaint {
  readonly message: string;
  readonly key: "memory" | "ram_base";
}

type Vm = Scenario["machine"]["vms"][number];

/**
 * A guest has to find room for its drivers' rings and buffers, clear of its devices' registers and
 * within the reach of its own IOMMU. `models`: those of its devices.
 */
export function ramComplaint(
  vm: Vm,
  models: readonly (string | undefined)[],
): RamComplaint | undefined {
  // A VMM that is not told where goes above the devices' registers when it has to.
  const base = vm.ram_base ?? (vm.program === "vmm" ? BAR_WINDOW_END : 0);
  if (vm.guest_iommu && base + vm.memory > GUEST_IOMMU_REACH) {
    const message = `guest RAM from ${formatSize(base)} on: an IOMMU of the guest's own ` +
      `(guest_iommu) reaches what lies below ${formatSize(GUEST_IOMMU_REACH)}`;
    return { message, key: "ram_base" };
  }
  const place = { ramBase: base, memory: vm.memory };
  const ramBytes = vm.guest_iommu ? besideTables(place) : vm.memory;
  const message = misfit(ramBytes, vm.ring, models) ??
    (base < BAR_WINDOW_END ? tooBig(vm.memory, base) : undefined);
  return message === undefined ? undefined : { message, key: "memory" };
}

function misfit(
  ramBytes: number,
  ringEntries: number,
  models: readonly (string | undefined)[],
): string | undefined {
  const nics = models.filter((m) => m === "nic").map(() => ({ bar: 0, ringEntries }));
  const nvmes = models.filter((m) => m === "nvme").map(() => ({ bar: 0 }));
  try {
    layOut({ id: 1, ramBase: 0, ramBytes, nics, nvmes });
    return undefined;
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}

/** Of RAM that would run into the devices' registers. */
function tooBig(ramBytes: number, base: number): string | undefined {
  const room = Math.max(0, BAR_WINDOW - base);
  if (ramBytes <= room) return undefined;
  const where = base === 0 ? "" : `, at ${formatSize(base)},`;
  return `guest RAM of ${formatSize(ramBytes)} is too big: between its start${where} and its ` +
    `devices' registers there is room for ${formatSize(room)}`;
}
