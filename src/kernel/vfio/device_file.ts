import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/vfio.ts";
import { OpenFile } from "../fs/vfs.ts";
import type { Backing } from "../process/address_space.ts";
import type { Task } from "../process/task.ts";
import { mapRegion, readRegion, regionInfo, writeRegion } from "./regions.ts";
import { take } from "./request.ts";
import { irqInfo, setIrqs } from "./set_irqs.ts";
import type { VfioPciDevice } from "./vfio_pci.ts";

/** Calls that take no structure. */
const PLAIN: readonly number[] = [U.VFIO_DEVICE_RESET];
/** Calls that take one: a number in its place is no address. */
const STRUCTURED: readonly number[] = [
  U.VFIO_DEVICE_GET_INFO,
  U.VFIO_DEVICE_GET_REGION_INFO,
  U.VFIO_DEVICE_GET_IRQ_INFO,
  U.VFIO_DEVICE_SET_IRQS,
  U.VFIO_DEVICE_FEATURE,
];

/**
 * An open VFIO device, by whichever way it was opened. Until access is granted everything but BIND
 * is EINVAL, whatever it is (FACTS 2.2).
 */
export abstract class VfioDeviceFile extends OpenFile {
  constructor(readonly vdev: VfioPciDevice) {
    super();
  }

  /** The device is open through this file. */
  protected abstract get granted(): boolean;

  /** VFIO_DEVICE_BIND_IOMMUFD. */
  protected abstract bind(task: Task, payload: Uint8Array): number;

  /** Calls that only one kind of file has; ENOTTY for all others. */
  protected special(_command: number, _payload: Uint8Array): number {
    return -E.ENOTTY;
  }

  override ioctl(task: Task, command: number, payload: Uint8Array): number {
    if (command === U.VFIO_DEVICE_BIND_IOMMUFD) return this.bind(task, payload);
    if (!this.granted) return -E.EINVAL;
    const { vdev } = this;
    switch (command) {
      case U.VFIO_DEVICE_GET_INFO:
        return deviceInfo(vdev, payload);
      case U.VFIO_DEVICE_GET_REGION_INFO:
        return regionInfo(vdev, payload);
      case U.VFIO_DEVICE_GET_IRQ_INFO:
        return irqInfo(vdev, payload);
      case U.VFIO_DEVICE_SET_IRQS:
        return setIrqs(vdev, task, payload);
      case U.VFIO_DEVICE_RESET:
        return vdev.reset();
      case U.VFIO_DEVICE_FEATURE:
        return deviceFeature(payload);
      default:
        return this.special(command, payload);
    }
  }

  override ioctlValue(task: Task, command: number, _value: number): number {
    if (PLAIN.includes(command)) return this.ioctl(task, command, new Uint8Array(0));
    if (command === U.VFIO_DEVICE_BIND_IOMMUFD) return -E.EFAULT;
    if (!this.granted) return -E.EINVAL;
    return STRUCTURED.includes(command) ? -E.EFAULT : this.special(command, new Uint8Array(0));
  }

  /** A region at the file position; see {@link readRegion}. */
  override read(_task: Task, length: number): Uint8Array | number {
    return this.granted ? readRegion(this.vdev, this.position, length) : -E.EINVAL;
  }

  override write(_task: Task, bytes: Uint8Array): number {
    return this.granted ? writeRegion(this.vdev, this.position, bytes) : -E.EINVAL;
  }

  override mmap(offset: number, length: number, shared: boolean): Backing | number {
    return this.granted ? mapRegion(this.vdev, this, offset, length, shared) : -E.EINVAL;
  }
}

/** VFIO_DEVICE_GET_INFO. EINVAL for a smaller argsz. */
function deviceInfo(vdev: VfioPciDevice, payload: Uint8Array): number {
  const first = U.vfio_device_info.endOf("num_irqs"),
    whole = U.vfio_device_info.endOf("cap_offset");
  const cmd = take(U.vfio_device_info, payload, first);
  if (typeof cmd === "number") return cmd;
  cmd.flags = U.VFIO_DEVICE_FLAGS_PCI | (vdev.resetWorks ? U.VFIO_DEVICE_FLAGS_RESET : 0);
  cmd.num_regions = U.VFIO_PCI_NUM_REGIONS;
  cmd.num_irqs = U.VFIO_PCI_NUM_IRQS;
  // There are no capabilities; a caller that knows of them is told so.
  const bytes = cmd.argsz >= whole ? whole : first;
  if (payload.length < bytes) return -E.EFAULT;
  U.vfio_device_info.update(payload.subarray(0, bytes), cmd);
  return 0;
}

/**
 * VFIO_DEVICE_FEATURE. EINVAL for a smaller argsz, an unknown flag, or GET and SET at once without
 * PROBE; then ENOTTY: these devices have none of the features, neither migration nor VF tokens.
 */
function deviceFeature(payload: Uint8Array): number {
  const cmd = take(U.vfio_device_feature, payload, U.vfio_device_feature.size);
  if (typeof cmd === "number") return cmd;
  const { VFIO_DEVICE_FEATURE_GET: GET, VFIO_DEVICE_FEATURE_SET: SET } = U;
  const known = U.VFIO_DEVICE_FEATURE_MASK | GET | SET | U.VFIO_DEVICE_FEATURE_PROBE;
  if ((cmd.flags & ~known) !== 0) return -E.EINVAL;
  const both = (cmd.flags & GET) !== 0 && (cmd.flags & SET) !== 0;
  return both && (cmd.flags & U.VFIO_DEVICE_FEATURE_PROBE) === 0 ? -E.EINVAL : -E.ENOTTY;
}
