import assert from "node:assert/strict";
import fc from "fast-check";
import { PAGE_SIZE } from "../../../src/base/units.ts";
import type { HwptPaging } from "../../../src/kernel/iommufd/hwpt.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import type { Syscalls } from "../../../src/kernel/syscalls.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import { MAP_SHARED, PROT_READ, PROT_WRITE } from "../../../src/uapi/sys.ts";
import { Bench } from "../bench.ts";
import { FIXED, RW } from "../requests.ts";
import { type Area, type Hwpt, type Ioas, type Memory, Model, WINDOW } from "./sequences_model.ts";

const BUFFER = 8;
const READ = U.IOMMU_IOAS_MAP_READABLE;

type Step =
  | {
    op: "map";
    ioas: number;
    buffer: number;
    from: number;
    count: number;
    at: number;
    behind: boolean;
    rw: boolean;
  }
  | { op: "unmap"; ioas: number; nth: number; at: number; count: number }
  | {
    op: "copy";
    ioas: number;
    nth: number;
    at: number;
    count: number;
    dst: number;
    to: number;
    rw: boolean;
  }
  | { op: "hwpt"; device: number; ioas: number }
  | { op: "attach" | "attachHwpt"; device: number; ioas: number; nth: number }
  | { op: "detach"; device: number }
  | { op: "destroy"; ioas: number; nth: number }
  | { op: "destroyIoas"; ioas: number }
  | { op: "renew"; buffer: number };

const one = fc.nat(1), page = fc.nat(WINDOW - 1), count = fc.integer({ min: 1, max: BUFFER });
const of = <T extends string>(op: T) => fc.constant(op);
const map = fc.record({
  op: of("map"),
  ioas: one,
  buffer: fc.nat(2),
  from: fc.nat(BUFFER - 1),
  count,
  at: page,
  behind: fc.boolean(),
  rw: fc.boolean(),
});
const copy = fc.record({
  op: of("copy"),
  ioas: one,
  nth: fc.nat(6),
  at: page,
  count,
  dst: one,
  to: page,
  rw: fc.boolean(),
});
const unmap = fc.record({
  op: of("unmap"),
  ioas: one,
  nth: fc.nat(6),
  at: page,
  count: fc.integer({ min: 1, max: WINDOW }),
});
const attach = fc.record({
  op: fc.constantFrom("attach" as const, "attachHwpt" as const),
  device: one,
  ioas: one,
  nth: fc.nat(3),
});
const rest = fc.oneof(
  fc.record({ op: of("hwpt"), device: one, ioas: one }),
  fc.record({ op: of("detach"), device: one }),
  fc.record({ op: of("destroy"), ioas: one, nth: fc.nat(3) }),
);
const renew = fc.record({ op: of("renew"), buffer: one });
const destroyIoas = fc.record({ op: of("destroyIoas"), ioas: one });
const step = fc.oneof(
  { weight: 1, arbitrary: destroyIoas },
  { weight: 8, arbitrary: map },
  { weight: 6, arbitrary: copy },
  { weight: 3, arbitrary: unmap },
  { weight: 2, arbitrary: renew },
  { weight: 5, arbitrary: attach },
  { weight: 4, arbitrary: rest },
) as fc.Arbitrary<Step>;

interface Buffer extends Memory {
  va: number;
  readonly fd: number;
}

/** One process of an ordinary user with an iommufd and both devices, and the model beside it. */
class Play {
  readonly model = new Model();
  readonly sys: Syscalls;
  readonly fd: number;
  readonly devices: { cdev: number; dev: number }[];
  readonly buffers: Buffer[];

  constructor(readonly bench: Bench) {
    this.sys = bench.shell() as Syscalls;
    bench.sys = this.sys;
    this.fd = bench.iommufd();
    this.devices = [bench.bound(this.fd, 0), bench.bound(this.fd, 1)];
    this.sys.setuid(1000);
    for (const ioas of this.model.ioases) ioas.id = bench.ioas(this.fd);
    this.buffers = [
      this.#anon(PROT_READ | PROT_WRITE),
      this.#anon(PROT_READ),
      this.#file(),
    ];
  }

  #anon(prot: number): Buffer {
    return this.#buffer(this.bench.anon(BUFFER * PAGE_SIZE, prot), "user", prot, -1);
  }

  #file(): Buffer {
    const fd = this.bench.memfd(BUFFER * PAGE_SIZE);
    const va = this.sys.mmap(BUFFER * PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    return this.#buffer(va, "file", PROT_READ | PROT_WRITE, fd);
  }

  #buffer(va: number, kind: "user" | "file", prot: number, fd: number): Buffer {
    const frame = (i: number) => this.sys.task.mm.translate(va + i * PAGE_SIZE);
    return { va, fd, kind, writable: (prot & PROT_WRITE) !== 0, alive: true, frame };
  }

  /** Makes the call, and the model's; their answers. */
  step(s: Step): { got: string; want: string } {
    const { bench, model, fd } = this;
    const ioas = "ioas" in s ? model.ioases[s.ioas] : model.ioases[0];
    switch (s.op) {
      case "map":
        return this.#map(ioas, s);
      case "copy":
        return this.#copy(ioas, s);
      case "unmap": {
        const { at, count } = this.#range(ioas, s);
        const got = bench.unmap(fd, ioas.id, at * PAGE_SIZE, count * PAGE_SIZE).rc;
        return { got, want: model.unmap(ioas, at, count) };
      }
      case "hwpt": {
        const { rc, out } = bench.hwptAlloc(fd, this.devices[s.device].dev, ioas.id);
        const made = model.alloc(ioas, false);
        if (typeof made === "string") return { got: rc, want: made };
        made.id = out.out_hwpt_id;
        return { got: rc, want: "ok" };
      }
      case "attach":
        return this.#attach(s.device, ioas.id, () => model.attachIoas(s.device, ioas));
      case "attachHwpt": {
        const hwpt = this.#hwpt(ioas, s.nth);
        if (hwpt === undefined) return { got: "ok", want: "ok" };
        return this.#attach(s.device, hwpt.id, () => model.attachHwpt(s.device, hwpt));
      }
      case "detach":
        return { got: bench.detach(this.devices[s.device].cdev), want: model.detach(s.device) };
      case "destroy": {
        const hwpt = this.#hwpt(ioas, s.nth);
        if (hwpt === undefined) return { got: "ok", want: "ok" };
        return { got: bench.destroy(fd, hwpt.id), want: model.destroyHwpt(hwpt) };
      }
      case "destroyIoas": {
        const got = bench.destroy(fd, ioas.id), want = model.destroyIoas(ioas);
        if (got === "ok") ioas.id = bench.ioas(fd);
        return { got, want };
      }
      case "renew":
        return this.#renew(s.buffer);
    }
  }

  #hwpt(ioas: Ioas, nth: number): Hwpt | undefined {
    return ioas.hwpts[nth % Math.max(1, ioas.hwpts.length)];
  }

  /** Mostly one of the areas, or the end of it; with those behind it; or whatever lies there. */
  #range(ioas: Ioas, s: { nth: number; at: number; count: number }) {
    if (s.nth === 6 || ioas.areas.length === 0) return s;
    if (s.nth === 5) {
      const { start } = ioas.areas[s.at % ioas.areas.length];
      return { at: start, count: this.#runFrom(ioas, start) };
    }
    const area = ioas.areas[s.nth % ioas.areas.length];
    const skip = s.count > BUFFER ? s.at % area.count : 0;
    return { at: area.start + skip, count: area.count - skip };
  }

  /** Pages from `start` to the first that is not mapped. */
  #runFrom(ioas: Ioas, start: number): number {
    let end = start;
    for (let area = this.model.areaAt(ioas, end); area; area = this.model.areaAt(ioas, end)) {
      end = area.start + area.count;
    }
    return end - start;
  }

  #map(ioas: Ioas, s: Step & { op: "map" }) {
    const memory = this.buffers[s.buffer];
    const count = Math.min(s.count, BUFFER - s.from);
    const run = s.behind ? this.#runFrom(ioas, s.at) : 0;
    const at = s.at + run < WINDOW ? s.at + run : s.at;
    const request = {
      flags: FIXED | (s.rw ? RW : READ),
      ioas_id: ioas.id,
      length: BigInt(count * PAGE_SIZE),
      iova: BigInt(at * PAGE_SIZE),
    };
    const offset = s.from * PAGE_SIZE;
    const got = memory.kind === "file"
      ? this.bench.mapFile(this.fd, { ...request, fd: memory.fd, start: BigInt(offset) }).rc
      : this.bench.map(this.fd, { ...request, user_va: BigInt(memory.va + offset) }).rc;
    const pages = { memory, from: s.from, writable: s.rw, pinned: new Map<number, number>() };
    const area: Area = { start: at, count, write: s.rw, pages, first: 0 };
    return { got, want: this.model.map(ioas, area) };
  }

  #copy(src: Ioas, s: Step & { op: "copy" }) {
    const dst = this.model.ioases[s.dst];
    const { at, count } = this.#range(src, s);
    const got = this.bench.ioctl(this.fd, U.IOMMU_IOAS_COPY, U.iommu_ioas_copy, {
      flags: FIXED | (s.rw ? RW : READ),
      src_ioas_id: src.id,
      dst_ioas_id: dst.id,
      length: BigInt(count * PAGE_SIZE),
      src_iova: BigInt(at * PAGE_SIZE),
      dst_iova: BigInt(s.to * PAGE_SIZE),
    }).rc;
    return { got, want: this.model.copy(src, at, count, dst, s.to, s.rw) };
  }

  #attach(device: number, target: number, expect: () => string) {
    const { rc, out } = this.bench.attach(this.devices[device].cdev, target);
    const want = expect();
    const hwpt = this.model.attached[device];
    if (rc === "ok" && hwpt !== undefined) hwpt.id = out.pt_id;
    return { got: rc, want };
  }

  /** The process unmaps the memory and takes new one: only pins keep the old. */
  #renew(index: number) {
    const old = this.buffers[index];
    if (old.kind === "user") {
      this.sys.munmap(old.va, BUFFER * PAGE_SIZE);
      old.alive = false;
      this.buffers[index] = this.#anon(old.writable ? PROT_READ | PROT_WRITE : PROT_READ);
    }
    return { got: "ok", want: "ok" };
  }

  /** Hardware, page by page; pins, frame by frame; and what the user is charged. */
  check(): void {
    const { kernel, machine } = this.bench.platform;
    const unit = machine.units[0];
    this.model.attached.forEach((hwpt, index) => {
      const { sid } = kernel.vfio.devices[index].dev;
      for (let page = 0; page < WINDOW + BUFFER; page++) {
        const area = hwpt && this.model.areaAt(hwpt.ioas, page);
        const want = area?.pages.pinned.get(area.first + page - area.start) ?? -1;
        const where = `device ${index}, page ${page}`;
        const reach = (write: boolean) => Math.max(-1, unit.translate(sid, 0, page << 12, write));
        assert.equal(reach(false), want, `${where}, read`);
        assert.equal(reach(true), area?.write ? want : -1, `${where}, write`);
        if (want >= 0) assert.equal(kernel.pages.frames.use(want), FrameUse.user, where);
      }
    });
    this.#checkIdle();
    const pins = new Map<number, number>();
    let total = 0;
    for (const { pinned } of this.model.allPages) {
      for (const pfn of pinned.values()) {
        pins.set(pfn, (pins.get(pfn) ?? 0) + 1);
        total++;
      }
    }
    for (const [pfn, n] of pins) assert.equal(kernel.userPages.pinsOf(pfn), n, `pins of ${pfn}`);
    assert.equal(kernel.userPages.pinned, pins.size);
    assert.equal(this.sys.task.cred.user.lockedVm, total);
  }

  /** The tables no device is on, as the kernel reads them. */
  #checkIdle(): void {
    const [ctx] = this.bench.platform.kernel.iommufd.contexts;
    for (const ioas of this.model.ioases) {
      for (const { id } of ioas.hwpts.filter((h) => h.users.size === 0)) {
        const { domain } = ctx.objects.get(id) as HwptPaging;
        for (let page = 0; page < WINDOW + BUFFER; page++) {
          const area = this.model.areaAt(ioas, page);
          const want = area?.pages.pinned.get(area.first + page - area.start) ?? -1;
          assert.equal(domain.translate(page), want, `HWPT ${id}, page ${page}`);
        }
      }
    }
  }
}

Deno.test("any sequence of calls leaves the tables equal to the areas, pins balanced, nothing reachable that is free (FACTS 1.4)", () => {
  const bench = new Bench();
  bench.warm();
  // Whatever the first process leaves behind for good, like sysfs nodes, is there before we count.
  bench.kill(new Play(bench).sys);
  const free = bench.freePages;
  fc.assert(
    fc.property(fc.array(step, { minLength: 4, maxLength: 24, size: "max" }), (steps) => {
      const play = new Play(bench);
      try {
        for (const s of steps) {
          const { got, want } = play.step(s);
          assert.equal(got, want, JSON.stringify(s));
          play.check();
        }
      } finally {
        bench.kill(play.sys);
      }
      assert.equal(bench.pinned, 0, "a pin outlives the process");
      assert.equal(bench.freePages, free, "pages are lost");
      assert.equal(play.sys.task.cred.user.lockedVm, 0);
    }),
    // The same ones every time: what fails here must fail for everybody.
    { numRuns: 10_000, seed: 20_240_916 },
  );
});
