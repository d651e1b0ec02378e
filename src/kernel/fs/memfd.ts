import { PAGE_SIZE } from "../../base/units.ts";
import { EINVAL, EPERM } from "../../uapi/errno.ts";
import { F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK } from "../../uapi/sys.ts";
import type { PageOwner, UserPages } from "../mm/user_pages.ts";
import type { Backing } from "../process/address_space.ts";
import { OpenFile } from "./vfs.ts";

const SIZE_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;

/**
 * A memfd: shared memory without a name. Its pages are ordinary memory, lost at kexec unless a
 * persistent iommufd hands them over.
 */
export class MemfdFile extends OpenFile implements PageOwner {
  #bytes = 0;
  /** F_SEAL_*. */
  seals = 0;
  #pages = new Map<number, number>();

  constructor(readonly name: string, readonly userPages: UserPages) {
    super();
  }

  /** Its size is what it is, for good (FACTS 7.6). */
  get sealed(): boolean {
    return (this.seals & SIZE_SEALS) === SIZE_SEALS;
  }

  /** F_ADD_SEALS. EINVAL for one there is not, EPERM once sealed against more. */
  addSeals(seals: number): number {
    if ((seals & ~SIZE_SEALS) !== 0) return -EINVAL;
    if ((this.seals & F_SEAL_SEAL) !== 0) return -EPERM;
    this.seals |= seals;
    return 0;
  }

  /** EINVAL; EPERM where it is sealed against that. */
  override truncate(size: number): number {
    if (size < 0) return -EINVAL;
    const against = size < this.#bytes ? F_SEAL_SHRINK : size > this.#bytes ? F_SEAL_GROW : 0;
    if ((this.seals & against) !== 0) return -EPERM;
    return this.#resize(size);
  }

  #resize(size: number): number {
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
    this.#resize(0);
  }
}
