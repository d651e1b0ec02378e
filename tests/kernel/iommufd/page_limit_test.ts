import assert from "node:assert/strict";
import { GiB, MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import type { PagingDomain } from "../../../src/kernel/iommu/domain.ts";
import { largestLeaf } from "../../../src/kernel/iommu/resize.ts";
import { Bench } from "../bench.ts";

const LIMIT = U.IOMMU_OPTION_PAGE_LIMIT;
const SET = U.IOMMU_OPTION_OP_SET, GET = U.IOMMU_OPTION_OP_GET;

function mapped(image = "redrive", profile = "intel-legacy") {
  const bench = new Bench(image, { profile });
  const fd = bench.persistent(), ioas = bench.ioas(fd);
  const { cdev, dev, hwpt } = bench.attached(fd, ioas);
  const file = bench.file("ram", 4 * MiB);
  const request = { flags: 7, ioas_id: ioas, fd: file, length: BigInt(4 * MiB), iova: BigInt(GiB) };
  assert.equal(bench.mapFile(fd, request).rc, "ok");
  const limit = (op: number, bytes: number, object_id = hwpt) =>
    bench.option(fd, op, BigInt(bytes), { option_id: LIMIT, object_id });
  return { bench, fd, ioas, cdev, dev, hwpt, limit };
}

Deno.test("IOMMU_OPTION_PAGE_LIMIT: what it answers, in order", () => {
  const { bench, fd, ioas, dev, limit } = mapped();
  assert.equal(limit(GET, 0).out.val64, BigInt(GiB));
  for (const id of [999, ioas, dev]) assert.equal(limit(SET, PAGE_SIZE, id).rc, "ENOENT", `${id}`);
  assert.equal(limit(2, PAGE_SIZE).rc, "EOPNOTSUPP");
  for (const bytes of [0, 1, 8192, 4 * MiB, 512 * GiB]) {
    assert.equal(limit(SET, bytes).rc, "EINVAL");
  }
  assert.equal(bench.kho(true), "ok");
  assert.equal(limit(SET, PAGE_SIZE).rc, "EBUSY", "a dump stands");
  assert.equal(bench.kho(false), "ok");
  const tables = bench.platform.kernel.costs.tables;
  assert.equal(limit(SET, PAGE_SIZE).rc, "ok");
  assert.equal(limit(GET, 0).out.val64, BigInt(PAGE_SIZE));
  assert.equal(bench.platform.kernel.costs.tables, tables + 2);
  assert.equal(limit(SET, 2 * MiB).rc, "ok");
  assert.equal(bench.platform.kernel.costs.tables, tables);
  const log = bench.platform.events.map((e) => e.text);
  assert.ok(log.some((t) => /HWPT \d+: pages of up to 2 MiB, 2 joined, 0 split/.test(t)));
  assert.equal(bench.unmap(fd, ioas, GiB, 4 * MiB).rc, "ok");
  // An IOAS that maps in small pages has no large ones made of them.
  const value = { option_id: U.IOMMU_OPTION_HUGE_PAGES, object_id: ioas };
  assert.equal(bench.option(fd, SET, 0n, value).rc, "ok");
  assert.equal(limit(SET, 2 * MiB).rc, "EINVAL");
  assert.deepEqual(bench.complaints, []);
});

Deno.test("where a kernel or a unit does not have it", () => {
  assert.equal(mapped("rfc-v1").limit(SET, PAGE_SIZE).rc, "EOPNOTSUPP");
  assert.equal(mapped("redrive-replace-4k").limit(SET, 2 * MiB).rc, "EINVAL");
  const { bench, limit } = mapped("redrive", "arm-smmuv3-bbml0");
  assert.equal(limit(SET, PAGE_SIZE).rc, "EOPNOTSUPP");
  assert.deepEqual(bench.complaints, []);
});

Deno.test("a HWPT that goes on with the tables of before keeps to its own limit", () => {
  for (const profile of ["intel-legacy", "arm-smmuv3-bbml2"]) {
    const { bench } = mapped("redrive-replace-4k", profile);
    bench.kexec("redrive");
    const fd = bench.mustPickUp(1), { cdev, dev } = bench.bound(fd);
    const target = bench.ioas(fd), file = bench.file("ram", 0);
    const request = { flags: 7, ioas_id: target, fd: file, length: BigInt(4 * MiB) };
    assert.equal(bench.mapFile(fd, { ...request, iova: BigInt(GiB) }).rc, "ok");
    const flags = U.IOMMU_HWPT_ALLOC_PAGE_4K;
    const asked = { dev_id: dev, pt_id: target, flags };
    const { out } = bench.ioctl(fd, U.IOMMU_HWPT_ALLOC, U.iommu_hwpt_alloc, asked);
    const root = (domain: PagingDomain) => domain.radix?.root;
    const { kernel } = bench.platform, group = kernel.pci.find("0000:3a:00.0")?.group;
    const old = root(group?.domain as PagingDomain);
    assert.equal(bench.attach(cdev, out.out_hwpt_id).rc, "ok");
    const domain = group?.domain as PagingDomain;
    assert.equal(root(domain), old, "adopted");
    assert.equal(bench.mapFile(fd, { ...request, iova: BigInt(2 * GiB) }).rc, "ok");
    assert.ok(domain.radix !== undefined);
    assert.equal(largestLeaf(kernel.machine.memory, domain.radix), 1, profile);
  }
});
