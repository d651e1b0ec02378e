import assert from "node:assert/strict";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import { Bench } from "../bench.ts";
import { fixed, PAGE, RW } from "../requests.ts";

/** A shared IOAS-to-be: ctx, IOAS 1, and whether a device is on it. */
function ioasBench(domain: boolean) {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const ioas = bench.ioas(ctx);
  const { cdev } = bench.bound(ctx);
  if (domain) assert.equal(bench.attach(cdev, ioas).rc, "ok");
  const auto = (va: bigint, length: bigint) =>
    bench.map(ctx, { flags: RW, ioas_id: ioas, user_va: va, length, iova: 0n });
  return { bench, ctx, ioas, cdev, auto };
}

/** Without a domain nothing is pinned, so any address will do. */
const AUTO: {
  name: string;
  taken?: [bigint, bigint][];
  va: bigint;
  length: bigint;
  want: bigint | string;
}[] = [
  { name: "never IOVA 0, though it is free", va: 0n, length: 1n, want: 0x1000n },
  { name: "a page at a page's alignment", va: 0x7000n, length: PAGE, want: 0x1000n },
  {
    name: "three pages are aligned like four",
    va: 0x8000n,
    length: 3n * PAGE,
    want: 0x4000n,
  },
  {
    name: "the address's own alignment caps it",
    va: 0x2000n,
    length: 16n * PAGE,
    want: 0x2000n,
  },
  { name: "address 0 does not cap it", va: 0n, length: 16n * PAGE, want: 0x10000n },
  {
    name: "2 MiB is as much as is asked for",
    va: 0n,
    length: BigInt(64 * MiB),
    want: BigInt(2 * MiB),
  },
  {
    name: "the offset in the page is kept",
    va: 0x7010n,
    length: 0x20n,
    want: 0x1010n,
  },
  {
    name: "what is taken is passed by",
    taken: [[0n, 2n * PAGE]],
    va: 0x1000n,
    length: PAGE,
    want: 0x2000n,
  },
  {
    name: "the first hole that is long enough",
    taken: [[0n, 0x3000n], [0x4000n, 0x1000n], [0x7000n, 0x1000n]],
    va: 0x1000n,
    length: 2n * PAGE,
    want: 0x5000n,
  },
  {
    name: "a hole too small once aligned is passed by",
    taken: [[0n, 0x1000n], [0x4000n, 0x1000n]],
    va: 0n,
    length: 2n * PAGE,
    want: 0x2000n,
  },
  {
    name: "with no aligned hole left any hole will do",
    taken: [[0n, 0x3000n], [0x5000n, U.U64_MAX - 0x5fffn]],
    va: 0n,
    length: 2n * PAGE,
    want: 0x3000n,
  },
  {
    name: "all taken but page 0 and the last page",
    taken: [[0x1000n, U.U64_MAX - 0x1fffn]],
    va: 0x1000n,
    length: PAGE,
    want: "ENOSPC",
  },
  { name: "length 0", va: 0n, length: 0n, want: "EINVAL" },
  { name: "half of everything", va: 0n, length: U.U64_MAX / 2n, want: "EOVERFLOW" },
  { name: "length U64_MAX", va: 0n, length: U.U64_MAX, want: "EOVERFLOW" },
];

Deno.test("an IOVA is chosen by first fit, aligned as the memory is (FACTS 1.3)", async (t) => {
  const { bench, ctx, ioas, auto } = ioasBench(false);
  for (const { name, taken, va, length, want } of AUTO) {
    await t.step(name, () => {
      for (const [iova, bytes] of taken ?? []) {
        assert.equal(bench.map(ctx, fixed(ioas, 0, bytes, iova)).rc, "ok");
      }
      const { rc, out } = auto(va, length);
      if (typeof want === "string") assert.equal(rc, want);
      else assert.deepEqual([rc, out.iova], ["ok", want]);
      bench.unmap(ctx, ioas, 0, U.U64_MAX);
    });
  }
});

Deno.test("the reply holds the IOVA only when there is one", () => {
  const { bench, ctx, ioas } = ioasBench(false);
  const request = { flags: RW, ioas_id: ioas, user_va: 0n, length: 0n, iova: 0x1234n };
  assert.equal(bench.map(ctx, request).out.iova, 0x1234n);
});

Deno.test("an IOVA is chosen outside the interrupt window and inside the aperture once a device is attached", () => {
  const { bench, ctx, ioas, auto } = ioasBench(true);
  const { list } = bench.ranges(ctx, ioas);
  const va = BigInt(bench.anon(2 * PAGE_SIZE));
  // Everything below the window but one page: two pages find room only behind it.
  assert.equal(bench.map(ctx, fixed(ioas, Number(va), 0x1000, 0xfedfe000)).rc, "ok");
  const big = bench.anon(4 * PAGE_SIZE);
  for (let i = 0; i < 4; i++) assert.equal(auto(BigInt(big), PAGE).rc, "ok");
  const { out } = auto(va, 2n * PAGE);
  assert.ok(out.iova >= list[0][0] && out.iova < list[0][1]);
});

Deno.test("with a domain memory that begins inside a page has no place: EINVAL (FACTS 1.3)", () => {
  const { bench, ctx, ioas, auto } = ioasBench(true);
  const va = BigInt(bench.anon(0x4000));
  for (const offset of [1n, 0x10n, 0x800n]) {
    assert.equal(auto(va + offset, PAGE).rc, "EINVAL");
    assert.equal(auto(va + offset, 0x800n).rc, "EINVAL");
  }
  assert.equal(bench.map(ctx, fixed(ioas, Number(va), PAGE, 0x1000)).rc, "ok");
});

Deno.test("a fresh IOAS has all of 64 bits, byte by byte (FACTS 1.3)", () => {
  const { bench, ctx, ioas } = ioasBench(false);
  const { rc, count, alignment, list } = bench.ranges(ctx, ioas);
  assert.deepEqual([rc, count, alignment], ["ok", 1, 1n]);
  assert.deepEqual(list, [[0n, U.U64_MAX]]);
  bench.map(ctx, fixed(ioas, 0, 0x1000, 0x1000));
  assert.deepEqual(bench.ranges(ctx, ioas).list, list, "areas do not count, only what is reserved");
});

Deno.test("an attached device takes its interrupt window out, its domain what it cannot reach (FACTS 1.4)", () => {
  const { bench, ctx, ioas, cdev } = ioasBench(true);
  const aperture = (1n << 48n) - 1n;
  const both = [[0n, 0xfedfffffn], [0xfef00000n, aperture]];
  const { rc, count, alignment, list } = bench.ranges(ctx, ioas);
  assert.deepEqual([rc, count, alignment, list], ["ok", 2, PAGE, both]);
  const second = bench.attached(ctx, ioas, 1);
  assert.deepEqual(bench.ranges(ctx, ioas).list, both, "two devices reserve the same window");
  assert.equal(bench.detach(cdev), "ok");
  assert.deepEqual(bench.ranges(ctx, ioas).list, both, "the other device still does");
  assert.equal(bench.detach(second.cdev), "ok");
  const fresh = bench.ranges(ctx, ioas);
  assert.deepEqual([fresh.list, fresh.alignment], [[[0n, U.U64_MAX]], 1n]);
  bench.hwptAlloc(ctx, second.dev, ioas);
  const only = bench.ranges(ctx, ioas);
  assert.deepEqual([only.list, only.alignment], [[[0n, aperture]], PAGE], "a HWPT alone");
});

/** `capacity`: room for so many ranges; there are two. */
const SHORT: { capacity: number; rc: string; written: number }[] = [
  { capacity: 0, rc: "EMSGSIZE", written: 0 },
  { capacity: 1, rc: "EMSGSIZE", written: 1 },
  { capacity: 2, rc: "ok", written: 2 },
  { capacity: 9, rc: "ok", written: 2 },
];

Deno.test("IOVA_RANGES says how many there are when the array is short (FACTS 1.3)", () => {
  const { bench, ctx, ioas } = ioasBench(true);
  for (const { capacity, rc, written } of SHORT) {
    const answer = bench.ranges(ctx, ioas, capacity);
    assert.equal(answer.rc, rc);
    assert.equal(answer.count, 2);
    assert.equal(answer.alignment, PAGE);
    assert.equal(answer.list.filter(([, last]) => last !== 0n).length, written);
  }
});

Deno.test("IOVA_RANGES looks at its request in order (FACTS 1.3)", () => {
  const { bench, ctx, ioas } = ioasBench(true);
  const ask = (v: { ioas_id?: number; rsvd?: number; num_iovas?: number }) =>
    bench.ioctl(ctx, U.IOMMU_IOAS_IOVA_RANGES, U.iommu_ioas_iova_ranges, v).rc;
  assert.equal(ask({ ioas_id: 77, rsvd: 1, num_iovas: 4 }), "EOPNOTSUPP");
  assert.equal(ask({ ioas_id: 77, num_iovas: 4 }), "ENOENT");
  assert.equal(ask({ ioas_id: 2, num_iovas: 4 }), "ENOENT", "a device is no IOAS");
  assert.equal(ask({ ioas_id: ioas, num_iovas: 1 }), "EFAULT", "array at address 0");
  assert.equal(ask({ ioas_id: ioas, num_iovas: 0 }), "EMSGSIZE");
});
