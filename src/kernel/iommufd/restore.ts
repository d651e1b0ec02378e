import { PAGE_SIZE } from "../../base/units.ts";
import type { Fdt } from "../../fdt/mod.ts";
import { EINVAL, ENODEV } from "../../uapi/errno.ts";
import { IOMMU_WRITE } from "../../uapi/iommufd.ts";
import type { Kernel } from "../kernel.ts";
import { readNumber } from "../kho/abi.ts";
import type { Task } from "../process/task.ts";
import { IommufdCtx } from "./ctx.ts";
import { HwptPaging } from "./hwpt.ts";
import { Ioas } from "./ioas.ts";
import { GuestmemfsSource, IoptPages } from "./pages.ts";
import { IOMMUFD_COMPATIBLE } from "./serialise.ts";

/** Persistent ids the previous kernel handed over, ascending; none of another version's. */
export function incomingIommufds(kernel: Kernel): number[] {
  const fdt = kernel.kho.incoming;
  const node = fdt?.path("/iommufd") ?? -1;
  if (fdt === undefined || node < 0) return [];
  const compatible = new TextDecoder().decode(fdt.getprop(node, "compatible"));
  if (compatible !== IOMMUFD_COMPATIBLE + "\0") {
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
export function rehydrate(kernel: Kernel, _task: Task, id: number): IommufdCtx | number {
  const fdt = kernel.kho.incoming as Fdt;
  const root = fdt.path(`/iommufd/iommufds/${id}`);
  const fs = kernel.guestmemfs;
  if (fs === undefined) return -ENODEV;
  const ctx = new IommufdCtx(kernel);
  ctx.persistentId = id;
  for (const node of nodes(fdt, fdt.subnode(root, "ioases"))) {
    const ioas = ctx.objects.addAt(Number(fdt.name(node)), new Ioas());
    for (const area of nodes(fdt, node)) {
      if (!restoreArea(fdt, area, ioas, fs)) return -EINVAL;
    }
  }
  for (const node of nodes(fdt, fdt.subnode(root, "hwpts"))) {
    const ioas = ctx.objects.get(readNumber(fdt, node, "ioas-id") ?? 0);
    const domain = kernel.intel?.restoredDomain(readNumber(fdt, node, "domain") ?? 0);
    if (!(ioas instanceof Ioas)) return -EINVAL;
    if (domain === undefined) return -ENODEV;
    const auto = readNumber(fdt, node, "auto") === 1;
    ctx.objects.addAt(Number(fdt.name(node)), new HwptPaging(ioas, domain, auto));
    const rc = ioas.iopt.adoptDomain(domain);
    if (rc < 0) return rc;
  }
  for (const node of nodes(fdt, fdt.subnode(root, "devices"))) {
    const sid = (readNumber(fdt, node, "bus") ?? 0) << 8 | (readNumber(fdt, node, "devfn") ?? 0);
    kernel.iommufd.reserveDeviceId(ctx, sid, Number(fdt.name(node)));
  }
  kernel.dmesg.info(`iommufd: persistent iommufd ${id} picked up`);
  return ctx;
}

function restoreArea(
  fdt: Fdt,
  node: number,
  ioas: Ioas,
  fs: NonNullable<Kernel["guestmemfs"]>,
): boolean {
  const value = (name: string) => readNumber(fdt, node, name);
  const start = value("iova-start"), length = value("iova-len"), prot = value("iommu-prot");
  const handle = value("file-handle"), offset = value("file-offset");
  const pageOffset = value("page-offset") ?? 0;
  if (start === undefined || !length || prot === undefined || !handle || offset === undefined) {
    return false;
  }
  const source = new GuestmemfsSource(fs, handle, offset, true);
  const npages = Math.ceil((length + pageOffset) / PAGE_SIZE);
  const pages = new IoptPages(source, npages, (prot & IOMMU_WRITE) !== 0);
  const last = BigInt(start) + BigInt(length) - 1n;
  return ioas.iopt.restore({
    start: BigInt(start),
    last,
    prot,
    pages,
    pageOffset,
    storage: undefined,
  });
}
