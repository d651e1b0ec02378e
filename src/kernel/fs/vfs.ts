import * as E from "../../uapi/errno.ts";
import { O_RDWR, type Statfs } from "../../uapi/sys.ts";
import type { Task } from "../process/task.ts";
import type { Backing } from "../process/address_space.ts";

/**
 * An open file: what a descriptor stands for. Kernel objects that need the file beyond the life
 * of the descriptor take a reference of their own. Operations a file does not have answer EINVAL
 * (ENOTTY for ioctl) in the syscall layer.
 */
export abstract class OpenFile {
  #refs = 1;
  position = 0;
  /** O_RDONLY, O_WRONLY or O_RDWR, as it was opened. */
  access = O_RDWR;

  get(): this {
    this.#refs++;
    return this;
  }

  /** References there are: descriptors, and what the kernel took. */
  get refs(): number {
    return this.#refs;
  }

  /** Drops a reference; the last one releases the file. */
  put(): void {
    if (--this.#refs === 0) this.release();
  }

  read?(task: Task, length: number): Uint8Array | number;
  write?(task: Task, bytes: Uint8Array): number;
  /** `payload` is user memory: the reply goes into it. */
  ioctl?(task: Task, command: number, payload: Uint8Array): number;
  ioctlValue?(task: Task, command: number, value: number): number;
  /** What a mapping of [offset, offset + length) is backed by, or an errno. */
  mmap?(offset: number, length: number, shared: boolean): Backing | number;
  truncate?(size: number): number;
  size?(): number;

  protected release(): void {}
}

/** Something with a name that can be opened. */
export interface FsFile {
  readonly kind: "file";
  /** Permission bits; 0666 when missing. */
  readonly mode?: number;
  open(task: Task, flags: number): OpenFile | number;
}

export interface FsDir {
  readonly kind: "dir";
  /** Permission bits; 0755 when missing. */
  readonly mode?: number;
  names(): string[];
  lookup(name: string): FsNode | undefined;
  /** Makes a regular file. Absent where files cannot be made. */
  create?(name: string): FsFile | number;
  /** Removes a file; 0 or an errno. */
  unlink?(name: string): number;
  /** Absent where there is nothing to count. */
  statfs?(): Statfs;
}

export type FsNode = FsFile | FsDir;

/** A directory whose entries the kernel makes: the body of sysfs and devtmpfs. */
export class PlainDir implements FsDir {
  readonly kind = "dir";
  /** Made by the first entry: sysfs has an empty directory for each device. */
  #entries: Map<string, FsNode> | undefined;

  names(): string[] {
    return [...this.#entries?.keys() ?? []].sort();
  }

  lookup(name: string): FsNode | undefined {
    return this.#entries?.get(name);
  }

  add<T extends FsNode>(name: string, node: T): T {
    this.#entries ??= new Map();
    this.#entries.set(name, node);
    return node;
  }

  remove(name: string): void {
    this.#entries?.delete(name);
  }

  /** The subdirectory of that name, made on first use. */
  dir(name: string): PlainDir {
    const found = this.lookup(name);
    return found instanceof PlainDir ? found : this.add(name, new PlainDir());
  }
}

/** Longest name of a file and longest path, bytes. */
export const NAME_MAX = 255;
const PATH_MAX = 4096;
/** What a file system without blocks of its own says of itself. */
const NO_BLOCKS: Statfs = {
  bsize: 4096,
  blocks: 0,
  bfree: 0,
  bavail: 0,
  files: 0,
  ffree: 0,
  namelen: NAME_MAX,
};

const partsOf = (path: string) => path.split("/").filter((part) => part !== "");

/** True where a text takes more than so many bytes in UTF-8. */
export function isLonger(text: string, bytes: number): boolean {
  if (text.length > bytes) return true;
  // No unit of a text takes more than three.
  return text.length * 3 > bytes && new TextEncoder().encode(text).length > bytes;
}

/** The file system tree of one boot. */
export class Vfs {
  readonly root = new PlainDir();

  /** Directory at an absolute path inside the kernel's own tree, made where missing. */
  mkdirs(path: string): PlainDir {
    let dir = this.root;
    for (const part of partsOf(path)) dir = dir.dir(part);
    return dir;
  }

  /** Mounts a file system on an absolute path. */
  mount(path: string, dir: FsDir): void {
    const parts = partsOf(path);
    const name = parts.pop() ?? "";
    this.mkdirs(parts.join("/")).add(name, dir);
  }

  /** mount(2)'s part: hides what was at the path. ENOTDIR; EBUSY: it is mounted there already. */
  mountOver(path: string, dir: FsDir): number {
    const under = this.lookup(path);
    if (typeof under === "number") return under;
    if (under.kind !== "dir") return -E.ENOTDIR;
    if (under === dir || under === this.root) return -E.EBUSY;
    this.mount(path, dir);
    return 0;
  }

  /** The node at an absolute path, or ENOENT, ENOTDIR, ENAMETOOLONG. */
  lookup(path: string): FsNode | number {
    return isLonger(path, PATH_MAX - 1) ? -E.ENAMETOOLONG : this.#walk(partsOf(path));
  }

  #walk(parts: readonly string[]): FsNode | number {
    let node: FsNode = this.root;
    for (const part of parts) {
      if (node.kind !== "dir") return -E.ENOTDIR;
      if (isLonger(part, NAME_MAX)) return -E.ENAMETOOLONG;
      const next: FsNode | undefined = node.lookup(part);
      if (next === undefined) return -E.ENOENT;
      node = next;
    }
    return node;
  }

  /** The directory that holds the last component, and that component. */
  parent(path: string): [FsDir, string] | number {
    const parts = partsOf(path), name = parts.pop();
    if (name === undefined) return -E.EACCES;
    if (isLonger(path, PATH_MAX - 1) || isLonger(name, NAME_MAX)) return -E.ENAMETOOLONG;
    const dir = this.#walk(parts);
    if (typeof dir === "number") return dir;
    return dir.kind === "dir" ? [dir, name] : -E.ENOTDIR;
  }

  unlink(path: string): number {
    const parent = this.parent(path);
    if (typeof parent === "number") return parent;
    const [dir, name] = parent;
    const node = dir.lookup(name);
    if (node === undefined) return -E.ENOENT;
    if (node.kind === "dir") return -E.EISDIR;
    return dir.unlink ? dir.unlink(name) : -E.EROFS;
  }

  /** EEXIST; else EPERM: no file system here has directories that a program can make. */
  mkdir(path: string): number {
    const node = this.lookup(path);
    if (typeof node !== "number") return -E.EEXIST;
    const parent = this.parent(path);
    return typeof parent === "number" ? parent : -E.EPERM;
  }

  /** ENOENT, EXDEV; 0 for a file onto itself; else EPERM: no file system here can do it. */
  rename(from: string, to: string): number {
    const dirs = this.#parents(from, to);
    if (typeof dirs === "number") return dirs;
    const node = this.lookup(from);
    if (typeof node === "number") return node;
    const [[dir, name], [toDir, toName]] = dirs;
    return dir === toDir && name === toName ? 0 : -E.EPERM;
  }

  /** A second name: ENOENT, EXDEV, EEXIST; else EPERM: no file system here can do it. */
  link(from: string, to: string): number {
    const node = this.lookup(from);
    if (typeof node === "number") return node;
    if (typeof this.lookup(to) !== "number") return -E.EEXIST;
    const dirs = this.#parents(from, to);
    return typeof dirs === "number" ? dirs : -E.EPERM;
  }

  /** Both parents; EXDEV where one of them is in a mounted file system and the other is not. */
  #parents(from: string, to: string): [[FsDir, string], [FsDir, string]] | number {
    const a = this.parent(from);
    if (typeof a === "number") return a;
    const b = this.parent(to);
    if (typeof b === "number") return b;
    const own = (dir: FsDir) => dir instanceof PlainDir;
    return a[0] !== b[0] && !(own(a[0]) && own(b[0])) ? -E.EXDEV : [a, b];
  }

  /** Of the file system that the path lies in. */
  statfs(path: string): Statfs | number {
    const node = this.lookup(path);
    if (typeof node === "number") return node;
    if (node.kind === "dir") return node.statfs?.() ?? NO_BLOCKS;
    const parent = this.parent(path);
    return typeof parent === "number" ? parent : parent[0].statfs?.() ?? NO_BLOCKS;
  }
}
