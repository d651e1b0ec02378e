import { PAGE_SIZE } from "../../base/units.ts";
import type { OpenFile } from "../fs/vfs.ts";
import type { UserPages } from "../mm/user_pages.ts";

/** What stands behind a mapping. */
export interface Backing {
  /**
   * `anon` and `shmem` pages can be pinned; `pfnmap` memory has no struct page, so that
   * get_user_pages() answers EFAULT (FACTS 5.4); `io` is a device's registers.
   */
  readonly kind: "anon" | "shmem" | "pfnmap" | "io";
  /** The file that was mapped, referenced by the mapping. */
  readonly file?: OpenFile;
  /** Frame of page `index` counted from the start of the file or mapping; -1: no memory (SIGBUS). */
  pageAt(index: number): number;
  /** For `io`: physical byte address of the first register. */
  readonly io?: number;
  /** The mapping goes away. */
  release?(): void;
}

/** One mapping: pages [start, end) of the address space. */
export interface Vma {
  readonly start: number;
  readonly end: number;
  readonly writable: boolean;
  readonly backing: Backing;
  /** Page of the backing that `start` shows. */
  readonly pgoff: number;
}

/** Anonymous memory: pages appear zeroed when first touched. */
export class AnonBacking implements Backing {
  readonly kind = "anon";
  #pages = new Map<number, number>();

  constructor(readonly userPages: UserPages) {}

  pageAt(index: number): number {
    let pfn = this.#pages.get(index);
    if (pfn === undefined) {
      pfn = this.userPages.alloc();
      if (pfn >= 0) this.#pages.set(index, pfn);
    }
    return pfn;
  }

  release(): void {
    for (const pfn of this.#pages.values()) this.userPages.put(pfn);
    this.#pages.clear();
  }
}

const MMAP_BASE = 0x7f0000000000;

/** The address space of a process: non-overlapping mappings, page granular. */
export class AddressSpace {
  #vmas: Vma[] = [];
  #next = MMAP_BASE;
  /** Pages locked as VFIO's type 1 counts them, and pages under a long-term pin. */
  lockedVm = 0;
  pinnedVm = 0;

  get vmas(): readonly Vma[] {
    return this.#vmas;
  }

  /** Maps `length` bytes (rounded up to pages) somewhere free; the address. */
  map(length: number, writable: boolean, backing: Backing, pgoff: number): number {
    const size = Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
    const start = this.#next;
    // A guard gap keeps neighbouring mappings from running into each other unnoticed.
    this.#next += size + PAGE_SIZE;
    backing.file?.get();
    this.#vmas.push({ start, end: start + size, writable, backing, pgoff });
    return start;
  }

  /** Removes mappings that lie wholly inside [start, start + length). Number removed. */
  unmap(start: number, length: number): number {
    const gone = this.#vmas.filter((v) => v.start >= start && v.end <= start + length);
    this.#vmas = this.#vmas.filter((v) => !gone.includes(v));
    for (const v of gone) {
      v.backing.release?.();
      v.backing.file?.put();
    }
    return gone.length;
  }

  /** The mapping that holds the address. */
  find(address: number): Vma | undefined {
    return this.#vmas.find((v) => address >= v.start && address < v.end);
  }

  /** Frame behind an address, -1 where nothing is mapped or for device registers. */
  translate(address: number): number {
    const v = this.find(address);
    if (v === undefined || v.backing.kind === "io") return -1;
    return v.backing.pageAt(v.pgoff + Math.floor((address - v.start) / PAGE_SIZE));
  }

  /** The process is gone: every mapping goes. */
  destroy(): void {
    this.unmap(0, Infinity);
  }
}
