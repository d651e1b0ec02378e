import { PAGE_SIZE } from "../../base/units.ts";
import { EADDRINUSE, EBUSY, ENOENT } from "../../uapi/errno.ts";
import { IOMMU_HWPT_ALLOC_PASID } from "../../uapi/iommufd.ts";
import { KVM_CREATE_VCPU, KVM_CREATE_VM } from "../../uapi/kvm.ts";
import { PCI_COMMAND, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from "../../uapi/pci_regs.ts";
import {
  MAP_SHARED,
  O_RDONLY,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
  type Sys,
  type VcpuMemory,
} from "../../uapi/sys.ts";
import * as V from "../../uapi/vfio.ts";
import {
  CallFailed,
  destroyObject,
  hwptAlloc,
  kvmSlot,
  must,
  usableIovas,
  vfioAttach,
  vfioBind,
  vfioRegion,
} from "../calls.ts";
import {
  BAR_STRIDE,
  BAR_WINDOW,
  BAR_WINDOW_END,
  PERSISTED_DIR,
  RAM_BASES,
  type VmConfig,
  type VmDevice,
} from "./config.ts";

/** A device of the guest that is open and bound. */
export interface OpenDevice {
  readonly device: VmDevice;
  readonly cdev: number;
  /** Its object id in the iommufd. */
  readonly id: number;
}

/**
 * Opens the device's cdev, and binds it to the iommufd. `id`: the persistent one of an iommufd that
 * was handed over, 0 for any other.
 */
export function openDevice(
  sys: Sys,
  device: VmDevice,
  iommufd: number,
  id = 0,
): OpenDevice {
  return bindDevice(sys, device, openCdev(sys, device.name, id), iommufd);
}

export function bindDevice(
  sys: Sys,
  device: VmDevice,
  cdev: number,
  iommufd: number,
): OpenDevice {
  return { device, cdev, id: vfioBind(sys, cdev, iommufd) };
}

/**
 * A device's cdev, which sysfs names. One that was handed over is nobody's to open (EBUSY): who has
 * the iommufd it was bound to takes its handle instead, as long as it waits there.
 */
export function openCdev(sys: Sys, name: string, id: number): number {
  const handle = `${PERSISTED_DIR}/${id}/devices/${name}`;
  const file = id > 0 ? readHandle(sys, handle) : -ENOENT;
  if (file !== -ENOENT && file !== -EBUSY) return must(handle, file);
  const dir = `/sys/bus/pci/devices/${name}/vfio-dev`;
  const names = sys.readdir(dir);
  if (typeof names === "number") throw new CallFailed(dir, -names);
  return must(names[0], sys.open(`/dev/vfio/devices/${names[0]}`, O_RDWR));
}

/** Reads a handle in sysfs: a descriptor of what stands behind it. */
export function takeHandle(sys: Sys, path: string): number {
  return must(path, readHandle(sys, path));
}

/** The same; an errno where there is no such handle, or it gives nothing. */
export function readHandle(sys: Sys, path: string): number {
  const handle = sys.open(path, O_RDONLY);
  if (handle < 0) return handle;
  const text = sys.read(handle, 16);
  sys.close(handle);
  return typeof text === "number" ? text : Number(new TextDecoder().decode(text));
}

/** The HWPTs devices are attached to, without a PASID and with theirs (0: none). */
export interface Attached {
  readonly hwpts: readonly number[];
  readonly pasidHwpts: readonly number[];
}

/**
 * Attaches devices to an IOAS. One with a PASID gets two HWPTs of its own, since with PASIDs every
 * HWPT of a device has to be made for them; the others share automatic ones, unless `flags` or page
 * requests that go to the queue `fault` ask for something that only a HWPT of one's own can be. A HWPT
 * that its device cannot be attached to is destroyed.
 */
export function attachDevices(
  sys: Sys,
  iommufd: number,
  ioas: number,
  devices: readonly OpenDevice[],
  flags = 0,
  fault?: number,
): Attached {
  const attach = ({ cdev, id }: OpenDevice, more: number, pasid?: number) => {
    const hwpt = hwptAlloc(sys, iommufd, id, ioas, flags | more, fault);
    try {
      return vfioAttach(sys, cdev, hwpt, pasid);
    } catch (error) {
      destroyObject(sys, iommufd, hwpt);
      throw error;
    }
  };
  const hwpts = devices.map((d) => {
    if (d.device.pasid !== undefined) return attach(d, IOMMU_HWPT_ALLOC_PASID);
    return flags === 0 && fault === undefined ? vfioAttach(sys, d.cdev, ioas) : attach(d, 0);
  });
  const pasidHwpts = devices.map((d) => {
    const { pasid } = d.device;
    return pasid === undefined ? 0 : attach(d, IOMMU_HWPT_ALLOC_PASID, pasid);
  });
  return { hwpts, pasidHwpts };
}

/** Attaches devices to what they were attached to before: a held one has never left it. */
export function attachAgain(sys: Sys, devices: readonly OpenDevice[], saved: Attached): Attached {
  return {
    hwpts: devices.map(({ cdev }, i) => vfioAttach(sys, cdev, saved.hwpts[i])),
    pasidHwpts: devices.map(({ device: { pasid }, cdev }, i) =>
      pasid === undefined ? 0 : vfioAttach(sys, cdev, saved.pasidHwpts[i], pasid)
    ),
  };
}

/** Turns on memory decoding and bus mastering: from here on the device may do DMA. */
export function enableBusMaster(sys: Sys, cdev: number): void {
  const at = vfioRegion(sys, cdev, V.VFIO_PCI_CONFIG_REGION_INDEX).offset + PCI_COMMAND;
  const now = sys.pread(cdev, 2, at);
  if (typeof now === "number") throw new CallFailed("read PCI command", -now);
  const value = now[0] | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
  must("write PCI command", sys.pwrite(cdev, Uint8Array.of(value, now[1]), at));
}

/** Guest-physical address of a device's registers. */
export function barOf(index: number): number {
  return BAR_WINDOW + index * BAR_STRIDE;
}

/**
 * The first of the places asked for from which on the guest's RAM meets no IOVA that is reserved.
 * EADDRINUSE where there is none.
 */
export function placeRam(
  sys: Sys,
  iommufd: number,
  ioas: number,
  { memory: bytes, ramBase }: VmConfig,
): number {
  const ranges = usableIovas(sys, iommufd, ioas);
  const base = (ramBase === undefined ? RAM_BASES : [ramBase]).find((at) =>
    (at + bytes <= BAR_WINDOW || at >= BAR_WINDOW_END) &&
    ranges.some(({ start, last }) => start <= at && at + bytes - 1 <= last)
  );
  if (base === undefined) throw new CallFailed("find room for guest RAM", EADDRINUSE);
  return base;
}

/** Makes the VM: RAM at its base, the devices' registers in their windows. */
export function makeVm(
  sys: Sys,
  config: VmConfig,
  ram: number,
  ramBase: number,
  cdevs: readonly number[],
): VcpuMemory {
  const kvm = must("/dev/kvm", sys.open("/dev/kvm", O_RDWR));
  const vm = must("KVM_CREATE_VM", sys.ioctlValue(kvm, KVM_CREATE_VM, 0));
  kvmSlot(sys, vm, 0, ramBase, config.memory, ram);
  cdevs.forEach((cdev, i) => {
    const bar = vfioRegion(sys, cdev, V.VFIO_PCI_BAR0_REGION_INDEX);
    const size = Math.ceil(bar.size / PAGE_SIZE) * PAGE_SIZE;
    const va = must(
      "mmap BAR 0",
      sys.mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED, cdev, bar.offset),
    );
    kvmSlot(sys, vm, i + 1, barOf(i), size, va);
  });
  return sys.vcpu(must("KVM_CREATE_VCPU", sys.ioctlValue(vm, KVM_CREATE_VCPU, 0)));
}
