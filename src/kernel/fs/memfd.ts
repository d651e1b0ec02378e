import { PAGE_SIZE } from "../../base/units.ts";
import type { FrameRun, Frames } from "../../machine/frame_runs.ts";
import { EINVAL, EPERM } from "../../uapi/errno.ts";
import { F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK } from "../../uapi/sys.ts";
import { PageNumbers } from "../mm/page_numbers.ts";
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
  readonly #pages = new PageNumbers();

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
    for (const { page, pfn, count } of this.runs(pages)) {
      for (let i = 0; i < count; i++) {
        this.#pages.set(page + i, -1);
        this.userPages.put(pfn + i);
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
    return this.runAt(index, 1).pfn;
  }

  /** The same for as many of `count` pages as lie side by side. */
  runAt(index: number, count: number): Frames {
    const most = Math.min(count, Math.ceil(this.#bytes / PAGE_SIZE) - index);
    if (most <= 0) return { pfn: -1, count: 0 };
    const there = this.#pages.run(index, most);
    if (there.pfn >= 0) return there;
    const fresh = this.userPages.allocRun(this, index, there.count);
    for (let i = 0; i < fresh.count; i++) this.#pages.set(index + i, fresh.pfn + i);
    return fresh;
  }

  /** Pages there are from `first` on, with their frames, in runs, by page. */
  runs(first = 0): FrameRun[] {
    const found: FrameRun[] = [], end = Math.ceil(this.#bytes / PAGE_SIZE);
    for (let page = first; page < end;) {
      const run = this.#pages.run(page, end - page);
      if (run.pfn >= 0) found.push({ page, ...run });
      page += run.count;
    }
    return found;
  }

  moved(index: number, pfn: number): void {
    this.#pages.set(index, pfn);
  }

  /** Pages side by side that the previous kernel handed over. */
  adopt(index: number, pfn: number, count: number): void {
    for (let i = 0; i < count; i++) {
      this.#pages.set(index + i, pfn + i);
      this.userPages.adopt(pfn + i, this, index + i);
    }
  }

  override mmap(): Backing {
    return {
      kind: "shmem",
      file: this,
      pageAt: (index) => this.pageAt(index),
      runAt: (index, count) => this.runAt(index, count),
      presentAt: (index) => this.#pages.get(index),
    };
  }

  protected override release(): void {
    this.#resize(0);
  }
}
