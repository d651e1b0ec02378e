import { PAGE_SIZE } from "../../base/units.ts";
import { EINVAL } from "../../uapi/errno.ts";
import type { PageOwner, UserPages } from "../mm/user_pages.ts";
import type { Backing } from "../process/address_space.ts";
import { OpenFile } from "./vfs.ts";

/**
 * A memfd: shared memory without a name. Its pages are ordinary memory, lost at kexec unless a
 * persistent iommufd hands them over.
 */
export class MemfdFile extends OpenFile implements PageOwner {
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
      pfn = this.userPages.alloc(this, index);
      if (pfn >= 0) this.#pages.set(index, pfn);
    }
    return pfn;
  }

  /** Pages there are, with their frames, by index. */
  get pages(): [index: number, pfn: number][] {
    return [...this.#pages].sort(([a], [b]) => a - b);
  }

  moved(index: number, pfn: number): void {
    this.#pages.set(index, pfn);
  }

  /** A page that the previous kernel handed over. */
  adopt(index: number, pfn: number): void {
    this.#pages.set(index, pfn);
    this.userPages.adopt(pfn, this, index);
  }

  override mmap(): Backing {
    return {
      kind: "shmem",
      file: this,
      pageAt: (index) => this.pageAt(index),
      presentAt: (index) => this.#pages.get(index) ?? -1,
    };
  }

  protected override release(): void {
    this.truncate(0);
  }
}
