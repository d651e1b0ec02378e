import assert from "node:assert/strict";
import { PAGE_SIZE } from "../../../src/base/units.ts";
import {
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  SegmentationFault,
} from "../../../src/uapi/sys.ts";
import { EBADF, EINVAL, EPERM } from "../../../src/uapi/errno.ts";
import { MemfdFile } from "../../../src/kernel/fs/memfd.ts";
import { KernelRig } from "../rig.ts";

const RW = PROT_READ | PROT_WRITE;

Deno.test("a memfd's pages come when they are touched and go with the last user", () => {
  const rig = new KernelRig();
  const { sys, kernel } = rig;
  const free = kernel.pages.freePages;
  const fd = sys.memfdCreate("ram");
  assert.equal(sys.ftruncate(fd, 8 * PAGE_SIZE), 0);
  const at = sys.mmap(8 * PAGE_SIZE, RW, MAP_SHARED, fd, 0);
  assert.equal(kernel.pages.freePages, free);
  sys.store32(at + 3 * PAGE_SIZE, 7);
  assert.equal(kernel.pages.freePages, free - 1);
  sys.close(fd);
  // The mapping still holds the file.
  assert.equal(sys.load32(at + 3 * PAGE_SIZE), 7);
  sys.munmap(at, 8 * PAGE_SIZE);
  assert.equal(kernel.pages.freePages, free);
});

Deno.test("cutting a memfd frees what lies behind its end, but not what is pinned", () => {
  const { sys, kernel } = new KernelRig();
  const fd = sys.memfdCreate("ram");
  sys.ftruncate(fd, 4 * PAGE_SIZE);
  const at = sys.mmap(4 * PAGE_SIZE, RW, MAP_SHARED, fd, 0);
  const free = kernel.pages.freePages;
  for (let i = 0; i < 4; i++) sys.store32(at + i * PAGE_SIZE, i + 1);
  const pinned = sys.task.mm.translate(at + 3 * PAGE_SIZE);
  kernel.userPages.pin(pinned);
  assert.equal(sys.ftruncate(fd, PAGE_SIZE), 0);
  assert.equal(kernel.pages.freePages, free - 2);
  assert.throws(() => sys.load32(at + PAGE_SIZE), SegmentationFault);
  assert.equal(sys.load32(at), 1);
  kernel.userPages.unpin(pinned);
  assert.equal(kernel.pages.freePages, free - 1);
  assert.equal(sys.ftruncate(fd, -1), -EINVAL);
});

Deno.test("what a memfd has not yet comes in runs, around what it has", () => {
  const rig = new KernelRig(), { kernel } = rig;
  const file = new MemfdFile("ram", kernel.userPages);
  file.truncate(8 * PAGE_SIZE - 1);
  const third = file.pageAt(3);
  const first = file.runAt(0, 99);
  assert.equal(first.count, 3);
  assert.deepEqual(file.runAt(3, 99), { pfn: third, count: 1 });
  assert.deepEqual(file.runAt(4, 2).count, 2);
  assert.deepEqual(file.runAt(1, 2), { pfn: first.pfn + 1, count: 2 });
  assert.deepEqual(file.runs().map(({ page, count }) => [page, count]), [[0, 3], [3, 1], [4, 2]]);
  const free = kernel.pages.freePages;
  rig.chooser.arm("fault:alloc_page");
  assert.deepEqual(file.runAt(6, 9), { pfn: -1, count: 0 });
  assert.deepEqual(file.runAt(6, 9).count, 2, "up to its end");
  assert.deepEqual(file.runAt(8, 9), { pfn: -1, count: 0 });
  file.put();
  assert.equal(kernel.pages.freePages, free + 6);
});

Deno.test("a sealed memfd keeps its size, and its seals (FACTS 7.6)", () => {
  const { sys } = new KernelRig();
  const fd = sys.memfdCreate("ram");
  sys.ftruncate(fd, 2 * PAGE_SIZE);
  assert.equal(sys.addSeals(fd, 0x100), -EINVAL);
  assert.equal(sys.addSeals(99, F_SEAL_GROW), -EBADF);
  assert.equal(sys.addSeals(fd, F_SEAL_GROW), 0);
  assert.equal(sys.ftruncate(fd, 3 * PAGE_SIZE), -EPERM);
  assert.equal(sys.ftruncate(fd, PAGE_SIZE), 0);
  assert.equal(sys.addSeals(fd, F_SEAL_SHRINK | F_SEAL_SEAL), 0);
  assert.equal(sys.ftruncate(fd, 0), -EPERM);
  assert.equal(sys.ftruncate(fd, PAGE_SIZE), 0, "as large as it is");
  assert.equal(sys.addSeals(fd, F_SEAL_GROW), -EPERM);
});
