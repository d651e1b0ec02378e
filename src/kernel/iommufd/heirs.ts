import type { Fdt } from "../../fdt/mod.ts";
import { EBUSY, ENODEV } from "../../uapi/errno.ts";
import { PCI_COMMAND_MASTER } from "../../uapi/pci_regs.ts";
import type { Guestmemfs } from "../fs/guestmemfs/guestmemfs.ts";
import type { OpenFile } from "../fs/vfs.ts";
import type { IommuGroup } from "../iommu/core.ts";
import type { Kernel } from "../kernel.ts";
import { CallLog, readCalls } from "./call_log.ts";
import { CarriedMemory } from "./carried.ts";
import { IommufdCtx } from "./ctx.ts";
import { type IommufdDevice, unbindDevice } from "./device.ts";
import { PersistedHandles } from "./persisted.ts";
import { handedOverFiles } from "./redrive.ts";
import { replayCalls } from "./replay.ts";
import { incomingMemfds } from "./restore.ts";

/** What waits for the process that had it before the kexec. */
interface Estate {
  /** Inodes that stay pinned until everything has been mapped again. */
  readonly files: readonly number[];
  /** The heir's iommufd; undefined: nobody has come, or who came is gone. */
  ctx: IommufdCtx | undefined;
}

/**
 * Iommufds of the previous kernel whose processes make their objects again. The ways out (FACTS
 * 10.6): the heir picks one up, binds its devices, attaches each to tables of its own, and finishes;
 * it dies before that, and the next one may try; or nobody comes, and an administrator gives it up.
 */
export class Heirs {
  readonly handles: PersistedHandles;
  readonly #estates = new Map<number, Estate>();

  constructor(readonly kernel: Kernel) {
    this.handles = new PersistedHandles(kernel);
  }

  /** At boot. `ids`: what was handed over. */
  start(ids: readonly number[]): void {
    const fdt = this.kernel.kho.incoming;
    if (fdt === undefined) return;
    for (const id of ids) {
      this.#estates.set(id, { files: handedOverFiles(fdt, id), ctx: undefined });
      const replays = this.kernel.design.iommufd === "calls";
      this.handles.add(`${id}/iommufd`, () => replays ? this.#replay(id) : this.#pickUp(id));
      if (!replays) this.handles.addAction(`${id}/finish`, () => this.#finish(id));
      this.handles.addAction(`${id}/discard`, () => this.#discard(id));
      // They come over with the iommufd, and are there once that is picked up.
      for (const n of incomingMemfds(this.kernel, id)) {
        this.handles.add(`${id}/memfd${n}`, () => this.#memfd(id, n));
      }
    }
  }

  /** Ids that wait to be picked up, ascending. */
  get waiting(): number[] {
    return this.#ids(({ ctx }) => ctx === undefined);
  }

  /** Ids that are not finished, picked up or not. */
  get unfinished(): number[] {
    return this.#ids(() => true);
  }

  #ids(which: (estate: Estate) => boolean): number[] {
    const some = [...this.#estates].filter(([, estate]) => which(estate));
    return some.map(([id]) => id).sort((a, b) => a - b);
  }

  /** Files that stay pinned for an id. */
  filesOf(id: number): readonly number[] {
    return this.#estates.get(id)?.files ?? [];
  }

  /** Groups that still run on the previous kernel's tables for this id. */
  groupsOf(id: number): IommuGroup[] {
    return this.kernel.iommu.groups.filter((group) =>
      group.inheritedDomains.some((domain) => domain.persistentOwner === id)
    );
  }

  /** The file system is there: whoever had pinned a file is gone, but for the devices that wait. */
  adoptFiles(fs: Guestmemfs): void {
    const files = new Map(fs.allInodes().map((inode) => [inode.ino, inode]));
    for (const inode of files.values()) inode.pins = 0;
    for (const estate of this.#estates.values()) {
      for (const ino of estate.files) {
        const inode = files.get(ino);
        if (inode !== undefined) fs.pin(inode);
      }
    }
  }

  /** An empty iommufd that is the heir of an id. EBUSY: there is one. */
  #pickUp(id: number): IommufdCtx | number {
    const estate = this.#estates.get(id);
    if (estate === undefined || estate.ctx !== undefined) return -EBUSY;
    const memory = this.#claim(id);
    if (typeof memory === "number") return memory;
    const ctx = new IommufdCtx(this.kernel);
    ctx.persistentId = id;
    estate.ctx = ctx;
    this.kernel.iommufd.pickedUp(ctx);
    this.kernel.dmesg.info(`iommufd: persistent iommufd ${id} picked up, its objects to be made`);
    return ctx;
  }

  /** The memory that came over with an id; what {@link CarriedMemory.claim} says against it. */
  #claim(id: number): CarriedMemory | number {
    const { kernel } = this, fdt = kernel.kho.incoming as Fdt;
    const root = fdt.path(`/iommufd/iommufds/${id}`);
    return kernel.iommufd.carried(id, () => CarriedMemory.claim(kernel, fdt, root));
  }

  /** One of its memfds. ENODEV before the iommufd was picked up. */
  #memfd(id: number, n: number): OpenFile | number {
    const picked = this.#estates.get(id)?.ctx !== undefined;
    const memory = picked ? this.#claim(id) : -ENODEV;
    return typeof memory === "number" ? memory : memory.files.get(n)?.get() ?? -ENODEV;
  }

  /**
   * The iommufd as it was, made by its own calls. What they made is the kernel's until the devices are
   * opened: should its process die before, the next one gets the same. EBUSY: somebody has it.
   */
  #replay(id: number): IommufdCtx | number {
    const estate = this.#estates.get(id), fdt = this.kernel.kho.incoming;
    if (estate === undefined || fdt === undefined) return -EBUSY;
    // One reference is ours, one of each device that waits.
    if (estate.ctx !== undefined) {
      return estate.ctx.refs > 1 + estate.ctx.awaited.size ? -EBUSY : estate.ctx.get();
    }
    const ctx = new IommufdCtx(this.kernel);
    ctx.persistentId = id;
    ctx.calls = new CallLog((id) => ctx.objects.get(id) !== undefined);
    estate.ctx = ctx;
    this.kernel.iommufd.pickedUp(ctx);
    const calls = readCalls(fdt, fdt.path(`/iommufd/iommufds/${id}`));
    const rc = replayCalls(this.kernel, ctx, calls);
    if (rc === 0) {
      this.kernel.dmesg.info(`iommufd: persistent iommufd ${id} replayed, ${calls.length} calls`);
      if (ctx.awaited.size === 0) this.#end(id);
      return ctx.awaited.size === 0 ? ctx : ctx.get();
    }
    for (const idev of ctx.awaited) this.#giveUp(idev);
    ctx.put();
    return rc;
  }

  /** A device that a replay has bound is opened by its heir. With the last one nothing is left to wait. */
  taken(idev: IommufdDevice, file: OpenFile): IommufdDevice {
    const { ctx } = idev;
    ctx.awaited.delete(idev);
    idev.file = file;
    if (ctx.awaited.size === 0) {
      this.#end(ctx.persistentId);
      ctx.put();
    }
    return idev;
  }

  /** Nobody has opened the device, and nobody will: off its tables, and silent where it has left ours. */
  #giveUp(idev: IommufdDevice): void {
    const { dev, group, ctx } = idev;
    ctx.awaited.delete(idev);
    const waits = (group as IommuGroup).inheritedDomains.length > 0;
    if (!waits) dev.setCommand(0, PCI_COMMAND_MASTER);
    unbindDevice(idev);
    if (!waits) dev.tryReset();
  }

  /** The heir has everything. EBUSY while nobody has come, or a device still waits. */
  #finish(id: number): number {
    const estate = this.#estates.get(id);
    if (estate?.ctx === undefined || this.groupsOf(id).length > 0) return -EBUSY;
    this.#end(id);
    this.kernel.dmesg.info(`iommufd: handover of persistent iommufd ${id} finished`);
    return 0;
  }

  /**
   * Nobody will come: the devices are blocked, then reset, then anybody's, and what they walked is
   * freed. EBUSY while somebody has picked it up.
   */
  #discard(id: number): number {
    const estate = this.#estates.get(id);
    if (estate === undefined) return -EBUSY;
    const { ctx } = estate;
    if (ctx !== undefined && (ctx.awaited.size === 0 || ctx.refs > 1 + ctx.awaited.size)) {
      return -EBUSY;
    }
    for (const idev of ctx?.awaited ?? []) this.#giveUp(idev);
    ctx?.put();
    for (const group of this.groupsOf(id)) {
      const rc = group.discard();
      if (rc < 0) return rc;
      group.dev.setCommand(0, PCI_COMMAND_MASTER);
      group.dev.tryReset();
      group.toDefault();
      this.kernel.dmesg.warn(`iommufd: ${group.dev.name}: given up, blocked and reset`);
    }
    this.#claim(id);
    this.#end(id);
    return 0;
  }

  /** An heir was closed. Devices that still run as they were handed over wait for the next one. */
  closed(ctx: IommufdCtx): void {
    const estate = this.#estates.get(ctx.persistentId);
    if (estate?.ctx !== ctx) return;
    if (this.groupsOf(ctx.persistentId).length > 0) estate.ctx = undefined;
    else this.#end(ctx.persistentId);
  }

  #end(id: number): void {
    const fs = this.kernel.guestmemfs;
    const there = new Set(fs?.allInodes().map(({ ino }) => ino));
    for (const ino of this.filesOf(id)) if (there.has(ino)) fs?.unpin(ino);
    this.#estates.delete(id);
    this.kernel.iommufd.releaseCarried(id);
    this.handles.remove(id);
  }
}
