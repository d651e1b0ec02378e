import assert from "node:assert/strict";
import * as U from "../../../src/uapi/iommufd.ts";
import * as V from "../../../src/uapi/vfio.ts";
import type { FieldType, Struct } from "../../../src/uapi/struct.ts";
import { Bench } from "../bench.ts";
import { said } from "../requests.ts";

const words = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);

/** Structure, its size, and where its fields begin: FACTS 1.2 and 2.1. */
const LAYOUTS: [Struct<Record<string, FieldType>>, number, Record<string, number>][] = [
  [U.iommu_destroy, 8, { size: 0, id: 4 }],
  [U.iommu_ioas_alloc, 12, { size: 0, flags: 4, out_ioas_id: 8 }],
  [U.iommu_iova_range, 16, { start: 0, last: 8 }],
  [U.iommu_ioas_iova_ranges, 32, {
    size: 0,
    ioas_id: 4,
    num_iovas: 8,
    rsvd: 12,
    allowed_iovas: 16,
    out_iova_alignment: 24,
  }],
  [U.iommu_ioas_map, 40, {
    size: 0,
    flags: 4,
    ioas_id: 8,
    rsvd: 12,
    user_va: 16,
    length: 24,
    iova: 32,
  }],
  [U.iommu_ioas_map_file, 40, {
    size: 0,
    flags: 4,
    ioas_id: 8,
    fd: 12,
    start: 16,
    length: 24,
    iova: 32,
  }],
  [U.iommu_ioas_unmap, 24, { size: 0, ioas_id: 4, iova: 8, length: 16 }],
  [U.iommu_option, 24, { size: 0, option_id: 4, op: 8, rsvd: 10, object_id: 12, val64: 16 }],
  [U.iommu_hwpt_alloc, 48, {
    size: 0,
    flags: 4,
    dev_id: 8,
    pt_id: 12,
    out_hwpt_id: 16,
    rsvd: 20,
    data_type: 24,
    data_len: 28,
    data_uptr: 32,
    fault_id: 40,
    rsvd2: 44,
  }],
  [V.vfio_device_info, 24, {
    argsz: 0,
    flags: 4,
    num_regions: 8,
    num_irqs: 12,
    cap_offset: 16,
    pad: 20,
  }],
  [V.vfio_region_info, 32, {
    argsz: 0,
    flags: 4,
    index: 8,
    cap_offset: 12,
    size: 16,
    offset: 24,
  }],
  [V.vfio_device_bind_iommufd, 24, {
    argsz: 0,
    flags: 4,
    iommufd: 8,
    out_devid: 12,
    token_uuid_ptr: 16,
  }],
  [V.vfio_device_attach_iommufd_pt, 16, { argsz: 0, flags: 4, pt_id: 8, pasid: 12 }],
  [V.vfio_device_detach_iommufd_pt, 12, { argsz: 0, flags: 4, pasid: 8 }],
].map(([s, size, at]) =>
  [s, size, at] as [Struct<Record<string, FieldType>>, number, Record<string, number>]
);

Deno.test("every structure lies in memory as the headers have it (FACTS 1.2, 2.1)", () => {
  for (const [struct, size, offsets] of LAYOUTS) {
    assert.equal(struct.size, size, struct.name);
    assert.deepEqual({ ...struct.offsets }, offsets, struct.name);
  }
});

Deno.test("every command has the number of the headers (FACTS 1.1, 2.1)", () => {
  const numbers = [
    [U.IOMMU_DESTROY, 0x3b80],
    [U.IOMMU_IOAS_ALLOC, 0x3b81],
    [U.IOMMU_IOAS_IOVA_RANGES, 0x3b84],
    [U.IOMMU_IOAS_MAP, 0x3b85],
    [U.IOMMU_IOAS_UNMAP, 0x3b86],
    [U.IOMMU_OPTION, 0x3b87],
    [U.IOMMU_HWPT_ALLOC, 0x3b89],
    [U.IOMMU_IOAS_MAP_FILE, 0x3b8f],
    [V.VFIO_DEVICE_GET_INFO, 0x3b6b],
    [V.VFIO_DEVICE_GET_REGION_INFO, 0x3b6c],
    [V.VFIO_DEVICE_RESET, 0x3b6f],
    [V.VFIO_DEVICE_BIND_IOMMUFD, 0x3b76],
    [V.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 0x3b77],
    [V.VFIO_DEVICE_DETACH_IOMMUFD_PT, 0x3b78],
  ];
  for (const [ours, theirs] of numbers) assert.equal(ours, theirs);
});

const ALLOC = U.IOMMU_IOAS_ALLOC;

/** Raw calls on a fresh iommufd, FACTS 1.1 steps 1 to 6. */
const ENVELOPE: { name: string; command: number; bytes: Uint8Array; want: string }[] = [
  { name: "no memory at all", command: ALLOC, bytes: words(), want: "EFAULT" },
  { name: "half a size word", command: ALLOC, bytes: Uint8Array.of(12, 0), want: "EFAULT" },
  { name: "size 0", command: ALLOC, bytes: words(0, 0, 0), want: "EINVAL" },
  { name: "size one byte short", command: ALLOC, bytes: words(11, 0, 0), want: "EINVAL" },
  { name: "short size, bad flags", command: ALLOC, bytes: words(8, 1, 0), want: "EINVAL" },
  { name: "exact size", command: ALLOC, bytes: words(12, 0, 0), want: "ok" },
  { name: "size beyond the memory", command: ALLOC, bytes: words(16, 0, 0), want: "EFAULT" },
  { name: "longer, tail zero", command: ALLOC, bytes: words(20, 0, 0, 0, 0), want: "ok" },
  { name: "longer, tail set", command: ALLOC, bytes: words(20, 0, 0, 0, 1), want: "E2BIG" },
  { name: "tail set and bad flags", command: ALLOC, bytes: words(16, 1, 0, 1), want: "E2BIG" },
  { name: "memory behind size set", command: ALLOC, bytes: words(12, 0, 0, 1), want: "ok" },
  { name: "last byte of a long tail", command: ALLOC, bytes: longTail(4096), want: "E2BIG" },
  { name: "number below the table", command: 0x3b7f, bytes: words(4), want: "ENOTTY" },
  { name: "number above the table", command: 0x3bff, bytes: words(4), want: "ENOTTY" },
  { name: "unknown comes before EFAULT", command: 0x3bff, bytes: words(), want: "ENOTTY" },
  { name: "right number, wrong type", command: 0x3c81, bytes: words(12, 0, 0), want: "ENOTTY" },
  {
    name: "right number, size bits set",
    command: 0xc00c3b81,
    bytes: words(12, 0, 0),
    want: "ENOTTY",
  },
  { name: "a container's call there is", command: 0x3b64, bytes: words(0), want: "ok" },
  { name: "a container's call there is not", command: 0x3b73, bytes: words(0), want: "ENOTTY" },
  { name: "a call of a VFIO device", command: 0x3b6b, bytes: words(0), want: "ENOTTY" },
  {
    name: "HWPT_ALLOC below its first size",
    command: U.IOMMU_HWPT_ALLOC,
    bytes: words(20, 0, 9, 9, 0),
    want: "EINVAL",
  },
  {
    name: "HWPT_ALLOC of its first size",
    command: U.IOMMU_HWPT_ALLOC,
    bytes: words(24, 0, 9, 9, 0, 0),
    want: "ENOENT",
  },
];

function longTail(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(words(length, 0, 0));
  bytes[length - 1] = 0x80;
  return bytes;
}

Deno.test("the envelope of an ioctl is checked in order (FACTS 1.1)", async (t) => {
  const bench = new Bench();
  for (const { name, command, bytes, want } of ENVELOPE) {
    await t.step(`${name}: ${want}`, () => {
      assert.equal(said(bench.sys.ioctl(bench.iommufd(), command, bytes.slice())), want);
    });
  }
});

Deno.test("each command refuses what is shorter than its first structure (FACTS 1.1)", () => {
  const bench = new Bench();
  const first: [number, number][] = [
    [U.IOMMU_DESTROY, 8],
    [U.IOMMU_IOAS_ALLOC, 12],
    [U.IOMMU_IOAS_IOVA_RANGES, 32],
    [U.IOMMU_IOAS_MAP, 40],
    [U.IOMMU_IOAS_MAP_FILE, 40],
    [U.IOMMU_IOAS_UNMAP, 24],
    [U.IOMMU_OPTION, 24],
    [U.IOMMU_HWPT_ALLOC, 24],
  ];
  for (const [command, size] of first) {
    const fd = bench.iommufd();
    for (let short = 0; short < size; short++) {
      const bytes = new Uint8Array(64);
      new DataView(bytes.buffer).setUint32(0, short, true);
      assert.equal(said(bench.sys.ioctl(fd, command, bytes)), "EINVAL", `${command} ${short}`);
    }
  }
});

Deno.test("a reply goes no further than the size the caller gave (FACTS 1.1)", () => {
  const bench = new Bench();
  const fd = bench.iommufd();
  const ioas = bench.ioas(fd);
  const { dev } = bench.bound(fd);
  const bytes = words(24, 0, dev, ioas, 0, 0, 0xaaaaaaaa, 0xaaaaaaaa);
  assert.equal(said(bench.sys.ioctl(fd, U.IOMMU_HWPT_ALLOC, bytes)), "ok");
  assert.equal(new DataView(bytes.buffer).getUint32(16, true), 3);
  assert.deepEqual([...bytes.subarray(24)], new Array(8).fill(0xaa));
});

Deno.test("a descriptor that is no iommufd does not understand its calls", () => {
  const bench = new Bench();
  const bytes = () => words(12, 0, 0);
  const { sys } = bench;
  assert.equal(said(sys.ioctl(99, ALLOC, bytes())), "EBADF");
  assert.equal(said(sys.ioctl(bench.memfd(4096), ALLOC, bytes())), "ENOTTY");
  assert.equal(said(sys.ioctl(sys.open("/dev/kvm", 2), ALLOC, bytes())), "ENOTTY");
});

Deno.test("IOAS_ALLOC takes no flags (FACTS 1.3)", () => {
  const bench = new Bench();
  const fd = bench.iommufd();
  for (const flags of [1, 2, 0x80000000]) {
    assert.equal(bench.ioctl(fd, ALLOC, U.iommu_ioas_alloc, { flags }).rc, "EOPNOTSUPP");
  }
  assert.equal(bench.ioas(fd), 1);
});

Deno.test("ids are the lowest free ones from 1, shared by all kinds of objects (FACTS 1.1)", () => {
  const bench = new Bench();
  const fd = bench.iommufd();
  assert.deepEqual([bench.ioas(fd), bench.ioas(fd), bench.ioas(fd)], [1, 2, 3]);
  assert.equal(bench.destroy(fd, 2), "ok");
  const { cdev, dev } = bench.bound(fd);
  assert.equal(dev, 2, "a device takes the id an IOAS left");
  const manual = bench.hwptAlloc(fd, dev, 1);
  assert.equal(manual.out.out_hwpt_id, 4);
  assert.equal(bench.destroy(fd, 3), "ok");
  assert.equal(bench.attach(cdev, 1).out.pt_id, 3, "an automatic HWPT has an id like any other");
  assert.equal(bench.ioas(fd), 5);
  assert.equal(bench.detach(cdev), "ok");
  assert.equal(bench.ioas(fd), 3, "the automatic HWPT went with its last device");
  assert.equal(bench.ioas(bench.iommufd()), 1, "each open file has ids of its own");
});

/** DESTROY on: IOAS 1 (free), IOAS 2 with an automatic HWPT, device, that HWPT, manual HWPT. */
const DESTROY: { what: string; id: (o: Objects) => number; want: string }[] = [
  { what: "id 0", id: () => 0, want: "ENOENT" },
  { what: "an id nobody has", id: () => 77, want: "ENOENT" },
  { what: "a free IOAS", id: (o) => o.free, want: "ok" },
  { what: "it again", id: (o) => o.free, want: "ENOENT" },
  { what: "an IOAS with HWPTs", id: (o) => o.used, want: "EBUSY" },
  { what: "a bound device", id: (o) => o.dev, want: "EBUSY" },
  { what: "a HWPT with a device on it", id: (o) => o.auto, want: "EBUSY" },
  { what: "a HWPT nothing is on", id: (o) => o.manual, want: "ok" },
  { what: "the IOAS, which still has one", id: (o) => o.used, want: "EBUSY" },
];

interface Objects {
  free: number;
  used: number;
  dev: number;
  auto: number;
  manual: number;
}

Deno.test("DESTROY takes what nothing refers to (FACTS 1.3)", async (t) => {
  const bench = new Bench();
  const fd = bench.iommufd();
  const free = bench.ioas(fd), used = bench.ioas(fd);
  const { dev, hwpt: auto } = bench.attached(fd, used);
  const objects = { free, used, dev, auto, manual: bench.hwptAlloc(fd, dev, used).out.out_hwpt_id };
  for (const { what, id, want } of DESTROY) {
    await t.step(`${what}: ${want}`, () => assert.equal(bench.destroy(fd, id(objects)), want));
  }
});
