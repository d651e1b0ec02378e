import { PAGE_SIZE } from "../../../base/units.ts";
import type { FdtWriter } from "../../../fdt/mod.ts";
import { FrameUse } from "../../mm/frames.ts";
import type { Kernel } from "../../kernel.ts";
import {
  KEXEC_KHO_DUMP,
  type KhoCommand,
  memProperty,
  NOTIFY_BAD,
  NOTIFY_DONE,
  readMem,
} from "../../kho/abi.ts";
import { Guestmemfs } from "./guestmemfs.ts";
import * as L from "./layout.ts";

/** Low bit of a "mem" address: the range has no struct pages (FACTS 6.1). */
const NOINIT = 1;

/** The guestmemfs subscriber of the KHO notifier chain (FACTS 5.4). */
export function guestmemfsNotify(fs: Guestmemfs, command: KhoCommand, fdt: FdtWriter): number {
  if (command !== KEXEC_KHO_DUMP) {
    fs.thaw();
    return NOTIFY_DONE;
  }
  const files = fs.allInodes();
  let err = 0;
  err |= fdt.beginNode("guestmemfs");
  err |= fdt.propString("compatible", "guestmemfs-v1");
  err |= fdt.beginNode("fs_mem");
  err |= memProperty(fdt, [{ address: fs.base + NOINIT, length: fs.size }]);
  err |= fdt.endNode();
  err |= fdt.beginNode("superblock");
  err |= memProperty(fdt, [
    { address: fs.sb.address, length: PAGE_SIZE },
    { address: fs.sb.inodes, length: L.INODES_BYTES },
    { address: fs.sb.bitmap, length: L.BITMAP_BYTES },
  ]);
  err |= fdt.endNode();
  err |= fdt.beginNode("mappings_blocks");
  const mapped = files.filter((i) => i.mappings !== 0);
  err |= memProperty(fdt, mapped.map((i) => ({ address: i.mappings, length: PAGE_SIZE })));
  err |= fdt.endNode();
  err |= fdt.beginNode("mappings_to_inode");
  err |= fdt.propU32("num_inodes", mapped.length);
  err |= fdt.endNode();
  err |= fdt.endNode();
  if (err !== 0) return NOTIFY_BAD;
  fs.serialised = true;
  return NOTIFY_DONE;
}

/** The range the previous kernel kept its guests in, if it handed one over. */
export function handedOverRange(kernel: Kernel): { base: number; size: number } | undefined {
  const fdt = kernel.kho.incoming;
  if (fdt === undefined) return undefined;
  const node = fdt.path("/guestmemfs/fs_mem");
  if (node < 0) return undefined;
  const [range] = readMem(fdt, node);
  return range && { base: range.address - range.address % PAGE_SIZE, size: range.length };
}

/**
 * Takes the file system over from the previous kernel at mount time: the structures are claimed,
 * the files and their pins are as they were. Undefined when there is nothing usable.
 */
export function restoreGuestmemfs(kernel: Kernel): Guestmemfs | undefined {
  const fdt = kernel.kho.incoming;
  const range = handedOverRange(kernel);
  if (fdt === undefined || range === undefined) return undefined;
  const root = fdt.path("/guestmemfs");
  const compatible = fdt.getprop(root, "compatible");
  const name = compatible && new TextDecoder().decode(compatible);
  if (name !== "guestmemfs-v1\0") {
    kernel.dmesg.err("guestmemfs: handed-over file system is of an unknown version");
    return undefined;
  }
  const structures = readMem(fdt, fdt.path("/guestmemfs/superblock"));
  const mappings = readMem(fdt, fdt.path("/guestmemfs/mappings_blocks"));
  if (structures.length !== 3) {
    kernel.dmesg.err("guestmemfs: handed-over file system has no super block");
    return undefined;
  }
  if (!kernel.kho.claim([...structures, ...mappings], FrameUse.kernel, "guestmemfs")) {
    return undefined;
  }
  const sb = new L.SuperBlock(kernel.machine.memory, structures[0].address);
  const fs = new Guestmemfs(kernel, range.base, range.size, sb);
  dropLost(fs, new Set(mappings.map((m) => m.address)));
  return fs;
}

/**
 * A dump may be older than the inodes: the image was loaded, KHO switched off, and a file changed
 * (FACTS 6.1). The block numbers of such a file lay in memory that is somebody else's now: the file
 * is empty, and its blocks are free.
 */
function dropLost(fs: Guestmemfs, handedOver: ReadonlySet<number>): void {
  const lost = fs.allInodes().filter((i) => i.mappings !== 0 && !handedOver.has(i.mappings));
  if (lost.length === 0) return;
  for (const inode of lost) {
    fs.kernel.dmesg.err(`guestmemfs: ${inode.name}: its blocks were not handed over`);
    inode.mappings = 0;
    inode.numMappings = 0;
  }
  const owned = new Set<number>();
  for (const inode of fs.allInodes()) {
    for (let i = 0; i < inode.numMappings; i++) owned.add(inode.block(i));
  }
  for (let b = 0; b < fs.blocks; b++) if (!owned.has(b)) fs.sb.setBlockUsed(b, false);
}
