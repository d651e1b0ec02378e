import { EINVAL } from "../../../uapi/errno.ts";
import type { Backing } from "../../process/address_space.ts";
import { OpenFile } from "../vfs.ts";
import type { Guestmemfs } from "./guestmemfs.ts";
import { BLOCK_SIZE, type PersistedInode } from "./layout.ts";

/** An open guestmemfs file. There is no read or write: only mmap (FACTS 5.3). */
export class GuestmemfsFile extends OpenFile {
  constructor(readonly fs: Guestmemfs, readonly inode: PersistedInode) {
    super();
    fs.opened(inode);
  }

  override truncate(size: number): number {
    return size < 0 ? -EINVAL : this.fs.truncate(this.inode, size);
  }

  override size(): number {
    return this.inode.numMappings * BLOCK_SIZE;
  }

  /** Frame of a page of the file, -1 beyond its end. */
  pageAt(page: number): number {
    return this.fs.frameOfPage(this.inode, page);
  }

  /** Memory without struct pages: VM_PFNMAP. Mapping beyond the end of the file: EINVAL. */
  override mmap(offset: number, length: number): Backing | number {
    if (offset + length > this.size()) return -EINVAL;
    const runAt = (page: number, count: number) => this.fs.runOfPages(this.inode, page, count);
    return { kind: "pfnmap", file: this, pageAt: (page) => this.pageAt(page), runAt };
  }

  protected override release(): void {
    this.fs.closed(this.inode);
  }
}
