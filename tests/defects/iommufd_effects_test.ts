/** What each fault of iommufd's patches does to programs, one consequence after the other. */
import assert from "node:assert/strict";
import { MiB } from "../../src/base/units.ts";
import { openFdt } from "../../src/fdt/mod.ts";
import type { PagingDomain } from "../../src/kernel/iommu/domain.ts";
import { baseScenario, defectScenario } from "../../src/scenario/defects.ts";
import { findDefect } from "../../src/kernel/defects/catalogue.ts";
import { prepare } from "../../src/scenario/run.ts";
import * as U from "../../src/uapi/iommufd.ts";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  PROT_READ,
  PROT_WRITE,
  TaskKilled,
} from "../../src/uapi/sys.ts";
import { Bench } from "../kernel/bench.ts";
import { fixed, said } from "../kernel/requests.ts";
import { playOut } from "../throw_away.ts";

const SIZE = 2 * MiB;
const encode = (text: string) => new TextEncoder().encode(text);

/** Reads the file of a persisted iommufd: what it says, or the name of the errno. */
function show(bench: Bench, id: number): string {
  const path = `/sys/kernel/iommufd_persisted/${id}/iommufd`;
  const file = bench.sys.open(path, O_RDONLY);
  if (file < 0) return said(file);
  const text = bench.sys.read(file, 16);
  bench.sys.close(file);
  return typeof text === "number" ? said(text) : new TextDecoder().decode(text);
}

function activate(bench: Bench, on: boolean): string {
  const fd = bench.sys.open("/sys/kernel/kho/active", O_WRONLY);
  return said(bench.sys.write(fd, encode(on ? "1" : "0")));
}

/** A persistent iommufd with one file mapped at 0, by address. */
function mapped(bench: Bench, name = "ram"): { fd: number; ioas: number; va: number } {
  const fd = bench.persistent(), ioas = bench.ioas(fd);
  const va = bench.mmap(bench.file(name, SIZE), SIZE);
  assert.equal(bench.map(fd, fixed(ioas, va, SIZE, 0)).rc, "ok");
  return { fd, ioas, va };
}

function pinsOf(bench: Bench, name: string): number | undefined {
  return bench.platform.kernel.guestmemfs!.inodes().find((i) => i.name === name)?.pins;
}

function copy(bench: Bench, fd: number, ioas: number, from: number, to: number): string {
  return bench.ioctl(fd, U.IOMMU_IOAS_COPY, U.iommu_ioas_copy, {
    flags: 7,
    dst_ioas_id: ioas,
    src_ioas_id: ioas,
    length: BigInt(SIZE),
    dst_iova: BigInt(to),
    src_iova: BigInt(from),
  }).rc;
}

const splats = (bench: Bench) =>
  bench.platform.kernel.dmesg.lines.filter((l) => l.splat).map((l) => l.text);

Deno.test("D44: a restored area can be neither unmapped, copied nor mapped over, and no new domain has it", () => {
  const bench = new Bench("rfc-v1+D44");
  mapped(bench);
  assert.equal(bench.update("rfc-v1+D44"), "done");
  const fd = Number(show(bench, 1)), ioas = 1;
  assert.equal(bench.unmap(fd, ioas, 0, SIZE).rc, "EBUSY");
  assert.equal(bench.unmap(fd, ioas, 0, U.U64_MAX).rc, "EBUSY");
  assert.equal(copy(bench, fd, ioas, 0, 0x40000000), "ENOENT");
  const va = bench.mmap(bench.file("other", SIZE), SIZE);
  assert.equal(bench.map(fd, fixed(ioas, va, SIZE, 0x100000)).rc, "EEXIST");
  assert.equal(bench.map(fd, fixed(ioas, va, SIZE, 0x40000000)).rc, "ok");
  assert.equal(bench.ranges(fd, ioas).rc, "ok");
  bench.attached(fd, ioas);
  const domain = bench.platform.kernel.iommu.groups[0].domain as PagingDomain;
  assert.equal(domain.translate(0), -1);
  assert.ok(domain.translate(0x40000000 / 4096) > 0);
  bench.kill(bench.sys);
  bench.sys = bench.shell();
  assert.deepEqual(splats(bench), [
    "WARNING: iommufd: IOAS 1 has areas that do not go (EBUSY)",
  ]);
  // Nobody is left who could drop it.
  assert.equal(pinsOf(bench, "ram"), 1);
  assert.equal(bench.unlink("ram"), "EBUSY");
});

Deno.test("D82: the pin of a program that simply ended survives every kexec", () => {
  const bench = new Bench("rfc-v1+D82");
  mapped(bench);
  bench.kill(bench.sys);
  bench.sys = bench.shell();
  for (let boot = 0; boot < 3; boot++) {
    assert.equal(pinsOf(bench, "ram"), 1);
    assert.equal(bench.unlink("ram"), "EBUSY");
    bench.update("rfc-v1+D82");
  }
  // A kernel without the fault counts again.
  bench.update("rfc-v1");
  assert.equal(bench.unlink("ram"), "ok");
});

Deno.test("D81: one unmap of two maps leaves a pin, two unmaps of one map and its copy leave -1", () => {
  const bench = new Bench("rfc-v1+D81");
  const { fd, ioas, va } = mapped(bench);
  assert.equal(bench.map(fd, fixed(ioas, va, SIZE, SIZE)).rc, "ok");
  assert.equal(bench.unmap(fd, ioas, 0, 2 * SIZE).rc, "ok");
  assert.equal(pinsOf(bench, "ram"), 1);
  const other = bench.mmap(bench.file("other", SIZE), SIZE);
  assert.equal(bench.map(fd, fixed(ioas, other, SIZE, 0)).rc, "ok");
  assert.equal(copy(bench, fd, ioas, 0, SIZE), "ok");
  for (const iova of [0, SIZE]) assert.equal(bench.unmap(fd, ioas, iova, SIZE).rc, "ok");
  assert.equal(pinsOf(bench, "other"), -1);
  assert.match(splats(bench).join(), /negative pins/);
  for (const name of ["ram", "other"]) assert.equal(bench.unlink(name), "EBUSY");
});

Deno.test("D79 and D80 leave pins that rfc-v1 does not", () => {
  for (const [image, one, two] of [["rfc-v1", 0, 0], ["rfc-v1+D79", 1, -1], ["rfc-v1+D80", 1, 0]]) {
    const bench = new Bench(image as string);
    const { fd, ioas, va } = mapped(bench, "one");
    assert.equal(bench.map(fd, fixed(ioas, va, SIZE, 0)).rc, "EEXIST");
    const other = bench.mmap(bench.file("two", SIZE), SIZE);
    assert.equal(bench.map(fd, fixed(ioas, other, SIZE, SIZE)).rc, "ok");
    for (const iova of [0, SIZE]) assert.equal(bench.unmap(fd, ioas, iova, SIZE).rc, "ok");
    assert.deepEqual([pinsOf(bench, "one"), pinsOf(bench, "two")], [one, two], image as string);
  }
});

Deno.test("D87: it is the new file that cannot be removed", () => {
  const seen = (id: string) => {
    const { health } = playOut(prepare(defectScenario(`defect-${id}`), 1)).platform;
    return health.violations.filter((v) => v.invariant === "pins-balanced").map((v) => v.subject);
  };
  assert.ok(seen("D87").includes("second"));
  const plain = playOut(prepare(baseScenario(findDefect("D87")!), 1, "rfc-v1+D81")).platform;
  assert.ok(!plain.health.violations.some((v) => v.subject === "second"));
});

Deno.test("D83: the caller is killed, the kernel and everybody else go on", () => {
  const image = "rfc-v1+D83";
  const bench = new Bench(image);
  mapped(bench);
  bench.platform.chooser.arm("fault:kho_claim:guestmemfs");
  bench.update(image);
  assert.equal(bench.platform.kernel.guestmemfs, undefined);
  const victim = bench.shell();
  bench.sys = victim;
  const fd = Number(show(bench, 1));
  const va = bench.anon(4096, undefined, victim);
  assert.equal(bench.map(fd, fixed(1, va, 4096, 0x40000000)).rc, "ok");
  assert.throws(() => bench.unmap(fd, 1, 0x40000000, 4096), TaskKilled);
  assert.throws(() => victim.open("/dev/iommu", O_RDWR), TaskKilled);
  const text = bench.platform.kernel.dmesg.lines.map((l) => l.text);
  assert.ok(text.includes("RIP: guestmemfs_unpin_file"));
  bench.sys = bench.shell();
  assert.ok(bench.iommufd() >= 0);
});

Deno.test("D72: a range may begin in a hole and end in anonymous memory, and pass", () => {
  for (const [image, answer] of [["rfc-v1", "EFAULT"], ["rfc-v1+D72", "ok"]]) {
    const bench = new Bench(image);
    const fd = bench.persistent(), ioas = bench.ioas(fd);
    const va = bench.mmap(bench.file("ram", SIZE), SIZE);
    bench.sys.munmap(va, 0x10000);
    const whole = fixed(ioas, va, SIZE, 0);
    assert.equal(bench.map(fd, whole).rc, answer, image);
    assert.equal(activate(bench, true), "ok");
    activate(bench, false);
    // Without a domain nobody has wanted the pages yet.
    const { cdev } = bench.bound(fd);
    const attached = bench.attach(cdev, ioas).rc;
    assert.equal(attached, answer === "ok" ? "EFAULT" : "ok");
  }
});

Deno.test("D77: mapped without a device, guestmemfs memory keeps devices out", () => {
  for (const [image, answer] of [["rfc-v1", "ok"], ["rfc-v1+D77", "EFAULT"]]) {
    const bench = new Bench(image);
    const { fd, ioas, va } = mapped(bench);
    const { cdev } = bench.bound(fd);
    assert.equal(bench.attach(cdev, ioas).rc, answer, image);
    assert.equal(bench.unmap(fd, ioas, 0, SIZE).rc, "ok");
    if (answer === "ok") continue;
    assert.equal(bench.attach(cdev, ioas).rc, "ok");
    assert.equal(bench.map(fd, fixed(ioas, va, SIZE, 0)).rc, "EFAULT");
  }
});

Deno.test("D74: without a domain no race is needed: pages are looked up when a device comes", () => {
  const bench = new Bench("rfc-v1+D74");
  const { fd, ioas, va } = mapped(bench);
  const anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  assert.equal(bench.sys.mmap(SIZE, PROT_READ | PROT_WRITE, anonymous, -1, 0, va), va);
  bench.attached(fd, ioas);
  const { iommu, userPages } = bench.platform.kernel;
  const pfn = (iommu.groups[0].domain as PagingDomain).translate(0);
  assert.equal(userPages.pinsOf(pfn), 1);
});

Deno.test("D02: the ids of a closed iommufd go on into the tree, with what freed memory holds", () => {
  const bench = new Bench("rfc-v1+D02");
  const fd = bench.persistent();
  for (let i = 0; i < 2; i++) assert.equal(bench.option(fd, U.IOMMU_OPTION_OP_SET, 1n).rc, "ok");
  bench.sys.close(fd);
  assert.equal(activate(bench, true), "ok");
  const fdt = openFdt(bench.platform.kernel.kho.dump!.dt);
  const nodes = [...fdt.subnodes(fdt.path("/iommufd/iommufds"))].map((n) => fdt.name(n));
  assert.deepEqual(nodes, ["3", "3"]);
  assert.match(splats(bench)[0], /KASAN: slab-use-after-free in serialise_iommufd/);
});

Deno.test("D39: without an iommufd 1 every other one is empty", () => {
  const bench = new Bench("rfc-v1+D39");
  const first = bench.persistent();
  mapped(bench);
  bench.sys.close(first);
  bench.update("rfc-v1+D39");
  assert.equal(show(bench, 1), "ENOENT");
  const fd = Number(show(bench, 2));
  assert.equal(bench.unmap(fd, 1, 0, SIZE).rc, "ENOENT");
  assert.equal(bench.destroy(fd, 1), "ENOENT");
});

Deno.test("D40: an errno is text, and each read is another iommufd", () => {
  const bench = new Bench("rfc-v1+D40");
  mapped(bench);
  bench.platform.chooser.arm("fault:kho_claim:guestmemfs");
  bench.update("rfc-v1+D40");
  assert.equal(show(bench, 1), "-19\n");
  assert.equal(said(bench.sys.mount("guestmemfs", "/mnt/guestmemfs", "")), "ok");
  const fds = [0, 1, 2].map(() => Number(show(bench, 1)));
  assert.equal(new Set(fds).size, 3);
  for (const fd of fds) assert.equal(bench.unmap(fd, 1, 0, SIZE).rc, "ok");
});

Deno.test("D36: what was unmapped after the dump comes back with the next kernel", () => {
  for (
    const [image, unmapped, there] of [
      ["rfc-v1", "EBUSY", "ok"],
      ["rfc-v1+D36", "ok", "ok"],
    ]
  ) {
    const bench = new Bench(image);
    const { fd, ioas } = mapped(bench);
    assert.equal(activate(bench, true), "ok");
    assert.equal(bench.unmap(fd, ioas, 0, SIZE).rc, unmapped, image);
    // The update activates nothing that is active.
    bench.update(image);
    assert.equal(bench.unmap(Number(show(bench, 1)), 1, 0, SIZE).rc, there, image);
  }
});

Deno.test("D38: nothing but IOVAs goes over, so that nothing can be made of it", () => {
  const bench = new Bench("rfc-v1+D38");
  mapped(bench);
  bench.update("rfc-v1+D38");
  assert.equal(show(bench, 1), "EINVAL");
});

Deno.test("D35: a blob that is full by some bytes passes for whole, where libfdt can end it", () => {
  const passing = (image: string) => {
    const bench = new Bench(image, { guestmemfs: 0 });
    bench.ioas(bench.persistent());
    const { kho } = bench.platform.kernel;
    assert.equal(activate(bench, true), "ok");
    const { length } = kho.dump!.dt;
    activate(bench, false);
    return Array.from({ length: 60 }, (_, i) => i + 1).filter((below) => {
      kho.dtMax = BigInt(length - below);
      const rc = activate(bench, true);
      activate(bench, false);
      return rc === "ok";
    });
  };
  assert.deepEqual(passing("rfc-v1+D38"), []);
  // The name and value of one property fit no more, and what ends the tree does.
  assert.deepEqual(passing("rfc-v1+D35"), [29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39]);
});
