import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/vfio.ts";
import type { Task } from "../process/task.ts";
import { copyFromUser } from "../process/user_copy.ts";
import { IommufdCtx } from "../iommufd/ctx.ts";
import { VfioDeviceFile } from "./device_file.ts";
import { mayOpenNoiommu, warnOpened } from "./noiommu.ts";
import { take, takeAll } from "./request.ts";
import type { VfioPciDevice } from "./vfio_pci.ts";

/** Where the first versions of the structures ended. */
const BIND_V1 = U.vfio_device_bind_iommufd.endOf("out_devid");
const ATTACH_V1 = U.vfio_device_attach_iommufd_pt.endOf("pt_id");
const DETACH_V1 = U.vfio_device_detach_iommufd_pt.endOf("flags");
const UUID_BYTES = 16;

/** Opens a device's cdev. EPERM for a noiommu one without CAP_SYS_RAWIO (FACTS 2.3). */
export function openCdev(vdev: VfioPciDevice, task: Task): VfioCdevFile | number {
  if (vdev.group.noiommu) {
    const rc = mayOpenNoiommu(task);
    if (rc < 0) return rc;
    warnOpened(vdev.dev, task);
  }
  return new VfioCdevFile(vdev);
}

/**
 * An open /dev/vfio/devices/vfioN. Opening touches nothing; BIND opens the device, and closing the
 * file resets it and gives its group back.
 */
export class VfioCdevFile extends VfioDeviceFile {
  #bound = false;

  protected get granted(): boolean {
    return this.#bound;
  }

  /** The order of errors is FACTS 2.2, BIND. */
  protected override bind(task: Task, payload: Uint8Array): number {
    let cmd = take(U.vfio_device_bind_iommufd, payload, BIND_V1);
    if (typeof cmd === "number") return cmd;
    const token = (cmd.flags & U.VFIO_DEVICE_BIND_FLAG_TOKEN) !== 0;
    if ((cmd.flags & ~U.VFIO_DEVICE_BIND_FLAG_TOKEN) !== 0 || cmd.iommufd < 0) return -E.EINVAL;
    const { vdev } = this, { group } = vdev;
    if (group.opened) return -E.EBUSY;
    if (this.#bound) return -E.EINVAL;
    const file = task.file(cmd.iommufd);
    if (file === undefined) return -E.EBADF;
    if (!(file instanceof IommufdCtx)) return -E.EBADFD;
    if (token) {
      cmd = takeAll(U.vfio_device_bind_iommufd, payload);
      return typeof cmd === "number" ? cmd : this.#refuseToken(task, cmd.token_uuid_ptr);
    }
    // Another file has the device: a cdev is opened by one at a time.
    if (vdev.isOpen) return -E.EINVAL;
    const rc = vdev.open(file, this);
    if (rc < 0) return rc;
    this.#bound = true;
    group.cdevs++;
    cmd.out_devid = vdev.idev.id;
    U.vfio_device_bind_iommufd.update(payload.subarray(0, BIND_V1), cmd);
    return 0;
  }

  /** A token opens virtual functions, and their parents. None of these devices is one: EINVAL. */
  #refuseToken(task: Task, pointer: bigint): number {
    const { kernel, dev } = this.vdev;
    const uuid = copyFromUser(kernel.machine.memory, task.mm, Number(pointer), UUID_BYTES);
    if (uuid === undefined) return -E.EFAULT;
    kernel.dmesg.info(`vfio-pci ${dev.name}: VF token given for a device that has none`);
    return -E.EINVAL;
  }

  protected override special(command: number, payload: Uint8Array): number {
    if (command === U.VFIO_DEVICE_ATTACH_IOMMUFD_PT) return this.#attach(payload);
    if (command === U.VFIO_DEVICE_DETACH_IOMMUFD_PT) return this.#detach(payload);
    return -E.ENOTTY;
  }

  /** With a PASID the structure is longer than its first version was (FACTS 2.1). */
  #attach(payload: Uint8Array): number {
    const struct = U.vfio_device_attach_iommufd_pt;
    const head = take(struct, payload, ATTACH_V1);
    if (typeof head === "number") return head;
    if ((head.flags & ~U.VFIO_DEVICE_ATTACH_PASID) !== 0) return -E.EINVAL;
    const pasid = (head.flags & U.VFIO_DEVICE_ATTACH_PASID) !== 0;
    const cmd = pasid ? takeAll(struct, payload) : head;
    if (typeof cmd === "number") return cmd;
    const { idev } = this.vdev;
    const hwpt = pasid ? idev.attachPasid(cmd.pasid, cmd.pt_id) : idev.attach(cmd.pt_id);
    if (hwpt < 0) return hwpt;
    cmd.pt_id = hwpt;
    struct.update(payload.subarray(0, ATTACH_V1), cmd);
    return 0;
  }

  #detach(payload: Uint8Array): number {
    const struct = U.vfio_device_detach_iommufd_pt;
    const head = take(struct, payload, DETACH_V1);
    if (typeof head === "number") return head;
    if ((head.flags & ~U.VFIO_DEVICE_DETACH_PASID) !== 0) return -E.EINVAL;
    const pasid = (head.flags & U.VFIO_DEVICE_DETACH_PASID) !== 0;
    const cmd = pasid ? takeAll(struct, payload) : head;
    if (typeof cmd === "number") return cmd;
    const { idev } = this.vdev;
    if (idev.ctx.frozen) return -E.EBUSY;
    if (pasid) idev.detachPasid(cmd.pasid);
    else idev.detach();
    return 0;
  }

  protected override release(): void {
    if (!this.#bound) return;
    this.#bound = false;
    this.vdev.close(this);
    this.vdev.group.cdevs--;
  }
}
