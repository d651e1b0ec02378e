import assert from "node:assert/strict";
import { PAGE_SIZE } from "../../../src/base/units.ts";
import * as R from "../../../src/uapi/pci_regs.ts";
import { E1000_RCTL, E1000_RDBAL, NIC_BAR_SIZE } from "../../../src/uapi/nic_regs.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import * as S from "../../../src/uapi/sys.ts";
import * as V from "../../../src/uapi/vfio.ts";
import { Bench } from "../bench.ts";
import { fixed, said } from "../requests.ts";
import { checkOrder, type Rule } from "../rules.ts";

const CONFIG = V.regionOffset(V.VFIO_PCI_CONFIG_REGION_INDEX);

/** Rules that each set fields of a request. */
function rulesOf<R>(...rows: [name: string, want: string, change: Partial<R>][]): Rule<R>[] {
  return rows.map(([name, want, change]) => ({
    name,
    want,
    spoils: Object.keys(change),
    spoil: (r) => ({ ...r, ...change }),
  }));
}

const words = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);

/** Everything but BIND, on a file that is not bound. */
const BEFORE_BIND: { name: string; call: (b: Bench, cdev: number) => number | string }[] = [
  { name: "ATTACH", call: (b, cdev) => b.attach(cdev, 1).rc },
  { name: "DETACH", call: (b, cdev) => b.detach(cdev) },
  { name: "RESET", call: (b, cdev) => b.sys.ioctlValue(cdev, V.VFIO_DEVICE_RESET, 0) },
  { name: "GET_INFO", call: (b, cdev) => info(b, cdev).rc },
  { name: "GET_REGION_INFO", call: (b, cdev) => region(b, cdev, 0).rc },
  { name: "an unknown ioctl", call: (b, cdev) => b.sys.ioctl(cdev, 0x3bff, words(4)) },
  {
    name: "reading configuration space",
    call: (b, cdev) => b.sys.pread(cdev, 2, CONFIG) as number,
  },
  {
    name: "writing configuration space",
    call: (b, cdev) => b.sys.pwrite(cdev, Uint8Array.of(7, 0), CONFIG + R.PCI_COMMAND),
  },
  {
    name: "mmap of BAR 0",
    call: (b, cdev) => b.sys.mmap(PAGE_SIZE, S.PROT_READ, S.MAP_SHARED, cdev, 0),
  },
];

function info(bench: Bench, cdev: number, argsz = 24) {
  return bench.ioctl(cdev, V.VFIO_DEVICE_GET_INFO, V.vfio_device_info, { argsz });
}

function region(bench: Bench, cdev: number, index: number, argsz = 32) {
  const command = V.VFIO_DEVICE_GET_REGION_INFO;
  return bench.ioctl(cdev, command, V.vfio_region_info, { index, argsz });
}

Deno.test("until BIND succeeds everything else is EINVAL and nothing happens (FACTS 2.2)", async (t) => {
  const bench = new Bench();
  const before = bench.fingerprint;
  const cdev = bench.cdev();
  for (const { name, call } of BEFORE_BIND) {
    await t.step(name, () => {
      const rc = call(bench, cdev);
      assert.equal(typeof rc === "string" ? rc : said(rc), "EINVAL");
    });
  }
  bench.sys.close(cdev);
  assert.equal(bench.fingerprint, before);
  assert.equal(bench.platform.machine.functions[0].resets, 0);
});

Deno.test("a cdev that is opened to be read can be bound, and is not written; only its own name exists", () => {
  const bench = new Bench();
  const { sys } = bench;
  assert.equal(said(sys.open("/dev/vfio/devices/vfio2", S.O_RDWR)), "ENOENT");
  const cdev = sys.open("/dev/vfio/devices/vfio0", S.O_RDONLY);
  assert.equal(bench.bind(cdev, bench.iommufd()).rc, "ok");
  assert.equal(bench.command(cdev), R.PCI_COMMAND_MEMORY);
  assert.equal(said(sys.pwrite(cdev, Uint8Array.of(6, 0), CONFIG + R.PCI_COMMAND)), "EBADF");
  const map = (prot: number) => said(sys.mmap(PAGE_SIZE, prot, S.MAP_SHARED, cdev, 0));
  assert.deepEqual([map(S.PROT_READ | S.PROT_WRITE), map(S.PROT_READ)], ["EACCES", "ok"]);
  assert.deepEqual(bench.sys.readdir("/dev/vfio/devices"), ["vfio0", "vfio1"]);
  const name = (bdf: string) => bench.sys.readdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`);
  assert.deepEqual([name("0000:3a:00.0"), name("0000:3b:00.0")], [["vfio0"], ["vfio1"]]);
});

interface BindRequest {
  argsz: number;
  flags: number;
  iommufd: number;
  /** Which file it is called on. */
  on: string;
}

Deno.test("BIND looks at its request in order (FACTS 2.2)", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const files: Record<string, number> = {
    fresh: bench.cdev(0),
    bound: bench.bound(ctx, 1).cdev,
    other: bench.cdev(1),
  };
  const rules = rulesOf<BindRequest>(
    ["argsz too small", "EINVAL", { argsz: 15 }],
    ["unknown flag", "EINVAL", { flags: 2 }],
    ["iommufd -1", "EINVAL", { iommufd: -1 }],
    ["bound already", "EINVAL", { on: "bound" }],
    ["no such descriptor", "EBADF", { iommufd: 999 }],
    ["a descriptor that is no iommufd", "EBADFD", { iommufd: files.fresh }],
    ["a token", "EINVAL", { flags: 1 }],
    ["another file has the device", "EINVAL", { on: "other" }],
  );
  const good = { argsz: 16, flags: 0, iommufd: ctx, on: "fresh" };
  const before = bench.fingerprint;
  const command = V.VFIO_DEVICE_BIND_IOMMUFD;
  checkOrder(
    rules,
    good,
    ({ on, ...r }) => bench.ioctl(files[on], command, V.vfio_device_bind_iommufd, r).rc,
  );
  assert.equal(bench.fingerprint, before);
  assert.equal(bench.platform.machine.functions[0].resets, 0);
  assert.equal(bench.bind(files.fresh, ctx).rc, "ok");
});

Deno.test("BIND takes the first version of its structure and writes no further than that", () => {
  const bench = new Bench();
  const bytes = words(16, 0, bench.iommufd(), 0xffffffff, 0xaaaaaaaa, 0xaaaaaaaa);
  assert.equal(said(bench.sys.ioctl(bench.cdev(), 0x3b76, bytes)), "ok");
  const view = new DataView(bytes.buffer);
  assert.deepEqual([view.getUint32(12, true), view.getUint32(16, true)], [1, 0xaaaaaaaa]);
  assert.equal(said(bench.sys.ioctl(bench.cdev(1), 0x3b76, words(16, 0))), "EFAULT");
});

Deno.test("a device belongs to one file at a time, and is free again after its close", () => {
  const bench = new Bench();
  const [a, b] = [bench.iommufd(), bench.iommufd()];
  const first = bench.bound(a);
  const second = bench.cdev();
  for (const ctx of [a, b]) assert.equal(bench.bind(second, ctx).rc, "EINVAL");
  assert.equal(bench.destroy(a, first.dev), "EBUSY", "VFIO holds a bound device");
  bench.sys.close(first.cdev);
  assert.equal(bench.destroy(a, first.dev), "ENOENT");
  assert.equal(bench.bind(second, b).rc, "ok");
});

Deno.test("one process binds a device to another's iommufd only if it has the descriptor", () => {
  const bench = new Bench();
  const other = bench.shell();
  const ctx = bench.iommufd(other);
  assert.equal(bench.bind(bench.cdev(), ctx + 10).rc, "EBADF");
  assert.equal(bench.bind(bench.cdev(0, other), ctx, other).rc, "ok");
});

interface AttachRequest {
  argsz: number;
  flags: number;
  pt_id: number;
}

Deno.test("ATTACH and DETACH look at their requests in order (FACTS 2.2)", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const ioas = bench.ioas(ctx);
  const { cdev, dev } = bench.bound(ctx);
  const rules = rulesOf<AttachRequest>(
    ["argsz too small", "EINVAL", { argsz: 11 }],
    ["a PASID in a structure without one", "EINVAL", { argsz: 12, flags: 1 }],
    ["unknown flag", "EINVAL", { flags: 2 }],
    ["no such page table", "ENOENT", { pt_id: 77 }],
    ["a page table that is a device", "EINVAL", { pt_id: dev }],
  );
  const before = bench.fingerprint;
  const attach = (r: AttachRequest) =>
    bench.ioctl(cdev, V.VFIO_DEVICE_ATTACH_IOMMUFD_PT, V.vfio_device_attach_iommufd_pt, r).rc;
  checkOrder(rules, { argsz: 16, flags: 0, pt_id: ioas }, attach);
  assert.equal(bench.fingerprint, before);
  assert.equal(attach({ argsz: 12, flags: 0, pt_id: ioas }), "ok");
  const detach = (argsz: number, flags = 0) =>
    said(bench.sys.ioctl(cdev, V.VFIO_DEVICE_DETACH_IOMMUFD_PT, words(argsz, flags)));
  assert.deepEqual([detach(7), detach(8, 1), detach(8, 2)], ["EINVAL", "EINVAL", "EINVAL"]);
  assert.equal(detach(8), "ok");
  assert.equal(detach(8), "ok", "harmless when nothing is attached");
  assert.equal(bench.fingerprint, before);
});

Deno.test("a bound device is blocked until it is attached, and blocked again when detached (FACTS 1.5)", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const ioas = bench.ioas(ctx);
  bench.map(ctx, fixed(ioas, bench.anon(0x2000), 0x2000, 0));
  const { dev } = bench.platform.kernel.vfio.devices[0];
  const on = () => dev.group?.domain.type;
  assert.equal(on(), "paging");
  const { cdev } = bench.bound(ctx);
  assert.equal(on(), "blocking");
  assert.equal(bench.attach(cdev, ioas).rc, "ok");
  assert.deepEqual([on(), bench.frame(0, 0x1000) > 0], ["paging", true]);
  assert.equal(bench.detach(cdev), "ok");
  assert.equal(on(), "blocking");
  bench.sys.close(cdev);
  assert.equal(on(), "paging", "the default domain");
  assert.deepEqual(bench.complaints, []);
});

Deno.test("ATTACH of an attached device replaces (FACTS 1.5)", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const [one, two] = [bench.ioas(ctx), bench.ioas(ctx)];
  bench.map(ctx, fixed(two, bench.anon(0x1000), 0x1000, 0));
  const { cdev, dev, hwpt } = bench.attached(ctx, one);
  assert.equal(bench.attach(cdev, one).out.pt_id, hwpt, "the same IOAS: the same HWPT");
  assert.equal(bench.attach(cdev, hwpt).out.pt_id, hwpt);
  const manual = bench.hwptAlloc(ctx, dev, one).out.out_hwpt_id;
  assert.equal(bench.attach(cdev, manual).out.pt_id, manual);
  assert.equal(bench.destroy(ctx, hwpt), "ENOENT", "an automatic HWPT goes with its last device");
  assert.equal(bench.ranges(ctx, one).list.length, 2, "the window stays reserved in the same IOAS");
  const auto = bench.attach(cdev, two).out.pt_id;
  assert.ok(bench.frame(0, 0) > 0);
  assert.equal(bench.destroy(ctx, manual), "ok", "a manual one stays until it is destroyed");
  assert.equal(bench.ranges(ctx, one).list.length, 1);
  const second = bench.attached(ctx, two, 1);
  assert.equal(second.hwpt, auto, "devices share an automatic HWPT");
  bench.detach(cdev);
  assert.equal(bench.destroy(ctx, auto), "EBUSY");
  bench.detach(second.cdev);
  assert.equal(bench.destroy(ctx, auto), "ENOENT");
  assert.deepEqual(bench.complaints, []);
});

Deno.test("a replace that fails leaves the device where it is", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const [good, bad] = [bench.ioas(ctx), bench.ioas(ctx)];
  bench.map(ctx, fixed(good, bench.anon(0x1000), 0x1000, 0));
  const { cdev } = bench.attached(ctx, good);
  const frame = bench.frame(0, 0);
  bench.map(ctx, fixed(bad, 0x10000, 0x1000, 0));
  assert.equal(bench.attach(cdev, bad).rc, "EFAULT");
  bench.unmap(ctx, bad, 0, U.U64_MAX);
  bench.map(ctx, fixed(bad, bench.anon(0x1000), 0x1000, 0xfee00000));
  assert.equal(bench.attach(cdev, bad).rc, "EADDRINUSE");
  assert.equal(bench.frame(0, 0), frame);
  assert.equal(bench.ranges(ctx, bad).list.length, 1);
  assert.deepEqual(bench.complaints, []);
});

Deno.test("GET_INFO and GET_REGION_INFO describe a PCI device (FACTS 2.1)", () => {
  const bench = new Bench();
  const { cdev } = bench.bound(bench.iommufd());
  const { rc, out } = info(bench, cdev);
  assert.deepEqual([rc, out.flags, out.num_regions, out.num_irqs], ["ok", 3, 9, 5]);
  for (const argsz of [0, 15]) assert.equal(info(bench, cdev, argsz).rc, "EINVAL");
  for (let index = 0; index < 8; index++) {
    const { rc, out } = region(bench, cdev, index);
    const size = index === 0 ? NIC_BAR_SIZE : index === 7 ? 4096 : 0;
    const flags = index === 0 ? 7 : index === 7 ? 3 : 0;
    assert.deepEqual([rc, Number(out.size), out.flags], ["ok", size, flags]);
    assert.equal(Number(out.offset), index * 2 ** 40);
  }
  for (const none of [8, 9]) assert.equal(region(bench, cdev, none).rc, "EINVAL");
  assert.equal(region(bench, cdev, 0, 31).rc, "EINVAL");
  assert.equal(said(bench.sys.ioctl(cdev, 0x3bff, words(4))), "ENOTTY");
});

Deno.test("GET_INFO with the first size of its structure writes no further", () => {
  const bench = new Bench();
  const { cdev } = bench.bound(bench.iommufd());
  const bytes = words(16, 0, 0, 0, 0xaaaaaaaa, 0xaaaaaaaa);
  assert.equal(said(bench.sys.ioctl(cdev, V.VFIO_DEVICE_GET_INFO, bytes)), "ok");
  assert.deepEqual([...new Uint32Array(bytes.buffer)], [16, 3, 9, 5, 0xaaaaaaaa, 0xaaaaaaaa]);
});

/** Reads and writes of configuration space, by offset and length. */
const ACCESS: { at: number; length: number; want: string }[] = [
  { at: 0, length: 2, want: "ok" },
  { at: 0, length: 4, want: "ok" },
  { at: 255, length: 1, want: "ok" },
  { at: 252, length: 4, want: "ok" },
  { at: 4095, length: 1, want: "ok" },
  { at: 0, length: 4096, want: "ok" },
  { at: 4096, length: 1, want: "EFAULT" },
  { at: 4094, length: 4, want: "EFAULT" },
  { at: -2, length: 2, want: "EINVAL" },
];

Deno.test("configuration space is read at the region's offset and ends after 4 KiB", () => {
  const bench = new Bench();
  const { cdev } = bench.bound(bench.iommufd());
  for (const { at, length, want } of ACCESS) {
    const bytes = bench.sys.pread(cdev, length, CONFIG + at);
    assert.equal(typeof bytes === "number" ? said(bytes) : "ok", want, `${length} at ${at}`);
  }
  const id = bench.sys.pread(cdev, 4, CONFIG) as Uint8Array;
  assert.deepEqual([...id], [0x86, 0x80, 0xc9, 0x10]);
});

Deno.test("a device starts with bus mastering off: the user sets it, and a close clears it (FACTS 2.4)", () => {
  const bench = new Bench();
  const device = bench.platform.machine.functions[0];
  const ctx = bench.iommufd();
  const { cdev } = bench.attached(ctx, bench.ioas(ctx));
  assert.equal(device.resets, 1, "FLR at open");
  assert.equal(bench.command(cdev), R.PCI_COMMAND_MEMORY);
  assert.equal(device.port.busMaster, false);
  bench.setBusMaster(cdev);
  assert.equal(device.port.busMaster, true);
  const { kernel } = bench.platform;
  const bar = kernel.vfio.devices[0].dev.bar0;
  bench.sys.close(cdev);
  assert.equal(device.resets, 2, "and at close");
  assert.equal(device.port.busMaster, false);
  assert.equal(kernel.vfio.devices[0].dev.bar0, bar, "the BAR is where it was");
});

Deno.test("RESET brings the device to its start, command register and BAR as they were (FACTS 2.4)", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const { cdev } = bench.attached(ctx, bench.ioas(ctx));
  const bar = bench.mmap(cdev, NIC_BAR_SIZE);
  const { sys } = bench;
  const kvm = sys.open("/dev/kvm", S.O_RDWR);
  const vm = sys.ioctlValue(kvm, 0xae01, 0);
  const cpu = sys.vcpu(sys.ioctlValue(vm, 0xae41, 0));
  const slot = new Uint8Array(32);
  const view = new DataView(slot.buffer);
  view.setBigUint64(16, BigInt(NIC_BAR_SIZE), true);
  view.setBigUint64(24, BigInt(bar), true);
  assert.equal(sys.ioctl(vm, 0x4020ae46, slot), 0);
  bench.setBusMaster(cdev);
  const command = bench.command(cdev);
  cpu.store32(E1000_RDBAL, 0x12340000);
  assert.equal(cpu.load32(E1000_RDBAL), 0x12340000);
  assert.equal(said(sys.ioctlValue(cdev, V.VFIO_DEVICE_RESET, 0)), "ok");
  assert.deepEqual([cpu.load32(E1000_RDBAL), cpu.load32(E1000_RCTL)], [0, 0]);
  assert.equal(bench.command(cdev), command);
});

/** Offset in BAR 0 and length. */
const MMAP: { at: number; length: number; want: string }[] = [
  { at: 0, length: NIC_BAR_SIZE, want: "ok" },
  { at: 0x1000, length: NIC_BAR_SIZE - 0x1000, want: "ok" },
  { at: 0, length: NIC_BAR_SIZE + 0x1000, want: "EINVAL" },
  { at: NIC_BAR_SIZE, length: 0x1000, want: "EINVAL" },
  { at: 0x800, length: 0x1000, want: "EINVAL" },
  { at: 2 ** 40, length: 0x1000, want: "EINVAL" },
  { at: CONFIG, length: 0x1000, want: "EINVAL" },
];

Deno.test("BAR 0 is mapped by mmap, nothing else is", () => {
  const bench = new Bench();
  const { cdev } = bench.bound(bench.iommufd());
  for (const { at, length, want } of MMAP) {
    const rc = bench.sys.mmap(length, S.PROT_READ | S.PROT_WRITE, S.MAP_SHARED, cdev, at);
    assert.equal(said(rc), want, `${length} at ${at}`);
  }
});

Deno.test("a mapping of the BAR keeps the device open after its descriptor is closed", () => {
  const bench = new Bench();
  const device = bench.platform.machine.functions[0];
  const { cdev } = bench.bound(bench.iommufd());
  const bar = bench.mmap(cdev, NIC_BAR_SIZE);
  bench.sys.close(cdev);
  assert.equal(device.resets, 1);
  bench.sys.munmap(bar, NIC_BAR_SIZE);
  assert.equal(device.resets, 2);
});
