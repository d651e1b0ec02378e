import { PAGE_SIZE } from "../../base/units.ts";
import type { Fdt, FdtWriter } from "../../fdt/mod.ts";
import { KEXEC_KHO_DUMP, type KhoCommand, NOTIFY_BAD, NOTIFY_DONE } from "../kho/abi.ts";
import type { MemfdFile } from "../fs/memfd.ts";
import { carriedFiles, holdCarried, serialiseCarried } from "./carried.ts";
import type { IommufdCtx } from "./ctx.ts";
import { IommufdDevice } from "./device.ts";
import { HwptPaging } from "./hwpt.ts";
import { Ioas } from "./ioas.ts";
import type { IommufdModule } from "./module.ts";
import { NoiommuDomain } from "./noiommu.ts";
import { MemfdSource } from "./sources.ts";
import { CALLS_COMPATIBLE, mappedFiles, REDRIVE_COMPATIBLE, serialiseFiles } from "./redrive.ts";

/** Version of what this kernel writes under /iommufd. */
export const IOMMUFD_COMPATIBLE = "iommufd-v0";

/** Of persistent_id in struct iommufd_ctx: its last member. */
const PERSISTENT_ID_OFFSET = 256;

/**
 * The iommufd subscriber of the KHO chain (seed lines 858-893). A dump freezes what it wrote down
 * and keeps contexts and devices open, so that a program's death cannot undo them; ABORT lets go.
 * What the previous kernel handed over and nobody has picked up is handed on as it came.
 */
export function iommufdNotify(
  module: IommufdModule,
  command: KhoCommand,
  fdt: FdtWriter,
): number {
  const { kernel } = module;
  const all = [...module.persistent].sort(([a], [b]) => a - b).map(([, ctx]) => ctx);
  if (command !== KEXEC_KHO_DUMP) {
    if (kernel.has("D15")) return NOTIFY_DONE;
    for (const ctx of all.filter((c) => c.frozen)) {
      ctx.frozen = false;
      ctx.letGo();
      for (const file of ctx.keptOpen.splice(0)) file.put();
    }
    return NOTIFY_DONE;
  }
  const { iommufd } = kernel.design, objects = iommufd === "objects";
  let err = 0;
  err |= fdt.beginNode("iommufd");
  err |= fdt.propString("compatible", COMPATIBLES[iommufd]);
  err |= fdt.beginNode("iommufds");
  for (const ctx of all) {
    // As posted no reference is taken: it may be closed now.
    if (kernel.has("D06")) kernel.scheduler.preempt();
    kernel.kasan.check(ctx.heap, PERSISTENT_ID_OFFSET, 8, "Read", "serialise_iommufd");
    const letGo = kernel.has("D36") ? 0 : holdCarried(ctx);
    if (typeof letGo === "number") err |= letGo;
    else ctx.letGo = letGo;
    const memory = (to: FdtWriter) => serialiseCarried(to, kernel, memfdsOf(ctx));
    const failed = objects
      ? serialiseIommufd(fdt, ctx)
      : serialiseFiles(fdt, ctx.persistentId, filesOf(ctx), ctx.calls, memory);
    if (!kernel.has("D35")) err |= failed;
    if (kernel.has("D36")) continue;
    const devices = ctx.objects.all.filter((o) => o instanceof IommufdDevice);
    ctx.keptOpen = [...devices.map((idev) => idev.file.get()), ctx.get()];
    ctx.frozen = true;
  }
  const incoming = kernel.kho.incoming;
  // As posted what nobody has picked up ends here.
  const handedOn = incoming === undefined || kernel.has("G6") ? [] : module.pending;
  for (const id of handedOn) {
    const from = incoming as Fdt, root = `/iommufd/iommufds/${id}`;
    const copy = (node: number) => (to: FdtWriter) => node < 0 ? 0 : copyNode(to, from, node);
    if (iommufd === "devices") {
      const files = [...new Set(module.heirs.filesOf(id))];
      err |= serialiseFiles(fdt, id, files, undefined, copy(from.path(`${root}/memory`)));
    } else err |= copy(from.path(root))(fdt);
  }
  err |= fdt.endNode();
  err |= fdt.endNode();
  return err !== 0 ? NOTIFY_BAD : NOTIFY_DONE;
}

/** What is written, by how a design tells of an iommufd. */
const COMPATIBLES = {
  nothing: "",
  objects: IOMMUFD_COMPATIBLE,
  calls: CALLS_COMPATIBLE,
  devices: REDRIVE_COMPATIBLE,
} as const;

/** Files of a context's areas, and those its devices that still wait write to. */
function filesOf(ctx: IommufdCtx): number[] {
  const waits = ctx.kernel.iommufd.heirs.filesOf(ctx.persistentId);
  return [...new Set([...mappedFiles(ctx), ...waits])].sort((a, b) => a - b);
}

/** Memfds its devices that still wait write to, under the numbers they have, then those it maps. */
function memfdsOf(ctx: IommufdCtx): MemfdFile[] {
  const waits = ctx.kernel.iommufd.carriedFiles(ctx.persistentId);
  return [...new Set([...waits, ...carriedFiles(ctx)])];
}

/** A node of another tree, with everything under it. */
function copyNode(fdt: FdtWriter, from: Fdt, node: number): number {
  let err = fdt.beginNode(from.name(node));
  for (const { name, value } of from.props(node)) err |= fdt.property(name, value);
  for (const child of from.subnodes(node)) err |= copyNode(fdt, from, child);
  return err | fdt.endNode();
}

/**
 * One context. `ioases` is as the seed has it (lines 786-850, 1997); what the seed leaves out
 * stands beside it, where its reader does not look: HWPTs, devices, and files of areas.
 */
function serialiseIommufd(fdt: FdtWriter, ctx: IommufdCtx): number {
  const files = carriedFiles(ctx);
  let err = fdt.beginNode(String(ctx.persistentId));
  err |= fdt.beginNode("ioases");
  for (const ioas of ctx.objects.all) {
    if (ioas instanceof Ioas) err |= serialiseIoas(fdt, ioas, files);
  }
  err |= fdt.endNode();
  if (ctx.kernel.has("D38")) return err | fdt.endNode();
  err |= fdt.beginNode("hwpts");
  for (const hwpt of ctx.objects.all) {
    if (!(hwpt instanceof HwptPaging)) continue;
    // What the plain way of making a domain gives has no id, and is persistent for nobody.
    if (hwpt.domain.persistentId === 0 && ctx.kernel.has("D31")) continue;
    err |= fdt.beginNode(String(hwpt.id));
    err |= fdt.propU32("ioas-id", hwpt.ioas.id);
    err |= fdt.propU64("domain", hwpt.domain.persistentId);
    err |= fdt.propU32("auto", hwpt.auto ? 1 : 0);
    err |= fdt.propU32("flags", hwpt.flags);
    if (hwpt.domain instanceof NoiommuDomain) err |= fdt.propFlag("noiommu");
    err |= fdt.endNode();
  }
  err |= fdt.endNode();
  err |= fdt.beginNode("devices");
  for (const idev of ctx.objects.all) {
    if (!(idev instanceof IommufdDevice)) continue;
    err |= fdt.beginNode(String(idev.id));
    err |= fdt.propU16("segment", idev.dev.segment);
    err |= fdt.propU8("bus", idev.dev.bus);
    err |= fdt.propU8("devfn", idev.dev.devfn);
    err |= fdt.propU32("hwpt-id", idev.hwpt?.id ?? 0);
    if (idev.noiommu !== undefined) {
      err |= fdt.propU32("access-id", idev.noiommu.access.id);
    }
    err |= fdt.beginNode("pasids");
    for (const [pasid, hwpt] of idev.pasids) {
      err |= fdt.beginNode(String(pasid));
      err |= fdt.propU32("hwpt-id", hwpt.id);
      err |= fdt.endNode();
    }
    err |= fdt.endNode();
    err |= fdt.endNode();
  }
  err |= fdt.endNode();
  err |= serialiseCarried(fdt, ctx.kernel, files);
  return err | fdt.endNode();
}

function serialiseIoas(fdt: FdtWriter, ioas: Ioas, files: readonly MemfdFile[]): number {
  const areas = ioas.iopt.areas.items;
  const handle = areas.find((a) => a.pages?.source.persistent)?.pages?.source.persistent?.handle;
  const { kernel } = ioas;
  let err = fdt.beginNode(String(ioas.id));
  err |= fdt.propU64("pinned-file-handle", kernel.has("D79") ? ioas.pinnedFile : handle ?? 0);
  areas.forEach((area, index) => {
    err |= fdt.beginNode(String(index));
    err |= fdt.propU64("iova-start", area.start);
    err |= fdt.propU64("iova-len", area.last - area.start + 1n);
    err |= fdt.propU32("iommu-prot", area.prot);
    if (kernel.has("D38")) {
      err |= fdt.endNode();
      return;
    }
    const source = area.pages?.source;
    const start = source instanceof MemfdSource ? source.start : source?.persistent?.offset ?? 0;
    err |= fdt.propU64("file-handle", source?.persistent?.handle ?? 0);
    err |= fdt.propU64("file-offset", BigInt(start + area.first * PAGE_SIZE));
    if (source instanceof MemfdSource) err |= fdt.propU32("memory", files.indexOf(source.file) + 1);
    err |= fdt.propU32("page-offset", area.pageOffset);
    err |= fdt.endNode();
  });
  return err | fdt.endNode();
}
