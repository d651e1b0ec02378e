import { sysfsFile } from "../fs/sysfs.ts";
import type { Guestmemfs } from "../fs/guestmemfs/guestmemfs.ts";
import type { FsFile } from "../fs/vfs.ts";
import type { Kernel } from "../kernel.ts";
import type { PciDev } from "../pci/pci.ts";
import type { Task } from "../process/task.ts";
import { EBUSY } from "../../uapi/errno.ts";
import { IommufdCtx } from "./ctx.ts";
import { Heirs } from "./heirs.ts";
import { PERSISTED_MOUNT } from "./persisted.ts";
import { iommufdNotify } from "./serialise.ts";
import { incomingIommufds, recountPins, rehydrate } from "./restore.ts";

/** /dev/iommu, /dev/vfio/vfio and the persistent iommufds of this boot. */
export class IommufdModule {
  /** Persistent iommufds by id (seed line 148). */
  readonly persistent = new Map<number, IommufdCtx>();
  /** Kinds of objects this kernel has told in its log that it does not have. */
  readonly refused = new Set<string>();
  /** Ids the previous kernel handed over; nobody else may get one of them. */
  readonly #pending = new Set<number>();
  readonly #domainIds = new Set<number>();
  /** Object ids that wait for the device they belonged to: by context, then by source id. */
  readonly #deviceIds = new Map<IommufdCtx, Map<number, number>>();

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
    const open: FsFile = { kind: "file", open: () => this.opened(new IommufdCtx(this.kernel)) };
    vfs.mkdirs("/dev").add("iommu", open);
    vfs.mkdirs("/dev/vfio").add("vfio", { kind: "file", open: () => this.#openContainer() });
    if (!this.kernel.design.persists) return;
    if (this.kernel.design.fences) vfs.mkdirs(PERSISTED_MOUNT);
    kho.register("iommufd", (command, fdt) => iommufdNotify(this, command, fdt));
    const ids = incomingIommufds(this.kernel);
    if (ids.length === 0) return;
    this.kernel.dmesg.info(`iommufd: ${ids.length} persistent iommufds to be picked up`);
    if (this.kernel.design.inherits) return this.heirs.start(ids);
    const parent = vfs.mkdirs("/sys/kernel/iommufd_persisted");
    for (const id of ids) {
      this.#pending.add(id);
      parent.dir(String(id)).add("iommufd", sysfsFile({ show: (task) => this.#show(id, task) }));
    }
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
    if (fdt === undefined || unknown) return;
    if (this.kernel.design.inherits) this.heirs.adoptFiles(fs);
    else recountPins(fdt, fs, this.pending);
  }

  /**
   * Reading the file makes a descriptor in the reader and prints its number (seed line 1142).
   * EBUSY when the iommufd has been picked up already.
   */
  #show(id: number, task: Task): string | number {
    if (!this.#pending.has(id)) return -EBUSY;
    const ctx = rehydrate(this.kernel, id);
    if (typeof ctx === "number") return ctx;
    this.#pending.delete(id);
    this.persistent.set(id, this.opened(ctx));
    return `${task.installFd(ctx)}\n`;
  }

  /** A handed-over id has an open context again. */
  pickedUp(ctx: IommufdCtx): void {
    this.persistent.set(ctx.persistentId, this.opened(ctx));
  }

  /** Gives the context the lowest persistent id nobody has or waits for. */
  markPersistent(ctx: IommufdCtx): number {
    let id = 1;
    while (this.persistent.has(id) || this.pending.includes(id)) id++;
    this.persistent.set(id, ctx);
    ctx.persistentId = id;
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

  /** The device with this source id will get this object id back when it is bound. */
  reserveDeviceId(ctx: IommufdCtx, sid: number, id: number): void {
    let ids = this.#deviceIds.get(ctx);
    if (ids === undefined) this.#deviceIds.set(ctx, ids = new Map());
    ids.set(sid, id);
    ctx.objects.reserve(id);
  }

  takeReservedId(ctx: IommufdCtx, dev: PciDev): number | undefined {
    const ids = this.#deviceIds.get(ctx);
    const id = ids?.get(dev.sid);
    ids?.delete(dev.sid);
    return id;
  }

  /** A context was closed for good. */
  forget(ctx: IommufdCtx): void {
    if (ctx.persistentId !== 0) this.persistent.delete(ctx.persistentId);
    this.#deviceIds.delete(ctx);
    this.#contexts.delete(ctx);
    this.heirs.closed(ctx);
  }

  /** A picked-up context was closed while devices still wait: it can be picked up again. */
  returnToPending(ctx: IommufdCtx): void {
    this.forget(ctx);
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
