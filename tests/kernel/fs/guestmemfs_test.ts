import assert from "node:assert/strict";
import { GiB, MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import { Guestmemfs } from "../../../src/kernel/fs/guestmemfs/guestmemfs.ts";
import { BLOCK_FRAMES, BLOCK_SIZE, INODES } from "../../../src/kernel/fs/guestmemfs/layout.ts";
import * as E from "../../../src/uapi/errno.ts";
import { MAP_SHARED, O_CREAT, O_EXCL, O_RDWR, PROT_WRITE } from "../../../src/uapi/sys.ts";
import { blocks, create, inodeOf, MOUNT, start, usedBlocks } from "./files.ts";

Deno.test("growing a file keeps the blocks it has, shrinking frees those behind its new end", () => {
  const { fs } = start();
  const inode = create(fs, "ram", 2 * BLOCK_SIZE);
  const before = blocks(inode);
  assert.equal(fs.truncate(inode, 4 * BLOCK_SIZE), 0);
  assert.deepEqual(blocks(inode).slice(0, 2), before);
  assert.equal(new Set(blocks(inode)).size, 4);
  assert.deepEqual(usedBlocks(fs), blocks(inode).toSorted((a, b) => a - b));
  assert.equal(fs.truncate(inode, BLOCK_SIZE), 0);
  assert.deepEqual(blocks(inode), before.slice(0, 1));
  assert.deepEqual(usedBlocks(fs), before.slice(0, 1));
});

Deno.test("a size is rounded up to whole blocks, and the size of a file follows from its blocks", () => {
  const { rig } = start();
  const sys = rig.sys;
  const fd = sys.open(`${MOUNT}/ram`, O_RDWR | O_CREAT);
  const sizes = [0, 1, BLOCK_SIZE, BLOCK_SIZE + 1].map((size) => {
    assert.equal(sys.ftruncate(fd, size), 0);
    return sys.fsize(fd);
  });
  assert.deepEqual(sizes, [0, BLOCK_SIZE, BLOCK_SIZE, 2 * BLOCK_SIZE]);
  assert.equal(sys.ftruncate(fd, -1), -E.EINVAL);
});

Deno.test("removing a file, or cutting it to nothing, gives back its blocks and its mapping page", () => {
  const { rig, fs } = start();
  const free = rig.kernel.pages.freePages;
  const inode = create(fs, "a", 3 * BLOCK_SIZE);
  assert.equal(rig.kernel.pages.freePages, free - 1);
  assert.equal(fs.truncate(inode, 0), 0);
  assert.equal(rig.kernel.pages.freePages, free);
  assert.equal(fs.truncate(inode, 3 * BLOCK_SIZE), 0);
  assert.equal(rig.kernel.vfs.unlink(`${MOUNT}/a`), 0);
  assert.equal(rig.kernel.pages.freePages, free);
  assert.deepEqual(usedBlocks(fs), []);
  assert.equal(fs.sb.allocatedInodes, 1);
  assert.equal(rig.kernel.vfs.unlink(`${MOUNT}/a`), -E.ENOENT);
});

Deno.test("a file is found by all of its name", () => {
  const { rig, fs } = start();
  const long = "r".repeat(255);
  const names = ["ram", "ram1", "ram12", "r\u00e4m", long];
  for (const name of names) create(fs, name);
  for (const name of names) assert.ok(rig.sys.open(`${MOUNT}/${name}`, O_RDWR) >= 0, name);
  for (const name of ["r", "ra", "ram2", "ram123", "", long.slice(1), `${long}r`]) {
    assert.equal(fs.lookup(name), undefined, name);
  }
});

Deno.test("files are removed from the front, the middle and the end of the list alike", () => {
  for (const victim of ["a", "b", "c"]) {
    const { fs } = start();
    for (const name of ["a", "b", "c"]) create(fs, name, BLOCK_SIZE);
    assert.equal(fs.unlink(victim), 0);
    const left = ["a", "b", "c"].filter((n) => n !== victim);
    assert.deepEqual(fs.names(), left);
    assert.equal(usedBlocks(fs).length, 2);
    create(fs, "d");
    assert.deepEqual(fs.names(), [...left, "d"]);
  }
});

Deno.test("a pinned file can be neither removed nor resized until the last pin is gone", () => {
  // Seed line 2075; truncation too, since memory under DMA must not move (FACTS 8.13, D84).
  const { fs } = start();
  const inode = create(fs, "ram", 2 * BLOCK_SIZE);
  const first = fs.pin(inode), second = fs.pin(inode);
  fs.unpin(first);
  assert.equal(fs.unlink("ram"), -E.EBUSY);
  for (const size of [0, BLOCK_SIZE, 4 * BLOCK_SIZE]) {
    assert.equal(fs.truncate(inode, size), -E.EBUSY);
  }
  assert.deepEqual(blocks(inode).length, 2);
  fs.unpin(second);
  assert.equal(fs.truncate(inode, BLOCK_SIZE), 0);
  assert.equal(fs.unlink("ram"), 0);
});

Deno.test("while a dump stands nothing changes; after the abort everything goes on", () => {
  const { rig, fs } = start();
  const inode = create(fs, "ram", BLOCK_SIZE);
  assert.ok(rig.activate() >= 0);
  const answers = () => [
    fs.create("new"),
    fs.truncate(inode, 2 * BLOCK_SIZE),
    fs.truncate(inode, 0),
    fs.unlink("ram"),
  ];
  assert.deepEqual(answers(), [-E.EBUSY, -E.EBUSY, -E.EBUSY, -E.EBUSY]);
  assert.ok(rig.deactivate() >= 0);
  assert.equal(typeof fs.create("new"), "object");
  assert.equal(fs.truncate(inode, 2 * BLOCK_SIZE), 0);
  assert.equal(fs.unlink("ram"), 0);
});

Deno.test("a file ends at 1 GiB, the blocks one mapping page holds", () => {
  // FACTS 5.2 and 10.4: 512 slots of 2 MiB; the posted code overflows the page instead.
  const { rig, fs } = start({ memory: 1280 * MiB, cmdline: "guestmemfs=1100M" });
  const inode = create(fs, "ram", BLOCK_SIZE);
  assert.equal(fs.truncate(inode, GiB + 1), -E.EFBIG);
  assert.equal(inode.numMappings, 1);
  assert.equal(fs.truncate(inode, GiB), 0);
  assert.equal(new Set(blocks(inode)).size, 512);
  assert.equal(fs.truncate(inode, GiB + 1), -E.EFBIG);
  const sys = rig.sys;
  assert.equal(sys.ftruncate(sys.open(`${MOUNT}/ram`, O_RDWR), 2 ** 52), -E.EFBIG);
});

Deno.test("when blocks run out the file is as it was", () => {
  const { rig, fs } = start();
  const a = create(fs, "a", 5 * BLOCK_SIZE), b = create(fs, "b");
  const free = rig.kernel.pages.freePages;
  const had = blocks(a);
  assert.equal(fs.truncate(a, 9 * BLOCK_SIZE), -E.ENOMEM);
  assert.deepEqual(blocks(a), had);
  assert.equal(fs.truncate(b, 4 * BLOCK_SIZE), -E.ENOMEM);
  assert.equal(b.numMappings, 0);
  // The mapping page it did not have before is gone again as well.
  assert.equal(rig.kernel.pages.freePages, free);
  assert.deepEqual(usedBlocks(fs), had.toSorted((x, y) => x - y));
  assert.equal(fs.truncate(b, 3 * BLOCK_SIZE), 0);
});

Deno.test("without a page for its mappings a file stays empty", () => {
  const { rig, fs } = start();
  const inode = create(fs, "a");
  rig.chooser.arm("fault:alloc_page");
  assert.equal(fs.truncate(inode, BLOCK_SIZE), -E.ENOMEM);
  assert.deepEqual([inode.numMappings, usedBlocks(fs).length], [0, 0]);
  assert.equal(fs.truncate(inode, BLOCK_SIZE), 0);
});

Deno.test("a name may have 255 bytes and no more, in whatever script", () => {
  // FACTS 5.3: a 255-byte name has no room for its NUL, and must work all the same.
  const { rig, fs } = start();
  const longest = "n".repeat(255), umlauts = "ü".repeat(127) + "x";
  for (const name of [longest, umlauts]) {
    const inode = create(fs, name, BLOCK_SIZE);
    assert.equal(inode.name, name);
    assert.equal(inode.numMappings, 1);
    assert.equal(fs.lookup(name)?.kind, "file");
  }
  for (const name of [longest + "n", umlauts + "x", "ü".repeat(128)]) {
    assert.equal(rig.sys.open(`${MOUNT}/${name}`, O_RDWR | O_CREAT), -E.ENAMETOOLONG);
  }
  assert.deepEqual(fs.names(), [longest, umlauts].sort());
});

Deno.test("a new file in an old inode has neither its pins nor its blocks nor its name", () => {
  const { fs } = start();
  const old = create(fs, "an older, longer name", 2 * BLOCK_SIZE);
  const ino = fs.pin(old);
  fs.unpin(ino);
  // A pin that was lost count of, as in an inode an earlier kernel left behind.
  assert.equal(fs.unlink("an older, longer name"), 0);
  fs.sb.inode(ino).pins = 5;
  const inode = create(fs, "new");
  assert.equal(inode.ino, ino);
  assert.deepEqual([inode.name, inode.pins, inode.numMappings], ["new", 0, 0]);
  assert.equal(fs.unlink("new"), 0);
});

Deno.test("a file never shows what an older one left in its blocks", () => {
  const { rig, fs } = start();
  const { memory } = rig.machine;
  const secret = create(fs, "secret", BLOCK_SIZE);
  const pfn = fs.frameOfPage(secret, 7);
  memory.store(pfn, 1, 0x5ec4e7);
  assert.equal(fs.unlink("secret"), 0);
  const inode = create(fs, "new", BLOCK_SIZE);
  assert.equal(fs.frameOfPage(inode, 7), pfn);
  assert.equal(memory.load(pfn, 1), 0);
});

Deno.test("the inode table has an end, and a removed file makes room", () => {
  const { fs } = start();
  // The chain of free inodes, cut short: the last two are left.
  fs.sb.nextFreeIno = INODES - 1;
  create(fs, "a");
  create(fs, "b");
  assert.equal(fs.create("c"), -E.ENOMEM);
  assert.equal(fs.unlink("a"), 0);
  create(fs, "c");
  assert.equal(fs.create("d"), -E.ENOMEM);
  assert.deepEqual(fs.names(), ["b", "c"]);
});

Deno.test("the last inode lies inside the inode array", () => {
  const { fs } = start();
  const before = fs.sb.bitmap;
  const last = fs.sb.inode(INODES);
  assert.ok(last.address + 296 <= fs.sb.inodes + 2 * MiB);
  last.pins = -1;
  last.name = "x".repeat(255);
  assert.deepEqual([fs.sb.bitmap, fs.sb.inode(INODES - 1).pins], [before, 0]);
});

Deno.test("there is no read or write, only mmap of what the file has", () => {
  const { rig } = start();
  const sys = rig.sys;
  const fd = sys.open(`${MOUNT}/ram`, O_RDWR | O_CREAT);
  sys.ftruncate(fd, BLOCK_SIZE);
  assert.equal(sys.read(fd, 8), -E.EINVAL);
  assert.equal(sys.write(fd, new Uint8Array(8)), -E.EINVAL);
  const map = (length: number, offset: number) =>
    sys.mmap(length, PROT_WRITE, MAP_SHARED, fd, offset);
  assert.equal(map(BLOCK_SIZE + 1, 0), -E.EINVAL);
  assert.equal(map(PAGE_SIZE, BLOCK_SIZE), -E.EINVAL);
  assert.equal(map(PAGE_SIZE, -PAGE_SIZE), -E.EINVAL);
  const address = map(BLOCK_SIZE - PAGE_SIZE, PAGE_SIZE);
  assert.ok(address > 0);
  sys.store32(address + 8, 77);
  const fs = rig.kernel.guestmemfs as Guestmemfs;
  assert.equal(rig.machine.memory.load(fs.frameOfPage(inodeOf(fs, "ram"), 1), 2), 77);
});

Deno.test("two processes that map one file see one memory", () => {
  const { rig } = start();
  const [a, b] = [rig.sys, rig.sys].map((sys, i) => {
    const fd = sys.open(`${MOUNT}/ram`, O_RDWR | O_CREAT);
    if (i === 0) sys.ftruncate(fd, BLOCK_SIZE);
    return { sys, at: sys.mmap(BLOCK_SIZE, PROT_WRITE, MAP_SHARED, fd, 0) };
  });
  a.sys.store32(a.at + 0x5004, 42);
  assert.equal(b.sys.load32(b.at + 0x5004), 42);
});

Deno.test("pages of a file lie in its blocks, and there are none beyond its end", () => {
  const { fs } = start();
  create(fs, "other", BLOCK_SIZE);
  const inode = create(fs, "ram", BLOCK_SIZE);
  create(fs, "another", BLOCK_SIZE);
  assert.equal(fs.truncate(inode, 2 * BLOCK_SIZE), 0);
  const [first, second] = blocks(inode);
  assert.notEqual(second, first + 1);
  const base = fs.base / PAGE_SIZE;
  assert.equal(fs.frameOfPage(inode, 0), base + first * BLOCK_FRAMES);
  assert.equal(fs.frameOfPage(inode, 511), base + first * BLOCK_FRAMES + 511);
  assert.equal(fs.frameOfPage(inode, 512), base + second * BLOCK_FRAMES);
  assert.equal(fs.frameOfPage(inode, 1024), -1);
});

Deno.test("O_EXCL refuses a name that is taken; opening without O_CREAT makes nothing", () => {
  const { rig, fs } = start();
  assert.equal(rig.sys.open(`${MOUNT}/ram`, O_RDWR), -E.ENOENT);
  assert.ok(rig.sys.open(`${MOUNT}/ram`, O_RDWR | O_CREAT | O_EXCL) >= 0);
  assert.equal(rig.sys.open(`${MOUNT}/ram`, O_RDWR | O_CREAT | O_EXCL), -E.EEXIST);
  assert.ok(rig.sys.open(`${MOUNT}/ram`, O_RDWR | O_CREAT) >= 0);
  assert.equal(fs.inodes().length, 1);
});

Deno.test("a file system that cannot be made takes no memory", () => {
  const { rig } = start({ cmdline: "" });
  const { kernel, chooser } = rig;
  const free = kernel.pages.freePages;
  for (const [point, nth] of [["page", 1], ["pages", 1], ["pages", 2]] as const) {
    chooser.arm(`fault:alloc_${point}`, nth);
    assert.equal(Guestmemfs.format(kernel, 32 * MiB, 16 * MiB), undefined);
    assert.equal(kernel.pages.freePages, free, `${point} ${nth}`);
  }
});

Deno.test("an unpin too many is reported by the kernel", () => {
  const { rig, fs } = start();
  const inode = create(fs, "ram");
  fs.unpin(inode.ino);
  assert.ok(rig.log.some((line) => line.includes("negative pins")));
});

Deno.test("an unlinked file lives on while a descriptor or a mapping shows it, then gives all back", () => {
  const { rig, fs } = start();
  const { sys } = rig;
  const free = rig.kernel.pages.freePages;
  const fd = sys.open(`${MOUNT}/ram`, O_RDWR | O_CREAT);
  assert.equal(sys.ftruncate(fd, BLOCK_SIZE), 0);
  const va = sys.mmap(BLOCK_SIZE, PROT_WRITE, MAP_SHARED, fd, 0);
  sys.store32(va, 0x1234);
  assert.equal(sys.unlink(`${MOUNT}/ram`), 0);
  assert.deepEqual(fs.names(), []);
  assert.equal(usedBlocks(fs).length, 1);
  // A file of the same name is another file, in other blocks.
  const other = create(fs, "ram", BLOCK_SIZE);
  assert.notEqual(blocks(other)[0], usedBlocks(fs).find((b) => b !== blocks(other)[0]));
  assert.equal(fs.unlink("ram"), 0);
  assert.equal(sys.close(fd), 0);
  assert.equal(sys.load32(va), 0x1234, "the mapping holds it");
  assert.equal(sys.munmap(va, BLOCK_SIZE), 0);
  assert.deepEqual(usedBlocks(fs), []);
  assert.equal(fs.sb.allocatedInodes, 1);
  assert.equal(rig.kernel.pages.freePages, free);
});
