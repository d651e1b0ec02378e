import { EACCES, ENOENT, ENOTDIR, EROFS } from "../../uapi/errno.ts";
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

  get(): this {
    this.#refs++;
    return this;
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
  mmap?(offset: number, length: number): Backing | number;
  truncate?(size: number): number;
  size?(): number;

  protected release(): void {}
}

/** Something with a name that can be opened. */
export interface FsFile {
  readonly kind: "file";
  open(task: Task, flags: number): OpenFile | number;
}

export interface FsDir {
  readonly kind: "dir";
  names(): string[];
  lookup(name: string): FsNode | undefined;
  /** Makes a regular file. Absent where files cannot be made. */
  create?(name: string): FsFile | number;
  /** Removes a file; 0 or an errno. */
  unlink?(name: string): number;
}

export type FsNode = FsFile | FsDir;

/** A directory whose entries the kernel makes: the body of sysfs and devtmpfs. */
export class PlainDir implements FsDir {
  readonly kind = "dir";
  #entries = new Map<string, FsNode>();

  names(): string[] {
    return [...this.#entries.keys()].sort();
  }

  lookup(name: string): FsNode | undefined {
    return this.#entries.get(name);
  }

  add<T extends FsNode>(name: string, node: T): T {
    this.#entries.set(name, node);
    return node;
  }

  remove(name: string): void {
    this.#entries.delete(name);
  }

  /** The subdirectory of that name, made on first use. */
  dir(name: string): PlainDir {
    const found = this.#entries.get(name);
    return found instanceof PlainDir ? found : this.add(name, new PlainDir());
  }
}

/** The file system tree of one boot. */
export class Vfs {
  readonly root = new PlainDir();

  /** Directory at an absolute path inside the kernel's own tree, made where missing. */
  mkdirs(path: string): PlainDir {
    let dir = this.root;
    for (const part of path.split("/").filter((p) => p !== "")) dir = dir.dir(part);
    return dir;
  }

  /** Mounts a file system on an absolute path. */
  mount(path: string, dir: FsDir): void {
    const parts = path.split("/").filter((p) => p !== "");
    const name = parts.pop() ?? "";
    this.mkdirs(parts.join("/")).add(name, dir);
  }

  /** The node at an absolute path, or ENOENT / ENOTDIR. */
  lookup(path: string): FsNode | number {
    let node: FsNode = this.root;
    for (const part of path.split("/").filter((p) => p !== "")) {
      if (node.kind !== "dir") return -ENOTDIR;
      const next: FsNode | undefined = node.lookup(part);
      if (next === undefined) return -ENOENT;
      node = next;
    }
    return node;
  }

  /** The directory that holds the last component, and that component. */
  parent(path: string): [FsDir, string] | number {
    const parts = path.split("/").filter((p) => p !== "");
    const name = parts.pop();
    if (name === undefined) return -EACCES;
    const dir = this.lookup(parts.join("/"));
    if (typeof dir === "number") return dir;
    return dir.kind === "dir" ? [dir, name] : -ENOTDIR;
  }

  unlink(path: string): number {
    const parent = this.parent(path);
    if (typeof parent === "number") return parent;
    const [dir, name] = parent;
    if (dir.lookup(name) === undefined) return -ENOENT;
    return dir.unlink ? dir.unlink(name) : -EROFS;
  }
}
