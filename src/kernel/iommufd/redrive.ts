import type { Fdt, FdtWriter } from "../../fdt/mod.ts";
import { IOMMUFD_KHO } from "../../uapi/kho_abi.ts";
import { readNumber } from "../kho/abi.ts";
import type { CallLog } from "./call_log.ts";
import type { IommufdCtx } from "./ctx.ts";
import { Ioas } from "./ioas.ts";

/**
 * Where userspace makes its objects again after a kexec, this is all that is said of an iommufd: that
 * there is one of this id, and which files its devices write to, so that nobody cuts or frees them
 * before they are mapped again. Devices are in the IOMMU driver's node.
 */
export const REDRIVE_COMPATIBLE = IOMMUFD_KHO.redriveCompatible;
/** The same with the calls that made it. */
export const CALLS_COMPATIBLE = IOMMUFD_KHO.callsCompatible;

/** Files that areas of the context show, each once. */
export function mappedFiles(ctx: IommufdCtx): number[] {
  const areas = ctx.objects.all.flatMap((o) => o instanceof Ioas ? o.iopt.areas.items : []);
  const handles = areas.flatMap((area) => area.pages?.source.persistent?.handle ?? []);
  return [...new Set(handles)].sort((a, b) => a - b);
}

/**
 * One iommufd. `files`: inode numbers. `calls`: where the next kernel is to make it again. `memory`
 * writes what there is of memory that comes along.
 */
export function serialiseFiles(
  fdt: FdtWriter,
  id: number,
  files: readonly number[],
  calls?: CallLog,
  memory: (fdt: FdtWriter) => number = () => 0,
): number {
  let err = fdt.beginNode(String(id));
  err |= fdt.beginNode("files");
  files.forEach((file, index) => {
    err |= fdt.beginNode(String(index));
    err |= fdt.propU64("file-handle", file);
    err |= fdt.endNode();
  });
  err |= fdt.endNode();
  err |= calls?.serialise(fdt) ?? 0;
  err |= memory(fdt);
  return err | fdt.endNode();
}

/**
 * Inodes that the devices of an iommufd may write to, as it was handed over: once for each mapping
 * where those were written down, else once for each file.
 */
export function handedOverFiles(fdt: Fdt, id: number): number[] {
  const root = `/iommufd/iommufds/${id}`;
  const areas = children(fdt, fdt.path(`${root}/ioases`)).flatMap((n) => children(fdt, n));
  const files = children(fdt, fdt.path(`${root}/files`));
  return [...areas, ...files].map((n) => readNumber(fdt, n, "file-handle") ?? 0);
}

function children(fdt: Fdt, node: number): number[] {
  return node < 0 ? [] : [...fdt.subnodes(node)];
}
