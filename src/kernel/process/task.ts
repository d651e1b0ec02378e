import { EBADF } from "../../uapi/errno.ts";
import type { Message } from "../../uapi/sys.ts";
import type { OpenFile } from "../fs/vfs.ts";
import { AddressSpace } from "./address_space.ts";
import { type Credentials, DEFAULT_MEMLOCK } from "./user.ts";

/** What the threads of a process share. */
class Process {
  readonly files: (OpenFile | undefined)[] = [];
  threads = 0;

  constructor(readonly mm: AddressSpace) {}
}

/** A process, or a further thread of one: descriptors, memory, and what its operator sent it. */
export class Task {
  readonly #process: Process;
  readonly inbox: Message[] = [];
  /** undefined while it runs. */
  exitStatus: number | undefined;
  /** What the program last told the service manager. */
  status = "";

  /** Bytes of memory it may lock, and how far it may raise that itself (RLIMIT_MEMLOCK). */
  memlock = { soft: DEFAULT_MEMLOCK, hard: DEFAULT_MEMLOCK };

  /** `of`: the memory of a new process, or a thread of the process that this one belongs to. */
  constructor(
    readonly pid: number,
    readonly comm: string,
    readonly cred: Credentials,
    of: AddressSpace | Task = new AddressSpace(),
  ) {
    this.#process = of instanceof Task ? of.#process : new Process(of);
    this.#process.threads++;
  }

  get mm(): AddressSpace {
    return this.#process.mm;
  }

  get #files(): (OpenFile | undefined)[] {
    return this.#process.files;
  }

  /** Both are threads of one process. */
  isThreadOf(other: Task): boolean {
    return this.#process === other.#process;
  }

  /** Installs a file at the lowest free descriptor. */
  installFd(file: OpenFile): number {
    let fd = this.#files.indexOf(undefined, 3);
    if (fd < 3) fd = Math.max(3, this.#files.length);
    while (this.#files.length < fd) this.#files.push(undefined);
    this.#files[fd] = file;
    return fd;
  }

  /** The file behind a descriptor. */
  file(fd: number): OpenFile | undefined {
    return fd < 0 ? undefined : this.#files[fd];
  }

  close(fd: number): number {
    const file = this.file(fd);
    if (file === undefined) return -EBADF;
    this.#files[fd] = undefined;
    file.put();
    return 0;
  }

  /** Open descriptors, ascending. */
  get fds(): [number, OpenFile][] {
    const open: [number, OpenFile][] = [];
    this.#files.forEach((file, fd) => file && open.push([fd, file]));
    return open;
  }

  /** Puts another file behind a descriptor that is open; the old one is not closed. */
  replaceFile(fd: number, file: OpenFile): void {
    this.#files[fd] = file;
  }

  /**
   * exit(2): with the last thread descriptors close in order, then memory goes. A kexec does not
   * come by here.
   */
  exit(status: number): void {
    this.exitStatus = status;
    if (--this.#process.threads > 0) return;
    for (const [fd] of this.fds) this.close(fd);
    this.mm.destroy();
  }
}
