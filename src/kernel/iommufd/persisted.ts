import * as E from "../../uapi/errno.ts";
import { sysfsFile } from "../fs/sysfs.ts";
import type { FsDir, FsFile, OpenFile, PlainDir } from "../fs/vfs.ts";
import { PlainDir as Dir } from "../fs/vfs.ts";
import type { Kernel } from "../kernel.ts";
import type { Task } from "../process/task.ts";

/** Where the handles are in sysfs (seed line 1142), and where the file system of them belongs. */
const SYSFS = "/sys/kernel/iommufd_persisted";
export const PERSISTED_MOUNT = "/sys/fs/iommufd_persisted";

/** What gives a descriptor to the process that asks for it, or an errno. */
export type Handle = (task: Task) => OpenFile | number;

/**
 * The handles of what the previous kernel handed over, in two forms with one meaning (seed lines
 * 1014-1023): files in sysfs, which make a descriptor when they are read and print its number, and a
 * file system in which a handle is opened like any file.
 */
export class PersistedHandles {
  readonly #fs = new Dir();

  constructor(readonly kernel: Kernel) {}

  /** What a mount of the file system shows. */
  get root(): FsDir {
    return this.#fs;
  }

  /** `path`: below the root, `1/iommufd`. */
  add(path: string, handle: Handle): void {
    const show = (task: Task) => {
      const file = handle(task);
      return typeof file === "number" ? file : `${task.installFd(file)}\n`;
    };
    const open: FsFile = { kind: "file", open: (task) => handle(task) };
    this.#place(path, sysfsFile({ show }), open);
  }

  /** A file that does something when 1 is written to it: what `act` answers, EINVAL for others. */
  addAction(path: string, act: () => number): void {
    const file = sysfsFile({ store: (text) => text.trim() === "1" ? act() : -E.EINVAL });
    this.#place(path, file, file);
  }

  /** The directory of an id goes, with everything in it. */
  remove(id: number): void {
    this.kernel.vfs.mkdirs(SYSFS).remove(String(id));
    this.#fs.remove(String(id));
  }

  #place(path: string, inSysfs: FsFile, inFs: FsFile): void {
    const parts = path.split("/"), name = parts.pop() as string;
    const below = (dir: PlainDir) => parts.reduce((at, part) => at.dir(part), dir);
    below(this.kernel.vfs.mkdirs(SYSFS)).add(name, inSysfs);
    below(this.#fs).add(name, inFs);
  }
}
