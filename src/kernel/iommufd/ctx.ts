import { E2BIG, EAGAIN, EBUSY, EFAULT, EINVAL } from "../../uapi/errno.ts";
import { fails } from "../fault_points.ts";
import { OpenFile } from "../fs/vfs.ts";
import type { Kernel } from "../kernel.ts";
import type { Task } from "../process/task.ts";
import { type IommuDomain, PagingDomain } from "../iommu/domain.ts";
import { IommufdDevice } from "./device.ts";
import { containerIoctl, containerValue } from "../vfio/container.ts";
import type { CallLog } from "./call_log.ts";
import { HwptPaging } from "./hwpt.ts";
import { dropRestored } from "./restore.ts";
import type { Ioas } from "./ioas.ts";
import { IOCTLS, type Ucmd } from "./ioctls.ts";
import { ObjectTable } from "./objects.ts";

/** One open /dev/iommu, or /dev/vfio/vfio, which is the same thing. Devices bound to it hold it beyond the life of the descriptor. */
export class IommufdCtx extends OpenFile {
  readonly objects = new ObjectTable();
  /** 0: not persistent (seed line 128). */
  persistentId = 0;
  /** Pins count against the process, not the user (OPTION_RLIMIT_MODE). */
  chargesProcess = false;
  /** Stands for a VFIO container, see vfio_ioas.ts: it may have been destroyed since. */
  compatIoas: Ioas | undefined;
  /** As a VFIO container it is for groups without an IOMMU: no IOAS stands for it. */
  noiommu = false;
  /** A dump stands: what was written into it must not change. */
  frozen = false;
  /** The calls that made it what it is, where the next kernel is to make them again. */
  calls: CallLog | undefined;
  /** Its calls are being made again: hardware sees nothing of it yet. */
  replaying = false;
  /** Devices that a replay has bound, and their heir has not opened yet. */
  readonly awaited = new Set<IommufdDevice>();
  /** What the dump keeps open: this file and those of its devices. */
  keptOpen: OpenFile[] = [];
  /** The memory it lies in, for those who have a pointer and no reference. */
  readonly heap = { name: "iommufd_ctx", size: 264, freed: false };
  /** Lets go of the memory that the dump holds. */
  letGo: () => void = () => {};

  constructor(readonly kernel: Kernel) {
    super();
  }

  /** FACTS 1.1: step 1, a container's calls; 2 to 6, the envelope of every other one. */
  override ioctl(task: Task, command: number, payload: Uint8Array): number {
    const row = IOCTLS.get(command);
    if (row === undefined) return containerIoctl({ task, ctx: this, payload }, command);
    if (payload.length < 4 || fails(this.kernel.chooser, "copyFromUser")) return -EFAULT;
    const size = new DataView(payload.buffer, payload.byteOffset).getUint32(0, true);
    if (size < row.minSize) return -EINVAL;
    if (size > payload.length) return -EFAULT;
    // A newer program may know more fields; it must not use them.
    if (payload.subarray(row.struct.size, size).some((byte) => byte !== 0)) return -E2BIG;
    const ucmd: Ucmd = { task, ctx: this, payload: payload.subarray(0, size) };
    // The call that makes the context persistent comes before the log.
    const log = this.calls, asked = log === undefined ? payload : ucmd.payload.slice();
    const rc = row.run(ucmd);
    if (rc < 0) return rc;
    const lost = fails(this.kernel.chooser, "copyToUser");
    // Nobody would know the id of a new object. Whatever else was done stays done.
    if (lost && ucmd.abort !== undefined) ucmd.abort();
    else log?.record(task, command, asked, ucmd.payload);
    return lost ? -EFAULT : rc;
  }

  override ioctlValue(task: Task, command: number, value: number): number {
    return IOCTLS.has(command) ? -EFAULT : containerValue(task, this, command, value);
  }

  /** The HWPT that stands for a domain. */
  hwptOf(domain: IommuDomain): HwptPaging | undefined {
    const found = this.objects.all.find((o) => o instanceof HwptPaging && o.domain === domain);
    return found as HwptPaging | undefined;
  }

  /** Devices may go on under this context with the domain they were handed over on. */
  isHeirOf(domain: IommuDomain): boolean {
    if (this.hwptOf(domain) !== undefined) return true;
    return domain instanceof PagingDomain && domain.inherited &&
      domain.persistentOwner === this.persistentId;
  }

  /**
   * Devices of this context are on their way from the previous kernel's tables to new ones: both go
   * by one id, and must say the same. Calls that change mappings answer EAGAIN.
   */
  get switching(): boolean {
    if (!this.kernel.design.inherits || this.persistentId === 0 || this.replaying) return false;
    return this.kernel.iommufd.heirs.groupsOf(this.persistentId).length > 0 &&
      this.objects.all.some((o) => o instanceof IommufdDevice && o.attached);
  }

  /** Some device still waits, on one of this context's domains or on none, for its heir. */
  get waiting(): boolean {
    const ours = (domain: IommuDomain) => this.hwptOf(domain) !== undefined;
    return this.kernel.iommu.groups.some((group) => group.heldDomains.some(ours)) ||
      this.kernel.iommufd.isAwaited(this);
  }

  /**
   * Mutating calls answer EBUSY: a dump stands, or a device still waits for its heir. Should this
   * process die, the next one must find what was handed over.
   */
  get immutable(): boolean {
    return this.frozen || this.waiting;
  }

  /** What a call that changes mappings is to answer: EBUSY, EAGAIN, or 0. */
  get mapsRefused(): number {
    return this.immutable ? -EBUSY : this.switching ? -EAGAIN : 0;
  }

  protected override release(): void {
    if (this.waiting && this.persistentId !== 0) {
      // The process went away before it took its devices: they go on, somebody may try again.
      dropRestored(this);
      this.kernel.iommufd.returnToPending(this);
      return;
    }
    const leaked = this.objects.destroyAll();
    if (leaked.length > 0) {
      this.kernel.dmesg.splat(`WARNING: iommufd: ${leaked.length} objects left at close`);
    }
    this.kernel.iommufd.forget(this);
    if (this.heap.freed) this.kernel.kasan.doubleFree(this.heap, "iommufd_fops_release");
    this.heap.freed = true;
  }
}
