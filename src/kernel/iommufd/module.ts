import { fails } from "../fault_points.ts";
import { sysfsFile } from "../fs/sysfs.ts";
import type { Guestmemfs } from "../fs/guestmemfs/guestmemfs.ts";
import { OpenFile } from "../fs/vfs.ts";
import type { Kernel } from "../kernel.ts";
import { nullDereference } from "../oops.ts";
import type { PciDev } from "../pci/pci.ts";
import type { Task } from "../process/task.ts";
import { EBUSY, EINVAL, ENODEV, ENOMEM } from "../../uapi/errno.ts";
import type { MemfdFile } from "../fs/memfd.ts";
import type { CarriedMemory } from "./carried.ts";
import { CallLog } from "./call_log.ts";
import { IommufdCtx } from "./ctx.ts";
import { discardContext } from "./discard.ts";
import { Heirs } from "./heirs.ts";
import { PERSISTED_MOUNT } from "./persisted.ts";
import { iommufdNotify } from "./serialise.ts";
import {
  incomingDevices,
  incomingIommufds,
  incomingMemfds,
  recountPins,
  rehydrate,
} from "./restore.ts";

/** What waits in a picked-up context for the device that had it. */
export interface Reserved {
  /** Object id of the device. */
  readonly id: number;
  /** That of its access, where it has one. */
  readonly access?: number;
  /** The HWPT it was attached to, where hardware does not tell. */
  readonly hwpt?: number;
}

/** Of sd in struct kobject. */
const KOBJECT_SD_OFFSET = 0x30;

/** Of private_data in struct file. */
const PRIVATE_DATA_OFFSET = 0x20;

/** An open iommufd without private_data. */
class BareIommufd extends OpenFile {
  override ioctl(): number {
    return nullDereference("iommufd_fops_ioctl");
  }
}

/** /dev/iommu, /dev/vfio/vfio and the persistent iommufds of this boot. */
export class IommufdModule {
  /** Persistent iommufds by id (seed line 148). */
  readonly persistent = new Map<number, IommufdCtx>();
  /** Kinds of objects this kernel has told in its log that it does not have. */
  readonly refused = new Set<string>();
  /** Ids the previous kernel handed over; nobody else may get one of them. */
  readonly #pending = new Set<number>();
  readonly #domainIds = new Set<number>();
  /** By context, then by source id. */
  readonly #reserved = new Map<IommufdCtx, Map<number, Reserved>>();
  /** Memory that came over with contexts, by persistent id, once somebody has asked for them. */
  readonly #carried = new Map<number, CarriedMemory>();

  readonly #contexts = new Set<IommufdCtx>();
  /** Where userspace makes its objects again: who waits for it. */
  readonly heirs: Heirs;

  constructor(readonly kernel: Kernel) {
    this.heirs = new Heirs(kernel);
  }

  /** Every open context, in the order they were opened. */
  get contexts(): IommufdCtx[] {
    return [...this.#contexts];
  }

  opened(ctx: IommufdCtx): IommufdCtx {
    this.#contexts.add(ctx);
    return ctx;
  }

  init(): void {
    const { vfs, kho } = this.kernel;
    vfs.mkdirs("/dev").add("iommu", { kind: "file", mode: 0o660, open: () => this.#open() });
    const container = () => this.#openContainer();
    vfs.mkdirs("/dev/vfio").add("vfio", { kind: "file", mode: 0o666, open: container });
    if (!this.kernel.design.persists) return;
    if (this.kernel.design.inherits) vfs.mkdirs(PERSISTED_MOUNT);
    kho.register("iommufd", (command, fdt) => iommufdNotify(this, command, fdt));
    const ids = incomingIommufds(this.kernel);
    const always = kho.incoming !== undefined && this.kernel.has("D38g");
    if (ids.length === 0 && !always) return;
    this.kernel.dmesg.info(`iommufd: ${ids.length} persistent iommufds to be picked up`);
    if (this.kernel.design.inherits) return this.heirs.start(ids);
    const parent = vfs.mkdirs("/sys/kernel/iommufd_persisted");
    for (const id of ids) {
      this.#pending.add(id);
      if (fails(this.kernel.chooser, "kmalloc", "kobject")) {
        if (this.kernel.has("D38e")) nullDereference("sysfs_create_file", KOBJECT_SD_OFFSET);
        this.kernel.dmesg.warn(`iommufd: no memory for the sysfs entry of ${id}`);
        continue;
      }
      const dir = parent.dir(String(id));
      dir.add("iommufd", sysfsFile({ show: (task) => this.#show(id, task) }, 0o440));
      for (const n of incomingMemfds(this.kernel, id)) {
        dir.add(`memfd${n}`, sysfsFile({ show: (task) => this.#showMemfd(id, n, task) }, 0o440));
      }
      const store = (text: string) => text.trim() === "1" ? this.#discard(id) : -EINVAL;
      dir.add("discard", sysfsFile({ store }));
    }
  }

  #open(): IommufdCtx | number {
    if (fails(this.kernel.chooser, "kmalloc", "iommufd_ctx")) return -ENOMEM;
    return this.opened(new IommufdCtx(this.kernel));
  }

  /** /dev/vfio/vfio: pins count against the process, as they did for VFIO's own containers. */
  #openContainer(): IommufdCtx {
    const ctx = this.opened(new IommufdCtx(this.kernel));
    ctx.chargesProcess = true;
    return ctx;
  }

  /** The file system came over with the pins of everybody who used it; see {@link recountPins}. */
  adoptFiles(fs: Guestmemfs): void {
    const fdt = this.kernel.kho.incoming;
    // With devices held for contexts this kernel cannot read, the pins there are must stay.
    const unknown = this.pending.length === 0 && this.kernel.iommu.groups.some((g) => g.held);
    if (fdt === undefined || unknown || this.kernel.has("D82")) return;
    if (this.kernel.design.inherits) this.heirs.adoptFiles(fs);
    else recountPins(fdt, fs, this.pending);
  }

  /**
   * Reading the file makes a descriptor in the reader and prints its number (seed line 1142).
   * EBUSY when the iommufd has been picked up already.
   */
  #show(id: number, task: Task): string | number {
    const fd = this.#pickUp(id, task);
    // As posted an errno is text like any other.
    return fd < 0 && !this.kernel.has("D40") ? fd : `${fd}\n`;
  }

  #pickUp(id: number, task: Task): number {
    const again = !this.#pending.has(id);
    if (again && !this.kernel.has("D40")) return -EBUSY;
    const fd = this.kernel.has("D41") ? this.#bareFd(task) : -1;
    const ctx = rehydrate(this.kernel, id, task, again);
    if (typeof ctx === "number") return ctx;
    this.#pending.delete(id);
    if (ctx.persistentId !== 0) this.persistent.set(ctx.persistentId, ctx);
    this.opened(ctx);
    if (fd < 0) return task.installFd(ctx);
    task.replaceFile(fd, ctx);
    return fd;
  }

  /** As posted: the descriptor is there, and what it stands for is made while others may use it. */
  #bareFd(task: Task): number {
    const fd = task.installFd(new BareIommufd());
    this.kernel.scheduler.preempt();
    // Somebody has closed it: there is no file that private_data could be set in.
    if (task.file(fd) === undefined) nullDereference("iommufd_fops_open", PRIVATE_DATA_OFFSET);
    return fd;
  }

  /**
   * The same for one of the memfds that came over with it: a descriptor of the file it was. ENODEV
   * before the iommufd was picked up, and after it was closed.
   */
  #showMemfd(id: number, n: number, task: Task): string | number {
    const file = this.#pending.has(id) ? undefined : this.#carried.get(id)?.files.get(n);
    return file === undefined ? -ENODEV : `${task.installFd(file.get())}\n`;
  }

  /** Nobody will come for it (FACTS 10.6). EBUSY: somebody has. */
  #discard(id: number): number {
    if (!this.#pending.has(id)) return -EBUSY;
    const rc = discardContext(this.kernel, id);
    if (rc < 0) return rc;
    this.#pending.delete(id);
    this.releaseCarried(id);
    this.kernel.vfs.mkdirs("/sys/kernel/iommufd_persisted").remove(String(id));
    return 0;
  }

  /** The memory of a handed-over context; what {@link CarriedMemory.claim} says against it. */
  carried(id: number, claim: () => CarriedMemory | number): CarriedMemory | number {
    const known = this.#carried.get(id);
    if (known !== undefined) return known;
    const memory = claim();
    if (typeof memory !== "number") this.#carried.set(id, memory);
    return memory;
  }

  /** Files of a handed-over id that nobody has let go of, by their numbers; none before it was claimed. */
  carriedFiles(id: number): MemfdFile[] {
    const files = this.#carried.get(id)?.files ?? new Map<number, MemfdFile>();
    return [...files].sort(([a], [b]) => a - b).map(([, file]) => file);
  }

  /** Nothing of the previous kernel's is needed any more: its memory is whose maps or has it open. */
  releaseCarried(id: number): void {
    this.#carried.get(id)?.release();
    this.#carried.delete(id);
  }

  /** A handed-over id has an open context again. */
  pickedUp(ctx: IommufdCtx): void {
    this.persistent.set(ctx.persistentId, this.opened(ctx));
  }

  /** Gives the context the lowest persistent id nobody has or waits for. */
  markPersistent(ctx: IommufdCtx): number {
    let id = 1;
    const waits = (id: number) => this.pending.includes(id) && !this.kernel.has("D08");
    while (this.persistent.has(id) || waits(id)) id++;
    this.persistent.set(id, ctx);
    ctx.persistentId = id;
    if (this.kernel.design.iommufd === "calls") {
      ctx.calls = new CallLog((id) => ctx.objects.get(id) !== undefined);
    }
    return id;
  }

  /** Each persistent domain has an id of its own: a context may have several. */
  allocDomainId(): number {
    let id = 1;
    while (this.#domainIds.has(id)) id++;
    this.#domainIds.add(id);
    return id;
  }

  reserveDomainId(id: number): void {
    this.#domainIds.add(id);
  }

  freeDomainId(id: number): void {
    this.#domainIds.delete(id);
  }

  /** The device with this source id will get back what it had when it is bound. */
  reserveDevice(ctx: IommufdCtx, sid: number, reserved: Reserved): void {
    let devices = this.#reserved.get(ctx);
    if (devices === undefined) this.#reserved.set(ctx, devices = new Map());
    devices.set(sid, reserved);
    ctx.objects.reserve(reserved.id);
    if (reserved.access !== undefined) ctx.objects.reserve(reserved.access);
  }

  /** This context had the device before the kexec, and nobody has taken it since. */
  isReserved(ctx: IommufdCtx, dev: PciDev): boolean {
    return this.#reserved.get(ctx)?.has(dev.sid) ?? false;
  }

  takeReserved(ctx: IommufdCtx, dev: PciDev): Reserved | undefined {
    const devices = this.#reserved.get(ctx);
    const reserved = devices?.get(dev.sid);
    devices?.delete(dev.sid);
    return reserved;
  }

  /** A device that no IOMMU covers waits for this context, which had it. */
  isAwaited(ctx: IommufdCtx): boolean {
    return this.kernel.pci.devices.some((d) => d.incoming && this.isReserved(ctx, d));
  }

  /**
   * The device was handed over, and its heir has not got it yet (FACTS 10.6): it is held, it still runs
   * on the previous kernel's tables, or a replay has bound it and nobody has opened it.
   */
  waits(dev: PciDev): boolean {
    return dev.held || (dev.group?.inheritedDomains.length ?? 0) > 0 ||
      this.contexts.some((ctx) => [...ctx.awaited].some((idev) => idev.dev === dev));
  }

  /** Persistent id of the iommufd that a held device was handed over with; 0: it is not said. */
  heirOf(dev: PciDev): number {
    const domain = dev.group?.heldDomains[0];
    if (domain !== undefined) return domain.persistentOwner;
    return this.pending.find((id) => incomingDevices(this.kernel, id).includes(dev.sid)) ?? 0;
  }

  /** The context has taken a device that waited. */
  taken(ctx: IommufdCtx): void {
    if (!ctx.waiting) this.#carried.get(ctx.persistentId)?.settle();
  }

  /** A context was closed for good. */
  forget(ctx: IommufdCtx): void {
    this.#drop(ctx);
    // Devices of an heir that has died may still be at work in it.
    if (!this.heirs.unfinished.includes(ctx.persistentId)) this.releaseCarried(ctx.persistentId);
  }

  #drop(ctx: IommufdCtx): void {
    if (ctx.persistentId !== 0) this.persistent.delete(ctx.persistentId);
    this.#reserved.delete(ctx);
    this.#contexts.delete(ctx);
    this.heirs.closed(ctx);
  }

  /** A picked-up context was closed while devices still wait: it can be picked up again. */
  returnToPending(ctx: IommufdCtx): void {
    this.#drop(ctx);
    this.#pending.add(ctx.persistentId);
  }

  /** Ids that wait to be picked up, ascending. */
  get pending(): number[] {
    return [...this.#pending, ...this.heirs.waiting].sort((a, b) => a - b);
  }

  /** Ids whose files are still pinned for what the previous kernel left. */
  get unfinished(): number[] {
    return [...this.#pending, ...this.heirs.unfinished].sort((a, b) => a - b);
  }
}
