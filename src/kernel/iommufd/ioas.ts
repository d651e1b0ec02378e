import { PAGE_SIZE } from "../../base/units.ts";
import * as E from "../../uapi/errno.ts";
import { errnoName } from "../../uapi/errno.ts";
import * as U from "../../uapi/iommufd.ts";
import { GuestmemfsFile } from "../fs/guestmemfs/file.ts";
import { MemfdFile } from "../fs/memfd.ts";
import type { OpenFile } from "../fs/vfs.ts";
import type { Task } from "../process/task.ts";
import type { Vma } from "../process/address_space.ts";
import type { Kernel } from "../kernel.ts";
import type { IommufdCtx } from "./ctx.ts";
import type { HwptPaging } from "./hwpt.ts";
import { Account } from "./accounting.ts";
import { FilePin, type PinnedFile, unpinRange } from "./file_pin.ts";
import { IoPageTable } from "./io_pagetable.ts";
import type { Ucmd } from "./ioctls.ts";
import { NoiommuDomain } from "./noiommu.ts";
import { IommufdObject, ObjectKind } from "./objects.ts";
import { IoptPages } from "./pages.ts";
import { CheckedUserSource } from "./posted_source.ts";
import {
  fileSource,
  GuestmemfsSource,
  NO_PINS,
  type PageSource,
  type Pins,
  UserSource,
} from "./sources.ts";

const PAGE = BigInt(PAGE_SIZE);

/** An I/O address space: areas, and the HWPTs made from it. */
export class Ioas extends IommufdObject implements PinnedFile {
  readonly kind = ObjectKind.ioas;
  readonly iopt: IoPageTable;
  readonly hwpts: HwptPaging[] = [];
  pinnedFile = 0;

  constructor(readonly kernel: Kernel) {
    super();
    this.iopt = new IoPageTable(kernel.dmesg);
  }

  /** Whatever is mapped goes. */
  override destroy(): void {
    const rc = this.iopt.unmapAll();
    if (typeof rc === "number") {
      this.kernel.dmesg.splat(
        `WARNING: iommufd: IOAS ${this.id} has areas that do not go (${errnoName(rc)})`,
      );
    }
  }
}

export function getIoas(ctx: IommufdCtx, id: number): Ioas | undefined {
  return ctx.objects.get(id, ObjectKind.ioas) as Ioas | undefined;
}

/** IOMMU_IOAS_ALLOC: flags must be 0, EOPNOTSUPP. */
export function ioasAlloc(ucmd: Ucmd): number {
  const { ctx, payload } = ucmd;
  const cmd = U.iommu_ioas_alloc.decode(payload);
  if (cmd.flags !== 0) return -E.EOPNOTSUPP;
  if (ctx.immutable) return -E.EBUSY;
  const { id } = ctx.objects.add(new Ioas(ctx.kernel));
  ucmd.abort = () => ctx.objects.remove(id);
  cmd.out_ioas_id = id;
  U.iommu_ioas_alloc.update(payload, cmd);
  return 0;
}

const MAP_FLAGS = U.IOMMU_IOAS_MAP_FIXED_IOVA | U.IOMMU_IOAS_MAP_WRITEABLE |
  U.IOMMU_IOAS_MAP_READABLE;

/** Steps 1 to 3 of FACTS 1.3, IOAS_MAP: what of flags, IOVA and length can be told at once. */
export function checkMap(flags: number, ...numbers: bigint[]): number {
  if (flags & ~MAP_FLAGS) return -E.EOPNOTSUPP;
  if (numbers.includes(U.U64_MAX)) return -E.EOVERFLOW;
  const some = (flags & (U.IOMMU_IOAS_MAP_WRITEABLE | U.IOMMU_IOAS_MAP_READABLE)) !== 0;
  return some ? 0 : -E.EINVAL;
}

/** Steps 1 to 4; the IOAS or an errno. */
function mapPreamble(
  ctx: IommufdCtx,
  cmd: { flags: number; ioas_id: number; length: bigint; iova: bigint },
): Ioas | number {
  const rc = checkMap(cmd.flags, cmd.iova, cmd.length);
  if (rc < 0) return rc;
  const ioas = getIoas(ctx, cmd.ioas_id);
  if (ioas === undefined) return -E.ENOENT;
  return ctx.mapsRefused || ioas;
}

export function iommuProt(flags: number): number {
  return U.IOMMU_CACHE | (flags & U.IOMMU_IOAS_MAP_READABLE ? U.IOMMU_READ : 0) |
    (flags & U.IOMMU_IOAS_MAP_WRITEABLE ? U.IOMMU_WRITE : 0);
}

/** Who maps, and through which file. */
type Caller = Pick<Ucmd, "task" | "ctx">;

/** Steps 5 to 10: the mapping itself. `source` is released again when it fails. */
function mapSource(
  { task, ctx }: Caller,
  ioas: Ioas,
  source: PageSource,
  cmd: { flags: number; length: bigint; iova: bigint },
  start: bigint,
): number {
  const writable = (cmd.flags & U.IOMMU_IOAS_MAP_WRITEABLE) !== 0;
  const npages = Number((start % PAGE + cmd.length + PAGE - 1n) / PAGE);
  const account = source.accounted ? Account.of(task, ctx.chargesProcess) : undefined;
  const { costs } = ctx.kernel;
  const pages = new IoptPages(source, start - start % PAGE, npages, writable, account, costs).get();
  const fixed = (cmd.flags & U.IOMMU_IOAS_MAP_FIXED_IOVA) !== 0;
  const piece = { pages, startByte: Number(start % PAGE), length: cmd.length };
  const iova = ioas.iopt.map([piece], cmd.iova, iommuProt(cmd.flags), fixed);
  // From here on the area, if there is one, holds the pages.
  pages.put("failed");
  if (typeof iova === "number") return iova;
  cmd.iova = iova;
  return 0;
}

/**
 * Maps memory of the caller by address, steps 5 to 10; `cmd.iova` is where it went. Before them
 * stands what a persistent context may not map, EFAULT, if it is `checked`.
 */
export function mapUser(
  caller: Caller,
  ioas: Ioas,
  cmd: { flags: number; user_va: bigint; length: bigint; iova: bigint },
  checked = caller.ctx.persistentId !== 0,
): number {
  const { task, ctx } = caller;
  // An address means nothing to the next kernel: what is to persist comes by its file.
  if (ctx.persistentId !== 0 && ctx.kernel.design.mapsFiles) return -E.EINVAL;
  const source = checked
    ? persistentSource(caller, ioas, cmd.user_va, cmd.length)
    : new UserSource(task.mm, Number(cmd.user_va - cmd.user_va % PAGE), pinsOf(ctx, ioas));
  return typeof source === "number" ? source : mapSource(caller, ioas, source, cmd, cmd.user_va);
}

/** IOMMU_IOAS_MAP: memory of the caller by address. */
export function ioasMap(ucmd: Ucmd): number {
  const cmd = U.iommu_ioas_map.decode(ucmd.payload);
  if (cmd.rsvd !== 0) return -E.EOPNOTSUPP;
  const ioas = mapPreamble(ucmd.ctx, cmd);
  if (typeof ioas === "number") return ioas;
  const rc = mapUser(ucmd, ioas, cmd);
  if (rc === 0) U.iommu_ioas_map.update(ucmd.payload, cmd);
  return rc;
}

/**
 * Persistent DMA may only reach memory that outlives the kernel (seed line 1795): the whole range
 * must show one guestmemfs file. It is then mapped by file and offset, which is what can be handed
 * over. EFAULT otherwise (seed line 1853).
 */
function persistentSource(
  { task, ctx: { kernel } }: Caller,
  ioas: Ioas,
  va: bigint,
  length: bigint,
): PageSource | number {
  const address = Number(va);
  const vma = persistentVma(kernel, task, va, length);
  const file = vma?.backing.file;
  if (vma === undefined || !(file instanceof GuestmemfsFile)) return -E.EFAULT;
  const { fs, inode: { ino } } = file;
  const page = vma.pgoff * PAGE_SIZE + (address - vma.start);
  const start = page - page % PAGE_SIZE;
  const pin = FilePin.take(fs, ino, ioas);
  if (!kernel.has("D72") && !kernel.has("D74") && !kernel.has("D77")) {
    return new GuestmemfsSource(fs, ino, start, pin, vma.writable);
  }
  // As posted nothing but the look was under mmap_lock: whoever shares the memory may run now.
  if (kernel.has("D74")) kernel.scheduler.preempt();
  const from = address - address % PAGE_SIZE;
  // The range may begin before the mapping that was looked at.
  const seen = { handle: ino, offset: Math.max(0, start) };
  return new CheckedUserSource(task.mm, from, kernel.userPages, seen, pin, !kernel.has("D77"));
}

/** The mapping that shows the whole range; as posted, the first one that shows a part of it. */
function persistentVma(kernel: Kernel, task: Task, va: bigint, length: bigint): Vma | undefined {
  const end = kernel.has("D73") ? BigInt.asUintN(64, va + length) : va + length;
  if (kernel.has("D72") && end > va) return task.mm.firstIn(Number(va), Number(end));
  const vma = task.mm.find(Number(va));
  return vma !== undefined && end <= BigInt(vma.end) ? vma : undefined;
}

/** IOMMU_IOAS_MAP_FILE: memory of a file by offset; the file is held, not the process. */
export function ioasMapFile(ucmd: Ucmd): number {
  const { task, ctx, payload } = ucmd;
  const cmd = U.iommu_ioas_map_file.decode(payload);
  const ioas = mapPreamble(ctx, cmd);
  if (typeof ioas === "number") return ioas;
  const file = task.file(cmd.fd);
  if (file === undefined) return -E.EBADF;
  const checked = ctx.persistentId !== 0 && !ctx.kernel.has("D75");
  const lost = checked ? cannotOutlive(ctx, ioas, file) : 0;
  if (lost < 0) return lost;
  const start = Number(cmd.start - cmd.start % PAGE);
  const source = fileSource(file, start, ioas, pinsOf(ctx, ioas));
  const rc = mapSource(ucmd, ioas, source, cmd, cmd.start);
  if (rc === 0) U.iommu_ioas_map_file.update(payload, cmd);
  return rc;
}

/**
 * Persistent DMA may reach a file of guestmemfs, and memfds whose pinned pages are handed over with the
 * context: for devices that no IOMMU covers, or sealed, where the design has it (FACTS 7.6). 0; EINVAL
 * for a memfd that could still change its size; EFAULT for whatever does not outlive the kernel.
 */
function cannotOutlive({ kernel }: IommufdCtx, ioas: Ioas, file: OpenFile): number {
  if (file instanceof GuestmemfsFile) return 0;
  if (!(file instanceof MemfdFile)) return -E.EFAULT;
  const { keepsMemfds, keepsUncovered } = kernel.design;
  if (isNoiommu(ioas) && keepsUncovered) return 0;
  if (!keepsMemfds) return -E.EFAULT;
  return file.sealed ? 0 : -E.EINVAL;
}

/** Devices that no IOMMU covers use it. */
function isNoiommu({ hwpts }: Ioas): boolean {
  return hwpts.some(({ domain }) => domain instanceof NoiommuDomain);
}

/** What keeps the pages of a mapping in place. */
function pinsOf({ kernel }: IommufdCtx, ioas: Ioas): Pins {
  return kernel.has("K05") && isNoiommu(ioas) ? NO_PINS : kernel.userPages;
}

/** Bytes unmapped. EINVAL for an empty range, EOVERFLOW beyond the last IOVA; then what unmap answers. */
export function unmapRange(iopt: IoPageTable, iova: bigint, length: bigint): bigint | number {
  if (length === 0n) return -E.EINVAL;
  if (iova + length - 1n > U.U64_MAX) return -E.EOVERFLOW;
  return iopt.unmap(iova, iova + length - 1n);
}

/** IOMMU_IOAS_UNMAP: iova 0 with length U64_MAX is everything (FACTS 1.3). */
export function ioasUnmap({ ctx, payload }: Ucmd): number {
  const cmd = U.iommu_ioas_unmap.decode(payload);
  const ioas = getIoas(ctx, cmd.ioas_id);
  if (ioas === undefined) return -E.ENOENT;
  if (ctx.mapsRefused !== 0) return ctx.mapsRefused;
  const all = cmd.iova === 0n && cmd.length === U.U64_MAX;
  if (!all && (cmd.iova === U.U64_MAX || cmd.length === U.U64_MAX)) return -E.EOVERFLOW;
  const bytes = all ? ioas.iopt.unmapAll() : unmapRange(ioas.iopt, cmd.iova, cmd.length);
  if (typeof bytes === "number") return bytes;
  if (!all) unpinRange(ctx.kernel, ioas);
  cmd.length = bytes;
  U.iommu_ioas_unmap.update(payload, cmd);
  return 0;
}
