import * as E from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import { OpenFile } from "../fs/vfs.ts";
import type { PageRequestGroup } from "../iommu/page_requests.ts";
import type { Kernel } from "../kernel.ts";
import type { Task } from "../process/task.ts";
import type { IommufdCtx } from "./ctx.ts";
import type { HwptPaging } from "./hwpt.ts";
import type { Ucmd } from "./ioctls.ts";
import { IommufdObject, ObjectKind } from "./objects.ts";

/** Said once, where page requests would not get through a kexec: the errno alone does not say why. */
export function refuseRequests({ iommufd, dmesg }: Kernel): void {
  const what = "page requests";
  if (iommufd.refused.has(what)) return;
  iommufd.refused.add(what);
  dmesg.warn(
    "iommufd: page requests of a persistent iommufd are refused: neither its fault queue nor who " +
      "reads it would be handed over",
  );
}

/** What a device asks for, as its iommufd knows it. */
export interface FaultGroup extends PageRequestGroup {
  /** What the device was attached to when it asked. */
  readonly hwpt: HwptPaging;
  /** Object id of the device. */
  readonly devId: number;
}

/**
 * A queue of page requests (FACTS 1.2, fault_alloc). A program reads them, makes the pages present
 * and answers each group by its cookie. An attached HWPT's requests end up here.
 */
export class FaultQueue extends IommufdObject {
  readonly kind = ObjectKind.fault;
  #unread: FaultGroup[] = [];
  /** Read and not answered yet, by cookie. */
  readonly #read = new Map<number, FaultGroup>();

  /** The kernel's side: a device asks for pages. */
  report(group: FaultGroup): void {
    this.#unread.push(group);
  }

  /** Records of as many whole groups as fit into `length` bytes, oldest first. */
  take(length: number): Uint8Array {
    const { size } = U.iommu_hwpt_pgfault;
    const records: Uint8Array[] = [];
    for (let group = this.#unread[0]; group !== undefined; group = this.#unread[0]) {
      if ((records.length + group.requests.length) * size > length) break;
      this.#unread.shift();
      const cookie = this.#freeCookie();
      this.#read.set(cookie, group);
      for (const index of group.requests.keys()) records.push(record(group, index, cookie));
    }
    const bytes = new Uint8Array(records.length * size);
    records.forEach((r, i) => bytes.set(r, i * size));
    return bytes;
  }

  #freeCookie(): number {
    let cookie = 1;
    while (this.#read.has(cookie)) cookie++;
    return cookie;
  }

  /** EINVAL for a cookie nothing waits under. */
  respond(cookie: number, code: number): number {
    const group = this.#read.get(cookie);
    if (group === undefined) return -E.EINVAL;
    this.#read.delete(cookie);
    group.respond(code);
    return 0;
  }

  /** The device leaves the HWPT: what it asked for there can be made present for it no more. */
  refuse(hwpt: HwptPaging, devId: number, pasid: number | undefined): void {
    const leaves = (group: FaultGroup) =>
      group.hwpt === hwpt && group.devId === devId && group.pasid === pasid;
    const gone = this.#unread.filter(leaves);
    this.#unread = this.#unread.filter((group) => !leaves(group));
    for (const group of gone) group.respond(U.IOMMUFD_PAGE_RESP_INVALID);
    for (const [cookie, group] of [...this.#read]) {
      if (leaves(group)) this.respond(cookie, U.IOMMUFD_PAGE_RESP_INVALID);
    }
  }

  /** Every device has left its HWPT before, and with it every request. */
  override destroy(): void {}
}

function record(group: FaultGroup, index: number, cookie: number): Uint8Array {
  const { devId, pasid, grpid, requests } = group;
  const last = index === requests.length - 1 ? U.IOMMU_PGFAULT_FLAGS_LAST_PAGE : 0;
  return U.iommu_hwpt_pgfault.encode({
    flags: (pasid === undefined ? 0 : U.IOMMU_PGFAULT_FLAGS_PASID_VALID) | last,
    dev_id: devId,
    pasid: pasid ?? 0,
    grpid,
    perm: requests[index].perm,
    addr: requests[index].addr,
    cookie,
  });
}

/** The descriptor of a fault queue. It is a user of the queue, and keeps the iommufd open. */
export class FaultFile extends OpenFile {
  constructor(readonly ctx: IommufdCtx, readonly queue: FaultQueue) {
    super();
    ctx.get();
    queue.users++;
  }

  /**
   * Whole records only, ESPIPE. 0 bytes when nothing waits, or `length` is too short for the first
   * group.
   */
  override read(_task: Task, length: number): Uint8Array | number {
    return length % U.iommu_hwpt_pgfault.size === 0 ? this.queue.take(length) : -E.ESPIPE;
  }

  /**
   * Answers, one after the other. ESPIPE for half an answer; EINVAL for another code than SUCCESS
   * and INVALID, and for a cookie nothing waits under; those before it stand, and their bytes are
   * the result then.
   */
  override write(_task: Task, bytes: Uint8Array): number {
    const { size } = U.iommu_hwpt_page_response;
    if (bytes.length % size !== 0) return -E.ESPIPE;
    for (let done = 0; done < bytes.length; done += size) {
      const { cookie, code } = U.iommu_hwpt_page_response.decode(bytes.subarray(done));
      const rc = code > U.IOMMUFD_PAGE_RESP_INVALID ? -E.EINVAL : this.queue.respond(cookie, code);
      if (rc < 0) return done > 0 ? done : rc;
    }
    return bytes.length;
  }

  protected override release(): void {
    this.queue.users--;
    this.ctx.put();
  }
}

/**
 * IOMMU_FAULT_QUEUE_ALLOC: flags must be 0, EOPNOTSUPP. The same where the next kernel is to make this
 * call again: it has no program that a descriptor could be given to.
 */
export function faultQueueAlloc(ucmd: Ucmd): number {
  const { task, ctx, payload } = ucmd;
  const cmd = U.iommu_fault_queue_alloc.decode(payload);
  if (cmd.flags !== 0) return -E.EOPNOTSUPP;
  if (ctx.calls !== undefined) {
    refuseRequests(ctx.kernel);
    return -E.EOPNOTSUPP;
  }
  if (ctx.immutable) return -E.EBUSY;
  const queue = ctx.objects.add(new FaultQueue());
  const fd = task.installFd(new FaultFile(ctx, queue));
  ucmd.abort = () => {
    task.close(fd);
    ctx.objects.remove(queue.id);
  };
  cmd.out_fault_id = queue.id;
  cmd.out_fault_fd = fd;
  U.iommu_fault_queue_alloc.update(payload, cmd);
  return 0;
}
