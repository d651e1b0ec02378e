import { PAGE_SIZE } from "../../base/units.ts";
import type { Fdt } from "../../fdt/mod.ts";
import { EINVAL, ENODEV } from "../../uapi/errno.ts";
import { IOMMU_WRITE } from "../../uapi/iommufd.ts";
import type { Kernel } from "../kernel.ts";
import type { Guestmemfs } from "../fs/guestmemfs/guestmemfs.ts";
import { readBigInt, readNumber } from "../kho/abi.ts";
import type { IommuDomain } from "../iommu/domain.ts";
import { IommufdCtx } from "./ctx.ts";
import { HwptPaging } from "./hwpt.ts";
import { Ioas } from "./ioas.ts";
import { Area } from "./area.ts";
import { IoptPages } from "./pages.ts";
import { GuestmemfsSource } from "./sources.ts";
import { readable } from "./redrive.ts";
import { IOMMUFD_COMPATIBLE } from "./serialise.ts";

/** Persistent ids the previous kernel handed over, ascending; none of another version's. */
export function incomingIommufds(kernel: Kernel): number[] {
  const fdt = kernel.kho.incoming;
  const node = fdt?.path("/iommufd") ?? -1;
  if (fdt === undefined || node < 0) return [];
  const compatible = new TextDecoder().decode(fdt.getprop(node, "compatible")).replace(/\0$/, "");
  if (!readable(compatible, kernel.design.inherits)) {
    kernel.dmesg.err(`iommufd: handed-over data is not ${IOMMUFD_COMPATIBLE}, ignored`);
    return [];
  }
  const all = fdt.subnode(node, "iommufds");
  if (all < 0) return [];
  return nodes(fdt, all).map((n) => Number(fdt.name(n))).sort((a, b) => a - b);
}

function nodes(fdt: Fdt, parent: number): number[] {
  return parent < 0 ? [] : [...fdt.subnodes(parent)];
}

/**
 * Builds the context anew from what was handed over: same object ids, areas backed by the same
 * files, HWPTs on the domains hardware still walks. The pins are in the inodes already and are
 * adopted, not taken again. An errno leaves nothing behind: EINVAL for data that makes no sense,
 * ENODEV when a domain or the file system did not come over.
 */
export function rehydrate(kernel: Kernel, id: number): IommufdCtx | number {
  const fdt = kernel.kho.incoming as Fdt;
  const root = fdt.path(`/iommufd/iommufds/${id}`);
  const fs = kernel.guestmemfs;
  if (fs === undefined) return -ENODEV;
  const ctx = new IommufdCtx(kernel);
  ctx.persistentId = id;
  for (const node of nodes(fdt, fdt.subnode(root, "ioases"))) {
    const ioas = ctx.objects.addAt(Number(fdt.name(node)), new Ioas(ctx.kernel.dmesg));
    for (const area of nodes(fdt, node)) {
      if (!restoreArea(fdt, area, ioas, fs)) return -EINVAL;
    }
  }
  for (const node of nodes(fdt, fdt.subnode(root, "hwpts"))) {
    const ioas = ctx.objects.get(readNumber(fdt, node, "ioas-id") ?? 0);
    const domain = kernel.iommu.restoredDomain(readNumber(fdt, node, "domain") ?? 0);
    if (!(ioas instanceof Ioas)) return -EINVAL;
    if (domain === undefined) return -ENODEV;
    const options = {
      auto: readNumber(fdt, node, "auto") === 1,
      flags: readNumber(fdt, node, "flags") ?? 0,
    };
    const hwpt = ctx.objects.addAt(Number(fdt.name(node)), new HwptPaging(ioas, domain, options));
    // A device that waits is a user of the HWPTs it runs on, until its heir takes the place.
    const held = kernel.iommu.groups.flatMap((group) => group.heldDomains);
    hwpt.users += held.filter((d) => d === domain).length;
    const rc = ioas.iopt.adoptDomain(domain);
    if (rc < 0) return rc;
  }
  for (const node of nodes(fdt, fdt.subnode(root, "devices"))) {
    const sid = (readNumber(fdt, node, "bus") ?? 0) << 8 | (readNumber(fdt, node, "devfn") ?? 0);
    if (!isWhereItWas(kernel, ctx, fdt, node, sid)) return -EINVAL;
    kernel.iommufd.reserveDeviceId(ctx, sid, Number(fdt.name(node)));
  }
  kernel.dmesg.info(`iommufd: persistent iommufd ${id} picked up`);
  return ctx;
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
  const group = kernel.iommu.groups.find((g) => g.dev.sid === sid);
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

function restoreArea(
  fdt: Fdt,
  node: number,
  ioas: Ioas,
  fs: Guestmemfs,
): boolean {
  const value = (name: string) => readNumber(fdt, node, name);
  const start = readBigInt(fdt, node, "iova-start"), length = readBigInt(fdt, node, "iova-len");
  const prot = value("iommu-prot");
  const handle = value("file-handle"), offset = value("file-offset");
  const pageOffset = value("page-offset") ?? 0;
  if (start === undefined || !length || prot === undefined || !handle || offset === undefined) {
    return false;
  }
  const source = new GuestmemfsSource(fs, handle, offset, true);
  const npages = Math.ceil((Number(length) + pageOffset) / PAGE_SIZE);
  const pages = new IoptPages(
    source,
    BigInt(offset),
    npages,
    (prot & IOMMU_WRITE) !== 0,
    undefined,
  );
  return ioas.iopt.restore(new Area(start, start + length - 1n, prot, pages, pageOffset));
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
