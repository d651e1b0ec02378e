import assert from "node:assert/strict";
import { PAGE_SIZE } from "../../../src/base/units.ts";
import { type AccessOps, IommufdAccess } from "../../../src/kernel/iommufd/access.ts";
import type { Syscalls } from "../../../src/kernel/syscalls.ts";
import * as U from "../../../src/uapi/iommufd.ts";
import { Bench } from "../bench.ts";
import { FIXED, fixed, said } from "../requests.ts";

// No driver of this kernel uses an IOAS by itself, as those of mediated devices do. The test stands
// for one.

const IOVA = 0x100000n;

/** Six pages in two areas, 4 and 2, at {@link IOVA}, and an access. */
function accessBench(ops: Partial<AccessOps> = {}) {
  const bench = new Bench();
  const fd = bench.iommufd(), ioas = bench.ioas(fd);
  const va = bench.anon(6 * PAGE_SIZE);
  assert.equal(bench.map(fd, fixed(ioas, va, 0x4000, IOVA)).rc, "ok");
  assert.equal(bench.map(fd, fixed(ioas, va + 0x4000, 0x2000, IOVA + 0x4000n)).rc, "ok");
  const ctx = bench.platform.kernel.iommufd.contexts[0];
  const access = IommufdAccess.create(ctx, { needsPinPages: true, unmap: () => {}, ...ops });
  assert.ok(typeof access !== "number");
  const frame = (page: number) => (bench.sys as Syscalls).task.mm.translate(va + page * PAGE_SIZE);
  return { bench, fd, ioas, va, ctx, access, frame };
}

/** The errno's name, or the number of pages. */
const pages = (frames: number[] | number) =>
  typeof frames === "number" ? said(frames) : frames.length;

Deno.test("an access that pins has to be able to let go; one that does not need not", () => {
  const { ctx } = accessBench();
  assert.equal(said(Number(IommufdAccess.create(ctx, { needsPinPages: true }))), "EINVAL");
  const access = IommufdAccess.create(ctx, { needsPinPages: false });
  assert.ok(typeof access !== "number");
  assert.equal(access.id, 3);
});

Deno.test("an access is an object in use: it cannot be destroyed, and keeps the iommufd open", () => {
  const { bench, fd, access } = accessBench();
  const { iommufd } = bench.platform.kernel;
  assert.equal(bench.destroy(fd, access.id), "EBUSY");
  bench.sys.close(fd);
  assert.equal(iommufd.contexts.length, 1);
  access.release();
  assert.equal(iommufd.contexts.length, 0);
  assert.equal(bench.pinned, 0);
});

Deno.test("attach, replace and detach (FACTS 1.5, access objects)", () => {
  const { bench, fd, ioas, access } = accessBench();
  const other = bench.ioas(fd);
  assert.equal(said(access.replace(ioas)), "ENOENT", "nothing to replace");
  assert.equal(said(access.attach(77)), "ENOENT");
  assert.equal(access.attach(ioas), 0);
  assert.equal(said(access.attach(other)), "EINVAL");
  assert.equal(bench.ranges(fd, ioas).alignment, 4096n, "whole pages are wanted");
  assert.equal(bench.destroy(fd, ioas), "EBUSY");
  assert.equal(said(access.replace(77)), "ENOENT");
  assert.equal(access.replace(other), 0);
  assert.equal(bench.ranges(fd, ioas).alignment, 1n);
  assert.equal(bench.destroy(fd, ioas), "ok");
  access.detach();
  assert.equal(bench.destroy(fd, other), "ok");
});

Deno.test("an IOAS with an area that is no whole pages is not for who pins", () => {
  const { bench, fd, ioas, va, ctx, access } = accessBench();
  assert.equal(bench.map(fd, fixed(ioas, va, 100, 0x5000)).rc, "ok");
  assert.equal(said(access.attach(ioas)), "EADDRINUSE");
  const reader = IommufdAccess.create(ctx, { needsPinPages: false }) as IommufdAccess;
  assert.equal(reader.attach(ioas), 0);
  assert.equal(bench.ranges(fd, ioas).alignment, 1n);
});

Deno.test("pinPages gives the frames the process has, across areas", () => {
  const { ioas, access, frame, bench } = accessBench();
  assert.equal(access.attach(ioas), 0);
  assert.deepEqual(access.pinPages(IOVA + 0x3000n, 0x2000n, true), [frame(3), frame(4)]);
  assert.equal(bench.pinned, 2);
  access.unpinPages(IOVA + 0x3000n, 0x2000n);
  assert.equal(bench.pinned, 0);
});

Deno.test("pinPages: what is asked of it (FACTS 1.5)", () => {
  const { bench, fd, ioas, va, access } = accessBench();
  const read = FIXED | U.IOMMU_IOAS_MAP_READABLE;
  const request = { ...fixed(ioas, va, 0x1000, IOVA + 0x8000n), flags: read };
  assert.equal(bench.map(fd, request).rc, "ok");
  const pin = (at: bigint, length: bigint, write = false) =>
    pages(access.pinPages(IOVA + at, length, write));
  assert.equal(pin(0n, 0x1000n), "ENOENT", "not attached");
  assert.equal(access.attach(ioas), 0);
  assert.equal(pin(0n, 0n), "EINVAL");
  assert.equal(pin(0n, 0x800n), "EINVAL");
  assert.equal(pin(0x800n, 0x1000n), "EINVAL");
  assert.equal(pin(0x5000n, 0x2000n), "ENOENT", "a gap behind");
  assert.equal(pin(-0x1000n, 0x2000n), "ENOENT", "a gap before");
  assert.equal(pin(0x8000n, 0x1000n, true), "EPERM");
  assert.equal(pin(0x8000n, 0x1000n), 1);
  assert.equal(pages(access.pinPages(U.U64_MAX - 0xfffn, 0x2000n, false)), "EOVERFLOW");
  assert.equal(bench.pinned, 1);
});

Deno.test("a page is pinned once for every access and domain, and stays until the last lets go (FACTS 1.4)", () => {
  const { bench, fd, ioas, va, access, frame } = accessBench();
  const { userPages } = bench.platform.kernel;
  const first = frame(0);
  assert.equal(access.attach(ioas), 0);
  assert.equal(pages(access.pinPages(IOVA, 0x2000n, true)), 2);
  assert.equal(pages(access.pinPages(IOVA, 0x1000n, true)), 1);
  const { cdev } = bench.attached(fd, ioas);
  assert.equal(bench.pinned, 6);
  assert.equal(userPages.pinsOf(first), 1);
  assert.equal(bench.frame(0, Number(IOVA)), first, "the domain has what the access holds");
  // The process goes; the domain goes: what the access holds is still there.
  bench.sys.munmap(va, 6 * PAGE_SIZE);
  assert.equal(bench.detach(cdev), "ok");
  assert.equal(bench.pinned, 2);
  access.unpinPages(IOVA, 0x1000n);
  assert.equal(bench.pinned, 2, "the page was pinned twice");
  access.unpinPages(IOVA, 0x2000n);
  assert.equal(bench.pinned, 0);
});

Deno.test("UNMAP asks accesses to let go, with the area's IOVAs (FACTS 1.3 IOAS_UNMAP)", () => {
  const asked: string[] = [];
  const holder: { access?: IommufdAccess } = {};
  const unmap = (iova: bigint, length: bigint) => {
    asked.push(`${iova.toString(16)}+${length.toString(16)}`);
    holder.access?.unpinPages(IOVA + 0x1000n, 0x1000n);
  };
  const { bench, fd, ioas, access } = accessBench({ unmap });
  holder.access = access;
  assert.equal(access.attach(ioas), 0);
  assert.equal(bench.unmap(fd, ioas, IOVA + 0x4000n, 0x2000n).rc, "ok");
  assert.deepEqual(asked, [], "nothing was held there");
  assert.equal(pages(access.pinPages(IOVA + 0x1000n, 0x1000n, true)), 1);
  const { rc, out } = bench.unmap(fd, ioas, 0, U.U64_MAX);
  assert.deepEqual([rc, out.length], ["ok", 0x4000n]);
  assert.deepEqual(asked, ["100000+4000"]);
  assert.equal(bench.pinned, 0);
});

Deno.test("an access that never lets go: EDEADLOCK after 100 tries, a warning, and the area is going away", () => {
  let asked = 0;
  const { bench, fd, ioas, access } = accessBench({ unmap: () => void asked++ });
  assert.equal(access.attach(ioas), 0);
  assert.equal(pages(access.pinPages(IOVA + 0x4000n, 0x1000n, false)), 1);
  const { rc, out } = bench.unmap(fd, ioas, IOVA, 0x6000);
  assert.deepEqual([rc, out.length], ["EDEADLOCK", 0x6000n]);
  assert.equal(asked, 100);
  assert.ok(
    bench.platform.events.some((e) => e.level === "warn" && /does not let go/.test(e.text)),
  );
  // The first area is gone, the second one is there, but nobody takes hold of it any more.
  assert.equal(bench.unmap(fd, ioas, IOVA, 0x4000).rc, "ENOENT");
  assert.equal(pages(access.pinPages(IOVA + 0x5000n, 0x1000n, false)), "ENOENT");
  const copy = bench.ioctl(fd, U.IOMMU_IOAS_COPY, U.iommu_ioas_copy, {
    flags: U.IOMMU_IOAS_MAP_READABLE,
    dst_ioas_id: ioas,
    src_ioas_id: ioas,
    length: 0x2000n,
    src_iova: IOVA + 0x4000n,
  });
  assert.equal(copy.rc, "ENOENT");
  access.unpinPages(IOVA + 0x4000n, 0x1000n);
  assert.equal(bench.unmap(fd, ioas, IOVA + 0x4000n, 0x2000).rc, "ok");
});

Deno.test("detach asks for everything back", () => {
  const asked: bigint[] = [];
  const { ioas, access } = accessBench({ unmap: (at, length) => void asked.push(at, length) });
  assert.equal(access.attach(ioas), 0);
  access.detach();
  assert.deepEqual(asked, [0n, U.U64_MAX]);
});

Deno.test("rw copies across pages and areas, and leaves no pin", () => {
  const { bench, ioas, va, access } = accessBench();
  assert.equal(access.attach(ioas), 0);
  const bytes = Uint8Array.from({ length: 0x1800 }, (_, i) => i * 7);
  assert.equal(access.rw(IOVA + 0x3400n, bytes, true), 0);
  assert.deepEqual(bench.sys.copyIn(va + 0x3400, bytes.length), bytes);
  const back = new Uint8Array(bytes.length);
  assert.equal(access.rw(IOVA + 0x3400n, back, false), 0);
  assert.deepEqual(back, bytes);
  assert.equal(bench.pinned, 0);
  assert.equal(said(access.rw(IOVA + 0x5800n, bytes, false)), "ENOENT");
  assert.equal(said(access.rw(IOVA, new Uint8Array(0), false)), "EINVAL");
});

Deno.test("what an access pins counts like any pin; what it cannot have leaves nothing pinned", () => {
  const { bench, fd, ioas, va, access } = accessBench();
  const { sys } = bench;
  sys.setuid(1000);
  assert.equal(sys.setMemlock(3 * PAGE_SIZE, 3 * PAGE_SIZE), 0);
  assert.equal(bench.map(fd, fixed(ioas, va, 0x4000, 0x10000)).rc, "ok");
  assert.equal(access.attach(ioas), 0);
  assert.equal(pages(access.pinPages(0x10000n, 0x4000n, true)), "ENOMEM");
  assert.equal(bench.pinned, 0);
  assert.equal(pages(access.pinPages(0x10000n, 0x3000n, true)), 3);
  sys.munmap(va, 6 * PAGE_SIZE);
  assert.equal(pages(access.pinPages(0x10000n, 0x4000n, true)), "EFAULT", "gone, but for three");
  assert.equal(bench.pinned, 3);
});
