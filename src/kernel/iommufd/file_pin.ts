import type { Guestmemfs } from "../fs/guestmemfs/guestmemfs.ts";
import type { Kernel } from "../kernel.ts";
import { nullDereference } from "../oops.ts";

/** How a mapping comes to its end: a range was unmapped, everything was, or it was never made. */
export type Parting = "range" | "all" | "failed";

/** What an IOAS remembers of its files: the last one that was mapped, 0 for none (seed line 1962). */
export interface PinnedFile {
  pinnedFile: number;
}

/**
 * The long-term pin that a mapping has on a guestmemfs file (seed line 1937). There are no struct
 * pages to pin: the file as a whole is, as long as somebody has the memory mapped for DMA. The count
 * lies in the inode, so it outlives the kernel.
 */
export class FilePin {
  private constructor(
    readonly fs: Guestmemfs,
    readonly handle: number,
    readonly ioas: PinnedFile,
  ) {}

  static take(fs: Guestmemfs, handle: number, ioas: PinnedFile): FilePin {
    fs.pin(fs.sb.inode(handle));
    return FilePin.adopt(fs, handle, ioas);
  }

  /** The inode carries this pin already, from before the kexec. */
  static adopt(fs: Guestmemfs, handle: number, ioas: PinnedFile): FilePin {
    ioas.pinnedFile = handle;
    return new FilePin(fs, handle, ioas);
  }

  /** The last area with these pages is gone. */
  drop(how: Parting): void {
    const { kernel } = this.fs;
    // As posted nobody drops it but a range that is unmapped, see unpinRange.
    if (how === "failed" && kernel.has("D80")) return;
    if (how === "range" && kernel.has("D81")) return;
    if (how === "all" && kernel.has("D82")) return;
    this.fs.unpin(kernel.has("D79") ? this.ioas.pinnedFile : this.handle);
  }
}

/** A range of the IOAS was unmapped: as posted that is one pin of its last file (seed line 1962). */
export function unpinRange(kernel: Kernel, { pinnedFile }: PinnedFile): void {
  if (!kernel.has("D81") || pinnedFile === 0) return;
  const fs = kernel.guestmemfs;
  if (fs !== undefined) fs.unpin(pinnedFile);
  else if (kernel.has("D83")) nullDereference("guestmemfs_unpin_file", GUESTMEMFS_SB_FS_INFO);
}

/** Offset of s_fs_info in struct super_block. */
const GUESTMEMFS_SB_FS_INFO = 0x3f8;
