import assert from "node:assert/strict";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import { ioasMapFile } from "../../../src/userspace/calls.ts";
import { Bench } from "../bench.ts";

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
