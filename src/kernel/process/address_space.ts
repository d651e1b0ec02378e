import { PAGE_SIZE } from "../../base/units.ts";
import type { Frames } from "../../machine/frame_runs.ts";
import type { OpenFile } from "../fs/vfs.ts";
import type { ProgramTables } from "../../machine/program_tables.ts";
import { ENOMEM } from "../../uapi/errno.ts";
import type { PageOwner, UserPages } from "../mm/user_pages.ts";

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
  /** The same for as many of `count` pages as lie side by side. Missing: they are looked up one by one. */
  runAt?(index: number, count: number): Frames;
  /** The same for a page that is there already; -1: nobody has touched it. Missing: all are. */
  presentAt?(index: number): number;
  /** For `io`: physical byte address of the first register. */
  readonly io?: number;
  /** Pages [index, index + count) are not mapped any more, others still are. */
  drop?(index: number, count: number): void;
  /** The last mapping of it goes away. */
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
export class AnonBacking implements Backing, PageOwner {
  readonly kind = "anon";
  #pages = new Map<number, number>();

  constructor(readonly userPages: UserPages) {}

  pageAt(index: number): number {
    let pfn = this.#pages.get(index);
    if (pfn === undefined) {
      pfn = this.userPages.alloc(this, index);
      if (pfn >= 0) this.#pages.set(index, pfn);
    }
    return pfn;
  }

  presentAt(index: number): number {
    return this.#pages.get(index) ?? -1;
  }

  moved(index: number, pfn: number): void {
    this.#pages.set(index, pfn);
  }

  drop(index: number, count: number): void {
    for (let i = index; i < index + count; i++) {
      const pfn = this.#pages.get(i);
      if (pfn !== undefined && this.#pages.delete(i)) this.userPages.put(pfn);
    }
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
  /** Mappings of each backing: one that was cut in the middle is two. */
  readonly #uses = new Map<Backing, number>();
  /** Pages locked, by mlock(2) or as VFIO's type 1 counts them, and pages under a long-term pin. */
  lockedVm = 0;
  pinnedVm = 0;
  /** Pages that mlock(2) keeps in memory. */
  readonly #locked = new Set<number>();

  /** `tables`: what the processor goes by, where somebody watches this program's memory. */
  constructor(readonly tables?: ProgramTables) {}

  get vmas(): readonly Vma[] {
    return this.#vmas;
  }

  /**
   * Maps `length` bytes (rounded up to pages) at `fixed`, in place of what is there, or somewhere
   * free; the address.
   */
  map(length: number, writable: boolean, backing: Backing, pgoff: number, fixed?: number): number {
    const size = Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
    if (fixed !== undefined) this.unmap(fixed, size);
    const start = fixed ?? this.#next;
    // A guard gap keeps neighbouring mappings from running into each other unnoticed.
    this.#next = Math.max(this.#next, start + size + PAGE_SIZE);
    backing.file?.get();
    this.#add({ start, end: start + size, writable, backing, pgoff });
    return start;
  }

  #add(vma: Vma): void {
    this.#uses.set(vma.backing, (this.#uses.get(vma.backing) ?? 0) + 1);
    this.#vmas.push(vma);
  }

  /** Unmaps the pages of [start, start + length); what reaches beyond is cut. Mappings touched. */
  unmap(start: number, length: number): number {
    const end = start + Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
    const touched = this.#vmas.filter((v) => v.start < end && v.end > start);
    this.#vmas = this.#vmas.filter((v) => !touched.includes(v));
    for (const v of touched) {
      const from = Math.max(v.start, start), to = Math.min(v.end, end);
      if (v.start < from) this.#add({ ...v, end: from });
      if (to < v.end) {
        this.#add({ ...v, start: to, pgoff: v.pgoff + (to - v.start) / PAGE_SIZE });
      }
      this.#forget(from, to);
      this.#let(v, from, to);
    }
    return touched.length;
  }

  /** One mapping less of a backing, which showed its pages in [from, to). */
  #let({ backing, pgoff, start }: Vma, from: number, to: number): void {
    const left = (this.#uses.get(backing) ?? 0) - 1;
    if (left > 0) {
      this.#uses.set(backing, left);
      backing.drop?.(pgoff + (from - start) / PAGE_SIZE, (to - from) / PAGE_SIZE);
      return;
    }
    this.#uses.delete(backing);
    backing.release?.();
    backing.file?.put();
  }

  /** The first mapping that shows something of [start, end), as find_vma_intersection. */
  firstIn(start: number, end: number): Vma | undefined {
    const all = this.#vmas.filter((v) => v.start < end && v.end > start);
    return all.sort((a, b) => a.start - b.start)[0];
  }

  #forget(start: number, end: number): void {
    this.tables?.clear(start / PAGE_SIZE, (end - start) / PAGE_SIZE);
    if (this.#locked.size === 0) return;
    for (let page = start / PAGE_SIZE; page < end / PAGE_SIZE; page++) {
      if (this.#locked.delete(page)) this.lockedVm--;
    }
  }

  /**
   * mlock(2): every page there is, and stays, in memory. ENOMEM where something is not mapped, or
   * beyond `limit` bytes; pages that were locked stay so.
   */
  lock(address: number, length: number, limit: number): number {
    const first = Math.floor(address / PAGE_SIZE), end = Math.ceil((address + length) / PAGE_SIZE);
    const pages = Array.from({ length: end - first }, (_, i) => first + i);
    const fresh = pages.filter((page) => !this.#locked.has(page));
    if (this.lockedVm + fresh.length > limit / PAGE_SIZE) return -ENOMEM;
    for (const page of fresh) {
      if (this.translate(page * PAGE_SIZE) < 0) return -ENOMEM;
      this.#locked.add(page);
      this.lockedVm++;
    }
    return 0;
  }

  /** The mapping that holds the address. */
  find(address: number): Vma | undefined {
    return this.#vmas.find((v) => address >= v.start && address < v.end);
  }

  /** Frame behind an address, -1 where nothing is mapped or for device registers. */
  translate(address: number): number {
    const v = this.find(address);
    if (v === undefined || v.backing.kind === "io") return -1;
    const pfn = v.backing.pageAt(v.pgoff + Math.floor((address - v.start) / PAGE_SIZE));
    if (pfn >= 0) this.tables?.set(Math.floor(address / PAGE_SIZE), pfn);
    return pfn;
  }

  /** Frames behind an address and what follows, as many of `count` as are known to lie side by side. */
  translateRun(address: number, count: number): Frames {
    const v = this.find(address), { runAt } = v?.backing ?? {};
    // Whoever watches a program's memory hears of every page.
    if (v === undefined || runAt === undefined || this.tables !== undefined) {
      return { pfn: this.translate(address), count: 1 };
    }
    const inside = Math.min(count, Math.floor((v.end - address) / PAGE_SIZE));
    return runAt(v.pgoff + Math.floor((address - v.start) / PAGE_SIZE), inside);
  }

  /** Frame of a page that is there already, without bringing it in; -1 where none is. */
  present(address: number): number {
    const v = this.find(address);
    if (v === undefined) return -1;
    const register = this.register(address);
    if (register >= 0) return Math.floor(register / PAGE_SIZE);
    const index = v.pgoff + Math.floor((address - v.start) / PAGE_SIZE);
    return v.backing.presentAt === undefined ? v.backing.pageAt(index) : v.backing.presentAt(index);
  }

  /** Physical address of the register behind an address; -1 where there are none. */
  register(address: number): number {
    const v = this.find(address);
    if (v === undefined || v.backing.io === undefined) return -1;
    return v.backing.io + v.pgoff * PAGE_SIZE + (address - v.start);
  }

  /** The process is gone: every mapping goes. */
  destroy(): void {
    this.unmap(0, Infinity);
  }
}
