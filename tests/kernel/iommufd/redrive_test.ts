import assert from "node:assert/strict";
import { MiB, ms, PAGE_SIZE } from "../../../src/base/units.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import * as S from "../../../src/uapi/sys.ts";
import * as V from "../../../src/uapi/vfio.ts";
import { ioasMapFile } from "../../../src/userspace/calls.ts";
import { Bench } from "../bench.ts";
import { said } from "../requests.ts";

/** One test for each way a handed-over device can go (FACTS 10.6), by hand. */

const DIR = "/sys/kernel/iommufd_persisted/1";
const FS = "/sys/fs/iommufd_persisted";
const NIC0 = "0000:3a:00.0";
const RAM = 2 * MiB;

/** A persistent iommufd with both cards on one IOAS, handed over to the same image. */
function handedOver(image = "redrive-replace", o: ConstructorParameters<typeof Bench>[1] = {}) {
  const bench = new Bench(image, o);
  const fd = bench.persistent();
  const ioas = bench.ioas(fd);
  const first = bench.attached(fd, ioas, 0), second = bench.attached(fd, ioas, 1);
  assert.equal(ioasMapFile(bench.sys, fd, ioas, bench.file("ram", RAM), RAM, 0), 0);
  for (const { cdev } of [first, second]) bench.setBusMaster(cdev);
  const frames = [0, 1].map((i) => bench.frame(i, 0x5000));
  bench.kexec(image);
  const group = (index: number) => {
    const found = bench.platform.kernel.vfio.devices[index].dev.group;
    assert.ok(found);
    return found;
  };
  const resets = () => bench.platform.machine.functions.map((f) => f.resets);
  return { bench, frames, group, resets, image };
}

/** What a handle in sysfs gives: a descriptor, or the name of the errno. */
function handle(bench: Bench, path: string, sys = bench.sys): number | string {
  const fd = sys.open(path, S.O_RDONLY);
  if (fd < 0) return said(fd);
  const text = sys.read(fd, 16);
  sys.close(fd);
  return typeof text === "number" ? said(text) : Number(new TextDecoder().decode(text));
}

function mustHandle(bench: Bench, path: string, sys = bench.sys): number {
  const fd = handle(bench, path, sys);
  assert.ok(typeof fd === "number", `${path}: ${fd}`);
  return fd;
}

/** Picks up iommufd and cards and binds them, in a process. */
function pickUp(bench: Bench, sys = bench.sys) {
  const fd = mustHandle(bench, `${DIR}/iommufd`, sys);
  const cdevs = bench.sys.readdir(`${DIR}/devices`) as string[];
  const devices = cdevs.map((name) => mustHandle(bench, `${DIR}/devices/${name}`, sys));
  for (const cdev of devices) assert.equal(bench.bind(cdev, fd, sys).rc, "ok");
  return { fd, devices };
}

Deno.test("a handed-over device is nobody's but its heir's: open EBUSY, bind by others EPERM", () => {
  const { bench, group } = handedOver();
  assert.ok(group(0).held && group(0).domain.type === "paging");
  assert.equal(said(bench.sys.open("/dev/vfio/devices/vfio0", S.O_RDWR)), "EBUSY");
  assert.equal(said(bench.sys.open(`/dev/vfio/${group(0).id}`, S.O_RDWR)), "EBUSY");
  const cdev = mustHandle(bench, `${DIR}/devices/${NIC0}`);
  const stranger = bench.persistent();
  assert.equal(bench.bind(cdev, stranger).rc, "EPERM");
  assert.equal(bench.bind(cdev, bench.iommufd()).rc, "EPERM");
  assert.deepEqual(bench.complaints, []);
});

Deno.test("a device that is not handed over leaves no table of its own behind, in scalable mode too", () => {
  for (const profile of ["intel-legacy", "intel-scalable"]) {
    const bench = new Bench("redrive-replace", { profile });
    const fd = bench.persistent(), ioas = bench.ioas(fd);
    const { cdev } = bench.attached(fd, ioas);
    assert.equal(ioasMapFile(bench.sys, fd, ioas, bench.file("ram", RAM), RAM, 0), 0);
    bench.setBusMaster(cdev);
    bench.kexec("redrive-replace");
    assert.deepEqual(bench.complaints, [], profile);
  }
});

Deno.test("picked up, bound, mapped, attached: same frames, same DID, nothing reset, old tables freed", () => {
  for (const image of ["redrive-replace", "redrive"]) {
    const { bench, frames, group, resets } = handedOver(image);
    const before = resets();
    const dids = [0, 1].map((i) => (group(i).domain as unknown as { did: number }).did);
    const { fd, devices } = pickUp(bench);
    const tables = bench.platform.kernel.costs.tables;
    const ioas = bench.ioas(fd);
    assert.equal(ioasMapFile(bench.sys, fd, ioas, bench.file("ram", 0), RAM, 0), 0);
    assert.equal(bench.write(`${DIR}/finish`, "1"), "EBUSY", "both still wait");
    assert.equal(bench.attach(devices[0], ioas).rc, "ok");
    assert.equal(bench.unmap(fd, ioas, 0, RAM).rc, "EAGAIN", "one id, two tables");
    assert.deepEqual(bench.complaints, []);
    assert.equal(bench.write(`${DIR}/finish`, "1"), "EBUSY", "one still waits");
    assert.equal(bench.attach(devices[1], ioas).rc, "ok");
    assert.equal(bench.write(`${DIR}/finish`, "1"), "ok");
    assert.deepEqual([0, 1].map((i) => bench.frame(i, 0x5000)), frames);
    assert.deepEqual([0, 1].map((i) => (group(i).domain as unknown as { did: number }).did), dids);
    assert.deepEqual(resets(), before);
    assert.equal(bench.platform.kernel.costs.tables, tables, "as many as before");
    assert.deepEqual(bench.complaints, []);
    assert.equal(said(bench.sys.open(`${DIR}/iommufd`, S.O_RDONLY)), "ENOENT");
    // An ordinary device from here on.
    assert.equal(bench.unmap(fd, ioas, 0, RAM).rc, "ok");
    for (const cdev of devices) bench.sys.close(cdev);
    bench.sys.close(fd);
    assert.deepEqual(bench.complaints, []);
    assert.ok(bench.attachedFresh(0).cdev >= 0);
  }
});

Deno.test("the heir dies before it has attached: the devices go on, and the next heir may try", () => {
  const { bench, frames, group, resets } = handedOver();
  const before = resets();
  for (let attempt = 0; attempt < 2; attempt++) {
    const sys = bench.shell();
    const { fd } = pickUp(bench, sys);
    assert.equal(handle(bench, `${DIR}/iommufd`), "EBUSY", "one heir at a time");
    if (attempt > 0) bench.ioas(fd, sys);
    bench.kill(sys);
    assert.ok(group(0).held && group(1).held);
    assert.deepEqual([0, 1].map((i) => bench.frame(i, 0x5000)), frames);
    assert.ok(bench.platform.kernel.vfio.devices.every(({ dev }) => dev.busMaster));
    assert.deepEqual(resets(), before);
    assert.deepEqual(bench.complaints, []);
  }
  pickUp(bench);
});

Deno.test("the heir dies between two devices: one is shut down as ever, the other one waits", () => {
  const { bench, group, resets } = handedOver();
  const before = resets();
  const sys = bench.shell();
  const { fd, devices } = pickUp(bench, sys);
  const ioas = bench.ioas(fd, sys);
  const file = sys.open("/mnt/guestmemfs/ram", S.O_RDWR);
  assert.equal(ioasMapFile(sys, fd, ioas, file, RAM, 0), 0);
  assert.equal(bench.attach(devices[0], ioas, sys).rc, "ok");
  bench.kill(sys);
  assert.ok(!group(0).held && group(1).held);
  assert.deepEqual(resets().map((n, i) => n - before[i]), [1, 0]);
  assert.deepEqual(bench.complaints, []);
  const again = pickUp2(bench);
  assert.equal(bench.attach(again.cdev, again.ioas).rc, "ok");
  assert.equal(bench.write(`${DIR}/finish`, "1"), "ok");
  assert.deepEqual(bench.complaints, []);
});

/** The second card alone, with an IOAS that maps as before. */
function pickUp2(bench: Bench) {
  const fd = mustHandle(bench, `${DIR}/iommufd`);
  const cdev = mustHandle(bench, `${DIR}/devices/0000:3b:00.0`);
  assert.equal(bench.bind(cdev, fd).rc, "ok");
  const ioas = bench.ioas(fd);
  assert.equal(ioasMapFile(bench.sys, fd, ioas, bench.file("ram", 0), RAM, 0), 0);
  return { fd, cdev, ioas };
}

Deno.test("nobody comes: given up by an administrator, the devices are blocked, reset, anybody's", () => {
  const { bench, group, resets } = handedOver();
  const before = resets();
  const busy = mustHandle(bench, `${DIR}/iommufd`);
  assert.equal(bench.write(`${DIR}/discard`, "1"), "EBUSY", "somebody has it");
  bench.sys.close(busy);
  assert.equal(bench.write(`${DIR}/discard`, "0"), "EINVAL");
  assert.equal(bench.unlink("ram"), "EBUSY", "its devices write to it");
  assert.equal(bench.write(`${DIR}/discard`, "1"), "ok");
  assert.deepEqual(resets().map((n, i) => n - before[i]), [1, 1]);
  assert.ok(!group(0).held && !group(0).owned);
  assert.equal(bench.frame(0, 0x5000), -1);
  assert.equal(bench.unlink("ram"), "ok");
  assert.deepEqual(bench.complaints, []);
  assert.equal(said(bench.sys.open(`${DIR}/iommufd`, S.O_RDONLY)), "ENOENT");
  assert.ok(bench.attachedFresh(0).cdev >= 0);
});

Deno.test("nobody comes, and there is another kexec: what waits is handed on as it came", () => {
  const { bench, frames, image } = handedOver();
  for (let round = 0; round < 2; round++) {
    bench.kexec(image);
    assert.deepEqual([0, 1].map((i) => bench.frame(i, 0x5000)), frames);
    assert.equal(bench.unlink("ram"), "EBUSY");
    assert.deepEqual(bench.complaints, []);
  }
  const { fd, devices } = pickUp(bench);
  const ioas = bench.ioas(fd);
  assert.equal(ioasMapFile(bench.sys, fd, ioas, bench.file("ram", 0), RAM, 0), 0);
  for (const cdev of devices) assert.equal(bench.attach(cdev, ioas).rc, "ok");
  assert.equal(bench.write(`${DIR}/finish`, "1"), "ok");
});

Deno.test("the file system of handles gives the same descriptors by open(2) (seed lines 1014-1023)", () => {
  const { bench } = handedOver();
  assert.equal(said(bench.sys.mount("iommufd_persisted", FS, "x")), "EINVAL");
  assert.equal(said(bench.sys.mount("iommufd_persisted", FS, "")), "ok");
  assert.equal(said(bench.sys.mount("iommufd_persisted", FS, "")), "EBUSY");
  assert.deepEqual(bench.sys.readdir(FS), ["1"]);
  const fd = bench.sys.open(`${FS}/1/iommufd`, S.O_RDWR);
  assert.ok(fd >= 0, said(fd));
  assert.equal(said(bench.sys.open(`${FS}/1/iommufd`, S.O_RDWR)), "EBUSY");
  const cdev = bench.sys.open(`${FS}/1/devices/${NIC0}`, S.O_RDWR);
  assert.equal(bench.bind(cdev, fd).rc, "ok");
  assert.equal(bench.write(`${FS}/1/finish`, "1"), "EBUSY");
  // Not in kernels whose handles are in sysfs alone.
  const old = new Bench("rfc-v1");
  assert.equal(said(old.sys.mount("iommufd_persisted", "/sys", "")), "ENODEV");
});

Deno.test("memory can be persistent by its file alone: by address EINVAL (seed lines 2295-2302)", () => {
  const bench = new Bench("redrive");
  const fd = bench.persistent(), ioas = bench.ioas(fd);
  const file = bench.file("ram", RAM), va = bench.mmap(file, RAM);
  const flags = U.IOMMU_IOAS_MAP_READABLE | U.IOMMU_IOAS_MAP_WRITEABLE;
  const request = { flags, ioas_id: ioas, user_va: BigInt(va), length: BigInt(PAGE_SIZE) };
  assert.equal(bench.map(fd, request).rc, "EINVAL");
  assert.equal(ioasMapFile(bench.sys, fd, ioas, file, RAM, 0), 0);
});

Deno.test("a nesting parent cannot be made in a persistent iommufd, in any design (seed line 2150)", () => {
  for (const image of ["rfc-v1", "replay", "redrive", "redrive-replace"]) {
    const bench = new Bench(image, { profile: "intel-scalable" });
    const fd = bench.persistent(), ioas = bench.ioas(fd);
    const { dev } = bench.bound(fd, 0);
    const alloc = (flags: number) =>
      bench.ioctl(fd, U.IOMMU_HWPT_ALLOC, U.iommu_hwpt_alloc, { dev_id: dev, pt_id: ioas, flags });
    assert.equal(alloc(U.IOMMU_HWPT_ALLOC_NEST_PARENT).rc, "EOPNOTSUPP");
    assert.equal(alloc(U.IOMMU_HWPT_ALLOC_PASID).rc, "ok");
  }
});

Deno.test("other memory than before: compared, refused by name; replaced with a DID of its own", () => {
  const { bench } = handedOver("redrive");
  const { fd, devices } = pickUp(bench);
  const ioas = bench.ioas(fd);
  const other = bench.file("other", RAM);
  assert.equal(ioasMapFile(bench.sys, fd, ioas, bench.file("ram", 0), RAM / 2, 0), 0);
  assert.equal(bench.attach(devices[0], ioas).rc, "EINVAL");
  const said1 = bench.platform.events.map((e) => e.text);
  assert.ok(
    said1.includes(
      `iommu: ${NIC0}: tables of the previous kernel differ at IOVA 0x0: page size; not adopted`,
    ),
    said1.filter((t) => t.includes("DMAR")).join("\n"),
  );
  assert.deepEqual(bench.complaints, [], "nothing was changed");
  assert.equal(ioasMapFile(bench.sys, fd, ioas, other, RAM / 2, RAM), 0);
  const { out } = bench.ioctl(fd, U.IOMMU_HWPT_ALLOC, U.iommu_hwpt_alloc, {
    dev_id: 1,
    pt_id: ioas,
    flags: U.IOMMU_HWPT_ALLOC_REPLACE,
  });
  assert.equal(bench.attach(devices[0], out.out_hwpt_id).rc, "ok");
  assert.deepEqual(bench.complaints, []);
  assert.ok(bench.frame(0, RAM) >= 0);
  assert.equal(bench.frame(1, RAM), -1, "the other one is where it was");
});

Deno.test("a device that is held can do nothing but wait: calls before BIND are EINVAL", () => {
  const { bench } = handedOver();
  const cdev = mustHandle(bench, `${DIR}/devices/${NIC0}`);
  assert.equal(said(bench.sys.ioctlValue(cdev, V.VFIO_DEVICE_RESET, 0)), "EINVAL");
  bench.platform.runFor(2 * ms);
  assert.deepEqual(bench.complaints, []);
});

Deno.test("under rfc-v1 too a domain that two devices are on is given up once", () => {
  const { bench } = handedOver("rfc-v1");
  assert.equal(bench.write(`${DIR}/discard`, "1"), "ok");
  assert.deepEqual(bench.complaints, []);
  assert.equal(bench.unlink("ram"), "ok");
  assert.ok(bench.attachedFresh(0).cdev >= 0);
});
