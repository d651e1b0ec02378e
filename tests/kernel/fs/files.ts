import assert from "node:assert/strict";
import type { Guestmemfs } from "../../../src/kernel/fs/guestmemfs/guestmemfs.ts";
import type { PersistedInode } from "../../../src/kernel/fs/guestmemfs/layout.ts";
import { KernelRig, type RigOptions } from "../rig.ts";

export const MOUNT = "/mnt/guestmemfs";

/** A kernel, and its guestmemfs. */
export function start(options?: RigOptions): { rig: KernelRig; fs: Guestmemfs } {
  const rig = new KernelRig(options);
  return { rig, fs: rig.kernel.guestmemfs as Guestmemfs };
}

export function create(fs: Guestmemfs, name: string, size = 0): PersistedInode {
  assert.equal(typeof fs.create(name), "object");
  const inode = inodeOf(fs, name);
  assert.equal(fs.truncate(inode, size), 0);
  return inode;
}

export function inodeOf(fs: Guestmemfs, name: string): PersistedInode {
  const inode = fs.inodes().find((i) => i.name === name);
  assert.ok(inode !== undefined, `no file ${name}`);
  return inode;
}

/** Numbers of a file's blocks. */
export const blocks = (inode: PersistedInode) =>
  Array.from({ length: inode.numMappings }, (_, i) => inode.block(i));

export function usedBlocks(fs: Guestmemfs): number[] {
  return Array.from({ length: fs.blocks }, (_, i) => i).filter((i) => fs.sb.blockUsed(i));
}
