import assert from "node:assert/strict";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import type { IommufdCtx } from "../../../src/kernel/iommufd/ctx.ts";
import { IommufdDevice } from "../../../src/kernel/iommufd/device.ts";
import { HwptPaging } from "../../../src/kernel/iommufd/hwpt.ts";
import { Ioas } from "../../../src/kernel/iommufd/ioas.ts";
import { ioasMapFile } from "../../../src/userspace/calls.ts";
import { Bench } from "../bench.ts";
import { FIXED, RW } from "../requests.ts";

/** The third option of the thread: calls recorded, and made again (seed lines 2373-2379). */

const RAM = 2 * MiB;

/** A persistent iommufd with a history, of which something is left: ids with holes between. */
function withHistory(bench = new Bench("replay")) {
  const fd = bench.persistent();
  const dropped = bench.ioas(fd), ioas = bench.ioas(fd);
  const first = bench.attached(fd, ioas, 0);
  assert.equal(bench.destroy(fd, dropped), "ok");
  const file = bench.file("ram", RAM);
  assert.equal(ioasMapFile(bench.sys, fd, ioas, file, RAM, 0), 0);
  assert.equal(ioasMapFile(bench.sys, fd, ioas, file, RAM, 2 * RAM), 0);
  assert.equal(bench.unmap(fd, ioas, 2 * RAM, RAM).rc, "ok");
  const second = bench.attached(fd, ioas, 1);
  for (const { cdev } of [first, second]) bench.setBusMaster(cdev);
  const objects = ids(bench);
  return { bench, fd, ioas, objects, hwpt: first.hwpt, frame: bench.frame(0, 0x5000) };
}

/** Objects of the one context there is, as `kind id`. */
function ids(bench: Bench): string[] {
  const [ctx] = bench.platform.kernel.iommufd.contexts;
  return ctx.objects.all.map((o) => `${o.constructor.name} ${o.id}`);
}

Deno.test("objects come back under their ids, and devices move once, at the end", () => {
  const { bench, objects, hwpt, frame } = withHistory();
  bench.kexec("replay");
  const resets = bench.platform.machine.functions.map((f) => f.resets);
  const fd = bench.mustPickUp(1);
  assert.deepEqual(ids(bench), objects);
  const said = bench.platform.events.filter((e) => e.boot === 2).map((e) => e.text);
  for (const name of ["0000:3a:00.0", "0000:3b:00.0"]) {
    assert.deepEqual(
      said.filter((t) => t.startsWith(`iommu: ${name}:`)).map((t) => t.replace(/, id.*/, "")),
      [`iommu: ${name}: tables swapped`],
    );
  }
  assert.deepEqual([0, 1].map((i) => bench.frame(i, 0x5000)), [frame, frame]);
  assert.deepEqual(bench.complaints, []);
  // The heir opens them, and finds them attached.
  for (const index of [0, 1]) {
    const { cdev } = bench.bound(fd, index);
    assert.equal(bench.attach(cdev, hwpt).rc, "ok");
  }
  assert.deepEqual(bench.platform.machine.functions.map((f) => f.resets), resets);
  assert.deepEqual(ids(bench), objects);
  assert.deepEqual(bench.complaints, []);
  assert.deepEqual(bench.platform.kernel.iommufd.unfinished, []);
});

Deno.test("the process dies before it has opened its devices: the next one gets the same iommufd", () => {
  const { bench, objects } = withHistory();
  bench.kexec("replay");
  const sys = bench.shell();
  bench.mustPickUp(1, sys);
  assert.equal(bench.pickUp(1), "EBUSY", "one at a time");
  bench.kill(sys);
  assert.deepEqual(bench.complaints, []);
  const fd = bench.mustPickUp(1);
  assert.deepEqual(ids(bench), objects);
  bench.bound(fd, 0);
  // And another kexec, with one device taken and one not.
  bench.kexec("replay");
  bench.mustPickUp(1);
  assert.deepEqual(ids(bench).length, objects.length);
  assert.deepEqual(bench.complaints, []);
});

Deno.test("nobody comes: discarded before the replay or after it, everything is freed", () => {
  for (const replayed of [false, true]) {
    const { bench } = withHistory();
    bench.kexec("replay");
    if (replayed) bench.sys.close(bench.mustPickUp(1));
    assert.equal(bench.write("/sys/kernel/iommufd_persisted/1/discard", "1"), "ok");
    assert.deepEqual(bench.platform.kernel.iommufd.contexts, []);
    assert.equal(bench.unlink("ram"), "ok");
    assert.deepEqual(bench.complaints, []);
    assert.ok(bench.attachedFresh(0).cdev >= 0);
  }
});

Deno.test("a call that goes otherwise than it did is refused, and the devices go on as they were", () => {
  const { bench, frame } = withHistory();
  assert.equal(bench.kho(true), "ok");
  assert.equal(bench.load("replay"), "ok");
  bench.jump();
  // The memory file is gone from under the log.
  const { guestmemfs } = bench.platform.kernel;
  const inode = guestmemfs?.allInodes().find((i) => i.name === "ram");
  assert.ok(inode !== undefined);
  const before = inode.numMappings;
  inode.numMappings = 0;
  assert.equal(bench.pickUp(1), "EINVAL");
  const said = bench.platform.events.map((e) => e.text);
  assert.ok(said.some((t) => /replay of call \d+ of iommufd 1 failed/.test(t)));
  inode.numMappings = before;
  assert.deepEqual([0, 1].map((i) => bench.frame(i, 0x5000)), [frame, frame]);
  assert.deepEqual(bench.complaints, []);
  bench.mustPickUp(1);
  assert.deepEqual(bench.complaints, []);
});

Deno.test("memory by its address cannot be replayed, there is no process to find it in: EINVAL", () => {
  const bench = new Bench("replay");
  const fd = bench.persistent(), ioas = bench.ioas(fd);
  const file = bench.file("ram", RAM), va = bench.mmap(file, RAM);
  const flags = U.IOMMU_IOAS_MAP_READABLE | U.IOMMU_IOAS_MAP_WRITEABLE;
  const request = { flags, ioas_id: ioas, user_va: BigInt(va), length: BigInt(PAGE_SIZE) };
  assert.equal(bench.map(fd, request).rc, "EINVAL");
});

/** The one persistent context there is. */
function context(bench: Bench): IommufdCtx {
  const [ctx] = bench.platform.kernel.iommufd.contexts.filter((c) => c.persistentId !== 0);
  return ctx;
}

/** All that a program could tell of an iommufd, whatever calls made it so. */
function whatItIs(bench: Bench): string[] {
  const ctx = context(bench);
  return ctx.objects.all.flatMap((object) => {
    if (object instanceof Ioas) {
      const { iopt } = object;
      const areas = iopt.areas.items.map((a) => {
        const file = a.pages?.source.persistent;
        const at = (file?.offset ?? 0) + a.first * PAGE_SIZE;
        return `${object.id}: ${a.start}-${a.last} prot ${a.prot} file ${file?.handle} at ${at}`;
      });
      const compat = ctx.compatIoas === object ? " for containers" : "";
      const usable = [...iopt.space.usable(), ...iopt.space.allowed].map((r) =>
        `${r.start}-${r.last}`
      ).join();
      return [`IOAS ${object.id}${compat} large ${iopt.largePages} usable ${usable}`, ...areas];
    }
    if (object instanceof HwptPaging) {
      const { ioas, auto, domain } = object;
      return [`HWPT ${object.id} of ${ioas.id} auto ${auto} sizes ${domain.pageSizes}`];
    }
    if (!(object instanceof IommufdDevice)) return [];
    return [`device ${object.id} ${object.dev.name} on ${object.hwpt?.id ?? 0}`];
  });
}

const logged = (bench: Bench) => context(bench).calls?.calls.length ?? -1;

Deno.test("what was undone is not in the log: it is as long as what there is", () => {
  const { bench, fd, ioas } = withHistory();
  const file = bench.file("ram", 0), before = logged(bench);
  const [ctx] = bench.platform.kernel.iommufd.contexts;
  const dev = ctx.objects.all.find((o) => o instanceof IommufdDevice)?.id ?? 0;
  for (let round = 0; round < 20; round++) {
    for (const at of [4, 8, 12]) {
      assert.equal(ioasMapFile(bench.sys, fd, ioas, file, RAM, at * RAM), 0);
    }
    // One call for all of them, with holes between.
    assert.equal(bench.unmap(fd, ioas, 4 * RAM, 20 * RAM).out.length, BigInt(3 * RAM));
    const other = bench.ioas(fd);
    assert.equal(ioasMapFile(bench.sys, fd, other, file, RAM, 0), 0);
    const { out } = bench.hwptAlloc(fd, dev, other);
    for (const id of [out.out_hwpt_id, other]) assert.equal(bench.destroy(fd, id), "ok");
    const limit = { option_id: U.IOMMU_OPTION_PAGE_LIMIT, object_id: hwptOf(bench) };
    for (const bytes of [4096n, 1n << 30n]) {
      assert.equal(bench.option(fd, 0, bytes, limit).rc, "ok");
    }
  }
  assert.ok(logged(bench) <= before + 1, `${logged(bench)} calls, ${before} before`);
  const was = whatItIs(bench);
  bench.kexec("replay");
  bench.mustPickUp(1);
  assert.deepEqual(whatItIs(bench), was);
  assert.deepEqual(bench.complaints, []);
});

const hwptOf = (bench: Bench) =>
  context(bench).objects.all.find((o) => o instanceof HwptPaging)?.id ?? 0;

Deno.test("settings go over: allowed IOVAs, page sizes, the IOAS of a container", () => {
  const { bench, fd, ioas } = withHistory();
  const allow = (start: bigint, last: bigint) => {
    const at = bench.anon(PAGE_SIZE);
    bench.sys.copyOut(at, U.iommu_iova_range.encode({ start, last }));
    const value = { ioas_id: ioas, num_iovas: 1, allowed_iovas: BigInt(at) };
    return bench.ioctl(fd, U.IOMMU_IOAS_ALLOW_IOVAS, U.iommu_ioas_allow_iovas, value).rc;
  };
  assert.equal(allow(1n << 30n, (2n << 30n) - 1n), "ok");
  assert.equal(allow(3n << 30n, (3n << 30n) + 0xfffffn), "ok");
  const small = bench.ioas(fd);
  const huge = { option_id: U.IOMMU_OPTION_HUGE_PAGES, object_id: small };
  assert.equal(bench.option(fd, 0, 0n, huge).rc, "ok");
  const compat = { ioas_id: small, op: U.IOMMU_VFIO_IOAS_SET };
  assert.equal(bench.ioctl(fd, U.IOMMU_VFIO_IOAS, U.iommu_vfio_ioas, compat).rc, "ok");
  const limit = { option_id: U.IOMMU_OPTION_PAGE_LIMIT, object_id: hwptOf(bench) };
  assert.equal(bench.option(fd, 0, 4096n, limit).rc, "ok");
  const was = whatItIs(bench);
  for (let round = 0; round < 2; round++) {
    bench.kexec("replay");
    const again = bench.mustPickUp(1);
    assert.deepEqual(whatItIs(bench), was);
    for (const index of [0, 1]) bench.bound(again, index);
  }
  assert.deepEqual(bench.complaints, []);
});

Deno.test("a mapping that was copied before it was unmapped: the copy goes over, and then neither is in the log", () => {
  const { bench, fd, ioas } = withHistory();
  const short = logged(bench);
  const other = bench.ioas(fd), file = bench.file("ram", 0);
  assert.equal(ioasMapFile(bench.sys, fd, ioas, file, RAM, 4 * RAM), 0);
  const copy = {
    flags: U.IOMMU_IOAS_MAP_READABLE,
    dst_ioas_id: other,
    src_ioas_id: ioas,
    length: BigInt(RAM / 2),
    src_iova: BigInt(4 * RAM),
  };
  const { rc, out } = bench.ioctl(fd, U.IOMMU_IOAS_COPY, U.iommu_ioas_copy, copy);
  assert.equal(rc, "ok");
  assert.equal(bench.unmap(fd, ioas, 4 * RAM, RAM).rc, "ok");
  const was = whatItIs(bench);
  bench.kexec("replay");
  const again = bench.mustPickUp(1);
  assert.deepEqual(whatItIs(bench), was);
  for (const index of [0, 1]) bench.bound(again, index);
  assert.equal(bench.unmap(again, other, out.dst_iova, RAM / 2).rc, "ok");
  assert.equal(bench.destroy(again, other), "ok");
  assert.equal(logged(bench), short);
  assert.deepEqual(bench.complaints, []);
});

Deno.test("whatever a program did, the next kernel has what was left of it", () => {
  for (let seed = 1; seed <= 8; seed++) {
    let state = seed;
    const pick = (bound: number) =>
      (state = Math.imul(state, 1103515245) + 12345 >>> 0) % 65536 * bound >>> 16;
    const bench = new Bench("replay");
    const fd = bench.persistent();
    const file = bench.file("ram", 2 * RAM);
    const cdevs = [0, 1].map((i) => bench.bound(fd, i).cdev);
    const one = (kind: new (...args: never[]) => { id: number }) => {
      const all = context(bench).objects.all.filter((o) => o instanceof kind);
      return all.length === 0 ? 0 : all[pick(all.length)].id;
    };
    const copy = (from: number, to: number, length: number) =>
      bench.ioctl(fd, U.IOMMU_IOAS_COPY, U.iommu_ioas_copy, {
        flags: FIXED | RW,
        dst_ioas_id: one(Ioas),
        src_ioas_id: one(Ioas),
        length: BigInt(length),
        dst_iova: BigInt(to),
        src_iova: BigInt(from),
      });
    const steps: (() => void)[] = [
      () => void bench.ioas(fd),
      () => void ioasMapFile(bench.sys, fd, one(Ioas), file, RAM, pick(4) * RAM),
      () => void ioasMapFile(bench.sys, fd, one(Ioas), file, RAM / 2, pick(8) * RAM / 2),
      () => void copy(pick(4) * RAM, pick(8) * RAM, RAM / 2),
      () => void copy(pick(4) * RAM, pick(8) * RAM, RAM),
      () => void bench.unmap(fd, one(Ioas), pick(4) * RAM, (1 + pick(8)) * RAM),
      () => void bench.hwptAlloc(fd, one(IommufdDevice), one(Ioas)),
      () => void bench.attach(cdevs[pick(2)], pick(2) === 0 ? one(Ioas) : one(HwptPaging)),
      () => void bench.detach(cdevs[pick(2)]),
      () => void bench.destroy(fd, pick(2) === 0 ? one(HwptPaging) : one(Ioas)),
      () =>
        void bench.option(fd, 0, BigInt(pick(2)), {
          option_id: U.IOMMU_OPTION_HUGE_PAGES,
          object_id: one(Ioas),
        }),
    ];
    for (let i = 0; i < 90; i++) steps[pick(steps.length)]();
    // A device on nothing is not handed over: each is on something in the end.
    for (const cdev of cdevs) assert.equal(bench.attach(cdev, bench.ioas(fd)).rc, "ok");
    const was = whatItIs(bench), calls = logged(bench);
    assert.ok(calls <= was.length + 12, `seed ${seed}: ${calls} calls for ${was.length} things`);
    bench.kexec("replay");
    bench.mustPickUp(1);
    assert.deepEqual(whatItIs(bench), was, `seed ${seed}`);
    assert.deepEqual(bench.complaints, [], `seed ${seed}`);
  }
});
