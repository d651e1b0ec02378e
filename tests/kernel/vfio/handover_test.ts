import assert from "node:assert/strict";
import { MiB } from "../../../src/base/units.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import * as S from "../../../src/uapi/sys.ts";
import { Bench } from "../bench.ts";
import { FIXED, RW, said } from "../requests.ts";

/** A persistent iommufd (id 1) with devices on one mapped file, doing DMA as far as it matters. */
function running(devices: number[] = [0]) {
  const bench = new Bench();
  const fd = bench.persistent();
  const ioas = bench.ioas(fd);
  const file = bench.file("ram", 2 * MiB);
  const request = { flags: FIXED | RW, ioas_id: ioas, fd: file, length: BigInt(2 * MiB) };
  assert.equal(bench.mapFile(fd, { ...request, iova: 0n }).rc, "ok");
  const bound = devices.map((index) => {
    const device = bench.attached(fd, ioas, index);
    bench.setBusMaster(device.cdev);
    return device;
  });
  return { bench, fd, ioas, request, devices: bound, frame: bench.frame(devices[0], 0x3000) };
}

/** Devices that go on as if nothing had happened: same frames, mastering, never reset. */
function undisturbed(bench: Bench, frame: number, devices: number[] = [0], resets = 1): void {
  for (const index of devices) {
    assert.equal(bench.frame(index, 0x3000), frame, `device ${index}`);
    const hardware = bench.platform.machine.functions[index];
    assert.deepEqual([hardware.resets, hardware.port.busMaster], [resets, true]);
  }
  assert.deepEqual(bench.complaints, []);
}

const on = (bench: Bench, index = 0) =>
  bench.platform.kernel.vfio.devices[index].dev.group?.domain.type;

Deno.test("a device handed over runs on, and its heir binds it without disturbing it (seed lines 2237-2241)", () => {
  const { bench, ioas, devices: [{ dev, hwpt }], frame } = running();
  bench.kexec();
  undisturbed(bench, frame);
  const fd = bench.mustPickUp(1);
  undisturbed(bench, frame);
  const { cdev, dev: again } = bench.bound(fd);
  assert.equal(again, dev, "under the id it had");
  undisturbed(bench, frame);
  assert.equal(bench.attach(cdev, hwpt).out.pt_id, hwpt);
  assert.equal(bench.attach(cdev, ioas).out.pt_id, hwpt, "the automatic HWPT is one as before");
  undisturbed(bench, frame);
  assert.equal(bench.ranges(fd, ioas).list.length, 2);
  assert.equal(bench.ranges(fd, ioas).alignment, 4096n);
});

/** Who tries to bind the held device. Persistent id 1 is its owner. */
const STRANGERS: { who: string; fd: (b: Bench) => number; want: string }[] = [
  { who: "a fresh iommufd", fd: (b) => b.iommufd(), want: "EPERM" },
  { who: "a fresh persistent iommufd", fd: (b) => b.persistent(), want: "EPERM" },
  { who: "another picked-up iommufd", fd: (b) => b.mustPickUp(2), want: "EPERM" },
  { who: "what is no iommufd", fd: (b) => b.memfd(4096), want: "EBADFD" },
  { who: "the heir", fd: (b) => b.mustPickUp(1), want: "ok" },
];

Deno.test("a held device is for its heir alone (FACTS 10.6)", async (t) => {
  const { bench, frame } = running();
  const other = bench.persistent();
  bench.attached(other, bench.ioas(other), 1);
  bench.kexec();
  for (const { who, fd, want } of STRANGERS) {
    await t.step(`${who}: ${want}`, () => {
      const cdev = bench.cdev();
      assert.equal(bench.bind(cdev, fd(bench)).rc, want);
      if (want !== "ok") bench.sys.close(cdev);
      undisturbed(bench, frame);
    });
  }
});

Deno.test("what waits for its heir is EBUSY to open, by cdev and by group, and to reset, in every design (FACTS 10.6)", () => {
  for (const image of ["rfc-v1", "replay", "redrive", "redrive-replace"]) {
    const bench = new Bench(image);
    const fd = bench.persistent();
    bench.setBusMaster(bench.attached(fd, bench.ioas(fd)).cdev);
    bench.kexec(image);
    const open = (path: string) => said(bench.sys.open(path, S.O_RDWR));
    const reset = "/sys/bus/pci/devices/0000:3a:00.0/reset";
    const fenced = (when: string) => {
      assert.equal(open("/dev/vfio/devices/vfio0"), "EBUSY", `${image}, ${when}`);
      assert.equal(open("/dev/vfio/0"), "EBUSY", `${image}, ${when}`);
      assert.equal(bench.write(reset, "1"), "EBUSY", `${image}, ${when}`);
    };
    fenced("nobody has come");
    const heir = bench.mustPickUp(1);
    fenced("its iommufd is picked up");
    const { cdev } = bench.bound(heir);
    assert.equal(open("/dev/vfio/0"), "EBUSY");
    // Nobody is waited for any more once it has a domain of its heir's.
    if (image.startsWith("redrive")) assert.equal(bench.attach(cdev, bench.ioas(heir)).rc, "ok");
    assert.equal(open("/dev/vfio/devices/vfio0"), "ok", image);
    assert.deepEqual(bench.complaints, []);
    const [{ resets }] = bench.platform.machine.functions;
    assert.equal(bench.write(reset, "yes"), "EINVAL");
    assert.equal(bench.write(reset, "1"), "ok", image);
    assert.equal(bench.platform.machine.functions[0].resets, resets + 1);
  }
});

/** What a context must refuse as long as one of its devices waits; afterwards it answers ok. */
const WAITING: { name: string; call: (b: Bench, fd: number, r: object) => string }[] = [
  {
    name: "IOAS_ALLOC",
    call: (b, fd) => b.ioctl(fd, U.IOMMU_IOAS_ALLOC, U.iommu_ioas_alloc, {}).rc,
  },
  { name: "MAP_FILE", call: (b, fd, r) => b.mapFile(fd, { ...r, iova: 0x800000n }).rc },
  { name: "UNMAP", call: (b, fd) => b.unmap(fd, 1, 0, U.U64_MAX).rc },
];

Deno.test("as long as a device waits for its heir nothing it runs on may change", async (t) => {
  for (const { name, call } of WAITING) {
    await t.step(`${name}: EBUSY`, () => {
      const { bench, frame, request } = running([0, 1]);
      bench.kexec();
      const fd = bench.mustPickUp(1);
      const again = { ...request, fd: bench.file("ram", 0) };
      assert.equal(call(bench, fd, again), "EBUSY");
      bench.bound(fd, 0);
      assert.equal(call(bench, fd, again), "EBUSY", "the second device still waits");
      undisturbed(bench, frame, [0, 1]);
      bench.bound(fd, 1);
      assert.equal(call(bench, fd, again), "ok");
      assert.deepEqual(bench.complaints, []);
    });
  }
});

Deno.test("the page tables of a held device cannot be destroyed, before or after it is bound", () => {
  const { bench, ioas, devices: [{ dev, hwpt }], frame } = running();
  bench.kexec();
  const fd = bench.mustPickUp(1);
  for (const id of [hwpt, ioas]) assert.equal(bench.destroy(fd, id), "EBUSY");
  assert.equal(bench.destroy(fd, dev), "ENOENT", "an id that waits for its device");
  const { cdev } = bench.bound(fd);
  for (const id of [hwpt, ioas, dev]) assert.equal(bench.destroy(fd, id), "EBUSY");
  undisturbed(bench, frame);
  assert.equal(bench.detach(cdev), "ok");
  assert.equal(on(bench), "blocking", "DETACH works although there was no ATTACH");
  assert.equal(bench.destroy(fd, hwpt), "ENOENT", "the automatic HWPT went");
  assert.equal(bench.attach(cdev, ioas).rc, "ok");
  assert.equal(bench.frame(0, 0x3000), frame);
  assert.deepEqual(bench.complaints, []);
});

Deno.test("a process that dies before it takes its device leaves everything for the next (FACTS 10.6)", () => {
  const { bench, frame, ioas } = running();
  bench.kexec();
  for (let life = 0; life < 3; life++) {
    const heir = bench.shell();
    bench.mustPickUp(1, heir);
    assert.equal(bench.pickUp(1), "EBUSY");
    bench.kill(heir);
    undisturbed(bench, frame);
    assert.equal(bench.unlink("ram"), "EBUSY");
  }
  const fd = bench.mustPickUp(1);
  bench.bound(fd);
  undisturbed(bench, frame);
  assert.equal(bench.unmap(fd, ioas, 0, U.U64_MAX).rc, "ok");
  assert.equal(bench.unlink("ram"), "ok");
});

Deno.test("a process that dies between two devices loses one and leaves the other", () => {
  const { bench, frame } = running([0, 1]);
  bench.kexec();
  const heir = bench.shell();
  const fd = bench.mustPickUp(1, heir);
  bench.bound(fd, 0, heir);
  bench.kill(heir);
  undisturbed(bench, frame, [1]);
  const first = bench.platform.machine.functions[0];
  assert.deepEqual([first.resets, first.port.busMaster], [2, false], "what it had is reset");
  assert.equal(bench.frame(0, 0x3000), -1);

  const again = bench.mustPickUp(1);
  const second = bench.bound(again, 1);
  undisturbed(bench, frame, [1]);
  const { cdev } = bench.bound(again, 0);
  assert.equal(on(bench, 0), "blocking", "nobody's heir any more");
  const hwpt = bench.attach(second.cdev, 1).out.pt_id;
  assert.equal(bench.attach(cdev, hwpt).rc, "ok");
  assert.equal(bench.frame(0, 0x3000), frame);
  undisturbed(bench, frame, [1]);
});

Deno.test("once the heir is done with it a device is like any other", () => {
  const { bench, frame } = running();
  bench.kexec();
  const heir = bench.shell();
  bench.bound(bench.mustPickUp(1, heir), 0, heir);
  undisturbed(bench, frame);
  bench.kill(heir);
  assert.equal(on(bench), "paging");
  assert.equal(bench.pickUp(1), "EBUSY");
  assert.equal(bench.unlink("ram"), "ok");
  for (let round = 0; round < 2; round++) {
    const fd = bench.iommufd();
    const { cdev } = bench.bound(fd);
    assert.equal(on(bench), "blocking");
    assert.equal(bench.attach(cdev, bench.ioas(fd)).rc, "ok");
    bench.sys.close(cdev);
    bench.sys.close(fd);
  }
  assert.deepEqual(bench.complaints, []);
});

Deno.test("a device goes from kernel to kernel, bound in between or not", () => {
  const { bench, frame, devices: [{ dev, hwpt }] } = running();
  for (const bind of [true, false, true, true]) {
    bench.kexec();
    undisturbed(bench, frame);
    if (!bind) continue;
    const fd = bench.mustPickUp(1);
    const device = bench.bound(fd);
    assert.equal(device.dev, dev);
    assert.equal(bench.attach(device.cdev, hwpt).out.pt_id, hwpt);
  }
  undisturbed(bench, frame);
});

Deno.test("what is mapped between two kexecs goes over with the second", () => {
  const { bench, ioas, request } = running();
  bench.kexec();
  const fd = bench.mustPickUp(1);
  bench.bound(fd);
  const more = { ...request, fd: bench.file("more", 4 * MiB), iova: BigInt(1 << 30) };
  assert.equal(bench.mapFile(fd, { ...more, start: BigInt(2 * MiB) }).rc, "ok");
  assert.equal(bench.unmap(fd, ioas, 0, 2 * MiB).rc, "ok");
  const frame = bench.frame(0, (1 << 30) + 0x5000);
  bench.kexec();
  assert.equal(bench.frame(0, (1 << 30) + 0x5000), frame);
  assert.equal(bench.frame(0, 0x3000), -1);
  assert.deepEqual([bench.unlink("ram"), bench.unlink("more")], ["ok", "EBUSY"]);
  const again = bench.mustPickUp(1);
  const { cdev } = bench.bound(again);
  assert.equal(bench.unmap(again, ioas, 0, U.U64_MAX).out.length, BigInt(2 * MiB));
  assert.equal(bench.frame(0, (1 << 30) + 0x5000), -1);
  bench.sys.close(cdev);
  bench.sys.close(again);
  assert.equal(bench.unlink("more"), "ok");
  assert.deepEqual(bench.complaints, []);
});

Deno.test("two HWPTs of one iommufd, and two iommufds, each keep their own page tables", () => {
  for (const separate of [false, true]) {
    const { bench, frame, fd } = running();
    const other = separate ? bench.persistent() : fd;
    const ioas_id = bench.ioas(other);
    const file = bench.file("second", 2 * MiB);
    const request = { flags: FIXED | RW, ioas_id, fd: file, length: BigInt(2 * MiB), iova: 0n };
    assert.equal(bench.mapFile(other, request).rc, "ok");
    const { hwpt, cdev } = bench.attached(other, ioas_id, 1);
    bench.setBusMaster(cdev);
    const frames = [frame, bench.frame(1, 0x3000)];
    assert.notEqual(frames[0], frames[1]);
    bench.kexec();
    [0, 1].forEach((i) => undisturbed(bench, frames[i], [i]));
    const first = bench.mustPickUp(1);
    const second = separate ? bench.mustPickUp(2) : first;
    bench.bound(first, 0);
    const device = bench.bound(second, 1);
    assert.equal(bench.attach(device.cdev, ioas_id).out.pt_id, hwpt);
    [0, 1].forEach((i) => undisturbed(bench, frames[i], [i]));
  }
});

/** Ways to jump without handing anything over, although devices are marked. */
const NOT_CARRIED: { how: string; prepare: (b: Bench) => void; files: string[] }[] = [
  {
    how: "KHO is never switched on",
    prepare: (b) => void b.load(),
    files: [],
  },
  {
    how: "the image was loaded before KHO was switched on (FACTS 6.1)",
    prepare: (b) => {
      b.load();
      b.kho(true);
    },
    files: [],
  },
  {
    how: "KHO was switched off again after the image was loaded (FACTS 6.1)",
    prepare: (b) => {
      b.kho(true);
      b.load();
      b.kho(false);
    },
    files: ["ram"],
  },
  {
    how: "the image carries an older dump than the one that stands",
    prepare: (b) => {
      b.kho(true);
      b.load();
      b.kho(false);
      b.kho(true);
    },
    files: ["ram"],
  },
];

Deno.test("without a dump in the image no device does DMA over the jump", async (t) => {
  for (const { how, prepare, files } of NOT_CARRIED) {
    await t.step(how, () => {
      const { bench } = running();
      prepare(bench);
      bench.jump();
      assert.equal(bench.platform.machine.functions[0].port.busMaster, false);
      assert.equal(bench.platform.machine.units[0].translationEnabled, true);
      assert.equal(on(bench), "paging");
      assert.deepEqual(bench.complaints, []);
      assert.deepEqual(bench.sys.readdir("/mnt/guestmemfs"), files);
      assert.equal(bench.pickUp(1), files.length > 0 ? "ENODEV" : "ENOENT");
      bench.attachedFresh();
    });
  }
});

Deno.test("what is marked only after the dump is not in it, and is not handed over", () => {
  const { bench, frame } = running();
  assert.equal(bench.kho(true), "ok");
  const late = bench.persistent();
  const { cdev } = bench.attached(late, bench.ioas(late), 1);
  bench.setBusMaster(cdev);
  assert.equal(bench.load(), "ok");
  bench.jump();
  undisturbed(bench, frame, [0]);
  assert.equal(bench.platform.machine.functions[1].port.busMaster, false);
  assert.equal(bench.pickUp(2), "ENOENT");
  assert.deepEqual(bench.complaints, []);
  bench.attachedFresh(1);
});

Deno.test("an ABORT leaves no trace, and the next dump works", () => {
  const { bench, frame } = running([0, 1]);
  const before = bench.fingerprint;
  for (let i = 0; i < 3; i++) {
    assert.equal(bench.kho(true), "ok");
    assert.equal(bench.load(), "ok");
    assert.equal(bench.sys.kexecFileLoad("", 1), 0);
    assert.equal(bench.kho(false), "ok");
    assert.equal(bench.fingerprint, before);
  }
  bench.kexec();
  undisturbed(bench, frame, [0, 1]);
});
