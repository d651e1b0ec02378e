import assert from "node:assert/strict";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import { PROT_READ } from "../../../src/uapi/sys.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import { Bench } from "../bench.ts";
import { FIXED, fixed, MEM, RW } from "../requests.ts";
import { checkOrder, type Rule } from "../rules.ts";

/** What MAP and MAP_FILE have in common; the harness fills in where the memory is. */
interface Request {
  flags: number;
  ioas_id: number;
  rsvd: number;
  at: bigint;
  length: bigint;
  iova: bigint;
  /** Which memory or file is shown. */
  memory: string;
}

const rule = (
  name: string,
  want: string,
  spoils: (keyof Request | "prot" | "unknown")[],
  change: Partial<Request> | ((r: Request) => Partial<Request>),
): Rule<Request> => ({
  name,
  want,
  spoils,
  spoil: (r) => ({ ...r, ...(typeof change === "function" ? change(r) : change) }),
});

/** FACTS 1.3, IOAS_MAP, steps 1 to 4. */
const PREAMBLE = [
  rule("unknown flag", "EOPNOTSUPP", ["unknown"], (r) => ({ flags: r.flags | 8 })),
  rule("iova U64_MAX", "EOVERFLOW", ["iova"], { iova: U.U64_MAX }),
  rule("length U64_MAX", "EOVERFLOW", ["length"], { length: U.U64_MAX }),
  rule("no protection", "EINVAL", ["prot"], (r) => ({ flags: r.flags & ~RW })),
  rule("no such IOAS", "ENOENT", ["ioas_id"], { ioas_id: 77 }),
];

/** Steps 5 to 8, in an IOAS with a domain: alignment 4096, MSI reserved, an area at 16 MiB. */
const PLACE = [
  rule("length 0", "EINVAL", ["length"], { length: 0n }),
  rule("length above SIZE_MAX - PAGE_SIZE", "EINVAL", ["length"], { length: U.U64_MAX - 4094n }),
  rule("length not aligned", "EINVAL", ["length"], { length: 0x800n }),
  rule("iova not aligned", "EINVAL", ["iova"], { iova: 0x800n }),
  rule("iova + length wraps", "EOVERFLOW", ["iova", "length"], {
    iova: U.U64_MAX - 0xfffn,
    length: 0x2000n,
  }),
  rule("iova in the interrupt window", "EINVAL", ["iova", "length"], { iova: 0xfee00000n }),
  rule("iova runs into the interrupt window", "EINVAL", ["iova", "length"], { iova: 0xfedff000n }),
  rule("iova beyond the aperture", "EINVAL", ["iova", "length"], { iova: 1n << 57n }),
  rule("iova taken", "EEXIST", ["iova", "length"], { iova: BigInt(16 * MiB) }),
  rule("iova runs into an area", "EEXIST", ["iova", "length"], { iova: BigInt(16 * MiB) - 4096n }),
  rule("memory not aligned", "EINVAL", ["at"], (r) => ({ at: r.at + 0x800n })),
];

const GOOD: Request = {
  flags: FIXED | RW,
  ioas_id: 1,
  rsvd: 0,
  at: 0n,
  length: 0x2000n,
  iova: 0x100000n,
  memory: "good",
};

/** A bench with IOAS 1, attached, with an area at 16 MiB, and ways to call on it. */
function setUp(fd: (b: Bench) => number) {
  const bench = new Bench();
  const ctx = fd(bench);
  const ioas = bench.ioas(ctx);
  bench.attached(ctx, ioas);
  const file = bench.file("ram", 2 * MiB);
  const there = {
    ioas_id: ioas,
    fd: file,
    flags: FIXED | RW,
    length: 0x2000n,
    iova: BigInt(16 * MiB),
  };
  assert.equal(bench.mapFile(ctx, there).rc, "ok");
  return { bench, ctx, ioas, file };
}

Deno.test("IOAS_MAP looks at its request in order (FACTS 1.3)", () => {
  const { bench, ctx, ioas } = setUp((b) => b.iommufd());
  const va: Record<string, number> = {
    good: bench.anon(1 * MiB),
    nothing: 0x10000,
    short: bench.anon(0x1000),
    "read-only": bench.anon(1 * MiB, PROT_READ),
    pfnmap: bench.mmap(bench.file("ram", 0), 2 * MiB),
  };
  const rules = [
    PREAMBLE[0],
    rule("rsvd", "EOPNOTSUPP", ["rsvd"], { rsvd: 1 }),
    ...PREAMBLE.slice(1),
    ...PLACE,
    rule("nothing mapped there", "EFAULT", ["memory"], { memory: "nothing" }),
    rule("the memory ends too soon", "EFAULT", ["memory"], { memory: "short" }),
    rule("memory is read-only", "EFAULT", ["memory"], { memory: "read-only" }),
    rule("memory has no struct pages", "EFAULT", ["memory"], { memory: "pfnmap" }),
  ];
  const before = bench.fingerprint;
  checkOrder(rules, GOOD, (r) => {
    const rc = bench.map(ctx, { ...r, user_va: BigInt(va[r.memory]) + r.at }).rc;
    if (rc === "ok") bench.unmap(ctx, ioas, r.iova, r.length);
    return rc;
  });
  assert.equal(bench.fingerprint, before, "a refused MAP left something behind");
  assert.equal(bench.map(ctx, { ...GOOD, user_va: BigInt(va.good) }).rc, "ok");
});

Deno.test("IOAS_MAP_FILE looks at its request in order (FACTS 1.3)", () => {
  const { bench, ctx, ioas } = setUp((b) => b.iommufd());
  const fds: Record<string, number> = {
    good: bench.memfd(1 * MiB),
    closed: 999,
    negative: -1,
    device: bench.sys.open("/dev/kvm", 2),
    short: bench.memfd(0x1000),
  };
  const rules = [
    ...PREAMBLE,
    rule("no such descriptor", "EBADF", ["memory"], { memory: "closed" }),
    rule("descriptor -1", "EBADF", ["memory"], { memory: "negative" }),
    ...PLACE,
    rule("a file that has no pages", "EINVAL", ["memory"], { memory: "device" }),
    rule("the file ends too soon", "EFAULT", ["memory"], { memory: "short" }),
  ];
  const before = bench.fingerprint;
  checkOrder(rules, GOOD, (r) => {
    const { flags, ioas_id, length, iova } = r;
    const rc = bench.mapFile(ctx, { flags, ioas_id, length, iova, start: r.at, fd: fds[r.memory] })
      .rc;
    if (rc === "ok") bench.unmap(ctx, ioas, r.iova, r.length);
    return rc;
  });
  assert.equal(bench.fingerprint, before, "a refused MAP_FILE left something behind");
  const { flags, ioas_id, length, iova } = GOOD;
  assert.equal(bench.mapFile(ctx, { flags, ioas_id, length, iova, fd: fds.good }).rc, "ok");
});

Deno.test("a persistent iommufd refuses memory that dies with the kernel, by MAP right after the look-up of the IOAS (seed line 1853)", () => {
  const { bench, ctx, ioas, file } = setUp((b) => b.persistent());
  const va: Record<string, number> = {
    good: bench.mmap(file, 2 * MiB),
    anonymous: bench.anon(1 * MiB),
    memfd: bench.mmap(bench.memfd(1 * MiB), 1 * MiB),
    nothing: 0x10000,
    // The first page is the file's last; what comes after is not the file any more.
    end: bench.mmap(file, 2 * MiB) + 2 * MiB - PAGE_SIZE,
    "read-only": bench.mmap(file, 2 * MiB, PROT_READ),
  };
  const rules = [
    PREAMBLE[0],
    rule("rsvd", "EOPNOTSUPP", ["rsvd"], { rsvd: 1 }),
    ...PREAMBLE.slice(1),
    rule("anonymous memory", "EFAULT", ["memory"], { memory: "anonymous" }),
    rule("a memfd", "EFAULT", ["memory"], { memory: "memfd" }),
    rule("nothing mapped there", "EFAULT", ["memory"], { memory: "nothing" }),
    rule("runs past the mapping", "EFAULT", ["memory", "length"], { memory: "end" }),
    rule("longer than any mapping", "EFAULT", ["length"], { length: U.U64_MAX - 4094n }),
    ...PLACE.filter((r) => !r.name.includes("SIZE_MAX")),
    rule("read-only mapping", "EFAULT", ["memory"], { memory: "read-only" }),
  ];
  const before = bench.fingerprint;
  checkOrder(rules, GOOD, (r) => {
    const rc = bench.map(ctx, { ...r, user_va: BigInt(va[r.memory]) + r.at }).rc;
    if (rc === "ok") bench.unmap(ctx, ioas, r.iova, r.length);
    return rc;
  });
  assert.equal(bench.fingerprint, before, "a refused MAP left something behind");
  assert.equal(bench.map(ctx, { ...GOOD, user_va: BigInt(va.good) }).rc, "ok");
  const readOnly = { ...GOOD, flags: FIXED | U.IOMMU_IOAS_MAP_READABLE, iova: 0x200000n };
  assert.equal(bench.map(ctx, { ...readOnly, user_va: BigInt(va["read-only"]) }).rc, "ok");
});

Deno.test("a persistent iommufd refuses files that die with the kernel, by MAP_FILE too", () => {
  const { bench, ctx, ioas, file } = setUp((b) => b.persistent());
  const fds: Record<string, number> = {
    good: file,
    closed: 999,
    memfd: bench.memfd(1 * MiB),
    device: bench.sys.open("/dev/kvm", 2),
  };
  const rules = [
    ...PREAMBLE,
    rule("no such descriptor", "EBADF", ["memory"], { memory: "closed" }),
    rule("a memfd", "EFAULT", ["memory"], { memory: "memfd" }),
    rule("a device file", "EFAULT", ["memory"], { memory: "device" }),
    ...PLACE,
    rule("beyond the end of the file", "EFAULT", ["at", "memory"], { at: BigInt(2 * MiB) }),
  ];
  const before = bench.fingerprint;
  checkOrder(rules, GOOD, (r) => {
    const { flags, ioas_id, length, iova } = r;
    const rc = bench.mapFile(ctx, { flags, ioas_id, length, iova, start: r.at, fd: fds[r.memory] })
      .rc;
    if (rc === "ok") bench.unmap(ctx, ioas, r.iova, r.length);
    return rc;
  });
  assert.equal(bench.fingerprint, before, "a refused MAP_FILE left something behind");
  assert.equal(bench.unmap(ctx, ioas, 0, U.U64_MAX).rc, "ok");
  assert.equal(bench.unlink("ram"), "ok", "a refused call kept its pin (FACTS 8.13 D80)");
});

Deno.test("MAP_FILE shows a file from an offset, MAP from an address (FACTS 1.3)", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const ioas = bench.ioas(ctx);
  bench.attached(ctx, ioas);
  const fd = bench.memfd(1 * MiB);
  const va = bench.mmap(fd, 1 * MiB);
  const request = { flags: FIXED | RW, ioas_id: ioas, fd, start: 0x5000n, length: 0x2000n };
  assert.equal(bench.mapFile(ctx, { ...request, iova: 0x10000n }).rc, "ok");
  assert.equal(bench.map(ctx, fixed(ioas, va + 0x5000, 0x2000, 0x20000)).rc, "ok");
  assert.equal(bench.frame(0, 0x10000), bench.frame(0, 0x20000));
  assert.equal(bench.frame(0, 0x11000), bench.frame(0, 0x21000));
  assert.notEqual(bench.frame(0, 0x10000), bench.frame(0, 0x11000));
});

Deno.test("guestmemfs memory is mapped by file and by address alike in a persistent iommufd", () => {
  const { bench, ctx, ioas, file } = setUp((b) => b.persistent());
  const va = bench.mmap(file, 2 * MiB);
  assert.equal(bench.map(ctx, fixed(ioas, va + 0x3000, 0x2000, 0x3000)).rc, "ok");
  const byFile = { flags: FIXED | RW, ioas_id: ioas, fd: file, length: BigInt(2 * MiB) };
  assert.equal(bench.mapFile(ctx, { ...byFile, iova: BigInt(2 * MiB) }).rc, "ok");
  assert.equal(bench.frame(0, 0x4000), bench.frame(0, 2 * MiB + 0x4000));
  assert.equal(bench.pinned, 0, "there are no struct pages to pin");
});

Deno.test("read-only memory can be mapped for reading", () => {
  const { bench, ctx, ioas } = setUp((b) => b.iommufd());
  const va = bench.anon(0x2000, PROT_READ);
  const request = { ...fixed(ioas, va, 0x2000, 0x1000), flags: FIXED | U.IOMMU_IOAS_MAP_READABLE };
  assert.equal(bench.map(ctx, request).rc, "ok");
});

Deno.test("areas may touch, and the same memory may be mapped many times (FACTS 1.3)", () => {
  const { bench, ctx, ioas } = setUp((b) => b.iommufd());
  const va = bench.anon(0x1000);
  for (const iova of [0x2000, 0x3000, 0x1000]) {
    assert.equal(bench.map(ctx, fixed(ioas, va, 0x1000, iova)).rc, "ok");
  }
  assert.equal(bench.map(ctx, fixed(ioas, va, 0x1000, 0x2000)).rc, "EEXIST", "no replace");
  assert.equal(bench.frame(0, 0x1000), bench.frame(0, 0x3000));
});

Deno.test("a domain that runs out of table pages leaves nothing mapped: ENOMEM", () => {
  const { bench, ctx, ioas } = setUp((b) => b.iommufd());
  const va = bench.anon(0x2000);
  bench.sys.store32(va, 1);
  bench.sys.store32(va + PAGE_SIZE, 1);
  const before = bench.fingerprint;
  bench.platform.chooser.arm("fault:alloc_page", 2);
  assert.equal(bench.map(ctx, fixed(ioas, va, 0x2000, 1n << 40n)).rc, "ENOMEM");
  assert.equal(bench.pinned, 0);
  // An empty table of the first levels may stay; areas and pins may not.
  const objects = (f: string) => f.split("\n").filter((l) => /area|pinned|object/.test(l));
  assert.deepEqual(objects(bench.fingerprint), objects(before));
  assert.equal(bench.map(ctx, fixed(ioas, va, 0x2000, 1n << 40n)).rc, "ok");
});

Deno.test("a guestmemfs file that is mapped cannot be removed or resized until it is unmapped (seed line 2075, FACTS 8.13)", async (t) => {
  const ways: { how: string; undo: (b: Bench, ctx: number, ioas: number) => void }[] = [
    { how: "UNMAP of the area", undo: (b, c, i) => b.unmap(c, i, 0x100000, 2 * MiB) },
    { how: "UNMAP of everything", undo: (b, c, i) => b.unmap(c, i, 0, U.U64_MAX) },
    { how: "DESTROY of the IOAS", undo: (b, c, i) => b.destroy(c, i) },
    { how: "close of the iommufd", undo: (b, c) => b.sys.close(c) },
    {
      how: "death of the process",
      undo: (b) => {
        b.kill(b.sys);
        b.sys = b.shell();
      },
    },
  ];
  for (const { how, undo } of ways) {
    for (const mark of [true, false]) {
      await t.step(`${how}${mark ? ", persistent" : ""}`, () => {
        const bench = new Bench();
        const ctx = mark ? bench.persistent() : bench.iommufd();
        const ioas_id = bench.ioas(ctx);
        const fd = bench.file("ram", 2 * MiB);
        const request = { flags: FIXED | RW, ioas_id, fd, length: BigInt(2 * MiB) };
        assert.equal(bench.mapFile(ctx, { ...request, iova: 0x100000n }).rc, "ok");
        assert.equal(bench.unlink("ram"), "EBUSY");
        assert.equal(bench.sys.ftruncate(fd, 4 * MiB), -16);
        undo(bench, ctx, ioas_id);
        const again = bench.sys.open(`${MEM}/ram`, 2);
        assert.equal(bench.sys.ftruncate(again, 4 * MiB), 0);
        assert.equal(bench.unlink("ram"), "ok");
      });
    }
  }
});

Deno.test("several files in one IOAS are pinned each on its own (FACTS 8.13 D79, D81)", () => {
  const { bench, ctx, ioas } = setUp((b) => b.persistent());
  const files = ["a", "b"].map((name) => bench.file(name, 2 * MiB));
  files.forEach((fd, i) => {
    for (const copy of [0, 1]) {
      const iova = BigInt((32 + 4 * i + 2 * copy) * MiB);
      const request = { flags: FIXED | RW, ioas_id: ioas, fd, length: BigInt(2 * MiB), iova };
      assert.equal(bench.mapFile(ctx, request).rc, "ok");
    }
  });
  assert.deepEqual([bench.unlink("a"), bench.unlink("b")], ["EBUSY", "EBUSY"]);
  assert.equal(bench.unmap(ctx, ioas, 32 * MiB, 2 * MiB).rc, "ok");
  assert.equal(bench.unmap(ctx, ioas, 32 * MiB, 2 * MiB).rc, "ENOENT", "twice is once");
  assert.deepEqual([bench.unlink("a"), bench.unlink("b")], ["EBUSY", "EBUSY"]);
  assert.equal(bench.unmap(ctx, ioas, 34 * MiB, 2 * MiB).rc, "ok");
  assert.deepEqual([bench.unlink("a"), bench.unlink("b")], ["ok", "EBUSY"]);
  assert.equal(bench.unmap(ctx, ioas, 36 * MiB, 4 * MiB).rc, "ok");
  assert.deepEqual([bench.unlink("b"), bench.unlink("ram")], ["ok", "EBUSY"]);
});
