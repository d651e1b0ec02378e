import { PAGE_SIZE } from "../../base/units.ts";
import type { Fdt, FdtWriter } from "../../fdt/mod.ts";
import type { Frames } from "../../machine/frame_runs.ts";
import { EINVAL, ENODEV, ENOMEM } from "../../uapi/errno.ts";
import { MemfdFile } from "../fs/memfd.ts";
import type { Kernel } from "../kernel.ts";
import { type KhoMem, memProperty, readMem, readNumber } from "../kho/abi.ts";
import { FrameUse } from "../mm/frames.ts";
import type { Area } from "./area.ts";
import type { IommufdCtx } from "./ctx.ts";
import { Ioas } from "./ioas.ts";
import { MemfdSource } from "./sources.ts";

/**
 * Ordinary memory that a persistent context carries across a kexec: the memfds behind its areas, each
 * as a whole, whether all of it is mapped or only what devices have asked for.
 */
export function carriedFiles(ctx: IommufdCtx): MemfdFile[] {
  const files = new Set<MemfdFile>();
  for (const { source } of areasOf(ctx).flatMap((area) => area.pages ?? [])) {
    if (source instanceof MemfdSource) files.add(source.file);
  }
  return [...files];
}

function areasOf(ctx: IommufdCtx): Area[] {
  return ctx.objects.all.flatMap((o) => o instanceof Ioas ? o.iopt.areas.items : []);
}

/**
 * Takes hold of every page of the context's memfds, whoever else has it pinned: it must not move
 * between the dump and the jump, nor come into being only then. The function lets go again; ENOMEM
 * where a page that was never touched cannot be had.
 */
export function holdCarried(ctx: IommufdCtx): (() => void) | number {
  const { userPages } = ctx.kernel, held: Frames[] = [];
  const letGo = () => {
    for (const { pfn, count } of held.splice(0)) userPages.unpin(pfn, count);
  };
  for (const file of carriedFiles(ctx)) {
    const pages = Math.ceil(file.size() / PAGE_SIZE);
    for (let index = 0; index < pages;) {
      const run = file.runAt(index, pages - index);
      if (run.pfn < 0) {
        letGo();
        return -ENOMEM;
      }
      userPages.pin(run.pfn, run.count);
      held.push(run);
      index += run.count;
    }
  }
  return letGo;
}

/** A run of a file's pages that lie in one piece of physical memory. */
interface Extent {
  readonly index: number;
  readonly mem: KhoMem;
}

function extentsOf(file: MemfdFile): Extent[] {
  const { userPages } = file, extents: Extent[] = [];
  for (const { page, pfn, count } of file.runs()) {
    for (let i = 0, n = 0; i < count; i += n + 1, n = 0) {
      while (i + n < count && userPages.pinsOf(pfn + i + n) > 0) n++;
      const mem = { address: (pfn + i) * PAGE_SIZE, length: n * PAGE_SIZE };
      if (n > 0) extents.push({ index: page + i, mem });
    }
  }
  return extents;
}

/** `memory` of a context: a node for each file, numbered from 1 as its areas name it. */
export function serialiseCarried(
  fdt: FdtWriter,
  kernel: Kernel,
  files: readonly MemfdFile[],
): number {
  if (files.length === 0) return 0;
  let err = fdt.beginNode("memory");
  files.forEach((file, i) => {
    const extents = extentsOf(file);
    const indexes = new Uint8Array(extents.length * 8);
    const view = new DataView(indexes.buffer);
    extents.forEach(({ index }, at) => view.setUint32(at * 8, index, true));
    err |= fdt.beginNode(String(i + 1));
    err |= fdt.propString("name", file.name);
    err |= fdt.propU64("size", file.size());
    err |= fdt.propU32("seals", file.seals);
    err |= fdt.property("index", indexes);
    if (!kernel.has("K04")) err |= memProperty(fdt, extents.map((e) => e.mem));
    err |= fdt.endNode();
  });
  return err | fdt.endNode();
}

/** Memfds that came over with a context. They stay as long as it, or somebody's mapping, does. */
export class CarriedMemory {
  /** Number of the file in the tree, and the file. */
  readonly files = new Map<number, MemfdFile>();
  #pinned: Frames[] = [];

  private constructor(readonly kernel: Kernel) {}

  /**
   * Takes over what was handed over, every page pinned: a device is at work in it. ENODEV: the
   * memory was not preserved; EINVAL for data that makes no sense.
   */
  static claim(kernel: Kernel, fdt: Fdt, context: number): CarriedMemory | number {
    const memory = new CarriedMemory(kernel);
    const list = fdt.subnode(context, "memory");
    for (const node of list < 0 ? [] : fdt.subnodes(list)) {
      const rc = memory.#claimFile(fdt, node);
      // What was taken already stays taken: a device may be at work in it.
      if (rc < 0) return rc;
    }
    return memory;
  }

  #claimFile(fdt: Fdt, node: number): number {
    const { userPages, kho } = this.kernel;
    const size = readNumber(fdt, node, "size"), indexes = fdt.getprop(node, "index");
    const mem = readMem(fdt, node);
    if (size === undefined || indexes === undefined) return -EINVAL;
    // Nothing in "mem": whatever there was is not this context's any more.
    if (mem.length === 0 && indexes.length > 0) return -ENODEV;
    if (indexes.length !== mem.length * 8) return -EINVAL;
    if (!kho.claim(mem, FrameUse.user, "iommufd")) return -ENODEV;
    const name = new TextDecoder().decode(fdt.getprop(node, "name")).replace("\0", "");
    const file = new MemfdFile(name, userPages);
    file.truncate(size);
    file.addSeals(readNumber(fdt, node, "seals") ?? 0);
    const view = new DataView(indexes.buffer, indexes.byteOffset);
    mem.forEach(({ address, length }, i) => {
      const pfn = address / PAGE_SIZE, count = length / PAGE_SIZE;
      file.adopt(view.getUint32(i * 8, true), pfn, count);
      userPages.pin(pfn, count);
      this.#pinned.push({ pfn, count });
    });
    this.files.set(Number(fdt.name(node)), file);
    return 0;
  }

  /** The devices have their heir, which pins what it maps. */
  settle(): void {
    const { userPages } = this.kernel;
    for (const { pfn, count } of this.#pinned.splice(0)) userPages.unpin(pfn, count);
  }

  /** Nobody will ask for it any more. */
  release(): void {
    this.settle();
    for (const file of this.files.values()) file.put();
    this.files.clear();
  }
}
