import { MiB } from "../base/units.ts";
import type { DeviceSpec, MachineSpec } from "../machine/machine.ts";
import type { RamFile } from "../userspace/vmm/config.ts";
import type { DmaKind } from "../userspace/paravisor/config.ts";

/** What runs a guest. */
export const PROGRAMS = ["vmm", "paravisor"] as const;

/** A virtual machine as a person describes it. */
export interface VmSpec {
  readonly id: string;
  /** Bytes of guest RAM, a multiple of 2 MiB. */
  readonly memory: number;
  readonly persistent: boolean;
  /** Ids of devices, each in one VM only. */
  readonly devices: readonly string[];
  /** Receive descriptors of each NIC. */
  readonly ring: number;
  /** Where guest RAM begins, a multiple of 2 MiB; undefined: where the VMM likes. */
  readonly ramBase?: number | undefined;
  /** False: mapped for devices in pages of 4 KiB; true unless told. */
  readonly hugePages?: boolean;
  readonly guestIommu?: boolean;
  /** Bytes of RAM its devices can reach at a time, a multiple of 2 MiB; undefined: all of it. */
  readonly resident?: number | undefined;
  /** What its RAM is in where it is persistent; guestmemfs unless told. */
  readonly backing?: RamFile;
  /** A VMM unless told. */
  readonly program?: typeof PROGRAMS[number];
  /** Of a paravisor. */
  readonly dma?: DmaKind;
}

/** No unit is in charge of the device: nothing stands between it and memory. */
export function isUncovered(spec: PlatformSpec, device: DeviceSpec): boolean {
  const { vtd, smmu, amdvi } = spec.machine.profile;
  return device.iommu === "none" || (vtd ?? smmu ?? amdvi) === undefined;
}

/** The VM whose paravisor drives the device. */
export function paravisorOf(spec: PlatformSpec, device: string): VmSpec | undefined {
  return spec.vms.find((vm) => vm.program === "paravisor" && vm.devices.includes(device));
}

/** Everything a run begins with. */
export interface PlatformSpec {
  readonly machine: MachineSpec;
  readonly vms: readonly VmSpec[];
  /** By device id: the PASID that a guest has its card put into its requests. */
  readonly pasids?: ReadonlyMap<string, number>;
  /** Name of the kernel image of the first boot, and of later ones unless told. */
  readonly kernel: string;
  /** Bytes; see the command line in FACTS 5.1 and 6.1. */
  readonly guestmemfs: number;
  readonly khoScratch: number;
  /** Words for the end of every kernel's command line. */
  readonly cmdline?: string;
  readonly seed: number;
}

/** The kernel is told to load its own driver for the device. */
export function hasNativeDriver(spec: PlatformSpec, device: DeviceSpec): boolean {
  return spec.cmdline?.includes(`modules-load=${device.model}`) ?? false;
}

/** The kernel command line of a platform. */
export function commandLine(spec: PlatformSpec, vfioIds: readonly string[]): string {
  const { smmu, amdvi, vtd } = spec.machine.profile;
  const words = [smmu !== undefined ? "console=ttyAMA0" : "console=ttyS0"];
  if (smmu !== undefined) words.push("iommu.passthrough=0");
  else if (amdvi !== undefined) words.push("amd_iommu=on");
  else if (vtd !== undefined) words.push("intel_iommu=on");
  // The units of these machines do not remap interrupts; without it no device could be bound.
  if (smmu === undefined) words.push("iommufd.allow_unsafe_interrupts=1");
  if (spec.guestmemfs > 0) words.push(`guestmemfs=${spec.guestmemfs / MiB}M`);
  if (spec.khoScratch > 0) words.push(`kho_scratch=${spec.khoScratch / MiB}M`);
  if (vfioIds.length > 0) words.push(`vfio-pci.ids=${vfioIds.join(",")}`);
  if (spec.vms.some((vm) => vm.program === "paravisor")) {
    words.push("vfio.enable_unsafe_noiommu_mode=1", "modules-load=nvme");
  }
  if (spec.cmdline) words.push(spec.cmdline);
  return words.join(" ");
}

export function findDevice(spec: PlatformSpec, id: string): DeviceSpec | undefined {
  return spec.machine.devices.find((d) => d.id === id);
}
