import * as E from "../../uapi/errno.ts";
import type { Kernel } from "../kernel.ts";
import { Guestmemfs } from "./guestmemfs/guestmemfs.ts";
import { guestmemfsNotify, handedOverRange, restoreGuestmemfs } from "./guestmemfs/handover.ts";

/**
 * mount(2). ENOENT, ENOTDIR: the target is no directory; ENODEV: no such type of file system;
 * EINVAL: an option (guestmemfs takes none); ENOMEM: no memory was set aside, or what the previous
 * kernel handed over cannot be taken; EBUSY: it is mounted there already.
 */
export function mount(kernel: Kernel, type: string, target: string, options: string): number {
  const at = kernel.vfs.lookup(target);
  if (typeof at === "number") return at;
  if (type === "iommufd_persisted" && kernel.design.inherits) {
    return options === ""
      ? kernel.vfs.mountOver(target, kernel.iommufd.heirs.handles.root)
      : -E.EINVAL;
  }
  if (type !== "guestmemfs" || !kernel.image.kho) return -E.ENODEV;
  if (options !== "") return -E.EINVAL;
  const fs = guestmemfs(kernel);
  return fs === undefined ? -E.ENOMEM : kernel.vfs.mountOver(target, fs);
}

/**
 * The one guestmemfs there is, every mount shows the same (FACTS 5.1). The first one makes it: from
 * what was handed over (5.4: restored at mount time), else empty.
 */
export function guestmemfs(kernel: Kernel): Guestmemfs | undefined {
  const { dmesg, kho, guestRange } = kernel;
  if (kernel.guestmemfs !== undefined || guestRange === undefined) return kernel.guestmemfs;
  const handedOver = handedOverRange(kernel) !== undefined;
  const fs = handedOver
    ? restoreGuestmemfs(kernel)
    : Guestmemfs.format(kernel, guestRange.base, guestRange.size);
  if (fs === undefined) {
    dmesg.err("guestmemfs: cannot be mounted");
    return undefined;
  }
  kernel.guestmemfs = fs;
  kernel.iommufd.adoptFiles(fs);
  // Whoever had an unlinked file open was of the previous kernel.
  fs.settle();
  kho.register("guestmemfs", (command, fdt) => guestmemfsNotify(fs, command, fdt));
  const files = fs.inodes().length;
  dmesg.info(`guestmemfs: mounted${handedOver ? `, ${files} files from before` : ""}`);
  return fs;
}
