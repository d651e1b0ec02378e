import assert from "node:assert/strict";
import { MiB } from "../../../src/base/units.ts";
import { INODES, ROOT_INO, SuperBlock } from "../../../src/kernel/fs/guestmemfs/layout.ts";
import { Memory } from "../../../src/machine/memory.ts";

Deno.test("the free inodes of a new file system are one chain to the last, which leads nowhere (FACTS 5.2)", () => {
  const memory = new Memory([{ start: 0, size: 8 * MiB }]);
  const sb = new SuperBlock(memory, 0);
  sb.inodes = 2 * MiB;
  // What lay there before is written over, all 64 bits of it.
  memory.fillFrames(2 * MiB / 4096, 1, -1);
  sb.chainInodes(ROOT_INO + 1);
  for (let ino = ROOT_INO + 1; ino < INODES; ino++) assert.equal(sb.inode(ino).sibling, ino + 1);
  assert.equal(sb.inode(INODES).sibling, 0);
  assert.equal(sb.inode(ROOT_INO).flags, -1, "the root is left alone");
});
