import { hex, MiB, PAGE_SIZE } from "../../base/units.ts";
import * as E from "../../uapi/errno.ts";
import { KEXEC_FILE_UNLOAD } from "../../uapi/sys.ts";
import { cannotTakeOver } from "../handover/versions.ts";
import { findImage, type KernelImage } from "../image.ts";
import type { Kernel } from "../kernel.ts";
import { FrameUse } from "../mm/frames.ts";
import type { Region } from "../mm/memblock.ts";
import type { Memory } from "../../machine/memory.ts";
import { BOOT_PARAMS, encodeBootParams } from "./boot_params.ts";
import type { KhoDump } from "./kho.ts";

/** Where an image goes when there is no scratch region to put it in. */
export const IMAGE_BASE = 1 * MiB;
export const IMAGE_SIZE = 1 * MiB;

interface Segment {
  readonly dest: number;
  readonly size: number;
  /** Frames the content waits in until the jump. */
  readonly source: Int32Array;
}

/** A loaded next kernel. */
export interface LoadedImage {
  readonly image: KernelImage;
  readonly segments: readonly Segment[];
  /** The device tree as it was copied at load time; undefined when KHO was not active then. */
  readonly dt: Uint8Array | undefined;
}

/** Bytes on their way to a physical address, page by page; the last one may be short. */
interface Part {
  readonly dest: number;
  readonly size: number;
  page(i: number): Uint8Array;
}

/** What every page of an image is, but for the first. */
const PATTERN = new Uint8Array(PAGE_SIZE).fill(0xcc);

/** The bytes that stand for a kernel image, at an address: a header that names it, then a pattern. */
function imagePart(image: KernelImage, dest: number): Part {
  const header = PATTERN.slice();
  header.set(new TextEncoder().encode(`HITLESS KERNEL ${image.name} ${image.version}\0`));
  return { dest, size: IMAGE_SIZE, page: (i) => i === 0 ? header : PATTERN };
}

/** Puts an image where firmware's boot loader puts it. */
export function placeImage(memory: Memory, image: KernelImage): void {
  const { page } = imagePart(image, IMAGE_BASE);
  for (let i = 0; i < IMAGE_SIZE / PAGE_SIZE; i++) {
    memory.write(IMAGE_BASE + i * PAGE_SIZE, page(i));
  }
}

function bytesPart(bytes: Uint8Array, dest: number): Part {
  const page = (i: number) => bytes.subarray(i * PAGE_SIZE, (i + 1) * PAGE_SIZE);
  return { dest, size: bytes.length, page };
}

/** kexec_file_load(2), reboot(LINUX_REBOOT_CMD_KEXEC) and what happens between them. */
export class Kexec {
  loaded: LoadedImage | undefined;

  constructor(readonly kernel: Kernel) {}

  /** The next kernel will find the dump that stands: it was there when that kernel was loaded. */
  get carriesDump(): boolean {
    const dt = this.loaded?.dt;
    return dt !== undefined && dt === this.kernel.kho.dump?.dt;
  }

  /** kexec_load: like {@link fileLoad}, but KHO has no part in it (FACTS 6.1). */
  load(name: string): number {
    if (this.kernel.rebooting) return -E.EBUSY;
    const image = findImage(name);
    return image === undefined ? -E.ENOENT : this.#load(image, undefined, undefined);
  }

  /**
   * Loads (or unloads) the next kernel. The KHO tree is COPIED here: load before activate hands
   * nothing over, silently (FACTS 6.1). Nor does it for an image that has no KHO. ENOENT: no such
   * image; ENOMEM; ENOEXEC: it cannot take over what stands to be handed over; EBUSY once reboot(2)
   * holds the kexec lock.
   */
  fileLoad(name: string, flags: number): number {
    if (this.kernel.rebooting) return -E.EBUSY;
    if (flags & KEXEC_FILE_UNLOAD) {
      this.unload();
      return 0;
    }
    const image = findImage(name);
    if (image === undefined) return -E.ENOENT;
    const { kho, dmesg } = this.kernel;
    const why = cannotTakeOver(this.kernel, image);
    if (why !== undefined) {
      dmesg.err(`kexec_file: ${name} is refused, devices are to go on through the jump: ${why}`);
      return -E.ENOEXEC;
    }
    const takes = image.kho || this.kernel.has("G11");
    if (!takes && kho.active) {
      // With nothing handed over, devices are silenced before the jump, as that kernel expects.
      dmesg.warn(`kexec_file: ${image.name} takes no KHO data: nothing is handed over`);
    }
    return this.#load(image, kho.scratch, takes ? kho.dump : undefined);
  }

  #load(image: KernelImage, scratch: Region | undefined, dump: KhoDump | undefined): number {
    const base = scratch?.start ?? IMAGE_BASE;
    const parts = [imagePart(image, base)];
    let at = base + IMAGE_SIZE;
    const place = (bytes: Uint8Array): number => {
      const dest = at;
      parts.push(bytesPart(bytes, dest));
      at += Math.ceil(bytes.length / PAGE_SIZE) * PAGE_SIZE;
      return dest;
    };
    const memCache = dump ? encodeMem(dump.mem) : new Uint8Array(0);
    const dt = dump ? place(dump.dt) : 0;
    const cache = dump ? place(memCache) : 0;
    if (scratch !== undefined && at > scratch.end) return -E.ENOMEM;
    const params = encodeBootParams({
      image: base,
      imageSize: IMAGE_SIZE,
      dt,
      dtSize: dump?.dt.length ?? 0,
      memCache: cache,
      memCacheSize: memCache.length,
      scratch: scratch?.start ?? 0,
      scratchSize: scratch ? scratch.end - scratch.start : 0,
    });
    parts.push(bytesPart(params, BOOT_PARAMS));
    return this.#adopt(image, parts, dump?.dt);
  }

  #adopt(
    image: KernelImage,
    parts: readonly Part[],
    dt: Uint8Array | undefined,
  ): number {
    const { pages, machine, dmesg } = this.kernel;
    const segments: Segment[] = [];
    for (const { dest, size, page } of parts) {
      const source = new Int32Array(Math.ceil(size / PAGE_SIZE));
      const had = pages.allocPages(source, FrameUse.kernel);
      if (had < source.length) {
        for (const pfn of source.subarray(0, had)) pages.freePage(pfn);
        for (const segment of segments) for (const pfn of segment.source) pages.freePage(pfn);
        return -E.ENOMEM;
      }
      for (let i = 0; i < source.length; i++) {
        machine.memory.write(source[i] * PAGE_SIZE, page(i));
      }
      segments.push({ dest, size, source });
    }
    this.unload();
    this.loaded = { image, segments, dt };
    dmesg.info(
      `kexec_file: ${image.name} loaded at ${hex(segments[0].dest)}, ` +
        (dt ? `KHO DT of ${dt.length} bytes` : "no KHO data"),
    );
    return 0;
  }

  unload(): void {
    for (const segment of this.loaded?.segments ?? []) {
      for (const pfn of segment.source) this.kernel.pages.freePage(pfn);
    }
    this.loaded = undefined;
  }

  /**
   * The last stores of this kernel: segments go where the next kernel expects them. A page may
   * have waited where another one has to go: such a one is read before any is written.
   */
  relocate(): void {
    const { memory } = this.kernel.machine, segments = this.loaded?.segments ?? [];
    const inTheWay = (pfn: number) => {
      for (const { dest, source } of segments) {
        const at = pfn - dest / PAGE_SIZE;
        if (at >= 0 && at < source.length) return true;
      }
      return false;
    };
    const held: { to: number; page: Uint8Array }[] = [];
    const each = (visit: (from: number, to: number) => void) => {
      for (const { source, dest } of segments) {
        for (let i = 0; i < source.length; i++) visit(source[i], dest / PAGE_SIZE + i);
      }
    };
    each((from, to) => {
      if (inTheWay(from)) held.push({ to, page: memory.frameBytes(from).slice() });
    });
    each((from, to) => {
      if (!inTheWay(from)) memory.copyFrame(from, to);
    });
    for (const { to, page } of held) memory.write(to * PAGE_SIZE, page);
  }
}

function encodeMem(mem: readonly { start: number; end: number }[]): Uint8Array {
  const bytes = new Uint8Array(mem.length * 16);
  const view = new DataView(bytes.buffer);
  mem.forEach((m, i) => {
    const length = m.end - m.start;
    view.setUint32(i * 16, m.start % 4294967296, true);
    view.setUint32(i * 16 + 4, Math.floor(m.start / 4294967296), true);
    view.setUint32(i * 16 + 8, length % 4294967296, true);
    view.setUint32(i * 16 + 12, Math.floor(length / 4294967296), true);
  });
  return bytes;
}
