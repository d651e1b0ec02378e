import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/vfio.ts";
import { OpenFile } from "../fs/vfs.ts";
import { IommufdCtx } from "../iommufd/ctx.ts";
import { ensureCompatIoas, setNoiommu } from "../iommufd/vfio_ioas.ts";
import type { Task } from "../process/task.ts";
import type { VfioGroup } from "./group.ts";
import { VfioGroupDeviceFile } from "./group_device_file.ts";
import { mayOpenNoiommu, warnOpened } from "./noiommu.ts";
import { take } from "./request.ts";
import type { VfioPciDevice } from "./vfio_pci.ts";

/** Longest name GET_DEVICE_FD takes, with its NUL. */
const NAME_BYTES = 4096;

/**
 * Opens /dev/vfio/<group>. EPERM: it is a noiommu one, and the process has no CAP_SYS_RAWIO (FACTS
 * 2.3). EBUSY: it is open, or a device of it that was opened through it; one is open by its cdev
 * (FACTS 2.2); or one was handed over and waits for its heir (FACTS 10.6).
 */
export function openGroup(group: VfioGroup, task: Task): VfioGroupFile | number {
  const rc = group.noiommu ? mayOpenNoiommu(task) : 0;
  if (rc < 0) return rc;
  if (group.opened || group.cdevs > 0 || group.held) return -E.EBUSY;
  return new VfioGroupFile(group);
}

/** An open group: the legacy way to its devices. Devices opened through it keep it open. */
export class VfioGroupFile extends OpenFile {
  constructor(readonly group: VfioGroup) {
    super();
    group.opened = true;
  }

  override ioctl(task: Task, command: number, payload: Uint8Array): number {
    switch (command) {
      case U.VFIO_GROUP_GET_STATUS:
        return this.#status(payload);
      case U.VFIO_GROUP_SET_CONTAINER:
        return this.#setContainer(task, payload);
      case U.VFIO_GROUP_UNSET_CONTAINER:
        return this.#unsetContainer();
      case U.VFIO_GROUP_GET_DEVICE_FD:
        return this.#deviceFd(task, payload);
      default:
        return -E.ENOTTY;
    }
  }

  override ioctlValue(task: Task, command: number, _value: number): number {
    return this.ioctl(task, command, new Uint8Array(0));
  }

  /** A group without a container is viable while nobody has its DMA. */
  #status(payload: Uint8Array): number {
    const cmd = take(U.vfio_group_status, payload, U.vfio_group_status.size);
    if (typeof cmd === "number") return cmd;
    const { container, iommu } = this.group;
    if (container !== undefined) {
      cmd.flags = U.VFIO_GROUP_FLAGS_CONTAINER_SET | U.VFIO_GROUP_FLAGS_VIABLE;
    } else cmd.flags = iommu?.owned ? 0 : U.VFIO_GROUP_FLAGS_VIABLE;
    U.vfio_group_status.update(payload, cmd);
    return 0;
  }

  /**
   * A container is an iommufd, whichever way it was opened. It gets the IOAS that the type 1 calls
   * map into; for a noiommu group it must not have one, and never gets one. EFAULT; EBADF; EINVAL:
   * the group has a container, or the other kind of group is in this one; EBADFD: the file is none.
   */
  #setContainer(task: Task, payload: Uint8Array): number {
    if (payload.length < U.vfio_group_container.size) return -E.EFAULT;
    const file = task.file(U.vfio_group_container.decode(payload).fd);
    if (file === undefined) return -E.EBADF;
    if (this.group.container !== undefined) return -E.EINVAL;
    if (!(file instanceof IommufdCtx)) return -E.EBADFD;
    const ioas = this.group.noiommu ? setNoiommu(file) : ensureCompatIoas(file);
    if (typeof ioas === "number" && ioas < 0) return ioas;
    this.group.container = file.get();
    return 0;
  }

  #unsetContainer(): number {
    if (this.group.container === undefined) return -E.EINVAL;
    this.group.unsetContainer();
    return 0;
  }

  /**
   * A new descriptor of a device, by its name. EFAULT, EINVAL for a name without end; ENODEV: not
   * in this group; EINVAL: options behind the name, which are for virtual functions, or no
   * container; then what opening the device answers.
   */
  #deviceFd(task: Task, payload: Uint8Array): number {
    const end = payload.subarray(0, NAME_BYTES).indexOf(0);
    if (end < 0) return payload.length < NAME_BYTES ? -E.EFAULT : -E.EINVAL;
    const [name, ...options] = new TextDecoder().decode(payload.subarray(0, end)).split(" ");
    const vdev = this.group.devices.find(({ dev }) => dev.name === name);
    if (vdev === undefined) return -E.ENODEV;
    if (options.length > 0) return -E.EINVAL;
    return this.#openDevice(task, vdev);
  }

  #openDevice(task: Task, vdev: VfioPciDevice): number {
    const { container, noiommu } = this.group;
    if (container === undefined) return -E.EINVAL;
    const file = new VfioGroupDeviceFile(vdev, this);
    const rc = noiommu ? file.openNoiommu(container) : file.open(container);
    if (rc === 0 && noiommu) warnOpened(vdev.dev, task);
    if (rc === 0) return task.installFd(file);
    file.put();
    return rc;
  }

  protected override release(): void {
    this.group.unsetContainer();
    this.group.opened = false;
  }
}
