import { PAGE_SIZE } from "../../base/units.ts";
import type { Frames } from "../../machine/frame_runs.ts";
import { EFAULT, EINVAL, ENOMEM } from "../../uapi/errno.ts";
import { GuestmemfsFile } from "../fs/guestmemfs/file.ts";
import type { Guestmemfs } from "../fs/guestmemfs/guestmemfs.ts";
import { BLOCK_FRAMES } from "../fs/guestmemfs/layout.ts";
import { MemfdFile } from "../fs/memfd.ts";
import type { OpenFile } from "../fs/vfs.ts";
import type { UserPages } from "../mm/user_pages.ts";
import type { AddressSpace } from "../process/address_space.ts";
import { FilePin, type Parting, type PinnedFile } from "./file_pin.ts";

/** What KHO has to say about memory: the file and the byte in it. */
export interface Persistent {
  readonly handle: number;
  readonly offset: number;
}

/** Where the pages of an area come from. */
export interface PageSource {
  /** `file`: needs no process to be pinned again. */
  readonly kind: "user" | "file";
  /** False for memory that is no part of the system's: no limit counts it. */
  readonly accounted: boolean;
  /** Undefined where it cannot outlive a kernel. */
  readonly persistent?: Persistent;
  /** Frame of page `index`, pinned, or a negative errno. */
  pin(index: number, write: boolean): number;
  /** The same for as many of `count` pages from `index` on as lie side by side; where that is quick. */
  pinRun?(index: number, count: number, write: boolean): Frames | number;
  /** Pages that one look-up answers for then. */
  readonly together?: number;
  /** The frames [pfn, pfn + count), each of which it has pinned. */
  unpin(pfn: number, count: number): void;
  /** The last area is gone, in this way. */
  release(how: Parting): void;
}

/** Who keeps pages in place: {@link UserPages}, as a rule. */
export type Pins = Pick<UserPages, "pin" | "unpin">;

/** Nobody does: the pages stay where they are by luck. */
export const NO_PINS: Pins = { pin() {}, unpin() {} };

/** Memory of a process, by user address. Pinned with get_user_pages(FOLL_LONGTERM). */
export class UserSource implements PageSource {
  readonly kind = "user";
  readonly accounted = true;

  constructor(
    readonly mm: AddressSpace,
    readonly va: number,
    readonly pins: Pins,
  ) {}

  /** EFAULT: nothing mapped, mapped read-only and to be written, or VM_PFNMAP / VM_IO memory. */
  pin(index: number, write: boolean): number {
    const run = this.#pinned(index, 1, write);
    return typeof run === "number" ? run : run.pfn;
  }

  pinRun(index: number, count: number, write: boolean): Frames | number {
    return this.#pinned(index, count, write);
  }

  #pinned(index: number, count: number, write: boolean): Frames | number {
    const address = this.va + index * PAGE_SIZE;
    const vma = this.mm.find(address);
    if (vma === undefined || (write && !vma.writable)) return -EFAULT;
    if (vma.backing.kind === "pfnmap" || vma.backing.kind === "io") return -EFAULT;
    const run = this.mm.translateRun(address, count);
    if (run.pfn < 0) return -ENOMEM;
    this.pins.pin(run.pfn, run.count);
    return run;
  }

  unpin(pfn: number, count: number): void {
    this.pins.unpin(pfn, count);
  }

  release(_how: Parting): void {}
}

/** A memfd, by offset. The file is held: the pages survive munmap and the process. */
export class MemfdSource implements PageSource {
  readonly kind = "file";
  readonly accounted = true;

  constructor(
    readonly file: MemfdFile,
    readonly start: number,
    readonly pins: Pins = file.userPages,
  ) {
    file.get();
  }

  pin(index: number): number {
    const run = this.pinRun(index, 1);
    return typeof run === "number" ? run : run.pfn;
  }

  pinRun(index: number, count: number): Frames | number {
    const run = this.file.runAt(Math.floor(this.start / PAGE_SIZE) + index, count);
    if (run.count === 0) return -EFAULT;
    this.pins.pin(run.pfn, run.count);
    return run;
  }

  unpin(pfn: number, count: number): void {
    this.pins.unpin(pfn, count);
  }

  release(): void {
    this.file.put();
  }
}

/** A guestmemfs file, by offset: it needs no process, and is pinned as a whole. */
export class GuestmemfsSource implements PageSource {
  readonly kind = "file";
  readonly accounted = false;
  readonly together = BLOCK_FRAMES;
  readonly persistent: Persistent;

  /** `writable`: false for memory the process itself may only read. */
  constructor(
    readonly fs: Guestmemfs,
    readonly ino: number,
    readonly start: number,
    readonly filePin: FilePin | undefined,
    readonly writable = true,
  ) {
    this.persistent = { handle: ino, offset: start };
  }

  pin(index: number, write: boolean): number {
    if (write && !this.writable) return -EFAULT;
    const page = Math.floor(this.start / PAGE_SIZE) + index;
    const pfn = this.fs.frameOfPage(this.fs.sb.inode(this.ino), page);
    return pfn < 0 ? -EFAULT : pfn;
  }

  pinRun(index: number, count: number, write: boolean): Frames | number {
    if (write && !this.writable) return -EFAULT;
    const page = Math.floor(this.start / PAGE_SIZE) + index;
    const run = this.fs.runOfPages(this.fs.sb.inode(this.ino), page, count);
    return run.count === 0 ? -EFAULT : run;
  }

  unpin(): void {}

  release(how: Parting): void {
    this.filePin?.drop(how);
  }
}

/** A file whose memory cannot be pinned: EINVAL, but only once somebody wants the pages. */
class UnpinnableSource implements PageSource {
  readonly kind = "file";
  readonly accounted = false;

  pin(): number {
    return -EINVAL;
  }

  unpin(): void {}

  release(): void {}
}

/** The source MAP_FILE makes of a file, for an IOAS. */
export function fileSource(
  file: OpenFile,
  start: number,
  ioas: PinnedFile,
  pins?: Pins,
): PageSource {
  if (file instanceof MemfdFile) return new MemfdSource(file, start, pins);
  if (file instanceof GuestmemfsFile) {
    const { fs, inode: { ino } } = file;
    // The patches know of one way to map only: by address.
    const pin = fs.kernel.has("D75") ? undefined : FilePin.take(fs, ino, ioas);
    return new GuestmemfsSource(fs, ino, start, pin);
  }
  return new UnpinnableSource();
}
