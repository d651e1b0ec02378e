import assert from "node:assert/strict";
import { PAGE_SIZE } from "../../../src/base/units.ts";
import { openFdt } from "../../../src/fdt/mod.ts";
import { readMem, readNumber } from "../../../src/kernel/kho/abi.ts";
import { Guestmemfs } from "../../../src/kernel/fs/guestmemfs/guestmemfs.ts";
import { BLOCK_SIZE, SuperBlock } from "../../../src/kernel/fs/guestmemfs/layout.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import * as E from "../../../src/uapi/errno.ts";
import { O_CREAT, O_RDWR } from "../../../src/uapi/sys.ts";
import { blocks, create, inodeOf, MOUNT, start, usedBlocks } from "./files.ts";

Deno.test("everything is in memory: a second look through the super block sees the same files", () => {
  const { rig, fs } = start();
  create(fs, "b", 2 * BLOCK_SIZE);
  const a = create(fs, "a", BLOCK_SIZE);
  fs.pin(a);
  const sb = new SuperBlock(rig.machine.memory, fs.sb.address);
  const other = new Guestmemfs(rig.kernel, fs.base, fs.size, sb);
  const describe = (f: Guestmemfs) => f.inodes().map((i) => [i.ino, i.name, i.pins, blocks(i)]);
  assert.deepEqual(describe(other), describe(fs));
  assert.equal(describe(fs).length, 2);
  assert.equal(other.unlink("a"), -E.EBUSY);
  const c = create(other, "c", BLOCK_SIZE);
  assert.ok(blocks(c).every((block) => ![...blocks(a)].includes(block)));
  assert.deepEqual(fs.names(), ["a", "b", "c"]);
});

Deno.test("files, their blocks and their content are there again after a kexec", () => {
  const { rig, fs } = start();
  create(fs, "b", 2 * BLOCK_SIZE);
  const a = create(fs, "a", BLOCK_SIZE);
  const frame = fs.frameOfPage(a, 3);
  rig.machine.memory.store(frame, 9, 0xcafe);
  const before = fs.inodes().map((i) => [i.ino, i.name, i.pins, blocks(i)]);
  const kernel = rig.liveUpdate();
  const next = kernel.guestmemfs as Guestmemfs;
  assert.notEqual(next, fs);
  assert.deepEqual(next.inodes().map((i) => [i.ino, i.name, i.pins, blocks(i)]), before);
  assert.equal(rig.machine.memory.load(frame, 9), 0xcafe);
  assert.equal(kernel.pages.useOf(frame), FrameUse.guestmemfs);
  assert.deepEqual([next.base, next.size], [fs.base, fs.size]);
  // The dump is over: the new kernel's files can change.
  assert.equal(next.unlink("b"), 0);
  assert.ok(rig.log.includes("guestmemfs: mounted, 2 files from before"));
});

Deno.test("a pin that no handed-over mapping stands for ends with the kernel it was made in", () => {
  const { rig, fs } = start();
  fs.pin(create(fs, "a", BLOCK_SIZE));
  assert.equal(fs.unlink("a"), -E.EBUSY);
  const next = rig.liveUpdate().guestmemfs as Guestmemfs;
  assert.deepEqual(next.inodes().map((i) => i.pins), [0]);
  assert.equal(next.unlink("a"), 0);
});

Deno.test("a dump says which file each page of block numbers belongs to (FACTS 5.4)", () => {
  const { rig, fs } = start();
  create(fs, "a", BLOCK_SIZE);
  create(fs, "empty", 0);
  create(fs, "c", BLOCK_SIZE);
  const free = rig.kernel.pages.freePages;
  rig.activate();
  const fdt = openFdt(rig.kernel.kho.dump?.dt as Uint8Array, { lenient: true });
  const [table] = readMem(fdt, fdt.path("/guestmemfs/mappings_to_inode"));
  const pages = readMem(fdt, fdt.path("/guestmemfs/mappings_blocks"));
  assert.equal(readNumber(fdt, fdt.path("/guestmemfs/mappings_to_inode"), "num_inodes"), 2);
  const inos = new Int32Array(rig.machine.memory.read(table.address, 8).slice().buffer);
  assert.deepEqual([...inos].map((ino) => fs.sb.inode(ino).name), ["c", "a"]);
  assert.deepEqual([...inos].map((ino) => fs.sb.inode(ino).mappings), pages.map((p) => p.address));
  rig.deactivate();
  assert.equal(rig.kernel.pages.freePages, free, "the table goes with the dump");
  rig.liveUpdate();
  assert.equal(rig.kernel.pages.useOf(table.address / PAGE_SIZE), FrameUse.free);
});

Deno.test("a third kernel inherits from the second what that had from the first", () => {
  const { rig, fs } = start();
  create(fs, "ram", 2 * BLOCK_SIZE);
  rig.liveUpdate();
  create(rig.kernel.guestmemfs as Guestmemfs, "more", BLOCK_SIZE);
  const kernel = rig.liveUpdate();
  assert.deepEqual(kernel.guestmemfs?.names(), ["more", "ram"]);
});

Deno.test("an unlinked file closed under a dump goes when the dump goes", () => {
  const { rig, fs } = start();
  const { sys } = rig;
  const fd = sys.open(`${MOUNT}/ram`, O_RDWR | O_CREAT);
  sys.ftruncate(fd, BLOCK_SIZE);
  sys.unlink(`${MOUNT}/ram`);
  assert.ok(rig.activate() >= 0);
  assert.equal(sys.close(fd), 0);
  assert.equal(usedBlocks(fs).length, 1, "the carried bitmap does not change");
  assert.ok(rig.deactivate() >= 0);
  assert.deepEqual(usedBlocks(fs), []);
});

Deno.test("an unlinked file that was open at the kexec is gone after it, blocks and all", () => {
  const { rig, fs } = start();
  const { sys } = rig;
  const fd = sys.open(`${MOUNT}/gone`, O_RDWR | O_CREAT);
  sys.ftruncate(fd, 2 * BLOCK_SIZE);
  create(fs, "kept", BLOCK_SIZE);
  sys.unlink(`${MOUNT}/gone`);
  const next = rig.liveUpdate().guestmemfs as Guestmemfs;
  assert.deepEqual(next.names(), ["kept"]);
  assert.equal(usedBlocks(next).length, 1);
  assert.equal(next.sb.allocatedInodes, 2);
});

Deno.test("an unlinked file that is pinned after all outlives the kexec until its pin is gone", () => {
  // It was opened first, then unlinked, then mapped for persistent DMA.
  const { rig, fs } = start();
  const { sys } = rig;
  const fd = sys.open(`${MOUNT}/ram`, O_RDWR | O_CREAT);
  sys.ftruncate(fd, BLOCK_SIZE);
  const inode = inodeOf(fs, "ram");
  sys.unlink(`${MOUNT}/ram`);
  const handle = fs.pin(inode);
  sys.close(fd);
  assert.equal(usedBlocks(fs).length, 1);
  fs.unpin(handle);
  assert.deepEqual(usedBlocks(fs), []);
});

Deno.test("a file that changed after the dump in the image is empty in the next kernel, and says so", () => {
  // FACTS 6.1: deactivate after load leaves the stale tree in the image. Its list of mapping pages
  // is older than the inodes: what is not on it is anybody's memory.
  const { rig, fs } = start();
  create(fs, "old", BLOCK_SIZE);
  const free = rig.kernel.pages.freePages;
  rig.activate();
  rig.load();
  rig.deactivate();
  assert.ok(rig.kernel.pages.freePages < free);
  create(fs, "late", 2 * BLOCK_SIZE);
  const next = rig.jump().guestmemfs as Guestmemfs;
  assert.deepEqual(next.names(), ["late", "old"]);
  assert.deepEqual(next.inodes().map((i) => i.numMappings), [0, 1]);
  assert.equal(usedBlocks(next).length, 1);
  assert.ok(rig.log.some((l) => l.includes("late: its blocks were not handed over")));
  assert.equal(next.truncate(inodeOf(next, "late"), BLOCK_SIZE), 0);
});
