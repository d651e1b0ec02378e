/**
 * The system call interface: everything a program can do to the world. Calls answer a value >= 0
 * or a negative errno. Addresses and offsets are byte numbers below 2^53.
 */

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;

export const LINUX_REBOOT_CMD_KEXEC = 0x45584543;
export const KEXEC_FILE_UNLOAD = 1;

/** struct statfs, as far as a program here needs it. */
export interface Statfs {
  /** Bytes of a block; the next three count blocks. */
  readonly bsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  /** Inodes, and how many of them are free. */
  readonly files: number;
  readonly ffree: number;
  /** Longest name, bytes. */
  readonly namelen: number;
}

/** A processor in guest mode: memory as the guest sees it, guest-physical byte addresses. */
export interface VcpuMemory {
  /** `gpa` must be 4-byte aligned. Throws where nothing is mapped: the guest would triple-fault. */
  load32(gpa: number): number;
  store32(gpa: number, value: number): void;
  /** A run of words at once, all of it inside one page. */
  loadWords(gpa: number, into: Uint32Array): void;
  storeWords(gpa: number, words: Uint32Array): void;
}

/** Seals of a memfd: no more seals, no smaller, no larger. */
export const F_SEAL_SEAL = 1;
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;

/** The message a management client sends a program, e.g. over its monitor socket. */
export type Message = string;

export interface Sys {
  readonly pid: number;
  /** Name of the program, as in /proc/<pid>/comm. */
  readonly comm: string;

  open(path: string, flags: number): number;
  close(fd: number): number;
  /** Reads from the file position. The bytes, or a negative errno. */
  read(fd: number, length: number): Uint8Array | number;
  write(fd: number, bytes: Uint8Array): number;
  /** Like read and write, at an offset of the caller's. */
  pread(fd: number, length: number, offset: number): Uint8Array | number;
  pwrite(fd: number, bytes: Uint8Array, offset: number): number;
  /** Names in a directory, sorted, or a negative errno. */
  readdir(path: string): string[] | number;
  unlink(path: string): number;
  mkdir(path: string): number;
  rename(from: string, to: string): number;
  link(from: string, to: string): number;
  setxattr(path: string, name: string, value: string): number;
  statfs(path: string): Statfs | number;
  /** Mounts a file system of a type on a directory. `options`: words with commas between them. */
  mount(type: string, target: string, options: string): number;
  ftruncate(fd: number, size: number): number;
  /** Size in bytes of an open file, or a negative errno. */
  fsize(fd: number): number;
  /** As with MFD_ALLOW_SEALING. */
  memfdCreate(name: string): number;
  /** fcntl F_ADD_SEALS. EINVAL: no memfd, or no such seal; EPERM: sealed against it, or read-only. */
  addSeals(fd: number, seals: number): number;
  /** A new eventfd, as with EFD_NONBLOCK. `count`: what it starts at, below 2^32. */
  eventfd(count: number): number;
  /**
   * Address of the mapping, or a negative errno. `offset` and `length` in bytes. `address`: where
   * it must be, with MAP_FIXED; what was mapped there is not any more.
   */
  mmap(
    length: number,
    prot: number,
    flags: number,
    fd: number,
    offset: number,
    address?: number,
  ): number;
  munmap(address: number, length: number): number;
  /** Keeps pages in memory, though not in place. ENOMEM: not mapped, or beyond RLIMIT_MEMLOCK. */
  mlock(address: number, length: number): number;
  /** Changes the user; root loses every capability with it. EPERM for anybody but root. */
  setuid(uid: number): number;
  /** Gives up a capability (CAP_…, by number) for good. */
  dropCapability(capability: number): number;
  /**
   * Bytes of memory the process may lock (RLIMIT_MEMLOCK), soft and hard. EINVAL for a soft limit
   * above the hard one, EPERM to raise the hard one without CAP_SYS_RESOURCE.
   */
  setMemlock(soft: number, hard: number): number;
  /** The payload is the real structure in bytes; the reply is written back over it. */
  ioctl(fd: number, command: number, payload: Uint8Array): number;
  /** For ioctls that take a number instead of a structure. */
  ioctlValue(fd: number, command: number, value: number): number;
  /** Loads the next kernel (kexec_file_load). `image`: name of a kernel image. */
  kexecFileLoad(image: string, flags: number): number;
  /** kexec_load, the older call: the caller brings the segments, and no KHO data goes along. */
  kexecLoad(image: string): number;
  /** Jumps into the loaded kernel; answers only when it fails. */
  reboot(command: number): number;

  /** Loads and stores of the program itself, 4-byte aligned user addresses. SIGSEGV throws. */
  load32(address: number): number;
  store32(address: number, value: number): void;
  copyIn(address: number, length: number): Uint8Array;
  copyOut(address: number, bytes: Uint8Array): void;
  /** Guest memory through a vCPU file descriptor. */
  vcpu(fd: number): VcpuMemory;

  /** A further thread of this process: it shares memory and descriptors. Its id. */
  clone(program: Program): number;

  /** Virtual nanoseconds (CLOCK_MONOTONIC does not survive a kexec here either: since boot). */
  now(): number;
  /** The next message for this program, or undefined. */
  receive(): Message | undefined;
  /** A line for the operator, like a log line on stderr. */
  log(text: string): void;
  /** Tells the service manager how far the program is (sd_notify), e.g. "ready", "paused". */
  notify(status: string): void;
}

/** A program: yields the nanoseconds it wants to sleep; its return value is the exit status. */
export type Program = (sys: Sys) => Generator<number, number, void>;

/** A task did not come back from a system call: the kernel killed it, or has stopped altogether. */
export class TaskKilled extends Error {
  override name = "TaskKilled";
}

/** Thrown into a program that touches memory it has not mapped. */
export class SegmentationFault extends Error {
  override name = "SegmentationFault";
  constructor(readonly address: number) {
    super(`segmentation fault at 0x${address.toString(16)}`);
  }
}
