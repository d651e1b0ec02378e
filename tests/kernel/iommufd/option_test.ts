import assert from "node:assert/strict";
import { MiB } from "../../../src/base/units.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import { Bench } from "../bench.ts";
import { FIXED, RW, said } from "../requests.ts";

const { IOMMU_OPTION_OP_SET: SET, IOMMU_OPTION_OP_GET: GET } = U;

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

Deno.test("OPTION(PERSISTENT, SET) is these bytes, and answers the id in the last eight (FACTS 10.4)", () => {
  const bench = new Bench();
  const vector = "180000000200000000000000000000000100000000000000";
  const fd = bench.iommufd();
  const bytes = fromHex(vector);
  assert.deepEqual(
    U.iommu_option.encode({ size: 24, option_id: 2, op: SET, val64: 1n }),
    bytes,
  );
  assert.equal(said(bench.sys.ioctl(fd, 0x3b87, bytes)), "ok");
  assert.deepEqual(bytes, fromHex(vector));
  const second = fromHex(vector);
  assert.equal(said(bench.sys.ioctl(bench.iommufd(), 0x3b87, second)), "ok");
  assert.deepEqual(second, fromHex(vector.slice(0, 32) + "0200000000000000"));
});

/** Calls on an iommufd. `used`: it has an IOAS; `marked`: SET 1 went before. */
const OPTION: {
  name: string;
  used?: boolean;
  marked?: boolean;
  option_id?: number;
  op: number;
  rsvd?: number;
  object_id?: number;
  val64: bigint;
  want: string;
  reply?: bigint;
}[] = [
  { name: "SET 1", op: SET, val64: 1n, want: "ok", reply: 1n },
  { name: "SET 0, which cannot undo anything (D01)", op: SET, val64: 0n, want: "EINVAL" },
  { name: "SET 2", op: SET, val64: 2n, want: "EINVAL" },
  { name: "SET U64_MAX", op: SET, val64: U.U64_MAX, want: "EINVAL" },
  { name: "SET of an object (D03)", op: SET, object_id: 1, val64: 1n, want: "EOPNOTSUPP" },
  { name: "GET of an object", op: GET, object_id: 1, val64: 0n, want: "EOPNOTSUPP" },
  { name: "reserved bits", op: SET, rsvd: 1, val64: 1n, want: "EOPNOTSUPP" },
  { name: "an unknown operation", op: 2, val64: 1n, want: "EOPNOTSUPP" },
  { name: "an unknown option", option_id: 3, op: SET, val64: 1n, want: "EOPNOTSUPP" },
  { name: "GET before SET", op: GET, val64: 77n, want: "ok", reply: 0n },
  { name: "GET after SET", marked: true, op: GET, val64: 77n, want: "ok", reply: 1n },
  { name: "SET again (D02)", marked: true, op: SET, val64: 1n, want: "EBUSY" },
  { name: "SET 0 after SET", marked: true, op: SET, val64: 0n, want: "EINVAL" },
  { name: "SET after use (seed line 203)", used: true, op: SET, val64: 1n, want: "EFAULT" },
  {
    name: "SET again, after use",
    marked: true,
    used: true,
    op: SET,
    val64: 1n,
    want: "EBUSY",
  },
  { name: "GET after use", used: true, op: GET, val64: 1n, want: "ok", reply: 0n },
];

Deno.test("OPTION(PERSISTENT) marks an unused iommufd, once (seed lines 190-249, FACTS 8.1)", async (t) => {
  const bench = new Bench();
  for (const v of OPTION) {
    await t.step(`${v.name}: ${v.want}`, () => {
      const fd = bench.iommufd();
      if (v.marked) assert.equal(bench.option(fd, SET, 1n).rc, "ok");
      if (v.used) bench.ioas(fd);
      const { name: _name, want, reply, used: _used, marked: _marked, ...value } = v;
      const call = { option_id: U.IOMMU_OPTION_PERSISTENT, ...value };
      const { rc, out } = bench.ioctl(fd, U.IOMMU_OPTION, U.iommu_option, call);
      assert.deepEqual([rc, out.val64], [want, reply ?? v.val64]);
      bench.sys.close(fd);
    });
  }
});

Deno.test("a device counts as use, and so does nothing that has gone again", () => {
  const bench = new Bench();
  const fd = bench.iommufd();
  const { cdev } = bench.bound(fd);
  assert.equal(bench.option(fd, SET, 1n).rc, "EFAULT");
  bench.sys.close(cdev);
  assert.equal(bench.destroy(fd, bench.ioas(fd)), "ok");
  assert.equal(bench.option(fd, SET, 1n).rc, "ok");
});

Deno.test("persistent ids are the lowest free ones and free again after close", () => {
  const bench = new Bench();
  const fds = [1, 2, 3].map(() => bench.iommufd());
  const ids = fds.map((fd) => bench.option(fd, SET, 1n).out.val64);
  assert.deepEqual(ids, [1n, 2n, 3n]);
  bench.sys.close(fds[1]);
  assert.equal(bench.option(bench.iommufd(), SET, 1n).out.val64, 2n);
});

Deno.test("a kernel without the series knows no persistence: EOPNOTSUPP", () => {
  const bench = new Bench("mainline");
  for (const op of [SET, GET]) assert.equal(bench.option(bench.iommufd(), op, 1n).rc, "EOPNOTSUPP");
  assert.equal(bench.kho(true), "ENOENT");
});

/** A persistent iommufd with a mapped file, so that it has something to hand over. */
function markedWithMemory(bench: Bench, name: string): { fd: number; ioas: number } {
  const fd = bench.persistent();
  const ioas_id = bench.ioas(fd);
  const file = bench.file(name, 2 * MiB);
  const request = { flags: FIXED | RW, ioas_id, fd: file, length: BigInt(2 * MiB), iova: 0n };
  assert.equal(bench.mapFile(fd, request).rc, "ok");
  return { fd, ioas: ioas_id };
}

Deno.test("after a kexec nobody else gets an id that waits to be picked up (FACTS 8.1 D08)", () => {
  const bench = new Bench();
  markedWithMemory(bench, "a");
  bench.persistent();
  markedWithMemory(bench, "c");
  bench.kexec();
  assert.deepEqual(bench.sys.readdir("/sys/kernel/iommufd_persisted"), ["1", "2", "3"]);
  const fresh = bench.iommufd();
  assert.equal(bench.option(fresh, SET, 1n).out.val64, 4n);
  const second = bench.mustPickUp(2);
  assert.equal(bench.option(second, GET).out.val64, 2n);
  assert.equal(bench.option(second, SET, 1n).rc, "EBUSY");
  bench.sys.close(second);
  assert.equal(bench.option(bench.iommufd(), SET, 1n).out.val64, 2n, "picked up and closed");
});

Deno.test("a picked-up iommufd has its objects under their ids, its areas, and one pin per area", () => {
  const bench = new Bench();
  const fd = bench.persistent();
  const file = bench.file("ram", 4 * MiB);
  const ids = [1, 2, 3].map(() => bench.ioas(fd));
  assert.equal(bench.destroy(fd, ids[1]), "ok");
  const flags = FIXED | U.IOMMU_IOAS_MAP_READABLE;
  const areas = [[0n, 0n], [0x200000n, 0x1000n], [1n << 46n, 0x200000n], [U.U64_MAX - 0xffffn, 0n]];
  for (const [iova, start] of areas) {
    const request = { flags, ioas_id: ids[2], fd: file, start, length: 0x8000n, iova };
    assert.equal(bench.mapFile(fd, request).rc, "ok");
  }
  bench.kexec();
  const again = bench.mustPickUp(1);
  assert.deepEqual([bench.ioas(again), bench.ioas(again)], [2, 4], "1 and 3 are taken");
  const mapAgain = bench.file("ram", 0);
  for (const [iova] of areas) {
    const request = { flags, ioas_id: 3, fd: mapAgain, length: 0x8000n, iova };
    assert.equal(bench.mapFile(again, request).rc, "EEXIST");
  }
  assert.equal(bench.unmap(again, 3, 0, 0x4000).rc, "ENOENT", "areas have the length they had");
  for (const [i, [iova]] of areas.entries()) {
    assert.equal(bench.unlink("ram"), "EBUSY", `${4 - i} areas left`);
    assert.equal(bench.unmap(again, 3, iova, 0x8000n).rc, "ok");
  }
  assert.equal(bench.unlink("ram"), "ok");
});

Deno.test("an area that does not begin on a page comes over byte for byte", () => {
  const bench = new Bench();
  const fd = bench.persistent();
  const ioas_id = bench.ioas(fd);
  const file = bench.file("ram", 2 * MiB);
  const request = { flags: FIXED | RW, ioas_id, fd: file, start: 0x123n, length: 7n };
  const iova = (1n << 63n) + 0x123n;
  assert.equal(bench.mapFile(fd, { ...request, iova }).rc, "ok");
  bench.kexec();
  const again = bench.mustPickUp(1);
  assert.equal(bench.unmap(again, ioas_id, iova, 7n).out.length, 7n);
});

Deno.test("pins of an iommufd that is not handed over do not come over either", () => {
  const bench = new Bench();
  const fd = bench.iommufd();
  const ioas_id = bench.ioas(fd);
  const keep = markedWithMemory(bench, "kept");
  const file = bench.file("ram", 2 * MiB);
  const request = { flags: FIXED | RW, ioas_id, fd: file, length: BigInt(2 * MiB), iova: 0n };
  assert.equal(bench.mapFile(fd, request).rc, "ok");
  assert.deepEqual([bench.unlink("ram"), bench.unlink("kept")], ["EBUSY", "EBUSY"]);
  bench.kexec();
  // No close handler ran: what pinned "ram" is no more, and its pin must not last for ever.
  assert.deepEqual([bench.unlink("ram"), bench.unlink("kept")], ["ok", "EBUSY"]);
  const again = bench.mustPickUp(1);
  assert.equal(bench.unmap(again, keep.ioas, 0, U.U64_MAX).rc, "ok");
  assert.equal(bench.unlink("kept"), "ok");
});

Deno.test("reading the handle a second time is EBUSY, and without a kexec there is none", () => {
  const bench = new Bench();
  markedWithMemory(bench, "ram");
  assert.equal(bench.pickUp(1), "ENOENT");
  bench.kexec();
  assert.equal(bench.pickUp(2), "ENOENT");
  bench.mustPickUp(1);
  assert.equal(bench.pickUp(1), "EBUSY");
  assert.equal(bench.pickUp(1, bench.shell()), "EBUSY");
});

Deno.test("an iommufd that nobody picked up is handed on by the next kexec too", () => {
  const bench = new Bench();
  markedWithMemory(bench, "ram");
  bench.kexec();
  const fresh = markedWithMemory(bench, "other");
  assert.equal(bench.option(fresh.fd, GET).out.val64, 2n);
  bench.kexec();
  assert.deepEqual(bench.sys.readdir("/sys/kernel/iommufd_persisted"), ["1", "2"]);
  assert.equal(bench.unlink("ram"), "EBUSY");
  const first = bench.mustPickUp(1), second = bench.mustPickUp(2);
  assert.equal(bench.unmap(first, 1, 0, 2 * MiB).rc, "ok");
  assert.equal(bench.unlink("ram"), "ok");
  assert.equal(bench.unmap(second, 1, 0, 2 * MiB).rc, "ok");
  assert.equal(bench.unlink("other"), "ok");
});
