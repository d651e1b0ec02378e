import { PAGE_SIZE } from "../../base/units.ts";
import type { Fdt } from "../../fdt/mod.ts";
import { EINVAL, ENODEV, ENOMEM } from "../../uapi/errno.ts";
import { IOMMU_WRITE } from "../../uapi/iommufd.ts";
import { fails } from "../fault_points.ts";
import type { Kernel } from "../kernel.ts";
import type { Task } from "../process/task.ts";
import type { Guestmemfs } from "../fs/guestmemfs/guestmemfs.ts";
import { readBigInt, readNumber } from "../kho/abi.ts";
import { nullDereference } from "../oops.ts";
import type { IommuDomain } from "../iommu/domain.ts";
import { Account } from "./accounting.ts";
import { CarriedMemory } from "./carried.ts";
import { IommufdCtx } from "./ctx.ts";
import { HwptPaging } from "./hwpt.ts";
import { Ioas } from "./ioas.ts";
import { Area } from "./area.ts";
import { FilePin } from "./file_pin.ts";
import { NoiommuDomain } from "./noiommu.ts";
import { IoptPages } from "./pages.ts";
import { GuestmemfsSource, MemfdSource } from "./sources.ts";
import { IOMMUFD_COMPATIBLE } from "./serialise.ts";

/** Of what a context's tables are compared with, in struct iommu_domain. */
const PGSIZE_BITMAP = 0x20;
/** Of the objects in struct iommufd_ctx. */
const OBJECTS_OFFSET = 8;

/** Persistent ids the previous kernel handed over, ascending; none of another version's. */
export function incomingIommufds(kernel: Kernel): number[] {
  const fdt = kernel.kho.incoming;
  const node = fdt?.path("/iommufd") ?? -1;
  if (fdt === undefined || node < 0) return [];
  const compatible = new TextDecoder().decode(fdt.getprop(node, "compatible")).replace(/\0$/, "");
  if (!kernel.design.reads.includes(compatible) && !kernel.has("D38c")) {
    kernel.dmesg.err(`iommufd: handed-over data is not ${IOMMUFD_COMPATIBLE}, ignored`);
    return [];
  }
  const all = fdt.subnode(node, "iommufds");
  if (all < 0) return [];
  return nodes(fdt, all).map((n) => Number(fdt.name(n))).sort((a, b) => a - b);
}

/** Numbers of the memfds that came over with a context. */
export function incomingMemfds({ kho }: Kernel, id: number): number[] {
  const fdt = kho.incoming as Fdt;
  return nodes(fdt, fdt.path(`/iommufd/iommufds/${id}/memory`)).map((n) => Number(fdt.name(n)));
}

/** Source ids of the devices that were bound to it. */
export function incomingDevices({ kho }: Kernel, id: number): number[] {
  const fdt = kho.incoming as Fdt;
  return nodes(fdt, fdt.path(`/iommufd/iommufds/${id}/devices`)).map((node) => sidOf(fdt, node));
}

/** Source id of a device that a node says is at a bus and a devfn. */
export function sidOf(fdt: Fdt, node: number): number {
  return (readNumber(fdt, node, "bus") ?? 0) << 8 | (readNumber(fdt, node, "devfn") ?? 0);
}

function nodes(fdt: Fdt, parent: number): number[] {
  return parent < 0 ? [] : [...fdt.subnodes(parent)];
}

/**
 * Builds the context anew from what was handed over: same object ids, areas backed by the same
 * files, HWPTs on the domains hardware still walks; those that no hardware walks are filled again.
 * The pins are in the inodes already and are adopted, not taken again; memory that came over counts
 * against `task`. An errno leaves nothing behind: EINVAL for data that makes no sense, ENODEV when a
 * domain, the file system or memory did not come over, ENOMEM. `again`: somebody has picked it up
 * before, which the posted kernel does not mind.
 */
export function rehydrate(
  kernel: Kernel,
  id: number,
  task: Task,
  again: boolean,
): IommufdCtx | number {
  const fdt = kernel.kho.incoming as Fdt;
  const root = fdt.path(`/iommufd/iommufds/${kernel.has("D39") ? 1 : id}`);
  if (fails(kernel.chooser, "kmalloc", "iommufd_ctx")) {
    return kernel.has("D42") ? nullDereference("iommufd_ioas_alloc", OBJECTS_OFFSET) : -ENOMEM;
  }
  const ctx = new IommufdCtx(kernel);
  if (!kernel.has("D43")) ctx.persistentId = id;
  // As posted: what is not there is passed over, and the iommufd is empty.
  if (root < 0) return ctx;
  const memory = kernel.iommufd.carried(id, () => CarriedMemory.claim(kernel, fdt, root));
  if (typeof memory === "number") return memory;
  const rc = restoreObjects(ctx, fdt, root, { task, memory, again });
  if (rc < 0) {
    dropRestored(ctx);
    return rc;
  }
  kernel.dmesg.info(`iommufd: persistent iommufd ${id} picked up`);
  return ctx;
}

/** Where the memory behind areas comes from. */
interface Sources {
  readonly task: Task;
  readonly memory: CarriedMemory;
  /** Somebody has them already. */
  readonly again: boolean;
}

function restoreObjects(ctx: IommufdCtx, fdt: Fdt, root: number, sources: Sources): number {
  const { kernel } = ctx;
  for (const node of nodes(fdt, fdt.subnode(root, "ioases"))) {
    const ioas = new Ioas(kernel);
    if (kernel.has("D45")) ctx.objects.add(ioas);
    else ctx.objects.addAt(Number(fdt.name(node)), ioas);
    const last = number(kernel, fdt, node, "pinned-file-handle");
    if (kernel.has("D85")) ioas.pinnedFile = last ?? 0;
    for (const area of nodes(fdt, node)) {
      const rc = restoreArea(ctx, fdt, area, ioas, sources);
      if (rc < 0) return rc;
    }
  }
  if (kernel.has("D48")) return 0;
  for (const node of nodes(fdt, fdt.subnode(root, "hwpts"))) {
    const rc = restoreHwpt(ctx, fdt, node, sources.again);
    if (rc < 0) return rc;
  }
  for (const node of sources.again ? [] : nodes(fdt, fdt.subnode(root, "devices"))) {
    const value = (name: string) => readNumber(fdt, node, name);
    const sid = sidOf(fdt, node);
    if (!isWhereItWas(kernel, ctx, fdt, node, sid)) return -EINVAL;
    const id = Number(fdt.name(node)), access = value("access-id"), hwpt = value("hwpt-id") ?? 0;
    const reserved = access === undefined ? { id } : { id, access, hwpt };
    kernel.iommufd.reserveDevice(ctx, sid, reserved);
    // A device that waits is a user of the HWPT it runs on, until its heir takes the place.
    const waits = kernel.pci.at(sid)?.incoming === true;
    const object = ctx.objects.get(hwpt);
    if (waits && object instanceof HwptPaging) object.users++;
  }
  return 0;
}

function restoreHwpt(ctx: IommufdCtx, fdt: Fdt, node: number, again: boolean): number {
  const { kernel } = ctx;
  const value = (name: string) => readNumber(fdt, node, name) ?? 0;
  const ioas = ctx.objects.get(value("ioas-id"));
  if (!(ioas instanceof Ioas)) return -EINVAL;
  const noiommu = fdt.getprop(node, "noiommu") !== undefined;
  const id = value("domain");
  const domain = noiommu ? NoiommuDomain.make(kernel) : kernel.iommu.restoredDomain(id);
  if (domain === undefined) {
    // Posted, the answer is NULL, which is no ERR_PTR: nobody looks.
    if (kernel.has("D71")) nullDereference("iopt_table_add_domain", PGSIZE_BITMAP);
    return -ENODEV;
  }
  if (typeof domain === "number") return domain;
  // What hardware walks belongs to one address space: whoever came first has it.
  if (
    !kernel.has("D70") &&
    kernel.iommufd.contexts.some((other) => other.hwptOf(domain) !== undefined)
  ) {
    return again ? 0 : -ENODEV;
  }
  const options = { auto: value("auto") === 1, flags: value("flags") };
  const hwpt = ctx.objects.addAt(Number(fdt.name(node)), new HwptPaging(ioas, domain, options));
  if (noiommu) return ioas.iopt.addDomain(domain);
  const held = kernel.iommu.groups.flatMap((group) => group.heldDomains);
  hwpt.users += held.filter((d) => d === domain).length;
  return ioas.iopt.adoptDomain(domain);
}

/**
 * The context goes without having taken its devices: what this kernel made of it goes too, and
 * what was handed over stays as it is, for the next one.
 */
export function dropRestored(ctx: IommufdCtx): void {
  for (const object of ctx.objects.all) {
    if (object instanceof HwptPaging && object.domain instanceof NoiommuDomain) {
      object.ioas.iopt.removeDomain(object.domain);
      object.domain.free();
    }
  }
  for (const object of ctx.objects.all) {
    for (const { pages } of object instanceof Ioas ? object.iopt.areas.items : []) {
      if (pages?.source instanceof MemfdSource) pages.put("all");
    }
  }
}

/**
 * What a waiting device's requests go by is what was written down of it, each PASID's as well. (A
 * device that waits no more has been taken and let go by an earlier heir.)
 */
function isWhereItWas(
  kernel: Kernel,
  ctx: IommufdCtx,
  fdt: Fdt,
  node: number,
  sid: number,
): boolean {
  const group = kernel.pci.at(sid)?.group;
  if (group === undefined || !group.held) return true;
  const idOf = (domain: IommuDomain) => ctx.hwptOf(domain)?.id ?? 0;
  const pasids = nodes(fdt, fdt.subnode(node, "pasids"));
  return idOf(group.domain) === (readNumber(fdt, node, "hwpt-id") ?? 0) &&
    pasids.length === group.pasids.size &&
    pasids.every((n) => {
      const domain = group.pasids.get(Number(fdt.name(n)));
      return domain !== undefined && idOf(domain) === readNumber(fdt, n, "hwpt-id");
    });
}

/** 0; EINVAL; ENODEV without the file system. */
function restoreArea(
  ctx: IommufdCtx,
  fdt: Fdt,
  node: number,
  ioas: Ioas,
  { task, memory, again }: Sources,
): number {
  const { kernel } = ctx;
  const [from, bytes, prot] = ["iova-start", "iova-len", "iommu-prot"].map((name) =>
    number(kernel, fdt, node, name)
  );
  if (from === undefined || !bytes || prot === undefined) return -EINVAL;
  const start = readBigInt(fdt, node, "iova-start") as bigint;
  const length = readBigInt(fdt, node, "iova-len") as bigint;
  if (kernel.has("D44")) {
    // As posted: into the tree, past every check, and with nothing behind it.
    ioas.iopt.areas.insert(new Area(start, start + length - 1n, prot, null, 0));
    return 0;
  }
  const value = (name: string) => readNumber(fdt, node, name);
  const offset = value("file-offset"), pageOffset = value("page-offset") ?? 0;
  if (offset === undefined) return -EINVAL;
  const file = memory.files.get(value("memory") ?? 0), handle = value("file-handle");
  const fs = kernel.guestmemfs;
  if (file === undefined && fs === undefined) return -ENODEV;
  if (file === undefined && !handle) return -EINVAL;
  const source = file !== undefined
    ? new MemfdSource(file, offset)
    : restoredFile(fs as Guestmemfs, handle as number, offset, ioas, again);
  const account = source.accounted ? Account.of(task, ctx.chargesProcess) : undefined;
  const npages = Math.ceil((bytes + pageOffset) / PAGE_SIZE);
  const writable = (prot & IOMMU_WRITE) !== 0;
  const pages = new IoptPages(source, BigInt(offset), npages, writable, account);
  const area = new Area(start, start + length - 1n, prot, pages, pageOffset);
  return ioas.iopt.restore(area) ? 0 : -EINVAL;
}

/** A file, with the pin that came over for the mapping; a second heir has to take one of its own. */
function restoredFile(
  fs: Guestmemfs,
  handle: number,
  offset: number,
  ioas: Ioas,
  again: boolean,
): GuestmemfsSource {
  const { kernel } = fs;
  if (kernel.has("D85")) return new GuestmemfsSource(fs, handle, offset, undefined);
  const take = again && !kernel.has("D86") ? FilePin.take : FilePin.adopt;
  return new GuestmemfsSource(fs, handle, offset, take(fs, handle, ioas));
}

/** A number that must be there; as posted nobody looks whether it is (seed lines 1126-1133). */
function number(kernel: Kernel, fdt: Fdt, node: number, name: string): number | undefined {
  const value = readNumber(fdt, node, name);
  if (value === undefined && kernel.has("D46")) nullDereference("rehydrate_iommufd");
  return value;
}

/**
 * Puts the files' pins right after a kexec: an area that was handed over is a pin, and nothing else
 * is. Whoever else had pinned a file died with its kernel and never let go. `ids`: the contexts
 * that were handed over.
 */
export function recountPins(fdt: Fdt, fs: Guestmemfs, ids: readonly number[]): void {
  const files = new Map(fs.allInodes().map((inode) => [inode.ino, inode]));
  for (const inode of files.values()) inode.pins = 0;
  for (const id of ids) {
    for (const ioas of nodes(fdt, fdt.path(`/iommufd/iommufds/${id}/ioases`))) {
      for (const area of nodes(fdt, ioas)) {
        const inode = files.get(readNumber(fdt, area, "file-handle") ?? 0);
        if (inode !== undefined) fs.pin(inode);
      }
    }
  }
}
