import assert from "node:assert/strict";
import { sysfsFile } from "../../../src/kernel/fs/sysfs.ts";
import { OpenFile, PlainDir, Vfs } from "../../../src/kernel/fs/vfs.ts";
import * as E from "../../../src/uapi/errno.ts";
import { O_CREAT, O_RDONLY, O_RDWR, O_WRONLY } from "../../../src/uapi/sys.ts";
import { KernelRig } from "../rig.ts";

const text = (bytes: Uint8Array | number) =>
  typeof bytes === "number" ? bytes : new TextDecoder().decode(bytes);
const bytes = (s: string) => new TextEncoder().encode(s);

/** A kernel with one more attribute below /sys/test. */
function withAttribute(attribute: Parameters<typeof sysfsFile>[0]) {
  const rig = new KernelRig();
  rig.kernel.vfs.mkdirs("/sys/test").add("attr", sysfsFile(attribute));
  return rig.sys;
}

Deno.test("a path that leads nowhere is ENOENT, one that leads through a file ENOTDIR", () => {
  const { sys } = new KernelRig();
  assert.equal(sys.open("/sys/kernel/nothing", O_RDONLY), -E.ENOENT);
  assert.equal(sys.open("/nothing/at/all", O_RDONLY), -E.ENOENT);
  assert.equal(sys.open("/sys/kernel/kho/active/x", O_RDONLY), -E.ENOTDIR);
  assert.equal(sys.open("/sys/kernel/kho/active/x", O_RDWR | O_CREAT), -E.ENOTDIR);
  assert.equal(sys.open("/sys/kernel", O_RDONLY), -E.EISDIR);
  assert.equal(sys.readdir("/sys/kernel/kho/active"), -E.ENOTDIR);
  assert.equal(sys.readdir("/sys/nothing"), -E.ENOENT);
});

Deno.test("a path has at most 4095 bytes and a name in it 255, in whatever script", () => {
  const { sys } = new KernelRig();
  const cases: [path: string, errno: number][] = [
    ["/" + "x/".repeat(2047), E.ENOENT],
    ["/" + "x/".repeat(2047) + "y", E.ENAMETOOLONG],
    ["/" + "ü/".repeat(1364), E.ENOENT],
    ["/" + "ü/".repeat(1365), E.ENAMETOOLONG],
    ["/" + "n".repeat(255), E.ENOENT],
    ["/" + "n".repeat(256), E.ENAMETOOLONG],
    ["/sys/" + "ü".repeat(127), E.ENOENT],
    ["/sys/" + "ü".repeat(128), E.ENAMETOOLONG],
    ["/" + "n".repeat(256) + "/x", E.ENAMETOOLONG],
  ];
  for (const [path, errno] of cases) {
    const answers = [sys.open(path, O_RDONLY), sys.readdir(path), sys.unlink(path)];
    assert.deepEqual(answers, [-errno, -errno, -errno], `${path.slice(0, 9)}, ${path.length}`);
  }
});

Deno.test("directories list their names in order", () => {
  const { sys } = new KernelRig();
  assert.deepEqual(sys.readdir("/sys/kernel/kho"), [
    "active",
    "dt_max",
    "scratch_len",
    "scratch_phys",
  ]);
  assert.deepEqual(sys.readdir("/"), ["dev", "mnt", "proc", "sys"]);
});

Deno.test("nobody makes or removes files in sysfs or /dev", () => {
  const { sys } = new KernelRig();
  assert.equal(sys.open("/sys/kernel/new", O_RDWR | O_CREAT), -E.EACCES);
  assert.equal(sys.unlink("/sys/kernel/kho/active"), -E.EROFS);
  assert.equal(sys.unlink("/dev/iommu"), -E.EROFS);
  assert.equal(sys.unlink("/dev/nothing"), -E.ENOENT);
  assert.equal(sys.unlink("/nothing/x"), -E.ENOENT);
});

Deno.test("an attribute opens only for what it can do", () => {
  const read = withAttribute({ show: () => "1\n" });
  assert.equal(read.open("/sys/test/attr", O_WRONLY), -E.EACCES);
  assert.equal(read.open("/sys/test/attr", O_RDWR), -E.EACCES);
  assert.ok(read.open("/sys/test/attr", O_RDONLY) >= 0);
  const write = withAttribute({ store: () => 0 });
  assert.equal(write.open("/sys/test/attr", O_RDONLY), -E.EACCES);
  assert.ok(write.open("/sys/test/attr", O_WRONLY) >= 0);
});

Deno.test("a pass over an attribute shows it once, however small the pieces", () => {
  let shows = 0;
  const sys = withAttribute({ show: () => `value ${++shows}\n` });
  const fd = sys.open("/sys/test/attr", O_RDONLY);
  const pieces = [4, 4, 4, 4].map((n) => text(sys.read(fd, n)));
  assert.deepEqual(pieces, ["valu", "e 1\n", "", ""]);
  assert.equal(shows, 1);
  // From the start again: a new pass.
  assert.equal(text(sys.pread(fd, 100, 0)), "value 2\n");
});

Deno.test("an attribute's errno is the answer of read and write", () => {
  const sys = withAttribute({ show: () => -E.EBUSY, store: () => -E.EINVAL });
  const fd = sys.open("/sys/test/attr", O_RDWR);
  assert.equal(sys.read(fd, 10), -E.EBUSY);
  assert.equal(sys.write(fd, bytes("x")), -E.EINVAL);
});

Deno.test("an attribute takes what was written and the writer learns how much that was", () => {
  const got: string[] = [];
  const sys = withAttribute({ store: (t) => (got.push(t), 0) });
  assert.equal(sys.write(sys.open("/sys/test/attr", O_WRONLY), bytes("on\n")), 3);
  assert.deepEqual(got, ["on\n"]);
});

Deno.test("what a program does to bytes it read does not reach the kernel's copy", () => {
  const blob = bytes("device tree");
  const sys = withAttribute({ show: () => blob });
  const mine = sys.read(sys.open("/sys/test/attr", O_RDONLY), 100) as Uint8Array;
  mine.fill(0);
  assert.equal(text(blob), "device tree");
});

Deno.test("a closed or unknown descriptor is EBADF everywhere", () => {
  const { sys } = new KernelRig();
  const fd = sys.open("/dev/iommu", O_RDWR);
  assert.equal(sys.close(fd), 0);
  for (const bad of [fd, -1, 2, 1000]) {
    assert.equal(sys.close(bad), -E.EBADF);
    assert.equal(sys.read(bad, 1), -E.EBADF);
    assert.equal(sys.write(bad, bytes("x")), -E.EBADF);
    assert.equal(sys.ioctl(bad, 1, bytes("")), -E.EBADF);
    assert.equal(sys.ftruncate(bad, 1), -E.EBADF);
    assert.equal(sys.pread(bad, 1, 0), -E.EBADF);
    assert.equal(sys.mmap(4096, 3, 1, bad, 0), -E.EBADF);
  }
});

Deno.test("operations a file does not have are EINVAL, ENOTTY for ioctl, ENODEV for mmap", () => {
  const { sys } = new KernelRig();
  const fd = sys.open("/sys/kernel/kho/active", O_RDWR);
  assert.equal(sys.ftruncate(fd, 0), -E.EINVAL);
  assert.equal(sys.ioctl(fd, 0x3b80, bytes("")), -E.ENOTTY);
  assert.equal(sys.ioctlValue(fd, 0x3b80, 0), -E.ENOTTY);
  assert.equal(sys.mmap(4096, 3, 1, fd, 0), -E.ENODEV);
});

Deno.test("a file system mounted on a path is what the path leads to", () => {
  const vfs = new Vfs();
  const mounted = new PlainDir();
  vfs.mount("/mnt/deep/fs", mounted);
  assert.equal(vfs.lookup("/mnt/deep/fs"), mounted);
  assert.equal(vfs.lookup("//mnt//deep/fs/"), mounted);
  mounted.add("x", { kind: "file", open: () => -E.EACCES });
  assert.equal((vfs.lookup("/mnt/deep/fs/x") as { kind: string }).kind, "file");
});

Deno.test("an open file is released once, when the last reference goes", () => {
  class Counted extends OpenFile {
    released = 0;
    protected override release(): void {
      this.released++;
    }
  }
  const file = new Counted();
  file.get();
  file.put();
  assert.equal(file.released, 0);
  file.put();
  assert.equal(file.released, 1);
});
