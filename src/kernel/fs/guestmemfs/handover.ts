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
  readNumber,
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
  const mapped = fs.allInodes().filter((i) => i.mappings !== 0);
  const table = fs.tabulate(mapped.map((i) => i.ino));
  if (table < 0) return NOTIFY_BAD;
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
  err |= memProperty(fdt, mapped.map((i) => ({ address: i.mappings, length: PAGE_SIZE })));
  err |= fdt.endNode();
  err |= fdt.beginNode("mappings_to_inode");
  err |= memProperty(fdt, [{ address: table, length: tableBytes(mapped.length) }]);
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
  const toInode = fdt.path("/guestmemfs/mappings_to_inode");
  const table = readMem(fdt, toInode);
  if (structures.length !== 3) {
    kernel.dmesg.err("guestmemfs: handed-over file system has no super block");
    return undefined;
  }
  const count = readNumber(fdt, toInode, "num_inodes");
  if (table.length !== 1 || count !== mappings.length || table[0].length < tableBytes(count)) {
    kernel.dmesg.err("guestmemfs: handed-over blocks belong to no files");
    return undefined;
  }
  const all = [...structures, ...mappings, ...table];
  if (!kernel.kho.claim(all, FrameUse.kernel, "guestmemfs")) return undefined;
  const sb = new L.SuperBlock(kernel.machine.memory, structures[0].address);
  const fs = new Guestmemfs(kernel, range.base, range.size, sb);
  dropLost(fs, new Set(mappings.map((m) => m.address)));
  // Whose the blocks are the inodes say themselves, and they outlive an older dump.
  kernel.pages.freeRange(table[0].address / PAGE_SIZE, table[0].length / PAGE_SIZE);
  return fs;
}

/** Bytes of the table of so many inode numbers: whole pages, one at least. */
function tableBytes(count: number): number {
  return Math.max(1, Math.ceil(4 * count / PAGE_SIZE)) * PAGE_SIZE;
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
  const owned = fs.blocksOfFiles();
  for (let b = 0; b < fs.blocks; b++) if (owned[b] === 0) fs.sb.setBlockUsed(b, false);
}
