import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/vfio.ts";
import type { OpenFile } from "../fs/vfs.ts";
import type { IommufdCtx } from "../iommufd/ctx.ts";
import { compatIoas } from "../iommufd/vfio_ioas.ts";
import type { Task } from "../process/task.ts";
import { VfioDeviceFile } from "./device_file.ts";
import { take } from "./request.ts";
import type { VfioPciDevice } from "./vfio_pci.ts";

const BIND_V1 = U.vfio_device_bind_iommufd.endOf("out_devid");

/**
 * A device opened through its group. It is bound from the start, and attached to the container's
 * IOAS; which page table it is on is not this file's business, so it cannot be changed here.
 */
export class VfioGroupDeviceFile extends VfioDeviceFile {
  #open = false;

  /** It keeps the group's file open. */
  constructor(vdev: VfioPciDevice, readonly groupFile: OpenFile) {
    super(vdev);
    groupFile.get();
  }

  /**
   * Opens the device; a group's devices may be opened several times. The first file binds and
   * attaches it: the errno is {@link VfioPciDevice.open}'s or the attach's, ENODEV where the
   * container's IOAS was destroyed.
   */
  open(container: IommufdCtx): number {
    const { vdev } = this;
    const first = !vdev.isOpen;
    let rc = vdev.open(container, this);
    if (rc < 0) return rc;
    if (first) {
      const ioas = compatIoas(container);
      rc = ioas === undefined ? -E.ENODEV : vdev.idev.attach(ioas.id);
      if (rc < 0) {
        vdev.close(this);
        return rc;
      }
    }
    this.#open = true;
    return 0;
  }

  /**
   * The same for a device that no IOMMU covers: it is bound to nothing, and what it is told to
   * write to is its user's business. EPERM where the container has an IOAS all the same: whoever
   * made one expects translation (FACTS 2.3).
   */
  openNoiommu(container: IommufdCtx): number {
    if (compatIoas(container) !== undefined) return -E.EPERM;
    const rc = this.vdev.open(undefined, this);
    this.#open = rc === 0;
    return rc;
  }

  protected get granted(): boolean {
    return this.#open;
  }

  /** BIND is for cdevs: EINVAL, whatever it asks for (FACTS 2.2). */
  protected override bind(_task: Task, payload: Uint8Array): number {
    const cmd = take(U.vfio_device_bind_iommufd, payload, BIND_V1);
    return typeof cmd === "number" ? cmd : -E.EINVAL;
  }

  protected override release(): void {
    if (this.#open) this.vdev.close(this);
    this.#open = false;
    this.groupFile.put();
  }
}
