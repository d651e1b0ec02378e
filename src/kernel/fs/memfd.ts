import { PAGE_SIZE } from "../../base/units.ts";
import { EINVAL } from "../../uapi/errno.ts";
import type { UserPages } from "../mm/user_pages.ts";
import type { Backing } from "../process/address_space.ts";
import { OpenFile } from "./vfs.ts";

/** A memfd: shared memory without a name. Its pages are ordinary memory, lost at kexec. */
export class MemfdFile extends OpenFile {
  #bytes = 0;
  #pages = new Map<number, number>();

  constructor(readonly name: string, readonly userPages: UserPages) {
    super();
  }

  override truncate(size: number): number {
    if (size < 0) return -EINVAL;
    const pages = Math.ceil(size / PAGE_SIZE);
    for (const [index, pfn] of this.#pages) {
      if (index >= pages) {
        this.#pages.delete(index);
        this.userPages.put(pfn);
      }
    }
    this.#bytes = size;
    return 0;
  }

  override size(): number {
    return this.#bytes;
  }

  /** Frame of a page, allocated when first asked for; -1 beyond the end or without memory. */
  pageAt(index: number): number {
    if (index * PAGE_SIZE >= this.#bytes) return -1;
    let pfn = this.#pages.get(index);
    if (pfn === undefined) {
      pfn = this.userPages.alloc();
      if (pfn >= 0) this.#pages.set(index, pfn);
    }
    return pfn;
  }

  override mmap(): Backing {
    return { kind: "shmem", file: this, pageAt: (index) => this.pageAt(index) };
  }

  protected override release(): void {
    this.truncate(0);
  }
}
