import assert from "node:assert/strict";
import fc from "fast-check";
import { EmulatorBug } from "../../../src/base/assert.ts";
import { SeededChooser } from "../../../src/base/choice.ts";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import { FrameMap, FrameUse } from "../../../src/kernel/mm/frames.ts";
import { PageAllocator } from "../../../src/kernel/mm/page_alloc.ts";
import { UserPages } from "../../../src/kernel/mm/user_pages.ts";
import { Memory } from "../../../src/machine/memory.ts";

const ANYWHERE = { extent: "test:extent", page: "test:page" };

function makeAllocator(ranges: [number, number][], seed = 1) {
  const memory = new Memory([{ start: 0, size: 2 * MiB }]);
  const chooser = new SeededChooser(seed);
  const pages = new PageAllocator(memory, chooser);
  for (const [first, end] of ranges) {
    pages.donate({ start: first * PAGE_SIZE, end: end * PAGE_SIZE });
  }
  return { memory, chooser, pages };
}

const isZero = (memory: Memory, pfn: number) => memory.frameBytes(pfn).every((b) => b === 0);

const steps = fc.array(
  fc.record({
    op: fc.constantFrom("page", "page", "run", "anywhere", "range", "free", "free", "freeRange"),
    n: fc.integer({ min: 1, max: 40 }),
    align: fc.constantFrom(1, 2, 8),
  }),
  { maxLength: 80 },
);

Deno.test("no page is handed out twice, none is lost, and every one comes zeroed", () => {
  fc.assert(
    fc.property(steps, fc.nat(), (list, seed) => {
      const { memory, pages } = makeAllocator([[10, 60], [64, 70], [100, 230]], seed);
      const free = new Set<number>();
      for (const [a, b] of [[10, 60], [64, 70], [100, 230]]) {
        for (let p = a; p < b; p++) free.add(p);
      }
      // What somebody holds: first frame and count.
      const held: [number, number][] = [];
      const take = (pfn: number, count: number) => {
        for (let p = pfn; p < pfn + count; p++) {
          assert.ok(free.delete(p), `frame ${p} was not free`);
          assert.equal(pages.useOf(p), FrameUse.kernel);
          assert.ok(isZero(memory, p), `frame ${p} is not zeroed`);
          memory.fillFrames(p, 1, 0x6b6b6b6b);
        }
        held.push([pfn, count]);
      };
      for (const { op, n, align } of list) {
        if (op === "page" || op === "anywhere") {
          const pfn = op === "page"
            ? pages.allocPage(FrameUse.kernel)
            : pages.allocPageAnywhere(FrameUse.kernel, ANYWHERE);
          if (pfn < 0) assert.equal(free.size, 0, "there was a page left");
          else take(pfn, 1);
        } else if (op === "run") {
          const { pfn, count } = pages.allocRun(n, FrameUse.kernel);
          assert.ok(count <= n && (count > 0 || free.size === 0));
          if (pfn >= 0) take(pfn, count);
        } else if (op === "range") {
          const pfn = pages.allocRange(n, align, FrameUse.kernel);
          if (pfn >= 0) {
            assert.equal(pfn % align, 0);
            take(pfn, n);
          }
        } else if (held.length > 0) {
          const [pfn, count] = held.splice(n % held.length, 1)[0];
          if (op === "freeRange") pages.freeRange(pfn, count);
          else for (let p = pfn; p < pfn + count; p++) pages.freePage(p);
          for (let p = pfn; p < pfn + count; p++) {
            free.add(p);
            assert.equal(pages.useOf(p), FrameUse.free);
          }
        }
        assert.equal(pages.freePages, free.size);
      }
      for (const p of [9, 60, 63, 70, 99, 230]) assert.equal(pages.useOf(p), FrameUse.none);
    }),
    { numRuns: 60 },
  );
});

Deno.test("a run of pages is those that would have come one by one", () => {
  const both = [0, 0].map(() => {
    const { pages, chooser } = makeAllocator([[2, 12], [20, 24]]);
    for (let i = 0; i < 4; i++) pages.allocPage(FrameUse.user);
    pages.freePage(3);
    return { pages, chooser };
  });
  const [{ pages: single }, { pages, chooser }] = both;
  const runs = [9, 3, 9, 9, 9].map((count) => pages.allocRun(count, FrameUse.user));
  assert.deepEqual(runs, [
    { pfn: 3, count: 1 },
    { pfn: 6, count: 3 },
    { pfn: 9, count: 3 },
    { pfn: 20, count: 4 },
    { pfn: -1, count: 0 },
  ]);
  for (const { pfn, count } of runs) {
    for (let i = 0; i < count; i++) assert.equal(single.allocPage(FrameUse.user), pfn + i);
  }
  pages.freeRange(20, 4);
  chooser.arm("fault:alloc_page");
  assert.deepEqual(pages.allocRun(4, FrameUse.user), { pfn: -1, count: 0 });
  assert.equal(pages.freePages, 4);
});

Deno.test("pieces freed side by side grow together again", () => {
  const { pages } = makeAllocator([[0, 64]]);
  const pieces = Array.from({ length: 16 }, () => pages.allocRange(4, 4, FrameUse.kernel));
  assert.equal(pages.allocRange(1, 1, FrameUse.kernel), -1);
  for (const i of [3, 1, 2, 0, 15, 4, 9, 5, 14, 6, 8, 7, 13, 10, 12, 11]) {
    pages.freeRange(pieces[i], 4);
  }
  assert.equal(pages.allocRange(64, 64, FrameUse.kernel), 0);
});

Deno.test("pages freed one by one can serve a range again", () => {
  const { pages } = makeAllocator([[0, 64]]);
  for (let i = 0; i < 64; i++) assert.equal(pages.allocPage(FrameUse.kernel), i);
  for (let i = 0; i < 64; i++) pages.freePage((i * 37) % 64);
  assert.equal(pages.allocRange(64, 64, FrameUse.kernel), 0);
  assert.equal(pages.freePages, 0);
});

Deno.test("the page freed last is handed out next", () => {
  const { pages } = makeAllocator([[0, 64]]);
  const [a, b] = [pages.allocPage(FrameUse.user), pages.allocPage(FrameUse.user)];
  pages.freePage(b);
  pages.freePage(a);
  assert.deepEqual([pages.allocPage(FrameUse.user), pages.allocPage(FrameUse.user)], [a, b]);
});

Deno.test("pages taken together are those that are taken one by one, up to where something fails", () => {
  for (const fails of [0, 1, 4, 12]) {
    // Pages on the stack, two ranges, and more wanted than there are.
    const [one, all] = [0, 1].map(() => {
      const made = makeAllocator([[0, 9], [20, 24]]);
      const first = [1, 2, 3].map(() => made.pages.allocPage(FrameUse.kernel));
      for (const pfn of first) made.pages.freePage(pfn);
      for (let pfn = 0; pfn < 30; pfn++) made.memory.store(pfn, 7, 7);
      if (fails > 0) made.chooser.arm("fault:alloc_page", fails);
      return made;
    });
    const single: number[] = [];
    for (let pfn = 0; single.length < 16 && pfn >= 0; pfn = single.at(-1)!) {
      single.push(one.pages.allocPage(FrameUse.user));
    }
    const taken = single.filter((pfn) => pfn >= 0), into = new Int32Array(16);
    assert.equal(all.pages.allocPages(into, FrameUse.user), taken.length);
    assert.deepEqual([...into.subarray(0, taken.length)], taken);
    assert.equal(all.pages.freePages, one.pages.freePages);
    for (let pfn = 0; pfn < 30; pfn++) {
      assert.equal(all.pages.useOf(pfn), one.pages.useOf(pfn));
      assert.equal(isZero(all.memory, pfn), taken.includes(pfn));
    }
    assert.deepEqual(all.chooser.armed, one.chooser.armed, "as many chances to fail");
  }
  const { pages } = makeAllocator([[0, 4]]);
  assert.throws(() => pages.allocPages(new Int32Array(1), FrameUse.iommuTable), EmulatorBug);
});

Deno.test("a page freed twice, or never handed out, is a bug of the emulator", () => {
  const { pages } = makeAllocator([[0, 64]]);
  const pfn = pages.allocPage(FrameUse.kernel);
  pages.freePage(pfn);
  assert.throws(() => pages.freePage(pfn), EmulatorBug);
  assert.throws(() => pages.freePage(40), EmulatorBug);
  assert.throws(() => pages.freePage(100), EmulatorBug);
  const range = pages.allocRange(4, 1, FrameUse.kernel);
  pages.freePage(range + 1);
  assert.throws(() => pages.freeRange(range, 4), EmulatorBug);
});

Deno.test("an armed fault point makes an allocation fail and take nothing", () => {
  const { pages, chooser } = makeAllocator([[0, 64]]);
  chooser.arm("fault:alloc_page");
  assert.equal(pages.allocPage(FrameUse.kernel), -1);
  chooser.arm("fault:alloc_pages");
  assert.equal(pages.allocRange(4, 1, FrameUse.kernel), -1);
  assert.equal(pages.freePages, 64);
  assert.ok(pages.allocPage(FrameUse.kernel) >= 0);
});

Deno.test("regions that begin or end inside a page give whole pages only", () => {
  const { pages } = makeAllocator([]);
  pages.donate({ start: 100, end: 2 * PAGE_SIZE - 1 });
  assert.equal(pages.freePages, 0);
  pages.donate({ start: 3 * PAGE_SIZE + 1, end: 6 * PAGE_SIZE + 1 });
  assert.equal(pages.freePages, 2);
  assert.equal(pages.allocPage(FrameUse.kernel), 4);
});

Deno.test("reserved frames keep their mark and are never handed out", () => {
  const { pages } = makeAllocator([[0, 8]]);
  pages.mark(8, 4, FrameUse.scratch);
  while (pages.allocPage(FrameUse.kernel) >= 0);
  for (let p = 8; p < 12; p++) assert.equal(pages.useOf(p), FrameUse.scratch);
  assert.equal(pages.useOf(12), FrameUse.none);
});

Deno.test("a frame map knows frames on both sides of a gigabyte's border", () => {
  const memory = new Memory([{ start: 0, size: 3 * 2 ** 30 }]);
  const map = new FrameMap(memory, () => FrameUse.none);
  const border = 2 ** 18;
  map.set(border - 3, 6, FrameUse.guestmemfs);
  const uses = [-4, -3, -1, 0, 2, 3].map((i) => map.use(border + i));
  const { none, guestmemfs } = { none: FrameUse.none, guestmemfs: FrameUse.guestmemfs };
  assert.deepEqual(uses, [none, guestmemfs, guestmemfs, guestmemfs, guestmemfs, none]);
  assert.equal(map.use(-1), none);
});

Deno.test("a frame map knows a gigabyte that is all for one use, and what is cut out of it", () => {
  const map = new FrameMap(new Memory([{ start: 0, size: 4 * 2 ** 30 }]), () => FrameUse.free);
  const chunk = 2 ** 18,
    { free, guestmemfs, user } = {
      free: FrameUse.free,
      guestmemfs: FrameUse.guestmemfs,
      user: FrameUse.user,
    };
  map.set(chunk - 1, 2 * chunk + 2, guestmemfs);
  map.setOne(chunk + 7, user);
  const at = [chunk - 2, chunk - 1, chunk, chunk + 7, chunk + 8, 3 * chunk, 3 * chunk + 1];
  const uses = [free, guestmemfs, guestmemfs, user, guestmemfs, guestmemfs, free];
  assert.deepEqual(at.map((pfn) => map.use(pfn)), uses);
  const copied = new Uint8Array(5);
  map.copy(chunk + 5, chunk, copied.subarray(0, 3));
  assert.deepEqual([...copied], [guestmemfs, guestmemfs, 0, 0, 0]);
  // To the end of the gigabyte that is whole; elsewhere it would have to be looked for.
  const alike = [2 * chunk, 2 * chunk + 5, chunk + 8, 3 * chunk].map((pfn) => map.alike(pfn));
  assert.deepEqual(alike, [chunk, chunk - 5, 1, 1]);
  map.set(chunk, chunk, FrameUse.none);
  assert.equal(map.use(chunk + 7), free, "nothing set: what the allocator says");
});

Deno.test("a frame map ends with memory: beyond it there is nothing, whatever is set or asked", () => {
  const frames = 2 ** 18 + 10, { none, user } = { none: FrameUse.none, user: FrameUse.user };
  const map = new FrameMap(new Memory([{ start: 0, size: frames * PAGE_SIZE }]), () => none);
  map.set(frames - 4, 8, user);
  assert.deepEqual([-5, -4, -1, 0, 3].map((i) => map.use(frames + i)), [
    none,
    user,
    user,
    none,
    none,
  ]);
  for (const stride of [1, 2]) {
    const copied = new Uint8Array(4).fill(9);
    map.copy(frames - 2 * stride, stride, copied);
    assert.deepEqual([...copied], [user, user, none, none]);
  }
});

const OWNER = { moved() {} };

Deno.test("a user page lives as long as a mapping or a pin holds it", () => {
  const { pages } = makeAllocator([[0, 8]]);
  const user = new UserPages(pages);
  const pfn = user.alloc(OWNER, 0);
  user.pin(pfn);
  user.pin(pfn);
  user.get(pfn);
  assert.deepEqual([user.pinned, user.pinsOf(pfn), pages.freePages], [1, 2, 7]);
  user.put(pfn);
  user.put(pfn);
  // Unmapped under a device's DMA: the frame must not go back while pins are on it.
  assert.equal(pages.useOf(pfn), FrameUse.user);
  user.unpin(pfn);
  assert.deepEqual([user.pinsOf(pfn), pages.freePages], [1, 7]);
  user.unpin(pfn);
  assert.deepEqual([user.pinned, user.pinsOf(pfn), pages.freePages], [0, 0, 8]);
});

Deno.test("references and pins that were never taken cannot be given back", () => {
  const { pages } = makeAllocator([[0, 8]]);
  const user = new UserPages(pages);
  const pfn = user.alloc(OWNER, 0);
  assert.throws(() => user.unpin(pfn), EmulatorBug);
  assert.throws(() => user.get(pfn + 1), EmulatorBug);
  user.put(pfn);
  assert.throws(() => user.put(pfn), EmulatorBug);
  assert.throws(() => user.pin(pfn), EmulatorBug);
});

Deno.test("a user page that cannot be had costs nothing", () => {
  const { pages, chooser } = makeAllocator([[0, 8]]);
  const user = new UserPages(pages);
  chooser.arm("fault:alloc_page");
  assert.equal(user.alloc(OWNER, 0), -1);
  assert.equal(pages.freePages, 8);
});
