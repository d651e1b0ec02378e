import assert from "node:assert/strict";
import fc from "fast-check";
import { MiB } from "../../../src/base/units.ts";
import type { FieldType, Struct } from "../../../src/uapi/struct.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import * as V from "../../../src/uapi/vfio.ts";
import { Bench } from "../bench.ts";
import { said } from "../requests.ts";

type AnyStruct = Struct<Record<string, FieldType>>;

/** Descriptor each command is for: the iommufd or one of the device files. */
const COMMANDS: [on: "ctx" | "cdev", command: number, struct: AnyStruct][] = ([
  ["ctx", U.IOMMU_DESTROY, U.iommu_destroy],
  ["ctx", U.IOMMU_IOAS_ALLOC, U.iommu_ioas_alloc],
  ["ctx", U.IOMMU_IOAS_IOVA_RANGES, U.iommu_ioas_iova_ranges],
  ["ctx", U.IOMMU_IOAS_MAP, U.iommu_ioas_map],
  ["ctx", U.IOMMU_IOAS_MAP, U.iommu_ioas_map],
  ["ctx", U.IOMMU_IOAS_MAP_FILE, U.iommu_ioas_map_file],
  ["ctx", U.IOMMU_IOAS_MAP_FILE, U.iommu_ioas_map_file],
  ["ctx", U.IOMMU_IOAS_UNMAP, U.iommu_ioas_unmap],
  ["ctx", U.IOMMU_OPTION, U.iommu_option],
  ["ctx", U.IOMMU_HWPT_ALLOC, U.iommu_hwpt_alloc],
  ["ctx", U.IOMMU_IOAS_ALLOW_IOVAS, U.iommu_ioas_allow_iovas],
  ["ctx", U.IOMMU_IOAS_COPY, U.iommu_ioas_copy],
  ["ctx", U.IOMMU_IOAS_COPY, U.iommu_ioas_copy],
  ["ctx", U.IOMMU_VFIO_IOAS, U.iommu_vfio_ioas],
  ["ctx", U.IOMMU_IOAS_CHANGE_PROCESS, U.iommu_ioas_change_process],
  ["ctx", U.IOMMU_GET_HW_INFO, U.iommu_hw_info],
  ["ctx", U.IOMMU_HWPT_SET_DIRTY_TRACKING, U.iommu_hwpt_set_dirty_tracking],
  ["ctx", U.IOMMU_HWPT_GET_DIRTY_BITMAP, U.iommu_hwpt_get_dirty_bitmap],
  ["ctx", U.IOMMU_FAULT_QUEUE_ALLOC, U.iommu_fault_queue_alloc],
  ["ctx", U.IOMMU_HWPT_INVALIDATE, U.iommu_hwpt_invalidate],
  ["ctx", U.IOMMU_VIOMMU_ALLOC, U.iommu_viommu_alloc],
  ["ctx", U.IOMMU_VDEVICE_ALLOC, U.iommu_vdevice_alloc],
  ["ctx", U.IOMMU_VEVENTQ_ALLOC, U.iommu_veventq_alloc],
  ["ctx", U.IOMMU_HW_QUEUE_ALLOC, U.iommu_hw_queue_alloc],
  ["cdev", V.VFIO_DEVICE_BIND_IOMMUFD, V.vfio_device_bind_iommufd],
  ["cdev", V.VFIO_DEVICE_ATTACH_IOMMUFD_PT, V.vfio_device_attach_iommufd_pt],
  ["cdev", V.VFIO_DEVICE_ATTACH_IOMMUFD_PT, V.vfio_device_attach_iommufd_pt],
  ["cdev", V.VFIO_DEVICE_DETACH_IOMMUFD_PT, V.vfio_device_detach_iommufd_pt],
  ["cdev", V.VFIO_DEVICE_GET_INFO, V.vfio_device_info],
  ["cdev", V.VFIO_DEVICE_GET_REGION_INFO, V.vfio_region_info],
  ["cdev", V.VFIO_DEVICE_RESET, V.vfio_device_info],
] as unknown) as [on: "ctx" | "cdev", command: number, struct: AnyStruct][];

const mostly = <T>(usual: T[], unusual: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof(
    { weight: 15, arbitrary: fc.constantFrom(...usual) },
    { weight: 1, arbitrary: unusual },
  );
const ANY_WORD = fc.oneof(fc.nat(8), fc.nat(0x7fffffff));
const ANY_WIDE = fc.oneof(
  fc.constantFrom(0xfee00000n, 1n << 48n, U.U64_MAX, U.U64_MAX - 0xfffn, 0x800n),
  fc.bigInt(0n, U.U64_MAX),
);

/** What a field is drawn from, by name: mostly what makes sense, sometimes anything. */
const FIELDS: Record<string, fc.Arbitrary<number | bigint>> = {
  flags: mostly([7, 7, 6, 5, 0, 0], ANY_WORD),
  ioas_id: mostly([1, 1, 2], ANY_WORD),
  dev_id: mostly([3, 4], ANY_WORD),
  pt_id: mostly([1, 2, 5, 6], ANY_WORD),
  id: mostly([1, 2, 3, 4, 5, 6, 7], ANY_WORD),
  hwpt_id: mostly([5, 6, 7], ANY_WORD),
  fault_id: mostly([5, 6, 7], ANY_WORD),
  src_ioas_id: mostly([1, 1, 2], ANY_WORD),
  dst_ioas_id: mostly([1, 2], ANY_WORD),
  iommufd: mostly([3], ANY_WORD),
  fd: mostly([6, 6, 7], ANY_WORD),
  argsz: mostly([32], ANY_WORD),
  index: fc.nat(9),
  num_iovas: fc.nat(3),
  user_va: mostly([0x7f0000000000n, 0x7f0000001000n, 0x7f0000006000n], ANY_WIDE),
  allowed_iovas: mostly([0x7f0000000000n], ANY_WIDE),
  start: mostly([0n, 0x1000n], ANY_WIDE),
  length: mostly([0x1000n, 0x2000n, 0x200000n], ANY_WIDE),
  iova: mostly([0n, 0x1000n, 0x2000n, 0x200000n, 0x400000n], ANY_WIDE),
  src_iova: mostly([0n, 0x1000n, 0x2000n, 0x200000n], ANY_WIDE),
  dst_iova: mostly([0n, 0x3000n, 0x400000n, 0x600000n], ANY_WIDE),
  page_size: mostly([0x1000n, 0x800n, 0x200000n], ANY_WIDE),
  data: mostly([0x7f0000000000n], ANY_WIDE),
  data_uptr: mostly([0n, 0x7f0000000000n], ANY_WIDE),
};

const call = fc.constantFrom(...COMMANDS.keys()).chain((index) => {
  const { fields } = COMMANDS[index][2];
  const of = (name: string, type: FieldType): fc.Arbitrary<number | bigint> =>
    FIELDS[name] ?? (type === "u64" ? mostly([0n], ANY_WIDE) : mostly([0], ANY_WORD));
  const size = mostly([-1], fc.nat(64));
  const values = Object.fromEntries(
    Object.entries(fields).map(([name, type]) => [name, of(name, type)]),
  );
  return fc.record({
    index: fc.constant(index),
    device: fc.nat(1),
    size,
    value: fc.record(values),
  });
});

type Call = { index: number; device: number; size: number; value: Record<string, never> };
type Step = Call | { kho: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 20, arbitrary: call as unknown as fc.Arbitrary<Call> },
  { weight: 1, arbitrary: fc.record({ kho: fc.boolean() }) },
);

/** Legacy mode has no dirty bits; a machine serves many runs, so that each profile has its turn. */
const PROFILES = ["intel-legacy", "intel-scalable"], RUNS_EACH = 50;

Deno.test("whatever a program asks for, the kernel stays sound and gets everything back", () => {
  let bench!: Bench, start = "", sound = false, renewed = 0, runs = 0;
  const renew = () => {
    bench = new Bench("rfc-v1", { profile: PROFILES[renewed++ % PROFILES.length] });
    bench.warm();
    bench.sys.close(bench.file("ram", 2 * MiB));
    start = bench.fingerprint;
  };
  const play = (persistent: boolean, calls: Step[]) => {
    // One machine for all runs, and a new one after each that broke it.
    if (!sound || runs++ % RUNS_EACH === 0) renew();
    sound = false;
    const sys = bench.shell();
    bench.sys = sys;
    // Descriptors, addresses and ids as the values above have them.
    const ctx = persistent ? bench.persistent() : bench.iommufd();
    const cdevs = [bench.cdev(0), bench.cdev(1)];
    const file = bench.file("ram", 0);
    bench.anon(0x4000);
    bench.mmap(file, 2 * MiB);
    assert.deepEqual([bench.ioas(ctx), bench.ioas(ctx)], [1, 2]);
    for (const cdev of cdevs) assert.equal(bench.bind(cdev, ctx).rc, "ok");
    bench.memfd(2 * MiB);
    for (const c of calls) {
      if ("kho" in c) {
        assert.equal(bench.kho(c.kho), "ok");
        continue;
      }
      const [on, command, struct] = COMMANDS[c.index];
      const bytes = struct.encode(c.value);
      const size = c.size < 0 ? struct.size : c.size;
      new DataView(bytes.buffer).setUint32(0, size, true);
      said(sys.ioctl(on === "ctx" ? ctx : cdevs[c.device], command, bytes));
    }
    assert.deepEqual(bench.complaints, []);
    bench.kill(sys);
    bench.kho(false);
    assert.equal(bench.fingerprint, start);
    assert.equal(bench.pinned, 0);
    sound = true;
  };
  const calls = fc.array(step, { maxLength: 60, size: "max" });
  fc.assert(fc.property(fc.boolean(), calls, play), { numRuns: 400 });
});
