import assert from "node:assert/strict";
import { NIC_BAR_SIZE } from "../../../src/uapi/nic_regs.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import { PCI_COMMAND_MEMORY } from "../../../src/uapi/pci_regs.ts";
import * as S from "../../../src/uapi/sys.ts";
import * as V from "../../../src/uapi/vfio.ts";
import { Bench } from "../bench.ts";
import { fixed, said } from "../requests.ts";

const NIC0 = "0000:3a:00.0";
const { VFIO_GROUP_FLAGS_VIABLE: VIABLE, VFIO_GROUP_FLAGS_CONTAINER_SET: SET } = V;

function status(bench: Bench, group: number, argsz = 8) {
  const { VFIO_GROUP_GET_STATUS, vfio_group_status } = V;
  const { rc, out } = bench.ioctl(group, VFIO_GROUP_GET_STATUS, vfio_group_status, { argsz });
  return rc === "ok" ? out.flags : rc;
}

const on = (bench: Bench) => bench.platform.kernel.vfio.devices[0].dev.group?.domain.type;

Deno.test("a group is opened by one at a time, and cdev and group exclude each other (FACTS 2.2)", () => {
  const bench = new Bench();
  const { sys } = bench;
  assert.deepEqual(sys.readdir("/dev/vfio"), ["0", "1", "devices", "vfio"]);
  const group = bench.group();
  assert.equal(said(bench.group()), "EBUSY");
  const cdev = bench.cdev();
  const ctx = bench.iommufd();
  assert.equal(bench.bind(cdev, ctx).rc, "EBUSY");
  assert.equal(bench.bind(bench.cdev(1), ctx).rc, "ok", "the other device is in another group");
  sys.close(group);
  assert.equal(bench.bind(cdev, ctx).rc, "ok");
  assert.equal(said(bench.group()), "EBUSY");
  sys.close(cdev);
  assert.ok(bench.group() >= 0);
});

Deno.test("a device opened through its group keeps the group open", () => {
  const bench = new Bench();
  const { sys } = bench;
  const { group, device } = bench.legacy();
  sys.close(group);
  assert.equal(said(bench.group()), "EBUSY");
  assert.equal(bench.bind(bench.cdev(), bench.iommufd()).rc, "EBUSY");
  sys.close(device);
  assert.ok(bench.group() >= 0);
});

Deno.test("GET_STATUS tells whether there is a container, and whether the group can be had", () => {
  const bench = new Bench();
  const { sys } = bench;
  const group = bench.group();
  assert.deepEqual([status(bench, group), status(bench, group, 7)], [VIABLE, "EINVAL"]);
  assert.equal(said(sys.ioctl(group, V.VFIO_GROUP_GET_STATUS, new Uint8Array(4))), "EFAULT");
  const container = sys.open("/dev/vfio/vfio", S.O_RDWR);
  assert.equal(bench.setContainer(group, container), "ok");
  assert.equal(status(bench, group), VIABLE | SET);
  const device = bench.deviceFd(group, NIC0);
  assert.equal(said(sys.ioctlValue(group, V.VFIO_GROUP_UNSET_CONTAINER, 0)), "ok");
  assert.equal(status(bench, group), 0, "the open device is still bound to its iommufd");
  sys.close(device);
  assert.equal(status(bench, group), VIABLE);
});

Deno.test("SET_CONTAINER and UNSET_CONTAINER (FACTS 2.1)", () => {
  const bench = new Bench();
  const { sys } = bench;
  const group = bench.group();
  const unset = () => said(sys.ioctlValue(group, V.VFIO_GROUP_UNSET_CONTAINER, 0));
  assert.equal(unset(), "EINVAL");
  assert.equal(said(sys.ioctlValue(group, V.VFIO_GROUP_SET_CONTAINER, 0)), "EFAULT");
  assert.deepEqual([bench.setContainer(group, -1), bench.setContainer(group, 99)], [
    "EBADF",
    "EBADF",
  ]);
  assert.equal(bench.setContainer(group, bench.memfd(4096)), "EBADFD");
  for (const path of ["/dev/vfio/vfio", "/dev/iommu"]) {
    const container = sys.open(path, S.O_RDWR);
    assert.equal(bench.setContainer(group, container), "ok", path);
    assert.equal(bench.setContainer(group, container), "EINVAL");
    assert.equal(unset(), "ok");
  }
  assert.equal(said(sys.ioctl(group, 0x3bff, new Uint8Array(4))), "ENOTTY");
});

/** Names GET_DEVICE_FD is given. */
const NAMES: { name: string; want: string }[] = [
  { name: NIC0, want: "ok" },
  { name: "0000:3b:00.0", want: "ENODEV" },
  { name: "0000:3a:00.01", want: "ENODEV" },
  { name: "", want: "ENODEV" },
  { name: `${NIC0} vf_token=00000000-0000-0000-0000-000000000000`, want: "EINVAL" },
];

Deno.test("GET_DEVICE_FD takes the name of a device of the group, once there is a container", () => {
  const bench = new Bench();
  const group = bench.group();
  const fd = (name: string) => said(bench.deviceFd(group, name));
  assert.deepEqual([fd("0000:3b:00.0"), fd(NIC0)], ["ENODEV", "EINVAL"]);
  assert.equal(bench.setContainer(group, bench.iommufd()), "ok");
  for (const { name, want } of NAMES) assert.equal(fd(name), want, name);
  const raw = (bytes: Uint8Array) =>
    said(bench.sys.ioctl(group, V.VFIO_GROUP_GET_DEVICE_FD, bytes));
  assert.equal(raw(new TextEncoder().encode(NIC0)), "EFAULT", "no NUL before memory ends");
  assert.equal(raw(new Uint8Array(5000).fill(0x30)), "EINVAL", "longer than a page");
});

Deno.test("a device opened through its group is bound and attached from the start (FACTS 1.3 VFIO_IOAS, 2.4)", () => {
  const bench = new Bench();
  const { sys } = bench;
  const container = bench.iommufd();
  const hardware = bench.platform.machine.functions[0];
  const { device, group } = bench.legacy(0, container);
  const { out } = bench.ioctl(container, U.IOMMU_VFIO_IOAS, U.iommu_vfio_ioas, {});
  const ioas = out.ioas_id;
  assert.equal(bench.map(container, fixed(ioas, bench.anon(0x1000), 0x1000, 0x5000)).rc, "ok");
  assert.deepEqual([on(bench), bench.frame(0, 0x5000) > 0], ["paging", true]);
  assert.deepEqual([hardware.resets, hardware.port.busMaster], [1, false]);
  assert.equal(bench.command(device), PCI_COMMAND_MEMORY);
  assert.ok(bench.mmap(device, NIC_BAR_SIZE) > 0);
  // Calls that are a cdev's.
  assert.equal(bench.bind(device, container).rc, "EINVAL");
  assert.equal(bench.attach(device, ioas).rc, "ENOTTY");
  assert.equal(bench.detach(device), "ENOTTY");
  const second = bench.deviceFd(group, NIC0);
  assert.ok(second >= 0, "a group's device may be opened several times");
  sys.munmap(sys.mmap(4096, S.PROT_READ, S.MAP_SHARED, second, 0), 4096);
  sys.close(second);
  assert.deepEqual([hardware.resets, bench.frame(0, 0x5000) > 0], [1, true]);
});

Deno.test("with the last file of a device its group is given back", () => {
  const bench = new Bench();
  const { sys } = bench;
  bench.warm();
  const free = bench.fingerprint;
  const { device, group, container } = bench.legacy();
  bench.setBusMaster(device);
  const second = bench.deviceFd(group, NIC0);
  const hardware = bench.platform.machine.functions[0];
  const { resets } = hardware;
  sys.close(device);
  assert.deepEqual([hardware.resets, hardware.port.busMaster], [resets, true]);
  sys.close(second);
  const after = [hardware.resets, hardware.port.busMaster, on(bench)];
  assert.deepEqual(after, [resets + 1, false, "paging"]);
  const again = bench.deviceFd(group, NIC0);
  assert.ok(again >= 0);
  for (const fd of [again, group, container]) sys.close(fd);
  assert.equal(bench.pinned, 0);
  assert.equal(bench.fingerprint, free);
  assert.deepEqual(bench.complaints, []);
});

Deno.test("a container whose IOAS is gone, or maps what the device reserves, gets no device", () => {
  const bench = new Bench();
  const group = bench.group();
  const container = bench.iommufd();
  assert.equal(bench.setContainer(group, container), "ok");
  assert.equal(bench.destroy(container, 1), "ok", "the automatic IOAS is an object like others");
  assert.equal(said(bench.deviceFd(group, NIC0)), "ENODEV");
  assert.equal(on(bench), "paging");
  const ioas = bench.ioas(container);
  const set = { ioas_id: ioas, op: U.IOMMU_VFIO_IOAS_SET };
  assert.equal(bench.ioctl(container, U.IOMMU_VFIO_IOAS, U.iommu_vfio_ioas, set).rc, "ok");
  bench.map(container, fixed(ioas, bench.anon(0x1000), 0x1000, 0xfee00000));
  assert.equal(said(bench.deviceFd(group, NIC0)), "EADDRINUSE", "the interrupt window is mapped");
  assert.equal(bench.platform.kernel.vfio.devices[0].isOpen, false);
  bench.unmap(container, ioas, 0, U.U64_MAX);
  assert.ok(bench.deviceFd(group, NIC0) >= 0);
});

Deno.test("a device that waits for its heir is not to be had through its group (FACTS 10.6)", () => {
  const bench = new Bench();
  const fd = bench.persistent();
  const { device } = bench.legacy(0, fd);
  bench.setBusMaster(device);
  bench.kexec();
  assert.equal(said(bench.group()), "EBUSY");
  const heir = bench.mustPickUp(1);
  assert.equal(said(bench.group()), "EBUSY");
  assert.deepEqual(bench.complaints, []);
  const { cdev } = bench.bound(heir);
  const hardware = bench.platform.machine.functions[0];
  assert.deepEqual([hardware.resets, hardware.port.busMaster], [1, true]);
  bench.sys.close(cdev);
  assert.ok(bench.group() >= 0);
  assert.deepEqual(bench.complaints, []);
});

Deno.test("a dump keeps the device open, whichever of its files goes first", () => {
  const bench = new Bench();
  const { sys } = bench;
  const { device, group } = bench.legacy(0, bench.persistent());
  bench.setBusMaster(device);
  const second = bench.deviceFd(group, NIC0);
  sys.close(device);
  assert.equal(bench.kho(true), "ok");
  sys.close(second);
  sys.close(group);
  const hardware = bench.platform.machine.functions[0];
  assert.deepEqual([hardware.resets, hardware.port.busMaster], [1, true]);
  assert.equal(bench.kho(false), "ok");
  assert.deepEqual([hardware.resets, hardware.port.busMaster], [2, false]);
  assert.ok(bench.group() >= 0);
});
