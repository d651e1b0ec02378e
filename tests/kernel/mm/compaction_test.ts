import assert from "node:assert/strict";
import { SeededChooser } from "../../../src/base/choice.ts";
import { KiB, MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import { Compaction } from "../../../src/kernel/mm/compaction.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import { PageAllocator } from "../../../src/kernel/mm/page_alloc.ts";
import { UserPages } from "../../../src/kernel/mm/user_pages.ts";
import { Memory } from "../../../src/machine/memory.ts";
import { CAP_IPC_LOCK, CAP_SYS_ADMIN } from "../../../src/uapi/capability.ts";
import * as K from "../../../src/uapi/kvm.ts";
import * as S from "../../../src/uapi/sys.ts";
import { Bench } from "../bench.ts";
import { fixed, said } from "../requests.ts";

const PAGEMAP = "/proc/self/pagemap";

/** Frame numbers of pages as a program reads them. */
function framesOf(sys: S.Sys, va: number, pages: number): number[] {
  const fd = sys.open(PAGEMAP, S.O_RDONLY);
  const bytes = sys.pread(fd, pages * 8, va / PAGE_SIZE * 8);
  sys.close(fd);
  assert.ok(typeof bytes !== "number", said(bytes as number));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: pages }, (_, i) => view.getUint32(i * 8, true));
}

function compact(bench: Bench): void {
  assert.equal(bench.write("/proc/sys/vm/compact_memory", "1"), "ok");
}

/** Marked memory of a program: each page begins with its number. */
function marked(bench: Bench, va: number, pages: number): number {
  for (let i = 0; i < pages; i++) bench.sys.store32(va + i * PAGE_SIZE, 0x1000 + i);
  return va;
}

function assertMarked(load: (at: number) => number, at: number, pages: number): void {
  for (let i = 0; i < pages; i++) assert.equal(load(at + i * PAGE_SIZE), 0x1000 + i);
}

Deno.test("every table follows a page that moves: a program's, a file's and a guest's", () => {
  const bench = new Bench();
  const { sys } = bench;
  const anon = marked(bench, bench.anon(4 * PAGE_SIZE), 4);
  const fd = bench.memfd(4 * PAGE_SIZE);
  const shared = marked(bench, bench.mmap(fd, 4 * PAGE_SIZE), 4);
  const vm = sys.ioctlValue(sys.open("/dev/kvm", S.O_RDWR), K.KVM_CREATE_VM, 0);
  const cpu = sys.vcpu(sys.ioctlValue(vm, K.KVM_CREATE_VCPU, 0));
  const region = { slot: 0, memory_size: BigInt(4 * PAGE_SIZE), userspace_addr: BigInt(shared) };
  const slot = K.kvm_userspace_memory_region.encode({ ...region, guest_phys_addr: 0x4000n });
  assert.equal(sys.ioctl(vm, K.KVM_SET_USER_MEMORY_REGION, slot), 0);
  const before = [...framesOf(sys, anon, 4), ...framesOf(sys, shared, 4)];
  const free = bench.freePages;
  compact(bench);
  const after = [...framesOf(sys, anon, 4), ...framesOf(sys, shared, 4)];
  for (const [i, pfn] of before.entries()) assert.ok(after[i] > pfn, `page ${i} stayed`);
  assert.equal(new Set(after).size, 8);
  assert.equal(bench.freePages, free);
  assertMarked((at) => sys.load32(at), anon, 4);
  assertMarked((at) => sys.load32(at), shared, 4);
  assertMarked((at) => cpu.load32(at), 0x4000, 4);
  cpu.store32(0x4000, 77);
  assert.equal(sys.load32(shared), 77);
  // Who maps the file later finds the same pages.
  const again = bench.mmap(fd, 4 * PAGE_SIZE);
  assert.deepEqual(framesOf(sys, again, 4), framesOf(sys, shared, 4));
});

Deno.test("a page that a device was given stays, and goes when it is given back (FACTS 9 R24)", () => {
  const bench = new Bench();
  const { sys } = bench;
  const fd = bench.iommufd(), ioas_id = bench.ioas(fd);
  bench.attached(fd, ioas_id);
  const va = marked(bench, bench.anon(4 * PAGE_SIZE), 4);
  assert.equal(bench.map(fd, fixed(ioas_id, va, 2 * PAGE_SIZE, 0x10000)).rc, "ok");
  const before = framesOf(sys, va, 4);
  compact(bench);
  const then = framesOf(sys, va, 4);
  assert.deepEqual(then.slice(0, 2), before.slice(0, 2));
  assert.ok(then[2] > before[2] && then[3] > before[3]);
  assert.equal(bench.frame(0, 0x10000), before[0]);
  assert.equal(bench.unmap(fd, ioas_id, 0x10000, 2 * PAGE_SIZE).rc, "ok");
  compact(bench);
  assert.ok(framesOf(sys, va, 1)[0] > before[0]);
  assertMarked((at) => sys.load32(at), va, 4);
});

Deno.test("what is locked stays in memory, not in place", () => {
  const bench = new Bench();
  const { sys } = bench;
  const va = sys.mmap(64 * KiB, S.PROT_READ, S.MAP_PRIVATE | S.MAP_ANONYMOUS, -1, 0);
  assert.deepEqual(framesOf(sys, va, 1), [0]);
  assert.equal(sys.mlock(va, 64 * KiB), 0);
  const before = framesOf(sys, va, 16);
  assert.ok(before.every((pfn) => pfn > 0));
  compact(bench);
  assert.notDeepEqual(framesOf(sys, va, 16), before);
});

Deno.test("the same seed moves pages to the same places, another to others", () => {
  const places = (seed: number) => {
    const bench = new Bench("rfc-v1", { seed });
    const va = bench.anon(8 * PAGE_SIZE);
    compact(bench);
    return framesOf(bench.sys, va, 8);
  };
  assert.deepEqual(places(1), places(1));
  assert.notDeepEqual(places(1), places(2));
});

Deno.test("a range that is free in pieces only is made by moving what lies between", () => {
  const memory = new Memory([{ start: 0, size: 2 * MiB }]);
  const pages = new PageAllocator(memory, new SeededChooser(1));
  pages.donate({ start: 64 * PAGE_SIZE, end: 128 * PAGE_SIZE });
  const user = new UserPages(pages);
  const said: string[] = [];
  const dmesg = { info: (text: string) => said.push(text) } as never;
  const compaction = new Compaction(pages, user, dmesg);
  pages.onFragmented = () => compaction.run() > 0;
  const where = new Map<number, number>();
  const owner = { moved: (index: number, pfn: number) => void where.set(index, pfn) };
  for (let i = 0; i < 64; i++) where.set(i, user.alloc(owner, i));
  for (let i = 0; i < 64; i += 2) {
    memory.fillFrames(where.get(i + 1)!, 1, i);
    user.put(where.get(i)!);
    where.delete(i);
  }
  const first = pages.allocRange(32, 1, FrameUse.kernel);
  assert.equal(first, 64);
  assert.ok([...where.values()].every((pfn) => pfn >= 96));
  for (const [i, pfn] of where) assert.equal(memory.load(pfn, 0), i - 1);
  assert.deepEqual(said, ["compaction: 16 pages migrated"]);
  assert.equal(pages.allocRange(1, 1, FrameUse.kernel), -1);
});

Deno.test("a pinned page in between is in the way", () => {
  const memory = new Memory([{ start: 0, size: 2 * MiB }]);
  const pages = new PageAllocator(memory, new SeededChooser(1));
  pages.donate({ start: 64 * PAGE_SIZE, end: 128 * PAGE_SIZE });
  const user = new UserPages(pages);
  const compaction = new Compaction(pages, user, { info: () => {} } as never);
  pages.onFragmented = () => compaction.run() > 0;
  const held = Array.from({ length: 64 }, () => user.alloc({ moved: () => {} }, 0));
  for (let i = 0; i < 64; i++) if (i % 16 !== 8) user.put(held[i]);
  for (let i = 8; i < 64; i += 16) user.pin(held[i]);
  assert.equal(pages.allocRange(16, 1, FrameUse.kernel), -1);
  for (let i = 8; i < 64; i += 16) user.unpin(held[i]);
  assert.equal(pages.allocRange(16, 1, FrameUse.kernel), 64);
});

Deno.test("pagemap tells frames to whoever may know them, whole entries at a time (FACTS 2.3)", () => {
  const bench = new Bench();
  const { sys } = bench;
  const anon = bench.anon(PAGE_SIZE);
  const shared = bench.mmap(bench.memfd(PAGE_SIZE), PAGE_SIZE);
  const entry = (va: number, user = sys) => {
    const bytes = user.pread(user.open(PAGEMAP, S.O_RDONLY), 8, va / PAGE_SIZE * 8);
    assert.ok(typeof bytes !== "number", said(bytes as number));
    return new DataView(bytes.buffer).getBigUint64(0, true);
  };
  const present = 1n << 63n, file = 1n << 61n;
  const low = (1n << 55n) - 1n;
  assert.equal(entry(0x1000), 0n);
  sys.load32(shared);
  assert.equal(entry(anon) & ~low, present);
  assert.equal(entry(shared) & ~low, present | file);
  assert.notEqual(entry(anon) & low, 0n);
  const fd = sys.open(PAGEMAP, S.O_RDONLY);
  for (const [length, offset] of [[7, 0], [8, 4], [12, 8]]) {
    assert.equal(said(sys.pread(fd, length, offset) as number), "EINVAL");
  }
  sys.dropCapability(CAP_SYS_ADMIN);
  assert.equal(entry(anon), present);
});

Deno.test("mlock: what it takes, and what it says without", () => {
  const bench = new Bench();
  const { sys } = bench;
  const va = bench.anon(4 * PAGE_SIZE);
  const lock = (at: number, length: number) => said(sys.mlock(at, length));
  assert.equal(lock(va + 4 * PAGE_SIZE, PAGE_SIZE), "ENOMEM");
  sys.setMemlock(2 * PAGE_SIZE, 2 * PAGE_SIZE);
  sys.dropCapability(CAP_IPC_LOCK);
  assert.equal(lock(va, 3 * PAGE_SIZE), "ENOMEM");
  assert.equal(lock(va + 100, PAGE_SIZE), "ok");
  assert.equal(lock(va, 2 * PAGE_SIZE), "ok");
  assert.equal(lock(va + 2 * PAGE_SIZE, 1), "ENOMEM");
  assert.equal(sys.munmap(va, PAGE_SIZE), 0);
  assert.equal(lock(va + 2 * PAGE_SIZE, 1), "ok");
  sys.setMemlock(0, 0);
  assert.equal(lock(va + PAGE_SIZE, 1), "EPERM");
});

Deno.test("only root compacts memory, and only by a 1", () => {
  const bench = new Bench();
  assert.equal(bench.write("/proc/sys/vm/compact_memory", "0"), "EINVAL");
  const { sys } = bench;
  assert.equal(sys.setuid(1000), 0);
  assert.equal(said(sys.open("/proc/sys/vm/compact_memory", S.O_WRONLY)), "EACCES");
});
