import assert from "node:assert/strict";
import { MiB } from "../../../src/base/units.ts";
import { PROT_READ } from "../../../src/uapi/sys.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import { Bench } from "../bench.ts";
import { FIXED, fixed, RW } from "../requests.ts";

/** Before a domain exists nothing is pinned: the EFAULT or EINVAL comes when one arrives. */
const LATE: { what: string; want: string; map: (b: Bench, ctx: number, ioas: number) => string }[] =
  [
    {
      what: "an address with nothing behind it",
      want: "EFAULT",
      map: (b, ctx, ioas) => b.map(ctx, fixed(ioas, 0x10000, 0x2000, 0)).rc,
    },
    {
      what: "guestmemfs memory by address",
      want: "EFAULT",
      map: (b, ctx, ioas) =>
        b.map(ctx, fixed(ioas, b.mmap(b.file("ram", 2 * MiB), 2 * MiB), 0x2000, 0)).rc,
    },
    {
      what: "a device's registers",
      want: "EFAULT",
      map: (b, ctx, ioas) => {
        const { cdev } = b.bound(ctx, 1);
        return b.map(ctx, fixed(ioas, b.mmap(cdev, 0x2000), 0x2000, 0)).rc;
      },
    },
    {
      what: "read-only memory to be written",
      want: "EFAULT",
      map: (b, ctx, ioas) => b.map(ctx, fixed(ioas, b.anon(0x2000, PROT_READ), 0x2000, 0)).rc,
    },
    {
      what: "a file that has no pages",
      want: "EINVAL",
      map: (b, ctx, ioas_id) => {
        const fd = b.sys.open("/dev/kvm", 2);
        return b.mapFile(ctx, { flags: FIXED | RW, ioas_id, fd, length: 0x2000n, iova: 0n }).rc;
      },
    },
    {
      what: "a memfd beyond its end",
      want: "EFAULT",
      map: (b, ctx, ioas_id) => {
        const fd = b.memfd(0x1000);
        return b.mapFile(ctx, { flags: FIXED | RW, ioas_id, fd, length: 0x2000n, iova: 0n }).rc;
      },
    },
  ];

Deno.test("without a domain MAP takes anything, and the attach fails (FACTS 1.4)", async (t) => {
  for (const { what, want, map } of LATE) {
    await t.step(`${what}: ${want} at the attach`, () => {
      const bench = new Bench();
      const ctx = bench.iommufd();
      const ioas = bench.ioas(ctx);
      const good = bench.anon(0x4000);
      assert.equal(bench.map(ctx, fixed(ioas, good, 0x4000, 0x100000)).rc, "ok");
      assert.equal(map(bench, ctx, ioas), "ok");
      assert.equal(bench.pinned, 0);
      const { cdev, dev } = bench.bound(ctx);
      const before = bench.fingerprint;
      assert.equal(bench.attach(cdev, ioas).rc, want);
      assert.equal(bench.hwptAlloc(ctx, dev, ioas).rc, want);
      assert.equal(bench.pinned, 0, "pins of the areas that worked are undone");
      assert.equal(bench.fingerprint, before);
      assert.equal(bench.ranges(ctx, ioas).alignment, 1n);
      assert.equal(bench.unmap(ctx, ioas, 0, 0x2000).rc, "ok");
      assert.equal(bench.attach(cdev, ioas).rc, "ok");
      assert.equal(bench.pinned, 4);
    });
  }
});

Deno.test("without a domain bytes are the unit of an IOAS, with one pages are (FACTS 1.4)", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const ioas = bench.ioas(ctx);
  const va = bench.anon(0x2000);
  assert.equal(bench.map(ctx, fixed(ioas, va + 3, 5, 0x1003)).rc, "ok");
  assert.equal(bench.map(ctx, fixed(ioas, va + 8, 0x10, 0x1008)).rc, "ok");
  assert.equal(bench.map(ctx, fixed(ioas, va, 4, 0x1004)).rc, "EEXIST");
  const { cdev } = bench.bound(ctx);
  assert.equal(bench.attach(cdev, ioas).rc, "EADDRINUSE");
  assert.equal(bench.unmap(ctx, ioas, 0x1003, 0x15).rc, "ok");
  assert.equal(bench.attach(cdev, ioas).rc, "ok");
  assert.equal(bench.map(ctx, fixed(ioas, va, 5, 0x1000)).rc, "EINVAL");
  assert.equal(bench.detach(cdev), "ok");
  assert.equal(bench.map(ctx, fixed(ioas, va, 5, 0x1000)).rc, "ok", "the last domain went");
});

/** Areas that no domain can take: each alone makes the attach fail with EADDRINUSE. */
const MISFITS: { what: string; at: number; length: number; iova: bigint }[] = [
  { what: "starts inside a page", at: 0x800, length: 0x1000, iova: 0x1800n },
  { what: "ends inside a page", at: 0, length: 0x1800, iova: 0x1000n },
  { what: "memory begins inside a page", at: 0x800, length: 0x1000, iova: 0x1000n },
  { what: "lies in the interrupt window", at: 0, length: 0x1000, iova: 0xfee01000n },
  { what: "lies beyond the aperture", at: 0, length: 0x1000, iova: 1n << 57n },
];

Deno.test("areas that do not fit a domain or a device keep it out: EADDRINUSE (FACTS 1.4)", async (t) => {
  for (const { what, at, length, iova } of MISFITS) {
    await t.step(what, () => {
      const bench = new Bench();
      const ctx = bench.iommufd();
      const ioas = bench.ioas(ctx);
      const va = bench.anon(0x4000) + at;
      assert.equal(bench.map(ctx, fixed(ioas, va, length, iova)).rc, "ok");
      const { cdev } = bench.bound(ctx);
      const before = bench.fingerprint;
      assert.equal(bench.attach(cdev, ioas).rc, "EADDRINUSE");
      assert.equal(bench.fingerprint, before);
      assert.equal(bench.pinned, 0);
      assert.equal(bench.unmap(ctx, ioas, 0, U.U64_MAX).out.length, BigInt(length));
      assert.equal(bench.attach(cdev, ioas).rc, "ok");
    });
  }
});
