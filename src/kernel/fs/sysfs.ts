import { EACCES, EIO } from "../../uapi/errno.ts";
import { O_RDONLY, O_WRONLY } from "../../uapi/sys.ts";
import type { Task } from "../process/task.ts";
import { type FsFile, OpenFile } from "./vfs.ts";

/** What a sysfs attribute does. Both sides get the calling task, as the kernel's `current`. */
export interface Attribute {
  /** The text of the file, raw bytes, or a negative errno. */
  show?(task: Task): string | Uint8Array | number;
  /** Takes what was written; 0 or a negative errno. */
  store?(text: string, task: Task): number;
}

/**
 * A file in sysfs. `show` runs once for each pass from the start, as seq_file does. Everybody may
 * read what it shows and root write what it takes, unless `mode` says otherwise.
 */
export function sysfsFile(attribute: Attribute, mode?: number): FsFile {
  const usual = (attribute.show ? 0o444 : 0) | (attribute.store ? 0o200 : 0);
  return {
    kind: "file",
    mode: mode ?? usual,
    open(_task, flags) {
      const access = flags & 3;
      if (access !== O_WRONLY && attribute.show === undefined) return -EACCES;
      if (access !== O_RDONLY && attribute.store === undefined) return -EACCES;
      return new SysfsFile(attribute);
    },
  };
}

class SysfsFile extends OpenFile {
  /** What it showed last; undefined before the first read. */
  #bytes: Uint8Array | undefined;

  constructor(readonly attribute: Attribute) {
    super();
  }

  override read(task: Task, length: number): Uint8Array | number {
    if (this.position === 0 || this.#bytes === undefined) {
      const shown = this.attribute.show?.(task) ?? -EIO;
      if (typeof shown === "number") return shown;
      this.#bytes = typeof shown === "string" ? new TextEncoder().encode(shown) : shown;
    }
    const part = this.#bytes.slice(this.position, this.position + length);
    this.position += part.length;
    return part;
  }

  override write(task: Task, bytes: Uint8Array): number {
    const rc = this.attribute.store?.(new TextDecoder().decode(bytes), task) ?? -EIO;
    return rc < 0 ? rc : bytes.length;
  }
}
