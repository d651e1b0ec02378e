import assert from "node:assert/strict";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import * as S from "../../../src/uapi/sys.ts";
import { ioasMapFile } from "../../../src/userspace/calls.ts";
import { readHandle } from "../../../src/userspace/vmm/hardware.ts";
import { Bench } from "../bench.ts";
import { said } from "../requests.ts";

/** Memfds behind an IOMMU go over with the iommufd that maps them (seed lines 2295-2302, FACTS 7.6). */

const DIR = "/sys/kernel/iommufd_persisted/1";
const RAM = 1 * MiB, MAGIC = 0x600df00d;
const ALL = S.F_SEAL_SEAL | S.F_SEAL_SHRINK | S.F_SEAL_GROW;

function sealed(bench: Bench, seals = ALL): number {
  const fd = bench.memfd(RAM);
  assert.equal(bench.sys.addSeals(fd, seals), 0);
  return fd;
}

Deno.test("which files a persistent iommufd takes (FACTS 7.6, 8.12)", () => {
  const table: { file: (b: Bench, cdev: number, fd: number) => number; want: string[] }[] = [
    { file: (b) => b.file("ram", 2 * MiB), want: ["ok", "ok", "ok"] },
    { file: (b) => sealed(b), want: ["ok", "EFAULT", "EFAULT"] },
    { file: (b) => b.memfd(RAM), want: ["EINVAL", "EFAULT", "EFAULT"] },
    { file: (b) => sealed(b, S.F_SEAL_GROW), want: ["EINVAL", "EFAULT", "EFAULT"] },
    // Registers of a device: a BAR.
    { file: (_, cdev) => cdev, want: ["EFAULT", "EFAULT", "EFAULT"] },
    { file: (_, __, fd) => fd, want: ["EFAULT", "EFAULT", "EFAULT"] },
    { file: () => 999, want: ["EBADF", "EBADF", "EBADF"] },
  ];
  ["redrive", "replay", "rfc-v1"].forEach((image, i) => {
    const bench = new Bench(image);
    const fd = bench.persistent(), ioas = bench.ioas(fd);
    const { cdev } = bench.attached(fd, ioas);
    table.forEach(({ file, want }, row) => {
      const rc = ioasMapFile(bench.sys, fd, ioas, file(bench, cdev, fd), RAM, row * 2 * MiB);
      assert.equal(said(rc), want[i], `${image}, row ${row}`);
    });
    assert.deepEqual(bench.complaints, []);
  });
});

/** A card writing into a memfd, handed over. */
function handedOver(image = "redrive-replace") {
  const bench = new Bench(image);
  const fd = bench.persistent(), ioas = bench.ioas(fd);
  const { cdev } = bench.attached(fd, ioas);
  const file = sealed(bench);
  assert.equal(ioasMapFile(bench.sys, fd, ioas, file, RAM, 0), 0);
  bench.sys.store32(bench.mmap(file, RAM) + 5 * PAGE_SIZE, MAGIC);
  bench.setBusMaster(cdev);
  const frame = bench.frame(0, 5 * PAGE_SIZE);
  bench.kexec(image);
  return { bench, frame };
}

/** Picks everything up and takes the memory: mapped, attached, finished. */
function takeOver(bench: Bench, sys = bench.sys) {
  assert.equal(said(readHandle(sys, `${DIR}/memfd1`)), "ENODEV", "before its iommufd");
  const fd = bench.mustPickUp(1, sys), { cdev } = bench.bound(fd, 0, sys);
  const file = readHandle(sys, `${DIR}/memfd1`);
  assert.ok(file >= 0, said(file));
  const ioas = bench.ioas(fd, sys);
  assert.equal(said(ioasMapFile(sys, fd, ioas, file, RAM, 0)), "ok");
  return { fd, cdev, file, ioas };
}

Deno.test("a memfd goes over where it lies, sealed as it was, and is the heir's from the switch on", () => {
  for (const image of ["redrive-replace", "redrive"]) {
    const { bench, frame } = handedOver(image);
    assert.equal(bench.frame(0, 5 * PAGE_SIZE), frame);
    const { fd, cdev, file, ioas } = takeOver(bench);
    assert.equal(bench.attach(cdev, ioas).rc, "ok");
    assert.equal(bench.write(`${DIR}/finish`, "1"), "ok");
    assert.equal(bench.frame(0, 5 * PAGE_SIZE), frame);
    assert.equal(bench.sys.load32(bench.mmap(file, RAM) + 5 * PAGE_SIZE), MAGIC);
    assert.equal(said(bench.sys.ftruncate(file, 0)), "EPERM");
    assert.deepEqual(bench.complaints, []);
    const free = bench.freePages;
    for (const one of [cdev, fd, file]) bench.sys.close(one);
    assert.equal(bench.pinned, 0, "nobody has it pinned any more");
    bench.kill(bench.sys);
    assert.ok(bench.freePages >= free + RAM / PAGE_SIZE, "nor at all");
    assert.deepEqual(bench.complaints, []);
  }
});

Deno.test("nobody comes, an heir dies, there is another kexec: the pages stay under the device", () => {
  const { bench, frame } = handedOver();
  const there = (when: string) => {
    assert.equal(bench.frame(0, 5 * PAGE_SIZE), frame, when);
    const { memory } = bench.platform.machine;
    assert.equal(memory.load(frame, 0), MAGIC, when);
    assert.deepEqual(bench.complaints, [], when);
  };
  bench.kexec("redrive-replace");
  there("handed on as it came");
  for (let life = 0; life < 2; life++) {
    const sys = bench.shell();
    takeOver(bench, sys);
    bench.kill(sys);
    there("an heir is dead");
  }
  bench.kexec("redrive-replace");
  there("handed on after that");
  const { cdev, ioas } = takeOver(bench);
  bench.kexec("redrive-replace");
  there("handed on by an heir that was not done");
  assert.ok(cdev >= 0 && ioas > 0);
  const again = takeOver(bench);
  assert.equal(bench.attach(again.cdev, again.ioas).rc, "ok");
  assert.equal(bench.write(`${DIR}/finish`, "1"), "ok");
  there("finished");
});

Deno.test("given up, or not asked for: the pages are free again", () => {
  for (const way of ["discard", "finish"] as const) {
    const { bench } = handedOver();
    const free = bench.freePages;
    if (way === "finish") {
      // Its heir has no use for the memory: an empty address space takes the old one's place.
      const fd = bench.mustPickUp(1), { cdev } = bench.bound(fd);
      assert.equal(bench.attach(cdev, bench.ioas(fd)).rc, "ok");
    }
    assert.equal(bench.write(`${DIR}/${way}`, "1"), "ok");
    assert.ok(bench.freePages >= free + RAM / PAGE_SIZE, way);
    assert.equal(bench.pinned, 0);
    assert.deepEqual(bench.complaints, []);
  }
});
