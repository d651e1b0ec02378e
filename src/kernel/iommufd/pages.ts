import { PAGE_SIZE } from "../../base/units.ts";
import { EFAULT, EINVAL, ENOMEM } from "../../uapi/errno.ts";
import type { Guestmemfs } from "../fs/guestmemfs/guestmemfs.ts";
import { GuestmemfsFile } from "../fs/guestmemfs/file.ts";
import { MemfdFile } from "../fs/memfd.ts";
import type { OpenFile } from "../fs/vfs.ts";
import type { UserPages } from "../mm/user_pages.ts";
import type { AddressSpace } from "../process/address_space.ts";

/** A contiguous piece of pinned memory: `count` frames from `pfn`. */
export interface Run {
  readonly pfn: number;
  readonly count: number;
}

/** Where the pages of an area come from. */
export interface PageSource {
  /** Frame of page `index`, pinned, or a negative errno. */
  pin(index: number, write: boolean): number;
  unpin(pfn: number): void;
  /** What KHO has to say about it: file and byte offset; undefined if it cannot outlive a kernel. */
  readonly persistent?: { readonly handle: number; readonly offset: number };
  release(): void;
}

/** Memory of a process, by user address. Pinned with get_user_pages(FOLL_LONGTERM). */
export class UserSource implements PageSource {
  constructor(
    readonly mm: AddressSpace,
    readonly va: number,
    readonly userPages: UserPages,
  ) {}

  /** EFAULT: nothing mapped, mapped read-only and to be written, or VM_PFNMAP / VM_IO memory. */
  pin(index: number, write: boolean): number {
    const address = this.va + index * PAGE_SIZE;
    const vma = this.mm.find(address);
    if (vma === undefined || (write && !vma.writable)) return -EFAULT;
    if (vma.backing.kind === "pfnmap" || vma.backing.kind === "io") return -EFAULT;
    const pfn = this.mm.translate(address);
    if (pfn < 0) return -ENOMEM;
    this.userPages.pin(pfn);
    return pfn;
  }

  unpin(pfn: number): void {
    this.userPages.unpin(pfn);
  }

  release(): void {}
}

/** A memfd, by offset. The file is held: the pages survive munmap and the process. */
export class MemfdSource implements PageSource {
  constructor(readonly file: MemfdFile, readonly start: number) {
    file.get();
  }

  pin(index: number): number {
    const pfn = this.file.pageAt(Math.floor(this.start / PAGE_SIZE) + index);
    if (pfn < 0) return -EFAULT;
    this.file.userPages.pin(pfn);
    return pfn;
  }

  unpin(pfn: number): void {
    this.file.userPages.unpin(pfn);
  }

  release(): void {
    this.file.put();
  }
}

/**
 * A guestmemfs file, by offset. There are no struct pages to pin: the file as a whole takes a
 * long-term pin for as long as the area exists (seed line 1937), and the pin lies in the inode, so
 * it outlives the kernel.
 */
export class GuestmemfsSource implements PageSource {
  readonly persistent: { readonly handle: number; readonly offset: number };

  /**
   * `adopt`: the inode carries this pin already, from before the kexec. `writable`: false for
   * memory the process itself may only read.
   */
  constructor(
    readonly fs: Guestmemfs,
    readonly ino: number,
    readonly start: number,
    adopt: boolean,
    readonly writable = true,
  ) {
    if (!adopt) fs.pin(fs.sb.inode(ino));
    this.persistent = { handle: ino, offset: start };
  }

  pin(index: number, write: boolean): number {
    if (write && !this.writable) return -EFAULT;
    const page = Math.floor(this.start / PAGE_SIZE) + index;
    const pfn = this.fs.frameOfPage(this.fs.sb.inode(this.ino), page);
    return pfn < 0 ? -EFAULT : pfn;
  }

  unpin(_pfn: number): void {}

  release(): void {
    this.fs.unpin(this.ino);
  }
}

/** A file whose memory cannot be pinned: EINVAL, but only once somebody wants the pages. */
class UnpinnableSource implements PageSource {
  pin(): number {
    return -EINVAL;
  }

  unpin(): void {}

  release(): void {}
}

/** The source MAP_FILE makes of a file. */
export function fileSource(file: OpenFile, start: number): PageSource {
  if (file instanceof MemfdFile) return new MemfdSource(file, start);
  if (file instanceof GuestmemfsFile) {
    return new GuestmemfsSource(file.fs, file.inode.ino, start, false);
  }
  return new UnpinnableSource();
}

/** The pages behind one or more areas: pinned once, however many domains map them (FACTS 1.4). */
export class IoptPages {
  #areas = 0;
  /** Pages pinned through this object now. */
  pinned = 0;

  constructor(
    readonly source: PageSource,
    readonly npages: number,
    readonly writable: boolean,
  ) {}

  get(): this {
    this.#areas++;
    return this;
  }

  put(): void {
    if (--this.#areas === 0) this.source.release();
  }

  /** Pins pages [index, index + count) as contiguous runs, or undoes all of it: an errno. */
  pin(index: number, count: number): Run[] | number {
    const runs: { pfn: number; count: number }[] = [];
    for (let i = 0; i < count; i++) {
      const pfn = this.source.pin(index + i, this.writable);
      if (pfn < 0) {
        this.unpin(runs);
        return pfn;
      }
      this.pinned++;
      const last = runs[runs.length - 1];
      // Superpages hold their frames together across runs: one map call per contiguous piece.
      if (last !== undefined && last.pfn + last.count === pfn) last.count++;
      else runs.push({ pfn, count: 1 });
    }
    return runs;
  }

  unpin(runs: readonly Run[]): void {
    for (const { pfn, count } of runs) {
      for (let i = 0; i < count; i++) this.source.unpin(pfn + i);
      this.pinned -= count;
    }
  }
}
