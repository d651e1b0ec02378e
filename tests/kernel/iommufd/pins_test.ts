import assert from "node:assert/strict";
import fc from "fast-check";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import { Bench } from "../bench.ts";
import { FIXED, fixed, RW } from "../requests.ts";
import { checkOrder, type Rule } from "../rules.ts";

Deno.test("each page is pinned once, however many domains map it (FACTS 1.4)", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const ioas = bench.ioas(ctx);
  const va = bench.anon(0x4000);
  const first = bench.bound(ctx, 0), second = bench.bound(ctx, 1);
  assert.equal(bench.map(ctx, fixed(ioas, va, 0x4000, 0)).rc, "ok");
  assert.equal(bench.pinned, 0);
  const one = bench.hwptAlloc(ctx, first.dev, ioas).out.out_hwpt_id;
  assert.equal(bench.pinned, 4, "HWPT_ALLOC fills the domain at once");
  const two = bench.hwptAlloc(ctx, second.dev, ioas).out.out_hwpt_id;
  assert.equal(bench.pinned, 4);
  const { userPages } = bench.platform.kernel;
  bench.attach(first.cdev, one);
  bench.attach(second.cdev, two);
  const frames = [0, 1, 2, 3].map((i) => bench.frame(0, i * PAGE_SIZE));
  assert.deepEqual(frames, [0, 1, 2, 3].map((i) => bench.frame(1, i * PAGE_SIZE)));
  for (const pfn of frames) assert.equal(userPages.pinsOf(pfn), 1);
  assert.equal(bench.map(ctx, fixed(ioas, va, 0x1000, 0x10000)).rc, "ok");
  assert.equal(userPages.pinsOf(frames[0]), 2, "another area is another pin");
  assert.equal(bench.frame(1, 0x10000), frames[0], "a new area goes into both");

  assert.equal(bench.detach(first.cdev), "ok");
  assert.equal(bench.destroy(ctx, one), "ok");
  assert.equal(bench.pinned, 4, "the second domain has the frame numbers now");
  assert.deepEqual(frames, [0, 1, 2, 3].map((i) => bench.frame(1, i * PAGE_SIZE)));
  const third = bench.hwptAlloc(ctx, first.dev, ioas).out.out_hwpt_id;
  bench.attach(first.cdev, third);
  assert.deepEqual(frames, [0, 1, 2, 3].map((i) => bench.frame(0, i * PAGE_SIZE)));
  for (const pfn of frames.slice(1)) assert.equal(userPages.pinsOf(pfn), 1);

  assert.equal(bench.unmap(ctx, ioas, 0, 0x4000).rc, "ok");
  assert.deepEqual([bench.frame(0, 0), bench.frame(1, 0)], [-1, -1]);
  assert.equal(bench.pinned, 1);
  bench.detach(first.cdev);
  bench.detach(second.cdev);
  assert.equal(bench.destroy(ctx, two), "ok");
  assert.equal(bench.destroy(ctx, third), "ok");
  assert.equal(bench.pinned, 0);
  assert.equal(bench.unmap(ctx, ioas, 0x10000, 0x1000).rc, "ok", "the area outlives its domains");
});

Deno.test("pinned memory stays where it is after munmap until it is unmapped from the IOAS (FACTS 1.4)", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const ioas = bench.ioas(ctx);
  const { cdev } = bench.attached(ctx, ioas);
  const va = bench.anon(0x2000);
  const free = bench.freePages;
  // Tables for this IOVA, so that only the two pages count from here on.
  assert.equal(bench.map(ctx, fixed(ioas, va, 0x1000, 0x2000)).rc, "ok");
  const tables = free - bench.freePages;
  assert.equal(bench.map(ctx, fixed(ioas, va, 0x2000, 0)).rc, "ok");
  const pfn = bench.frame(0, 0);
  assert.equal(bench.sys.munmap(va, 0x2000), 0);
  assert.equal(bench.freePages, free - tables);
  assert.equal(bench.frame(0, 0), pfn);
  const other = bench.anon(0x4000);
  assert.equal(bench.map(ctx, fixed(ioas, other, 0x4000, 0x10000)).rc, "ok");
  for (let i = 0; i < 4; i++) assert.notEqual(bench.frame(0, 0x10000 + i * PAGE_SIZE), pfn);
  assert.equal(bench.unmap(ctx, ioas, 0x10000, 0x4000).rc, "ok");
  bench.sys.munmap(other, 0x4000);
  assert.equal(bench.unmap(ctx, ioas, 0, 0x2000).rc, "ok");
  assert.equal(bench.freePages, free - tables + 1, "one page still has its other area");
  assert.equal(bench.unmap(ctx, ioas, 0x2000, 0x1000).rc, "ok");
  assert.equal(bench.freePages, free - tables + 2);
  assert.equal(bench.detach(cdev), "ok");
});

Deno.test("a file stays mapped for DMA after its descriptor and its process are gone", () => {
  const bench = new Bench();
  const maker = bench.shell();
  const ctx = bench.iommufd();
  const ioas_id = bench.ioas(ctx);
  bench.attached(ctx, ioas_id);
  const fd = bench.memfd(0x4000);
  const request = { flags: FIXED | RW, ioas_id, fd, length: 0x4000n, iova: 0n };
  assert.equal(bench.mapFile(ctx, request).rc, "ok");
  const pfn = bench.frame(0, 0);
  bench.sys.close(fd);
  bench.kill(maker);
  assert.equal(bench.pinned, 4);
  const second = bench.attached(ctx, ioas_id, 1);
  assert.equal(bench.frame(1, 0), pfn);
  bench.detach(second.cdev);
  bench.unmap(ctx, ioas_id, 0, U.U64_MAX);
  assert.equal(bench.pinned, 0);
});

Deno.test("MAP by address needs the process: its memory cannot be pinned any more once it is dead", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const ioas = bench.ioas(ctx);
  const va = bench.anon(0x2000);
  assert.equal(bench.map(ctx, fixed(ioas, va, 0x2000, 0)).rc, "ok");
  bench.sys.munmap(va, 0x2000);
  const { cdev } = bench.bound(ctx);
  assert.equal(bench.attach(cdev, ioas).rc, "EFAULT");
});

/** Ways an iommufd can end; each must leave the system as it was before it was opened. */
const ENDS: { how: string; end: (b: Bench, ctx: number, cdevs: number[]) => void }[] = [
  {
    how: "devices closed first",
    end: (b, ctx, cdevs) => [...cdevs, ctx].forEach((fd) => b.sys.close(fd)),
  },
  {
    how: "iommufd closed first",
    end: (b, ctx, cdevs) => [ctx, ...cdevs].forEach((fd) => b.sys.close(fd)),
  },
  {
    how: "the process is killed",
    end: (b) => {
      b.kill(b.sys);
      b.sys = b.shell();
    },
  },
];

Deno.test("closing an iommufd destroys all it had, and no pin is left (FACTS 1.5, 10.3 I8)", async (t) => {
  for (const { how, end } of ENDS) {
    for (const persistent of [false, true]) {
      await t.step(`${how}${persistent ? ", persistent" : ""}`, () => {
        const bench = new Bench();
        bench.warm();
        const start = bench.fingerprint;
        const file = bench.file("ram", 4 * MiB);
        const ctx = persistent ? bench.persistent() : bench.iommufd();
        const cdevs = [0, 1].map((index) => {
          const ioas = bench.ioas(ctx);
          const va = persistent ? bench.mmap(file, 4 * MiB) : bench.anon(4 * MiB);
          assert.equal(bench.map(ctx, fixed(ioas, va, 4 * MiB, 0)).rc, "ok");
          const { cdev, dev } = bench.attached(ctx, ioas, index);
          assert.equal(bench.hwptAlloc(ctx, dev, ioas).rc, "ok");
          bench.setBusMaster(cdev);
          return cdev;
        });
        assert.ok(persistent || bench.pinned === 2048);
        end(bench, ctx, cdevs);
        bench.kill(bench.sys);
        bench.sys = bench.shell();
        assert.equal(bench.pinned, 0);
        assert.equal(bench.unlink("ram"), "ok");
        assert.equal(bench.fingerprint, start);
        assert.deepEqual(bench.complaints, []);
        const log = bench.platform.events.filter((e) => e.level !== "info").map((e) => e.text);
        assert.deepEqual(log, []);
      });
    }
  }
});

Deno.test("one iommufd may have two IOASes: each device sees its own", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const ioases = [bench.ioas(ctx), bench.ioas(ctx)];
  const vas = ioases.map(() => bench.anon(0x1000));
  const devices = ioases.map((ioas, i) => bench.attached(ctx, ioas, i));
  ioases.forEach((ioas, i) => {
    assert.equal(bench.map(ctx, fixed(ioas, vas[i], 0x1000, 0x5000)).rc, "ok");
  });
  const frames = [bench.frame(0, 0x5000), bench.frame(1, 0x5000)];
  assert.notEqual(frames[0], frames[1]);
  // Replace: the first device moves over, and its old automatic HWPT goes.
  assert.equal(bench.attach(devices[0].cdev, ioases[1]).out.pt_id, devices[1].hwpt);
  assert.equal(bench.frame(0, 0x5000), frames[1]);
  assert.equal(bench.destroy(ctx, devices[0].hwpt), "ENOENT");
  assert.equal(bench.ranges(ctx, ioases[0]).list.length, 1, "the window is free again there");
  assert.equal(bench.pinned, 1);
  assert.deepEqual(bench.complaints, []);
});

interface AllocRequest {
  flags: number;
  dev_id: number;
  pt_id: number;
  rsvd: number;
  rsvd2: number;
  data_type: number;
  data_len: number;
}

Deno.test("HWPT_ALLOC looks at its request in order (FACTS 1.3)", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const ioas = bench.ioas(ctx);
  const { dev, hwpt } = bench.attached(ctx, ioas);
  const rule = (name: string, want: string, change: Partial<AllocRequest>): Rule<AllocRequest> => ({
    name,
    want,
    spoils: Object.keys(change),
    spoil: (r) => ({ ...r, ...change }),
  });
  const rules = [
    rule("rsvd", "EOPNOTSUPP", { rsvd: 1 }),
    rule("rsvd2", "EOPNOTSUPP", { rsvd2: 1 }),
    rule("data without a type", "EINVAL", { data_len: 8, data_type: 0 }),
    rule("a type without data", "EINVAL", { data_type: 1, data_len: 0 }),
    rule("no such device", "ENOENT", { dev_id: 77 }),
    rule("a device that is an IOAS", "ENOENT", { dev_id: ioas }),
    rule("no such page table", "EINVAL", { pt_id: 77 }),
    rule("a page table that is a device", "EINVAL", { pt_id: dev }),
    rule("nesting without data", "EOPNOTSUPP", { pt_id: hwpt, data_type: 0, data_len: 0 }),
    rule("unknown flag", "EOPNOTSUPP", { flags: 0x10 }),
    rule("nest parent", "EOPNOTSUPP", { flags: U.IOMMU_HWPT_ALLOC_NEST_PARENT }),
    rule("dirty tracking", "EOPNOTSUPP", { flags: U.IOMMU_HWPT_ALLOC_DIRTY_TRACKING }),
    rule("user data", "EOPNOTSUPP", { data_type: 1, data_len: 24 }),
  ];
  const good = { flags: 0, dev_id: dev, pt_id: ioas, rsvd: 0, rsvd2: 0, data_type: 0, data_len: 0 };
  const before = bench.fingerprint;
  const command = U.IOMMU_HWPT_ALLOC;
  checkOrder(rules, good, (r) => bench.ioctl(ctx, command, U.iommu_hwpt_alloc, r).rc);
  assert.equal(bench.fingerprint, before);
  const { rc, out } = bench.ioctl(ctx, command, U.iommu_hwpt_alloc, good);
  assert.deepEqual([rc, out.out_hwpt_id], ["ok", 4]);
});

Deno.test("a HWPT that cannot be made leaves nothing, not even its persistent id", () => {
  const bench = new Bench();
  const ctx = bench.persistent();
  const ioas_id = bench.ioas(ctx);
  const { dev } = bench.bound(ctx);
  const file = bench.file("ram", 2 * MiB);
  const request = { flags: FIXED | RW, ioas_id, fd: file, length: 0x4000n, iova: 0x1000n };
  assert.equal(bench.mapFile(ctx, request).rc, "ok");
  const before = bench.fingerprint;
  // The top table, then those on the way down.
  for (const nth of [1, 2, 3, 4]) {
    bench.platform.chooser.arm("fault:alloc_page", nth);
    assert.equal(bench.hwptAlloc(ctx, dev, ioas_id).rc, "ENOMEM");
    assert.equal(bench.fingerprint, before);
  }
  const { cdev } = bench.bound(ctx, 1);
  assert.equal(bench.attach(cdev, ioas_id).rc, "ok");
  const ids = bench.platform.kernel.vfio.devices.map((d) => d.dev.group?.domain.persistentId);
  assert.deepEqual(ids, [0, 1]);
});

// A model of one iommufd with two IOASes and two devices: which pages are under a pin, and what
// each device reaches. Every step is a system call whose answer the model knows beforehand.

type Step =
  | { do: "map"; ioas: number; iova: number; pages: number; va: number }
  | { do: "unmap"; ioas: number; iova: number; pages: number }
  | { do: "attach"; device: number; ioas: number }
  | { do: "detach"; device: number };

const PAGES = 8;
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant("map" as const),
    ioas: fc.nat(1),
    iova: fc.nat(15),
    pages: fc.integer({ min: 1, max: 4 }),
    va: fc.nat(PAGES - 1),
  }),
  fc.record({
    do: fc.constant("unmap" as const),
    ioas: fc.nat(1),
    iova: fc.nat(15),
    pages: fc.integer({ min: 1, max: 8 }),
  }),
  fc.record({ do: fc.constant("attach" as const), device: fc.nat(1), ioas: fc.nat(1) }),
  fc.record({ do: fc.constant("detach" as const), device: fc.nat(1) }),
);

Deno.test("any sequence of calls leaves pins and translations as a simple model has them (FACTS 10.3 I6)", () => {
  const bench = new Bench();
  const va = bench.anon(PAGES * PAGE_SIZE);
  const { userPages } = bench.platform.kernel;
  // The frames behind the memory, learnt through a device.
  const probe = bench.iommufd();
  const probed = bench.attached(probe, bench.ioas(probe));
  bench.map(probe, fixed(1, va, PAGES * PAGE_SIZE, 0));
  const frames = Array.from({ length: PAGES }, (_, i) => bench.frame(0, i * PAGE_SIZE));
  bench.sys.close(probed.cdev);
  bench.sys.close(probe);
  bench.warm();
  const start = bench.fingerprint;

  const play = (steps: Step[]) => {
    const ctx = bench.iommufd();
    const ids = [bench.ioas(ctx), bench.ioas(ctx)];
    const devices = [bench.bound(ctx, 0), bench.bound(ctx, 1)];
    const areas: { iova: number; pages: number; va: number }[][] = [[], []];
    const on: (number | undefined)[] = [undefined, undefined];
    const end = (a: { iova: number; pages: number }) => a.iova + a.pages;
    for (const s of steps) {
      if (s.do === "map") {
        const clash = areas[s.ioas].some((a) => a.iova < end(s) && s.iova < end(a));
        const beyond = s.va + s.pages > PAGES && on.includes(s.ioas);
        const request = fixed(
          ids[s.ioas],
          va + s.va * PAGE_SIZE,
          s.pages * PAGE_SIZE,
          s.iova * PAGE_SIZE,
        );
        if (s.va + s.pages > PAGES && !beyond) continue;
        assert.equal(bench.map(ctx, request).rc, clash ? "EEXIST" : beyond ? "EFAULT" : "ok");
        if (!clash && !beyond) areas[s.ioas].push({ iova: s.iova, pages: s.pages, va: s.va });
      } else if (s.do === "unmap") {
        const hit = areas[s.ioas].filter((a) => a.iova < end(s) && s.iova < end(a));
        hit.sort((a, b) => a.iova - b.iova);
        const cut = hit.findIndex((a) => a.iova < s.iova || end(a) > end(s));
        const gone = cut < 0 ? hit : hit.slice(0, cut);
        const { rc } = bench.unmap(ctx, ids[s.ioas], s.iova * PAGE_SIZE, s.pages * PAGE_SIZE);
        assert.equal(rc, hit.length === 0 || cut >= 0 ? "ENOENT" : "ok");
        areas[s.ioas] = areas[s.ioas].filter((a) => !gone.includes(a));
      } else if (s.do === "attach") {
        assert.equal(bench.attach(devices[s.device].cdev, ids[s.ioas]).rc, "ok");
        on[s.device] = s.ioas;
      } else {
        assert.equal(bench.detach(devices[s.device].cdev), "ok");
        on[s.device] = undefined;
      }
      const pins = frames.map(() => 0);
      for (const i of [0, 1]) {
        if (!on.includes(i)) continue;
        for (const a of areas[i]) for (let p = 0; p < a.pages; p++) pins[a.va + p]++;
      }
      assert.deepEqual(frames.map((pfn) => userPages.pinsOf(pfn)), pins);
      for (const device of [0, 1]) {
        const seen = Array.from({ length: 20 }, (_, p) => bench.frame(device, p * PAGE_SIZE));
        const want = seen.map((_, p) => {
          const list = on[device] === undefined ? [] : areas[on[device] as number];
          const a = list.find((x) => p >= x.iova && p < end(x));
          return a === undefined ? -1 : frames[a.va + p - a.iova];
        });
        assert.deepEqual(seen, want, `device ${device}`);
      }
    }
    assert.deepEqual(bench.complaints, []);
    for (const { cdev } of devices) bench.sys.close(cdev);
    bench.sys.close(ctx);
    assert.equal(bench.fingerprint, start);
  };
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), play), { numRuns: 150 });
});
