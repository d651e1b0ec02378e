import { PAGE_SIZE } from "../../base/units.ts";
import { CAP_SYS_ADMIN } from "../../uapi/capability.ts";
import { EINVAL } from "../../uapi/errno.ts";
import type { Kernel } from "../kernel.ts";
import type { AddressSpace } from "../process/address_space.ts";
import type { Task } from "../process/task.ts";
import { sysfsFile } from "./sysfs.ts";
import { OpenFile } from "./vfs.ts";

/** Bytes of a pagemap entry. */
const ENTRY = 8;
/** Bits of its high word: the page is there; it belongs to a file or is shared. */
const PRESENT = 2 ** 31, SHARED = 2 ** 29;

/** The files of /proc that programs here use. */
export function makeProcfs(kernel: Kernel): void {
  const { vfs } = kernel;
  vfs.mkdirs("/proc/sys/vm").add("compact_memory", sysfsFile({ store: compactMemory(kernel) }));
  const tainted = sysfsFile({ show: () => `${kernel.taint}\n` });
  vfs.mkdirs("/proc/sys/kernel").add("tainted", tainted);
  vfs.mkdirs("/proc/self").add("pagemap", {
    kind: "file",
    open: (task) => new PagemapFile(task.mm, task.cred.capable(CAP_SYS_ADMIN)),
  });
}

/** Writing 1 compacts all memory. EINVAL for another value. */
function compactMemory(kernel: Kernel): (text: string) => number {
  return (text) => {
    if (text.trim() !== "1") return -EINVAL;
    kernel.compaction.run();
    return 0;
  };
}

/**
 * /proc/self/pagemap: 64 bits for each page of the process's address space, from address 0 on. The
 * frame number is in it for who has CAP_SYS_ADMIN, 0 for others. It is true when it is read, and
 * nothing makes it stay so: user drivers that took DMA addresses from here had to hope (seed lines
 * 3283-3287, FACTS 2.3).
 */
class PagemapFile extends OpenFile {
  constructor(readonly mm: AddressSpace, readonly showFrames: boolean) {
    super();
  }

  /** EINVAL unless position and length are whole entries. */
  override read(_task: Task, length: number): Uint8Array | number {
    if (this.position % ENTRY !== 0 || length % ENTRY !== 0) return -EINVAL;
    const bytes = new Uint8Array(length), view = new DataView(bytes.buffer);
    for (let at = 0; at < length; at += ENTRY) {
      this.#put(view, at, (this.position + at) / ENTRY * PAGE_SIZE);
    }
    this.position += length;
    return bytes;
  }

  #put(view: DataView, at: number, address: number): void {
    const vma = this.mm.find(address);
    if (vma === undefined) return;
    const pfn = this.mm.present(address);
    if (pfn < 0) return;
    const shared = vma.backing.kind === "anon" ? 0 : SHARED;
    view.setUint32(at, this.showFrames ? pfn : 0, true);
    view.setUint32(at + 4, PRESENT + shared, true);
  }
}
