import { EBADF } from "../../uapi/errno.ts";
import type { Message } from "../../uapi/sys.ts";
import type { OpenFile } from "../fs/vfs.ts";
import { AddressSpace } from "./address_space.ts";
import { type Credentials, DEFAULT_MEMLOCK } from "./user.ts";

/** A process: descriptors, memory, and the messages its operator sent. */
export class Task {
  readonly inbox: Message[] = [];
  #files: (OpenFile | undefined)[] = [];
  /** undefined while it runs. */
  exitStatus: number | undefined;
  /** What the program last told the service manager. */
  status = "";

  /** Bytes of memory it may lock, and how far it may raise that itself (RLIMIT_MEMLOCK). */
  memlock = { soft: DEFAULT_MEMLOCK, hard: DEFAULT_MEMLOCK };

  constructor(
    readonly pid: number,
    readonly comm: string,
    readonly cred: Credentials,
    readonly mm = new AddressSpace(),
  ) {}

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

  /** exit(2): descriptors close in order, then memory goes. A kexec does not come by here. */
  exit(status: number): void {
    this.exitStatus = status;
    for (const [fd] of this.fds) this.close(fd);
    this.mm.destroy();
  }
}
