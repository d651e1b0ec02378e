import assert from "node:assert/strict";
import { MiB } from "../../../src/base/units.ts";
import type { ReservedRegion } from "../../../src/kernel/iommu/core.ts";
import { U64_MAX } from "../../../src/uapi/iommufd.ts";
import { Bench } from "../bench.ts";
import { fixed } from "../requests.ts";

const MSI = [[0n, 0xfedfffffn], [0xfef00000n, (1n << 48n) - 1n]];

/** The first ranges that can be mapped once a device is attached, by profile. */
const PROFILES: [string, bigint[][]][] = [
  ["intel-legacy", MSI],
  ["intel-scalable", [MSI[0], [0xfef00000n, (1n << 57n) - 1n]]],
  ["arm-smmuv3-bbml0", [[0n, 0x7ffffffn], [0x8100000n, (1n << 42n) - 1n]]],
  ["amd", [MSI[0], [0xfef00000n, 0xfcffffffffn]]],
];

for (const [profile, first] of PROFILES) {
  Deno.test(`${profile}: a device's reserved regions are out of use while it is attached`, () => {
    const bench = new Bench("rfc-v1", { profile });
    const fd = bench.iommufd(), ioas = bench.ioas(fd);
    const { cdev } = bench.attached(fd, ioas);
    const two = bench.attached(fd, ioas, 1);
    const { list } = bench.ranges(fd, ioas);
    assert.deepEqual(list.slice(0, 2), first);
    const at = bench.anon(4096);
    assert.equal(bench.map(fd, fixed(ioas, at, 4096, first[0][1] + 1n)).rc, "EINVAL");
    assert.equal(bench.detach(cdev), "ok");
    assert.deepEqual(bench.ranges(fd, ioas).list.slice(0, 2), first, "the other one is there");
    assert.equal(bench.detach(two.cdev), "ok");
    assert.deepEqual(bench.ranges(fd, ioas).list, [[0n, U64_MAX]]);
  });

  Deno.test(`${profile}: a device does not go where its reserved IOVAs are mapped`, () => {
    const bench = new Bench("rfc-v1", { profile });
    const fd = bench.iommufd(), ioas = bench.ioas(fd), other = bench.ioas(fd);
    const at = bench.anon(4096);
    assert.equal(bench.map(fd, fixed(ioas, at, 4096, first[0][1] + 1n)).rc, "ok");
    const { cdev } = bench.attached(fd, other);
    const before = bench.ranges(fd, other).list;
    assert.equal(bench.attach(cdev, ioas).rc, "EADDRINUSE");
    // It is where it was, and nothing of the failed move is left.
    assert.deepEqual(bench.ranges(fd, other).list, before);
    assert.deepEqual(bench.ranges(fd, ioas).list, [[0n, U64_MAX]]);
    assert.equal(bench.pinned, 0);
  });
}

/** Regions no driver here has, and what becomes of an attach with them. */
const REGIONS: [string, ReservedRegion["kind"][], string][] = [
  ["a relaxable one may be mapped", ["direct-relaxable"], "ok"],
  ["one that firmware wants 1:1 may not", ["direct"], "EADDRINUSE"],
  ["two windows for interrupts make no sense", ["msi", "sw-msi"], "EADDRINUSE"],
];

for (const [what, kinds, rc] of REGIONS) {
  Deno.test(`of reserved regions ${what}`, () => {
    const bench = new Bench();
    const fd = bench.iommufd(), ioas = bench.ioas(fd);
    const { cdev } = bench.bound(fd);
    const ops = bench.platform.kernel.vfio.devices[0].dev.group?.ops;
    assert.ok(ops);
    ops.reservedRegions = () =>
      kinds.map((kind, i) => ({
        start: BigInt((i + 1) * MiB),
        last: BigInt((i + 2) * MiB - 1),
        kind,
      }));
    bench.map(fd, fixed(ioas, bench.anon(4096), 4096, MiB));
    assert.equal(bench.attach(cdev, ioas).rc, rc);
    const empty = bench.ioas(fd);
    const both = kinds.length === 2;
    assert.equal(bench.attach(cdev, empty).rc, both ? "EINVAL" : "ok");
    if (both) assert.deepEqual(bench.ranges(fd, empty).list, [[0n, U64_MAX]]);
  });
}
