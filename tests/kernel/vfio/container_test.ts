import assert from "node:assert/strict";
import { GiB, MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import type { StructValue } from "../../../src/uapi/struct.ts";
import * as S from "../../../src/uapi/sys.ts";
import * as V from "../../../src/uapi/vfio.ts";
import { Bench } from "../bench.ts";
import { fixed, said } from "../requests.ts";
import { checkOrder, type Rule } from "../rules.ts";

const RW = V.VFIO_DMA_MAP_FLAG_READ | V.VFIO_DMA_MAP_FLAG_WRITE;

type Map = StructValue<typeof V.vfio_iommu_type1_dma_map.fields>;
type Unmap = StructValue<typeof V.vfio_iommu_type1_dma_unmap.fields>;

function mapDma(bench: Bench, fd: number, request: Partial<Map>) {
  const command = V.VFIO_IOMMU_MAP_DMA;
  return bench.ioctl(fd, command, V.vfio_iommu_type1_dma_map, { flags: RW, ...request }).rc;
}

/** What it answered, and the bytes it says went. */
function unmapDma(bench: Bench, fd: number, iova: number, size: number, more: Partial<Unmap> = {}) {
  const request = { iova: BigInt(iova), size: BigInt(size), ...more };
  const command = V.VFIO_IOMMU_UNMAP_DMA;
  const { rc, out } = bench.ioctl(fd, command, V.vfio_iommu_type1_dma_unmap, request);
  return [rc, Number(out.size)];
}

const number = (bench: Bench, fd: number, command: number, value = 0) =>
  bench.sys.ioctlValue(fd, command, value);
const extension = (bench: Bench, fd: number, which: number) =>
  number(bench, fd, V.VFIO_CHECK_EXTENSION, which);

/** A container with a group. */
function container(bench: Bench, path = "/dev/vfio/vfio") {
  const fd = bench.sys.open(path, S.O_RDWR);
  const group = bench.group();
  assert.equal(bench.setContainer(group, fd), "ok");
  return { fd, group };
}

Deno.test("a container is asked for its version and what it can (FACTS 2.1)", () => {
  const bench = new Bench();
  const fd = bench.sys.open("/dev/vfio/vfio", S.O_RDWR);
  assert.equal(number(bench, fd, V.VFIO_GET_API_VERSION), 0);
  const { VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL, VFIO_TYPE1_NESTING_IOMMU } = V;
  for (const which of [VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL]) {
    assert.equal(extension(bench, fd, which), 1);
  }
  for (const which of [VFIO_TYPE1_NESTING_IOMMU, V.VFIO_UPDATE_VADDR, 0, 99]) {
    assert.equal(extension(bench, fd, which), 0);
  }
});

/** Whether every access snoops the CPU's caches, whatever the device asks for. */
for (
  const [profile, coherent] of [["intel-legacy", 1], ["arm-smmuv3-bbml2", 0], ["amd", 1]] as const
) {
  Deno.test(`VFIO_DMA_CC_IOMMU on ${profile}: ${coherent}`, () => {
    const bench = new Bench("rfc-v1", { profile });
    const fd = bench.iommufd();
    assert.equal(said(extension(bench, fd, V.VFIO_DMA_CC_IOMMU)), "ENODEV");
    bench.legacy(0, fd);
    assert.equal(extension(bench, fd, V.VFIO_DMA_CC_IOMMU), coherent);
  });
}

Deno.test("SET_IOMMU wants a type there is, and a group (FACTS 1.3 VFIO_IOAS)", () => {
  const bench = new Bench();
  const fd = bench.sys.open("/dev/vfio/vfio", S.O_RDWR);
  const set = (type: number) => said(number(bench, fd, V.VFIO_SET_IOMMU, type));
  assert.deepEqual([set(V.VFIO_TYPE1_NESTING_IOMMU), set(V.VFIO_TYPE1v2_IOMMU)], [
    "EINVAL",
    "ENODEV",
  ]);
  const group = bench.group();
  bench.setContainer(group, fd);
  assert.deepEqual([set(2), set(V.VFIO_TYPE1v2_IOMMU), set(V.VFIO_TYPE1_IOMMU)], [
    "EINVAL",
    "ok",
    "ok",
  ]);
});

Deno.test("the first type 1 comes too late once something is mapped for a device", () => {
  const bench = new Bench();
  const { fd, group } = container(bench);
  mapDma(bench, fd, { vaddr: BigInt(bench.anon(0x1000)), iova: 0n, size: 0x1000n });
  assert.ok(bench.deviceFd(group, "0000:3a:00.0") >= 0);
  assert.equal(said(number(bench, fd, V.VFIO_SET_IOMMU, V.VFIO_TYPE1_IOMMU)), "EINVAL");
});

Deno.test("the type 1 calls have no structure behind a number, and DIRTY_PAGES is none of them", () => {
  const bench = new Bench();
  const { fd } = container(bench, "/dev/iommu");
  for (const command of [V.VFIO_IOMMU_GET_INFO, V.VFIO_IOMMU_MAP_DMA, V.VFIO_IOMMU_UNMAP_DMA]) {
    assert.equal(said(number(bench, fd, command)), "EFAULT");
  }
  const bytes = new Uint8Array(32);
  assert.equal(said(bench.sys.ioctl(fd, V.VFIO_IOMMU_DIRTY_PAGES, bytes)), "ENOTTY");
  assert.equal(said(number(bench, fd, V.VFIO_IOMMU_DIRTY_PAGES)), "ENOTTY");
  assert.equal(said(number(bench, fd, U.IOMMU_IOAS_ALLOC)), "EFAULT");
  // Bytes where a number belongs are an address, which is no extension and no type.
  assert.equal(bench.sys.ioctl(fd, V.VFIO_GET_API_VERSION, bytes), 0);
  assert.equal(bench.sys.ioctl(fd, V.VFIO_CHECK_EXTENSION, bytes), 0);
  assert.equal(said(bench.sys.ioctl(fd, V.VFIO_SET_IOMMU, bytes)), "EINVAL");
});

Deno.test("MAP_DMA looks at its request in order, then maps as IOAS_MAP does", () => {
  const bench = new Bench();
  const { fd, group } = container(bench);
  const va = BigInt(bench.anon(0x3000));
  const rules: Rule<Partial<Map>>[] = ([
    ["argsz too small", "EINVAL", { argsz: 31 }],
    ["unknown flag", "EINVAL", { flags: 4 }],
    ["no permission", "EINVAL", { flags: 0 }],
    ["nothing", "EINVAL", { size: 0n }],
  ] as const).map(([name, want, change]) => ({
    name,
    want,
    spoils: Object.keys(change),
    spoil: (r) => ({ ...r, ...change }),
  }));
  const good = { argsz: 32, flags: RW, vaddr: va, iova: 0x1000n, size: 0x2000n };
  checkOrder(rules, good, (r) => mapDma(bench, fd, r));
  assert.equal(mapDma(bench, fd, good), "ok");
  assert.equal(mapDma(bench, fd, good), "EEXIST");
  assert.equal(bench.pinned, 0, "nothing is pinned without a domain");
  assert.ok(bench.deviceFd(group, "0000:3a:00.0") >= 0);
  assert.deepEqual([bench.pinned, bench.frame(0, 0x2000) > 0], [2, true]);
  const at = (iova: bigint, vaddr = va) => mapDma(bench, fd, { vaddr, iova, size: 0x1000n });
  assert.deepEqual([at(0x123n), at(0xfee00000n), at(0x10000n, 0x10000n)], [
    "EINVAL",
    "EINVAL",
    "EFAULT",
  ]);
});

Deno.test("MAP_DMA and UNMAP_DMA have no IOAS without a group: ENODEV", () => {
  const bench = new Bench();
  const fd = bench.sys.open("/dev/vfio/vfio", S.O_RDWR);
  assert.equal(mapDma(bench, fd, { size: 0x1000n }), "ENODEV");
  assert.deepEqual(unmapDma(bench, fd, 0, 0x1000), ["ENODEV", 0x1000]);
  assert.equal(info(bench, fd).rc, "ENODEV");
});

Deno.test("pins of /dev/vfio/vfio count against the process, those of /dev/iommu against the user", () => {
  for (const [path, locked] of [["/dev/vfio/vfio", 2], ["/dev/iommu", 0]] as const) {
    const bench = new Bench();
    const { fd, group } = container(bench, path);
    bench.deviceFd(group, "0000:3a:00.0");
    const { task } = bench.sys as unknown as {
      task: { mm: { lockedVm: number; pinnedVm: number } };
    };
    bench.sys.setuid(1000);
    const request = { vaddr: BigInt(bench.anon(0x2000)), iova: 0n, size: 0x2000n };
    assert.equal(mapDma(bench, fd, request), "ok");
    assert.deepEqual([task.mm.lockedVm, task.mm.pinnedVm], [locked, 2]);
  }
});

/** What UNMAP_DMA of one mapping [0x10000, 0x18000) answers, and where something is left. */
const UNMAPS: {
  name: string;
  iova: number;
  size: number;
  v1: [string, number];
  v2: [string, number];
}[] = [
  { name: "all of it", iova: 0x10000, size: 0x8000, v1: ["ok", 0x8000], v2: ["ok", 0x8000] },
  { name: "more than it", iova: 0, size: 0x100000, v1: ["ok", 0x8000], v2: ["ok", 0x8000] },
  { name: "the middle", iova: 0x12000, size: 0x2000, v1: ["ok", 0x2000], v2: ["ENOENT", 0] },
  { name: "the beginning", iova: 0x10000, size: 0x1000, v1: ["ok", 0x1000], v2: ["ENOENT", 0] },
  { name: "over its end", iova: 0x17000, size: 0x4000, v1: ["ok", 0x1000], v2: ["ENOENT", 0] },
  { name: "beside it", iova: 0x18000, size: 0x1000, v1: ["ENOENT", 0], v2: ["ENOENT", 0] },
  { name: "nothing", iova: 0x10000, size: 0, v1: ["EINVAL", 0], v2: ["EINVAL", 0] },
];

for (const [type, want] of [[V.VFIO_TYPE1_IOMMU, "v1"], [V.VFIO_TYPE1v2_IOMMU, "v2"]] as const) {
  Deno.test(`UNMAP_DMA of type 1 ${want}: the first one cuts, the second does not (FACTS 1.3)`, async (t) => {
    const bench = new Bench();
    const { fd, group } = container(bench);
    assert.equal(said(number(bench, fd, V.VFIO_SET_IOMMU, type)), "ok");
    bench.deviceFd(group, "0000:3a:00.0");
    const vaddr = BigInt(bench.anon(0x8000));
    for (const { name, iova, size, ...wants } of UNMAPS) {
      await t.step(name, () => {
        const request = { vaddr, iova: 0x10000n, size: 0x8000n };
        assert.equal(mapDma(bench, fd, request), "ok");
        const before = Array.from({ length: 8 }, (_, i) => bench.frame(0, 0x10000 + i * 0x1000));
        assert.deepEqual(unmapDma(bench, fd, iova, size), wants[want]);
        const gone = wants[want][0] === "ok";
        before.forEach((pfn, i) => {
          const at = 0x10000 + i * 0x1000;
          const hit = gone && at >= iova && at < iova + size;
          assert.equal(bench.frame(0, at), hit ? -1 : pfn);
        });
        assert.equal(
          bench.pinned,
          before.filter((_, i) => bench.frame(0, 0x10000 + i * 0x1000) >= 0).length,
        );
        const all = { flags: V.VFIO_DMA_UNMAP_FLAG_ALL };
        assert.equal(unmapDma(bench, fd, 0, 0, all)[0], "ok");
        assert.equal(bench.pinned, 0);
      });
    }
    assert.deepEqual(bench.complaints, []);
  });
}

Deno.test("what was cut lives on in both halves, to the last page and the last pin", () => {
  const bench = new Bench();
  const { fd, group } = container(bench);
  number(bench, fd, V.VFIO_SET_IOMMU, V.VFIO_TYPE1_IOMMU);
  mapDma(bench, fd, { vaddr: BigInt(bench.anon(0x8000)), iova: 0n, size: 0x8000n });
  // Cut before there is a domain: the halves find their own pages when one comes.
  assert.deepEqual(unmapDma(bench, fd, 0x3000, 0x1000), ["ok", 0x1000]);
  const device = bench.deviceFd(group, "0000:3a:00.0");
  const ioas = { ioas_id: 1 };
  const at = (page: number) => bench.frame(0, page * PAGE_SIZE);
  const before = [0, 1, 2, 4, 5, 6, 7].map(at);
  assert.equal(new Set(before).size, 7);
  assert.deepEqual([bench.pinned, at(3)], [7, -1]);
  // Cut with one: the frames are read back from the tables of the right half.
  assert.deepEqual(unmapDma(bench, fd, 0x5000, 0x1000), ["ok", 0x1000]);
  bench.sys.close(device);
  assert.equal(bench.pinned, 0, "the last domain is gone, and with it the last pin");
  bench.deviceFd(group, "0000:3a:00.0");
  assert.deepEqual([0, 1, 2, 4, 6, 7].map(at), before.filter((_, i) => i !== 4));
  assert.equal(bench.unmap(fd, ioas.ioas_id, 0, U.U64_MAX).out.length, 0x6000n);
  assert.equal(bench.pinned, 0);
});

Deno.test("UNMAP_DMA looks at argsz, flags and FLAG_ALL's empty range", () => {
  const bench = new Bench();
  const { fd } = container(bench);
  const ALL = V.VFIO_DMA_UNMAP_FLAG_ALL;
  const rc = (more: Partial<Unmap>) => unmapDma(bench, fd, 0, 0, more)[0];
  assert.deepEqual([rc({ argsz: 23 }), rc({ flags: 1 }), rc({ flags: 4 })], [
    "EINVAL",
    "EINVAL",
    "EINVAL",
  ]);
  assert.deepEqual([rc({ flags: ALL, size: 1n }), rc({ flags: ALL, iova: 1n })], [
    "EINVAL",
    "EINVAL",
  ]);
  assert.deepEqual(unmapDma(bench, fd, 0, 0, { flags: ALL }), ["ok", 0]);
  assert.equal(rc({ iova: U.U64_MAX, size: 2n }), "EOVERFLOW");
});

/** GET_INFO with so many bytes for its reply. */
function info(bench: Bench, fd: number, argsz = 24, bytes = argsz) {
  const reply = new Uint8Array(bytes);
  new DataView(reply.buffer).setUint32(0, argsz, true);
  const rc = said(bench.sys.ioctl(fd, V.VFIO_IOMMU_GET_INFO, reply));
  return { rc, reply, out: V.vfio_iommu_type1_info.decode(reply) };
}

Deno.test("GET_INFO: sizes of pages, and a chain of capabilities (FACTS 1.3)", () => {
  const bench = new Bench();
  const { fd, group } = container(bench);
  assert.equal(info(bench, fd, 15, 24).rc, "EINVAL");
  assert.equal(info(bench, fd, 24, 8).rc, "EFAULT");
  const free = info(bench, fd).out;
  assert.deepEqual([free.flags, free.iova_pgsizes], [3, 0xfffffffffffff000n]);
  assert.deepEqual([free.argsz, free.cap_offset], [72, 0], "so much room would be needed");
  bench.deviceFd(group, "0000:3a:00.0");
  const { argsz, iova_pgsizes } = info(bench, fd).out;
  assert.deepEqual([argsz, iova_pgsizes], [88, BigInt(PAGE_SIZE | 2 * MiB | GiB)]);
  const { reply, out } = info(bench, fd, 100);
  assert.deepEqual([out.argsz, out.cap_offset], [88, 24]);
  const first = V.vfio_iommu_type1_info_dma_avail.decode(reply.subarray(24));
  assert.deepEqual(first, { id: 3, version: 1, next: 40, avail: 0xffffffff });
  const second = V.vfio_iommu_type1_info_cap_iova_range.decode(reply.subarray(40));
  assert.deepEqual(second, { id: 1, version: 1, next: 0, nr_iovas: 2, reserved: 0 });
  const ranges = [56, 72].map((at) => V.vfio_iova_range.decode(reply.subarray(at)));
  assert.deepEqual(ranges, [{ start: 0n, end: 0xfedfffffn }, {
    start: 0xfef00000n,
    end: 2n ** 48n - 1n,
  }]);
  assert.deepEqual([...reply.subarray(88)], new Array(12).fill(0), "no further than it must");
  assert.equal(info(bench, fd, 100, 60).rc, "EFAULT");
});

Deno.test("GET_INFO with the first size of its structure writes no further", () => {
  const bench = new Bench();
  const { fd } = container(bench);
  const { rc, reply, out } = info(bench, fd, 16, 24);
  assert.deepEqual([rc, out.argsz, out.flags], ["ok", 72, 3]);
  assert.deepEqual([...reply.subarray(16)], new Array(8).fill(0));
});

Deno.test("while a dump stands a container takes nothing in and lets nothing go", () => {
  const bench = new Bench();
  const fd = bench.persistent();
  const { device } = bench.legacy(0, fd);
  const vaddr = BigInt(bench.mmap(bench.file("ram", 2 * MiB), 2 * MiB));
  const request = { vaddr, iova: 0n, size: 0x1000n };
  assert.equal(mapDma(bench, fd, { ...request, vaddr: BigInt(bench.anon(0x1000)) }), "EFAULT");
  assert.equal(mapDma(bench, fd, request), "ok");
  assert.equal(bench.kho(true), "ok");
  assert.equal(mapDma(bench, fd, { ...request, iova: 0x1000n }), "EBUSY");
  assert.equal(unmapDma(bench, fd, 0, 0x1000)[0], "EBUSY");
  assert.equal(said(number(bench, fd, V.VFIO_SET_IOMMU, V.VFIO_TYPE1_IOMMU)), "EBUSY");
  assert.equal(said(number(bench, fd, V.VFIO_SET_IOMMU, V.VFIO_TYPE1v2_IOMMU)), "ok");
  assert.equal(bench.kho(false), "ok");
  assert.deepEqual(unmapDma(bench, fd, 0, 0x1000), ["ok", 0x1000]);
  bench.sys.close(device);
});

Deno.test("a copy of a mapping may be cut where the first one is not", () => {
  const bench = new Bench();
  const { fd } = container(bench, "/dev/iommu");
  number(bench, fd, V.VFIO_SET_IOMMU, V.VFIO_TYPE1_IOMMU);
  const other = bench.ioas(fd);
  bench.map(fd, fixed(other, bench.anon(0x4000), 0x4000, 0));
  const copy = {
    flags: U.IOMMU_IOAS_MAP_FIXED_IOVA | U.IOMMU_IOAS_MAP_READABLE,
    dst_ioas_id: 1,
    src_ioas_id: other,
    length: 0x4000n,
  };
  assert.equal(bench.ioctl(fd, U.IOMMU_IOAS_COPY, U.iommu_ioas_copy, copy).rc, "ok");
  assert.deepEqual(unmapDma(bench, fd, 0x1000, 0x1000), ["ok", 0x1000]);
  assert.equal(bench.unmap(fd, other, 0x1000, 0x1000).rc, "ENOENT");
  assert.equal(bench.unmap(fd, other, 0, 0x4000).rc, "ok");
});
