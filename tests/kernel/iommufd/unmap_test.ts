import assert from "node:assert/strict";
import { MiB } from "../../../src/base/units.ts";
import type { DmarDomain } from "../../../src/kernel/iommu/intel/domain.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import { Bench } from "../bench.ts";
import { FIXED, fixed, RW } from "../requests.ts";
import { checkOrder, type Rule } from "../rules.ts";

interface Request {
  ioas_id: number;
  iova: bigint;
  length: bigint;
}

/** IOAS 1 with areas of one page at 1, 2, 4 (in pages), and of four pages at 8. */
function areas(attached: boolean) {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const ioas = bench.ioas(ctx);
  if (attached) bench.attached(ctx, ioas);
  const va = bench.anon(0x4000);
  for (const [at, pages] of [[1, 1], [2, 1], [4, 1], [8, 4]]) {
    assert.equal(bench.map(ctx, fixed(ioas, va, pages * 4096, at * 4096)).rc, "ok");
  }
  /** First pages of the areas that are left. */
  const left = () =>
    [1, 2, 4, 8].filter((at) => bench.map(ctx, fixed(ioas, va, 4096, at * 4096)).rc === "EEXIST");
  return { bench, ctx, ioas, left };
}

const page = (n: number) => BigInt(n * 4096);
const ALL = { iova: 0n, length: U.U64_MAX };

const UNMAP: {
  name: string;
  iova: bigint;
  length: bigint;
  want: string;
  /** Bytes the reply says; on an error it must stay what the caller wrote. */
  bytes?: bigint;
  left: number[];
}[] = [
  {
    name: "one area exactly",
    iova: page(2),
    length: page(1),
    want: "ok",
    bytes: page(1),
    left: [1, 4, 8],
  },
  {
    name: "areas and the holes between and around them",
    iova: 0n,
    length: page(7),
    want: "ok",
    bytes: page(3),
    left: [8],
  },
  {
    name: "everything by its range",
    iova: 0n,
    length: page(64),
    want: "ok",
    bytes: page(7),
    left: [],
  },
  { name: "everything", ...ALL, want: "ok", bytes: page(7), left: [] },
  { name: "a hole", iova: page(3), length: page(1), want: "ENOENT", left: [1, 2, 4, 8] },
  {
    name: "the head of an area",
    iova: page(8),
    length: page(2),
    want: "ENOENT",
    left: [1, 2, 4, 8],
  },
  {
    name: "the tail of an area",
    iova: page(10),
    length: page(2),
    want: "ENOENT",
    left: [1, 2, 4, 8],
  },
  {
    name: "the middle of an area",
    iova: page(9),
    length: page(2),
    want: "ENOENT",
    left: [1, 2, 4, 8],
  },
  {
    name: "one byte less than an area",
    iova: page(1),
    length: page(1) - 1n,
    want: "ENOENT",
    left: [1, 2, 4, 8],
  },
  {
    name: "whole areas and half of one: not atomic",
    iova: page(1),
    length: page(9),
    want: "ENOENT",
    left: [8],
  },
  {
    name: "half of one and then whole areas: stops at once",
    iova: page(2) + 1n,
    length: page(8),
    want: "ENOENT",
    left: [1, 2, 4, 8],
  },
];

Deno.test("UNMAP takes whole areas out (FACTS 1.3)", async (t) => {
  for (const attached of [false, true]) {
    for (const { name, iova, length, want, bytes, left } of UNMAP) {
      await t.step(`${name}${attached ? ", with a domain" : ""}: ${want}`, () => {
        const table = areas(attached);
        const { bench, ctx, ioas } = table;
        const { rc, out } = bench.unmap(ctx, ioas, iova, length);
        assert.deepEqual([rc, out.length], [want, bytes ?? length]);
        // Four pages of memory under all of the areas: those of areas that are left are pinned.
        const pinned = left.includes(8) ? 4 : left.length > 0 ? 1 : 0;
        assert.equal(bench.pinned, attached ? pinned : 0);
        assert.deepEqual(table.left(), left);
      });
    }
  }
});

Deno.test("unmapping everything of an empty IOAS is 0 bytes of success", () => {
  const bench = new Bench();
  const ctx = bench.iommufd();
  const { rc, out } = bench.unmap(ctx, bench.ioas(ctx), 0, U.U64_MAX);
  assert.deepEqual([rc, out.length], ["ok", 0n]);
});

Deno.test("UNMAP looks at its request in order (FACTS 1.3)", () => {
  const { bench, ctx, ioas } = areas(false);
  const rule = (name: string, want: string, change: Partial<Request>): Rule<Request> => ({
    name,
    want,
    spoils: Object.keys(change),
    spoil: (r) => ({ ...r, ...change }),
  });
  const rules = [
    rule("no such IOAS", "ENOENT", { ioas_id: 77 }),
    rule("iova U64_MAX", "EOVERFLOW", { iova: U.U64_MAX }),
    rule("length U64_MAX", "EOVERFLOW", { length: U.U64_MAX }),
    rule("iova + length wraps", "EOVERFLOW", { iova: U.U64_MAX - 0xfffn, length: 0x1001n }),
    rule("length 0", "EINVAL", { length: 0n }),
    rule("nothing there", "ENOENT", { iova: page(100) }),
  ];
  const good = { ioas_id: ioas, iova: page(1), length: page(1) };
  checkOrder(rules, good, (r) => bench.unmap(ctx, r.ioas_id, r.iova, r.length).rc);
  assert.equal(bench.unmap(ctx, ioas, good.iova, good.length).rc, "ok");
});

Deno.test("what is unmapped faults at once, what is next to it does not", () => {
  const { bench, ctx, ioas } = areas(true);
  const before = bench.frame(0, 0x2000);
  assert.equal(bench.unmap(ctx, ioas, page(1), page(1)).rc, "ok");
  assert.equal(bench.frame(0, 0x1000), -1);
  assert.equal(bench.frame(0, 0x2000), before);
});

Deno.test("pages that somebody took out of the tables are missed, and the log says so (FACTS 1.4)", () => {
  const bench = new Bench();
  const fd = bench.persistent(), ioas = bench.ioas(fd);
  const file = bench.file("ram", 2 * MiB);
  const request = { flags: FIXED | RW, ioas_id: ioas, fd: file, length: 0x4000n, iova: 0x10000n };
  assert.equal(bench.mapFile(fd, request).rc, "ok");
  bench.attached(fd, ioas);
  const { kernel, machine } = bench.platform;
  const leaves = (kernel.vfio.devices[0].dev.group?.domain as DmarDomain).table.tables()[3];
  machine.memory.store(leaves, 0x12 * 2, 0);
  const { rc, out } = bench.unmap(fd, ioas, 0x10000, 0x4000);
  assert.deepEqual([rc, out.length], ["ok", 0x4000n], "the area is gone all the same");
  const line = "WARNING: iommufd: 1 pages of the area at 0x10000 were not in the tables";
  assert.ok(bench.platform.events.some((e) => e.level === "warn" && e.text === line));
});
