import { PAGE_SIZE } from "../base/units.ts";
import * as E from "../uapi/errno.ts";
import {
  LINUX_REBOOT_CMD_KEXEC,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_SHARED,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  type Program,
  PROT_WRITE,
  SegmentationFault,
  type Statfs,
  type Sys,
  type VcpuMemory,
} from "../uapi/sys.ts";
import { EventFd } from "./fs/eventfd.ts";
import { mount } from "./fs/mount.ts";
import { MAY_EXEC, MAY_READ, MAY_WRITE, permits, wantOf } from "./fs/permissions.ts";
import type { FsDir } from "./fs/vfs.ts";
import { MemfdFile } from "./fs/memfd.ts";
import type { Kernel } from "./kernel.ts";
import { KvmVcpuFile } from "./kvm.ts";
import { AnonBacking } from "./process/address_space.ts";
import type { Task } from "./process/task.ts";
import {
  CAP_IPC_LOCK,
  CAP_SETUID,
  CAP_SYS_ADMIN,
  CAP_SYS_BOOT,
  CAP_SYS_RESOURCE,
} from "../uapi/capability.ts";
import { copyFromUser, copyToUser } from "./process/user_copy.ts";

/** The system calls, for one task: arguments in, value or negative errno out. */
export class Syscalls implements Sys {
  constructor(readonly kernel: Kernel, readonly task: Task) {}

  get pid(): number {
    return this.task.pid;
  }
  get comm(): string {
    return this.task.comm;
  }

  open(path: string, flags: number): number {
    const parent = this.kernel.vfs.parent(path);
    if (this.#refused(parent, MAY_EXEC)) return -E.EACCES;
    let node = typeof parent === "number"
      ? this.kernel.vfs.lookup(path)
      : parent[0].lookup(parent[1]) ?? -E.ENOENT;
    if (node === -E.ENOENT && flags & O_CREAT) {
      if (typeof parent === "number") return parent;
      if (this.#refused(parent, MAY_WRITE)) return -E.EACCES;
      node = parent[0].create?.(parent[1]) ?? -E.EACCES;
    } else if (typeof node !== "number") {
      if (flags & O_CREAT && flags & O_EXCL) return -E.EEXIST;
      if (!permits(this.task.cred, node, wantOf(flags))) return -E.EACCES;
    }
    if (typeof node === "number") return node;
    if (node.kind === "dir") return -E.EISDIR;
    const file = node.open(this.task, flags);
    if (typeof file === "number") return file;
    file.access = flags & 3;
    return this.task.installFd(file);
  }

  /** The directory of a path does not let the process do that. */
  #refused(parent: [FsDir, string] | number, want: number): boolean {
    return typeof parent !== "number" && !permits(this.task.cred, parent[0], want);
  }

  /** EACCES where the directory of one of the paths cannot be changed by the process. */
  #change(paths: readonly string[], run: () => number): number {
    const { vfs } = this.kernel;
    const want = MAY_WRITE | MAY_EXEC;
    return paths.some((p) => this.#refused(vfs.parent(p), want)) ? -E.EACCES : run();
  }

  close(fd: number): number {
    return this.task.close(fd);
  }

  read(fd: number, length: number): Uint8Array | number {
    const file = this.task.file(fd);
    if (file === undefined || file.access === O_WRONLY) return -E.EBADF;
    return file.read?.(this.task, length) ?? -E.EINVAL;
  }

  write(fd: number, bytes: Uint8Array): number {
    const file = this.task.file(fd);
    if (file === undefined || file.access === O_RDONLY) return -E.EBADF;
    return file.write?.(this.task, bytes) ?? -E.EINVAL;
  }

  pread(fd: number, length: number, offset: number): Uint8Array | number {
    return this.#at(fd, offset, () => this.read(fd, length));
  }

  pwrite(fd: number, bytes: Uint8Array, offset: number): number {
    return this.#at(fd, offset, () => this.write(fd, bytes)) as number;
  }

  #at<T>(fd: number, offset: number, run: () => T): T | number {
    const file = this.task.file(fd);
    if (file === undefined) return -E.EBADF;
    const before = file.position;
    file.position = offset;
    const result = run();
    file.position = before;
    return result;
  }

  readdir(path: string): string[] | number {
    const node = this.kernel.vfs.lookup(path);
    if (typeof node === "number") return node;
    if (node.kind !== "dir") return -E.ENOTDIR;
    return permits(this.task.cred, node, MAY_READ) ? node.names() : -E.EACCES;
  }

  unlink(path: string): number {
    return this.#change([path], () => this.kernel.vfs.unlink(path));
  }

  mkdir(path: string): number {
    return this.#change([path], () => this.kernel.vfs.mkdir(path));
  }

  rename(from: string, to: string): number {
    return this.#change([from, to], () => this.kernel.vfs.rename(from, to));
  }

  link(from: string, to: string): number {
    return this.#change([to], () => this.kernel.vfs.link(from, to));
  }

  setxattr(path: string, _name: string, _value: string): number {
    const node = this.kernel.vfs.lookup(path);
    return typeof node === "number" ? node : -E.EOPNOTSUPP;
  }

  statfs(path: string): Statfs | number {
    return this.kernel.vfs.statfs(path);
  }

  mount(type: string, target: string, options: string): number {
    if (!this.task.cred.capable(CAP_SYS_ADMIN)) return -E.EPERM;
    return mount(this.kernel, type, target, options);
  }

  ftruncate(fd: number, size: number): number {
    const file = this.task.file(fd);
    if (file === undefined) return -E.EBADF;
    if (file.access === O_RDONLY) return -E.EINVAL;
    return file.truncate?.(size) ?? -E.EINVAL;
  }

  fsize(fd: number): number {
    const file = this.task.file(fd);
    if (file === undefined) return -E.EBADF;
    return file.size?.() ?? -E.EINVAL;
  }

  memfdCreate(name: string): number {
    return this.task.installFd(new MemfdFile(name, this.kernel.userPages));
  }

  addSeals(fd: number, seals: number): number {
    const file = this.task.file(fd);
    if (file === undefined) return -E.EBADF;
    if (!(file instanceof MemfdFile)) return -E.EINVAL;
    return file.access === O_RDONLY ? -E.EPERM : file.addSeals(seals);
  }

  eventfd(count: number): number {
    return this.task.installFd(new EventFd(count));
  }

  mmap(
    length: number,
    prot: number,
    flags: number,
    fd: number,
    offset: number,
    address = 0,
  ): number {
    if (length <= 0 || offset < 0 || offset % PAGE_SIZE !== 0) return -E.EINVAL;
    const fixed = (flags & MAP_FIXED) !== 0 ? address : undefined;
    // The lowest page is kept free, so that NULL is nobody's memory (vm.mmap_min_addr).
    if (fixed !== undefined && (fixed % PAGE_SIZE !== 0 || fixed < PAGE_SIZE)) return -E.EINVAL;
    const writable = (prot & PROT_WRITE) !== 0;
    const { mm } = this.task;
    if (flags & MAP_ANONYMOUS) {
      return mm.map(length, writable, new AnonBacking(this.kernel.userPages), 0, fixed);
    }
    const file = this.task.file(fd);
    if (file === undefined) return -E.EBADF;
    const shared = (flags & MAP_SHARED) !== 0;
    // A mapping reads, and one that is shared writes to the file.
    if (file.access === O_WRONLY || (shared && writable && file.access !== O_RDWR)) {
      return -E.EACCES;
    }
    const backing = file.mmap?.(offset, length, shared) ?? -E.ENODEV;
    if (typeof backing === "number") return backing;
    return mm.map(length, writable, backing, offset / PAGE_SIZE % 2 ** 28, fixed);
  }

  munmap(address: number, length: number): number {
    if (address % PAGE_SIZE !== 0 || length <= 0) return -E.EINVAL;
    this.task.mm.unmap(address, length);
    return 0;
  }

  mlock(address: number, length: number): number {
    const { mm, cred, memlock } = this.task;
    const limit = cred.capable(CAP_IPC_LOCK) ? Infinity : memlock.soft;
    return limit === 0 ? -E.EPERM : mm.lock(address, length, limit);
  }

  setuid(uid: number): number {
    const { cred } = this.task;
    if (!cred.capable(CAP_SETUID)) return -E.EPERM;
    cred.user = this.kernel.scheduler.users.get(uid);
    return 0;
  }

  dropCapability(capability: number): number {
    this.task.cred.drop(capability);
    return 0;
  }

  setMemlock(soft: number, hard: number): number {
    if (soft > hard) return -E.EINVAL;
    const { task } = this;
    if (hard > task.memlock.hard && !task.cred.capable(CAP_SYS_RESOURCE)) return -E.EPERM;
    task.memlock = { soft, hard };
    return 0;
  }

  ioctl(fd: number, command: number, payload: Uint8Array): number {
    const file = this.task.file(fd);
    if (file === undefined) return -E.EBADF;
    this.kernel.costs.ioctls++;
    return file.ioctl?.(this.task, command, payload) ?? -E.ENOTTY;
  }

  ioctlValue(fd: number, command: number, value: number): number {
    const file = this.task.file(fd);
    if (file === undefined) return -E.EBADF;
    return file.ioctlValue?.(this.task, command, value) ?? -E.ENOTTY;
  }

  kexecFileLoad(image: string, flags: number): number {
    return this.#mayBoot ? this.kernel.kexec.fileLoad(image, flags) : -E.EPERM;
  }

  kexecLoad(image: string): number {
    return this.#mayBoot ? this.kernel.kexec.load(image) : -E.EPERM;
  }

  reboot(command: number): number {
    if (!this.#mayBoot) return -E.EPERM;
    return command === LINUX_REBOOT_CMD_KEXEC ? this.kernel.kexecReboot() : -E.EINVAL;
  }

  get #mayBoot(): boolean {
    return this.task.cred.capable(CAP_SYS_BOOT);
  }

  load32(address: number): number {
    const register = this.task.mm.register(address);
    if (register >= 0) return this.kernel.machine.bus.read32(register) | 0;
    const pfn = this.task.mm.translate(address);
    if (pfn < 0) throw new SegmentationFault(address);
    return this.kernel.machine.memory.load(pfn, (address % PAGE_SIZE) >>> 2);
  }

  store32(address: number, value: number): void {
    const register = this.task.mm.register(address);
    if (register >= 0) {
      if (!this.task.mm.find(address)?.writable) throw new SegmentationFault(address);
      this.kernel.machine.bus.write32(register, value);
      return;
    }
    const pfn = this.task.mm.translate(address);
    if (pfn < 0 || !this.task.mm.find(address)?.writable) throw new SegmentationFault(address);
    this.kernel.machine.memory.store(pfn, (address % PAGE_SIZE) >>> 2, value);
  }

  copyIn(address: number, length: number): Uint8Array {
    const bytes = copyFromUser(this.kernel.machine.memory, this.task.mm, address, length);
    if (bytes === undefined) throw new SegmentationFault(address);
    return bytes;
  }

  copyOut(address: number, bytes: Uint8Array): void {
    if (!copyToUser(this.kernel.machine.memory, this.task.mm, address, bytes)) {
      throw new SegmentationFault(address);
    }
  }

  vcpu(fd: number): VcpuMemory {
    const file = this.task.file(fd);
    if (!(file instanceof KvmVcpuFile)) throw new SegmentationFault(0);
    return file.vm.guest;
  }

  clone(program: Program): number {
    return this.kernel.scheduler.spawnThread(this.task, program).pid;
  }

  now(): number {
    return this.kernel.uptime;
  }

  receive(): string | undefined {
    return this.task.inbox.shift();
  }

  log(text: string): void {
    this.kernel.console(`${this.task.comm}[${this.task.pid}]: ${text}`);
  }

  notify(status: string): void {
    this.task.status = status;
    this.kernel.machine.poke();
  }
}
