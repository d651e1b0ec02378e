import { PAGE_SIZE } from "../../../base/units.ts";
import * as E from "../../../uapi/errno.ts";
import type { Statfs } from "../../../uapi/sys.ts";
import type { Kernel } from "../../kernel.ts";
import { FrameUse } from "../../mm/frames.ts";
import { type FsDir, type FsFile, isLonger } from "../vfs.ts";
import { GuestmemfsFile } from "./file.ts";
import * as L from "./layout.ts";
import { NameIndex } from "./name_index.ts";

/**
 * guestmemfs: memory for guests that outlives the kernel. A range set aside at boot, never in the
 * page allocator, handed out in 2 MiB blocks to files in one flat directory (FACTS 5, the
 * documented behaviour). All of its state lies in memory that KHO carries.
 */
export class Guestmemfs implements FsDir {
  readonly kind = "dir";
  /** Neither it nor its files have permission bits: they are for who is above those. */
  readonly mode = 0;
  /** Set while a KHO dump stands: the carried structures must not change any more. */
  serialised = false;
  /** Memory of the dump that stands, beside the carried structures. */
  #table: { readonly pfn: number; readonly pages: number } | undefined;
  /** Open files of each inode; a mapping holds its file open. */
  readonly #opens = new Map<number, number>();
  readonly #names: NameIndex;
  readonly blocks: number;

  /** `base`, `size`: the data range in bytes. `sb`: the persisted super block. */
  constructor(
    readonly kernel: Kernel,
    readonly base: number,
    readonly size: number,
    readonly sb: L.SuperBlock,
  ) {
    this.blocks = Math.floor(size / L.BLOCK_SIZE);
    this.#names = new NameIndex(this.inodes());
    kernel.pages.mark(base / PAGE_SIZE, size / PAGE_SIZE, FrameUse.guestmemfs);
  }

  /** Makes an empty file system; undefined when memory for its structures is out. */
  static format(kernel: Kernel, base: number, size: number): Guestmemfs | undefined {
    const { pages } = kernel;
    const inodePages = L.INODES_BYTES / PAGE_SIZE, bitmapPages = L.BITMAP_BYTES / PAGE_SIZE;
    const page = pages.allocPage(FrameUse.kernel);
    const inodes = pages.allocRange(inodePages, 512, FrameUse.kernel);
    const bitmap = pages.allocRange(bitmapPages, 256, FrameUse.kernel);
    if (page < 0 || inodes < 0 || bitmap < 0) {
      if (page >= 0) pages.freePage(page);
      if (inodes >= 0) pages.freeRange(inodes, inodePages);
      if (bitmap >= 0) pages.freeRange(bitmap, bitmapPages);
      return undefined;
    }
    const sb = new L.SuperBlock(kernel.machine.memory, page * PAGE_SIZE);
    sb.inodes = inodes * PAGE_SIZE;
    sb.bitmap = bitmap * PAGE_SIZE;
    sb.nextFreeIno = L.ROOT_INO + 1;
    sb.allocatedInodes = 1;
    sb.chainInodes(L.ROOT_INO + 1);
    const root = sb.inode(L.ROOT_INO);
    root.flags = L.INODE_FLAG_DIR;
    root.name = ".";
    return new Guestmemfs(kernel, base, size, sb);
  }

  names(): string[] {
    return this.inodes().map((i) => i.name).sort();
  }

  /** Counted in blocks and inodes; the posted code calls every block free (FACTS 5.3). */
  statfs(): Statfs {
    const bfree = this.sb.countFree(this.blocks);
    return {
      bsize: L.BLOCK_SIZE,
      blocks: this.blocks,
      bfree,
      bavail: bfree,
      files: L.INODES,
      ffree: L.INODES - this.sb.allocatedInodes,
      namelen: L.FILENAME_LEN,
    };
  }

  lookup(name: string): FsFile | undefined {
    const inode = this.#named(name);
    if (inode === undefined) return undefined;
    return { kind: "file", mode: 0, open: () => new GuestmemfsFile(this, inode) };
  }

  #named(name: string): L.PersistedInode | undefined {
    const wanted = L.nameWords(name);
    for (const ino of this.#names.candidates(wanted)) {
      const inode = this.sb.inode(ino);
      if (inode.isNamed(wanted)) return inode;
    }
    return undefined;
  }

  /** The files, newest first: the list hangs off the root's child pointer. */
  inodes(): L.PersistedInode[] {
    return this.#list(this.sb.inode(L.ROOT_INO).child);
  }

  /**
   * Unlinked files that somebody still uses. Their list hangs off the root's sibling pointer, which
   * has no other use, so that the next kernel finds what became of them.
   */
  orphans(): L.PersistedInode[] {
    return this.#list(this.sb.inode(L.ROOT_INO).sibling);
  }

  allInodes(): L.PersistedInode[] {
    return [...this.inodes(), ...this.orphans()];
  }

  /** By block: 1 where it is some file's. */
  blocksOfFiles(): Uint8Array {
    const owned = new Uint8Array(this.blocks);
    for (const inode of this.allInodes()) {
      for (const { first, count } of inode.blocks()) owned.fill(1, first, first + count);
    }
    return owned;
  }

  #list(head: number): L.PersistedInode[] {
    const list: L.PersistedInode[] = [];
    // A list that was spoilt may have no end.
    for (let ino = head; ino !== 0 && list.length <= L.INODES;) {
      const inode = this.sb.inode(ino);
      list.push(inode);
      ino = inode.sibling;
    }
    return list;
  }

  /** ENAMETOOLONG, EBUSY while dumped, ENOMEM when the inode table is full. */
  create(name: string): FsFile | number {
    if (isLonger(name, L.FILENAME_LEN)) return -E.ENAMETOOLONG;
    if (this.serialised) return -E.EBUSY;
    const ino = this.sb.nextFreeIno;
    if (ino === 0 || ino > L.INODES) return -E.ENOMEM;
    const inode = this.sb.inode(ino);
    this.sb.nextFreeIno = inode.sibling;
    this.sb.allocatedInodes++;
    inode.flags = L.INODE_FLAG_FILE;
    inode.name = name;
    inode.mappings = 0;
    inode.numMappings = 0;
    if (!this.kernel.has("D87")) inode.pins = 0;
    inode.child = 0;
    const root = this.sb.inode(L.ROOT_INO);
    inode.sibling = root.child;
    root.child = ino;
    this.#names.add(inode);
    return { kind: "file", mode: 0, open: () => new GuestmemfsFile(this, inode) };
  }

  /**
   * EBUSY while the file is pinned (seed line 2075) or a dump stands. Open or mapped, the file only
   * loses its name: its memory is somebody's until the last of them is gone.
   */
  unlink(name: string): number {
    const ino = this.#named(name)?.ino, list = this.inodes();
    const at = list.findIndex((inode) => inode.ino === ino);
    if (at < 0) return -E.ENOENT;
    const inode = list[at];
    if (inode.pins !== 0 || this.serialised) return -E.EBUSY;
    const root = this.sb.inode(L.ROOT_INO);
    if (at === 0) root.child = inode.sibling;
    else list[at - 1].sibling = inode.sibling;
    inode.sibling = root.sibling;
    root.sibling = inode.ino;
    this.#names.remove(inode.ino);
    this.settle();
    return 0;
  }

  /** A file was opened; {@link closed} is its counterpart. */
  opened(inode: L.PersistedInode): void {
    this.#opens.set(inode.ino, (this.#opens.get(inode.ino) ?? 0) + 1);
  }

  closed(inode: L.PersistedInode): void {
    const left = (this.#opens.get(inode.ino) ?? 0) - 1;
    if (left > 0) this.#opens.set(inode.ino, left);
    else this.#opens.delete(inode.ino);
    this.settle();
  }

  /**
   * Writes inode numbers side by side, 32 bits each, into memory that stays until {@link thaw}: its
   * physical address, or ENOMEM.
   */
  tabulate(inos: readonly number[]): number {
    const { pages, machine } = this.kernel;
    const count = Math.max(1, Math.ceil(4 * inos.length / PAGE_SIZE));
    const pfn = pages.allocRange(count, 1, FrameUse.kernel);
    if (pfn < 0) return -E.ENOMEM;
    this.#table = { pfn, pages: count };
    machine.memory.write(pfn * PAGE_SIZE, new Uint8Array(Int32Array.from(inos).buffer));
    return pfn * PAGE_SIZE;
  }

  /** The dump does not stand any more. */
  thaw(): void {
    this.serialised = false;
    if (this.#table !== undefined) this.kernel.pages.freeRange(this.#table.pfn, this.#table.pages);
    this.#table = undefined;
    this.settle();
  }

  /** Frees the orphans nobody has open or pinned; not under a dump, which carries them. */
  settle(): void {
    if (this.serialised) return;
    let before = this.sb.inode(L.ROOT_INO);
    for (const inode of this.orphans()) {
      if (inode.pins !== 0 || this.#opens.has(inode.ino)) {
        before = inode;
        continue;
      }
      before.sibling = inode.sibling;
      this.resize(inode, 0);
      inode.flags = 0;
      inode.sibling = this.sb.nextFreeIno;
      this.sb.nextFreeIno = inode.ino;
      this.sb.allocatedInodes--;
    }
  }

  /**
   * Gives the file `ceil(size / 2 MiB)` blocks. EBUSY while dumped or pinned, EFBIG above 1 GiB,
   * ENOMEM when blocks run out (and then nothing has changed).
   */
  truncate(inode: L.PersistedInode, size: number): number {
    const pinned = inode.pins !== 0 && !this.kernel.has("D84");
    if (this.serialised || pinned) return -E.EBUSY;
    return this.resize(inode, Math.ceil(size / L.BLOCK_SIZE));
  }

  private resize(inode: L.PersistedInode, blocks: number): number {
    if (blocks > L.MAX_MAPPINGS) return -E.EFBIG;
    const pages = this.kernel.pages;
    const before = inode.numMappings;
    if (blocks > 0 && inode.mappings === 0) {
      const pfn = pages.allocPage(FrameUse.kernel);
      if (pfn < 0) return -E.ENOMEM;
      inode.mappings = pfn * PAGE_SIZE;
    }
    let count = before;
    while (count < blocks) {
      const run = this.#allocBlocks(blocks - count);
      if (run.count === 0) break;
      inode.setBlocks(count, run);
      count += run.count;
    }
    const enough = count >= blocks;
    const target = enough ? blocks : before;
    for (const run of inode.blocks(target, count)) this.sb.setBlocksUsed(run, false);
    count = Math.min(count, target);
    inode.numMappings = count;
    if (count === 0 && inode.mappings !== 0) {
      pages.freePage(inode.mappings / PAGE_SIZE);
      inode.mappings = 0;
    }
    return enough ? 0 : -E.ENOMEM;
  }

  /** The lowest free blocks, zeroed: a new file must not show what an older one held. */
  #allocBlocks(most: number): L.Blocks {
    const run = this.sb.freeBlocks(this.blocks, most);
    if (run.count === 0) return run;
    this.sb.setBlocksUsed(run, true);
    const first = this.frameOfBlock(run.first);
    this.kernel.machine.memory.clearFrames(first, run.count * L.BLOCK_FRAMES);
    return run;
  }

  frameOfBlock(block: number): number {
    return this.base / PAGE_SIZE + block * L.BLOCK_FRAMES;
  }

  /** Frames of a file's pages from `page` on, as many of `count` as lie side by side; 0 beyond its end. */
  runOfPages(
    inode: L.PersistedInode,
    page: number,
    count: number,
  ): { pfn: number; count: number } {
    const inside = page % L.BLOCK_FRAMES;
    const first = Math.floor(page / L.BLOCK_FRAMES), blocks = inode.numMappings;
    if (first >= blocks) return { pfn: -1, count: 0 };
    const block = inode.block(first);
    const n = inode.blocksInARow(first, blocks - first) * L.BLOCK_FRAMES - inside;
    return { pfn: this.frameOfBlock(block) + inside, count: Math.min(n, count) };
  }

  /** Frame of a file's page, -1 beyond its end. */
  frameOfPage(inode: L.PersistedInode, page: number): number {
    const index = Math.floor(page / L.BLOCK_FRAMES);
    if (index >= inode.numMappings) return -1;
    return this.frameOfBlock(inode.block(index)) + page % L.BLOCK_FRAMES;
  }

  /** Takes a long-term pin; the handle (the inode number) undoes it (seed line 2042). */
  pin(inode: L.PersistedInode): number {
    inode.pins++;
    return inode.ino;
  }

  unpin(handle: number): void {
    const inode = this.sb.inode(handle);
    inode.pins--;
    if (inode.pins < 0) this.kernel.dmesg.splat(`WARNING: guestmemfs: negative pins on ${handle}`);
    this.settle();
  }
}
