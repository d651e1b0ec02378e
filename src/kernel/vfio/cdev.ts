import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/vfio.ts";
import * as R from "../../uapi/pci_regs.ts";
import type { Backing } from "../process/address_space.ts";
import type { Task } from "../process/task.ts";
import { OpenFile } from "../fs/vfs.ts";
import { IommufdCtx } from "../iommufd/ctx.ts";
import { bindDevice, type IommufdDevice, unbindDevice } from "../iommufd/device.ts";
import type { VfioPciDevice } from "./vfio_pci.ts";

/**
 * An open /dev/vfio/devices/vfioN. Opening touches nothing; until BIND succeeds everything but
 * BIND is EINVAL (FACTS 2.2). Closing resets the device and gives its group back.
 */
export class VfioCdevFile extends OpenFile {
  idev: IommufdDevice | undefined;

  constructor(readonly vdev: VfioPciDevice) {
    super();
  }

  override ioctl(task: Task, command: number, payload: Uint8Array): number {
    if (command === U.VFIO_DEVICE_BIND_IOMMUFD) return this.#bind(task, payload);
    if (this.idev === undefined) return -E.EINVAL;
    switch (command) {
      case U.VFIO_DEVICE_ATTACH_IOMMUFD_PT:
        return this.#attach(this.idev, payload);
      case U.VFIO_DEVICE_DETACH_IOMMUFD_PT:
        return this.#detach(this.idev, payload);
      case U.VFIO_DEVICE_GET_INFO:
        return this.#info(payload);
      case U.VFIO_DEVICE_GET_REGION_INFO:
        return this.#regionInfo(payload);
      case U.VFIO_DEVICE_RESET:
        return this.vdev.reset();
      default:
        return -E.ENOTTY;
    }
  }

  override ioctlValue(task: Task, command: number, _value: number): number {
    return this.ioctl(task, command, new Uint8Array(0));
  }

  /** The order of errors is FACTS 2.2, BIND. */
  #bind(task: Task, payload: Uint8Array): number {
    const cmd = U.vfio_device_bind_iommufd.decode(payload);
    if (cmd.argsz < 16 || payload.length < 16) return -E.EINVAL;
    if (cmd.flags !== 0 || cmd.iommufd < 0) return -E.EINVAL;
    if (this.idev !== undefined) return -E.EINVAL;
    const file = task.file(cmd.iommufd);
    if (file === undefined) return -E.EBADF;
    if (!(file instanceof IommufdCtx)) return -E.EBADFD;
    // Another file has the device: a cdev is opened by one at a time.
    if (this.vdev.opens > 0) return -E.EINVAL;
    const handedOver = this.vdev.dev.group?.held ?? false;
    const idev = bindDevice(file, this.vdev.dev, this);
    if (typeof idev === "number") return idev;
    this.vdev.enable(handedOver);
    this.idev = idev;
    cmd.out_devid = idev.id;
    U.vfio_device_bind_iommufd.update(payload.subarray(0, 16), cmd);
    return 0;
  }

  #attach(idev: IommufdDevice, payload: Uint8Array): number {
    const cmd = U.vfio_device_attach_iommufd_pt.decode(payload);
    if (cmd.argsz < 12 || payload.length < 12) return -E.EINVAL;
    if ((cmd.flags & ~U.VFIO_DEVICE_ATTACH_PASID) !== 0) return -E.EINVAL;
    const tagged = cmd.flags === U.VFIO_DEVICE_ATTACH_PASID;
    if (tagged && (cmd.argsz < 16 || payload.length < 16)) return -E.EINVAL;
    const hwpt = tagged ? idev.attachPasid(cmd.pasid, cmd.pt_id) : idev.attach(cmd.pt_id);
    if (hwpt < 0) return hwpt;
    cmd.pt_id = hwpt;
    U.vfio_device_attach_iommufd_pt.update(payload.subarray(0, 12), cmd);
    return 0;
  }

  #detach(idev: IommufdDevice, payload: Uint8Array): number {
    const cmd = U.vfio_device_detach_iommufd_pt.decode(payload);
    if (cmd.argsz < 8 || payload.length < 8) return -E.EINVAL;
    if ((cmd.flags & ~U.VFIO_DEVICE_DETACH_PASID) !== 0) return -E.EINVAL;
    const tagged = cmd.flags === U.VFIO_DEVICE_DETACH_PASID;
    if (tagged && (cmd.argsz < 12 || payload.length < 12)) return -E.EINVAL;
    if (idev.ctx.frozen) return -E.EBUSY;
    if (tagged) idev.detachPasid(cmd.pasid);
    else idev.detach();
    return 0;
  }

  #info(payload: Uint8Array): number {
    const cmd = U.vfio_device_info.decode(payload);
    if (cmd.argsz < 16 || payload.length < 16) return -E.EINVAL;
    cmd.flags = U.VFIO_DEVICE_FLAGS_PCI | (this.vdev.resetWorks ? U.VFIO_DEVICE_FLAGS_RESET : 0);
    cmd.num_regions = U.VFIO_PCI_NUM_REGIONS;
    cmd.num_irqs = U.VFIO_PCI_NUM_IRQS;
    U.vfio_device_info.update(payload.subarray(0, cmd.argsz), cmd);
    return 0;
  }

  #regionInfo(payload: Uint8Array): number {
    const cmd = U.vfio_region_info.decode(payload);
    if (cmd.argsz < 32 || payload.length < 32) return -E.EINVAL;
    if (cmd.index >= U.VFIO_PCI_NUM_REGIONS) return -E.EINVAL;
    const rw = U.VFIO_REGION_INFO_FLAG_READ | U.VFIO_REGION_INFO_FLAG_WRITE;
    cmd.offset = BigInt(U.regionOffset(cmd.index));
    cmd.size = 0n;
    cmd.flags = 0;
    if (cmd.index === U.VFIO_PCI_BAR0_REGION_INDEX) {
      cmd.size = BigInt(this.vdev.dev.bar0Size);
      cmd.flags = rw | U.VFIO_REGION_INFO_FLAG_MMAP;
    } else if (cmd.index === U.VFIO_PCI_CONFIG_REGION_INDEX) {
      cmd.size = 256n;
      cmd.flags = rw;
    }
    U.vfio_region_info.update(payload, cmd);
    return 0;
  }

  /** Configuration space, at the file position (the region's offset plus the register). */
  override read(_task: Task, length: number): Uint8Array | number {
    const offset = this.#configOffset(length);
    if (offset < 0) return offset;
    const value = this.vdev.dev.read(offset, length as 1 | 2 | 4);
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    return bytes.subarray(0, length);
  }

  /** The user sets bus master and memory decoding here; BARs are virtual and stay where they are. */
  override write(_task: Task, bytes: Uint8Array): number {
    const offset = this.#configOffset(bytes.length);
    if (offset < 0) return offset;
    const value = bytes.reduceRight((v, b) => v * 256 + b, 0);
    if (offset === R.PCI_COMMAND) this.vdev.dev.write(offset, bytes.length as 2 | 4, value);
    return bytes.length;
  }

  #configOffset(length: number): number {
    if (this.idev === undefined) return -E.EINVAL;
    const base = U.regionOffset(U.VFIO_PCI_CONFIG_REGION_INDEX);
    const offset = this.position - base;
    const fits = (length === 1 || length === 2 || length === 4) && offset >= 0 &&
      offset + length <= 256 && offset % length === 0;
    return fits ? offset : -E.EINVAL;
  }

  /** BAR 0 by mmap; other regions cannot be mapped. */
  override mmap(offset: number, length: number): Backing | number {
    const inBar = offset - U.regionOffset(U.VFIO_PCI_BAR0_REGION_INDEX);
    if (this.idev === undefined || inBar < 0) return -E.EINVAL;
    if (inBar + length > this.vdev.dev.bar0Size) return -E.EINVAL;
    return { kind: "io", io: this.vdev.dev.bar0, file: this, pageAt: () => -1 };
  }

  /** Close: the device goes quiet first, then its group goes back to where it came from. */
  protected override release(): void {
    if (this.idev === undefined) return;
    this.vdev.disable();
    unbindDevice(this.idev);
    this.idev = undefined;
  }
}
