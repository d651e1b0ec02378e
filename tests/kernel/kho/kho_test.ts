import assert from "node:assert/strict";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import { FdtWriter, openFdt } from "../../../src/fdt/mod.ts";
import {
  decodeMem,
  KEXEC_KHO_ABORT,
  KEXEC_KHO_DUMP,
  type KhoMem,
  memProperty,
  NOTIFY_BAD,
  NOTIFY_DONE,
  NOTIFY_OK,
  readMem,
} from "../../../src/kernel/kho/abi.ts";
import { readBootParams } from "../../../src/kernel/kho/boot_params.ts";
import { KHO_ROOT_COMPATIBLE as KHO_COMPATIBLE } from "../../../src/uapi/kho_abi.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import * as E from "../../../src/uapi/errno.ts";
import { O_RDONLY } from "../../../src/uapi/sys.ts";
import { KernelRig } from "../rig.ts";
import { somePages, subscribe } from "./subscriber.ts";

const ACTIVE = "/sys/kernel/kho/active", DT = "/sys/kernel/kho/dt";

Deno.test("active takes 0 and 1 and nothing else", () => {
  const rig = new KernelRig();
  for (const junk of ["2", "on", "", "-1", "01", "1 1", "true"]) {
    assert.equal(rig.echo(ACTIVE, junk), -E.EINVAL, `"${junk}"`);
  }
  assert.equal(rig.cat(ACTIVE), "0\n");
  assert.equal(rig.echo(ACTIVE, "1\n"), 2);
  assert.equal(rig.cat(ACTIVE), "1\n");
  assert.equal(rig.echo(ACTIVE, "0"), 1);
  assert.equal(rig.cat(ACTIVE), "0\n");
});

Deno.test("without scratch there is no activation", () => {
  const rig = new KernelRig({ cmdline: "guestmemfs=16M" });
  const told = subscribe(rig, "s");
  assert.deepEqual([rig.activate(), rig.deactivate()], [-E.ENOMEM, -E.ENOMEM]);
  assert.equal(rig.echo(ACTIVE, "2"), -E.EINVAL);
  assert.deepEqual(told, []);
  for (const name of ["scratch_len", "scratch_phys"]) {
    assert.equal(rig.cat(`/sys/kernel/kho/${name}`), "0x0\n");
  }
});

Deno.test("a state asked for twice is a success and tells nobody", () => {
  const rig = new KernelRig();
  const told = subscribe(rig, "s");
  assert.equal(rig.deactivate(), 1);
  assert.deepEqual(told, []);
  assert.equal(rig.activate(), 1);
  assert.equal(rig.activate(), 1);
  assert.deepEqual(told, [KEXEC_KHO_DUMP]);
  assert.equal(rig.deactivate(), 1);
  assert.equal(rig.deactivate(), 1);
  assert.deepEqual(told, [KEXEC_KHO_DUMP, KEXEC_KHO_ABORT]);
});

Deno.test("subscribers are called in the order they registered; OK and DONE both go on", () => {
  const rig = new KernelRig();
  const order: string[] = [];
  for (const [name, answer] of [["c", NOTIFY_OK], ["a", NOTIFY_DONE], ["b", NOTIFY_OK]] as const) {
    rig.kernel.kho.register(name, (command) => {
      order.push(`${name}${command}`);
      return answer;
    });
  }
  rig.activate();
  rig.deactivate();
  assert.deepEqual(order, ["c0", "a0", "b0", "c1", "a1", "b1"]);
});

Deno.test("the tree can be read while active, and only then", () => {
  const rig = new KernelRig();
  assert.equal(rig.sys.open(DT, O_RDONLY), -E.ENOENT);
  subscribe(rig, "mine", [somePages(rig, 3)]);
  rig.activate();
  const { sys } = rig;
  const blob = sys.read(sys.open(DT, O_RDONLY), 1 << 20) as Uint8Array;
  const fdt = openFdt(blob);
  assert.equal(new TextDecoder().decode(fdt.getprop(fdt.root, "compatible")), "kho-v1\0");
  assert.ok(fdt.path("/guestmemfs") > 0 && fdt.path("/mine") > 0);
  rig.deactivate();
  assert.equal(rig.sys.open(DT, O_RDONLY), -E.ENOENT);
});

Deno.test("a refusing subscriber aborts everybody, those not asked yet too", () => {
  // FACTS 6.1: ABORT chain to EVERYONE; write returns EINVAL.
  const rig = new KernelRig();
  const free = rig.kernel.pages.freePages;
  const [before, refusing, after] = [NOTIFY_DONE, NOTIFY_BAD, NOTIFY_DONE].map((answer, i) =>
    subscribe(rig, `s${i}`, [], answer)
  );
  assert.equal(rig.activate(), -E.EINVAL);
  assert.deepEqual(before, [KEXEC_KHO_DUMP, KEXEC_KHO_ABORT]);
  assert.deepEqual(refusing, [KEXEC_KHO_DUMP, KEXEC_KHO_ABORT]);
  assert.deepEqual(after, [KEXEC_KHO_ABORT]);
  assert.equal(rig.cat(ACTIVE), "0\n");
  assert.equal(rig.sys.open(DT, O_RDONLY), -E.ENOENT);
  assert.equal(rig.kernel.guestmemfs?.serialised, false);
  assert.equal(rig.kernel.pages.freePages, free, "the buffer is given back");
  assert.ok(rig.log.includes("KHO: s1 refused the dump"));
});

Deno.test("any subscriber can be made to refuse by its fault point", () => {
  for (const name of ["intel-iommu", "iommufd", "guestmemfs"]) {
    const rig = new KernelRig();
    const told = subscribe(rig, "mine");
    rig.chooser.arm(`fault:kho_notify:${name}`);
    assert.equal(rig.activate(), -E.EINVAL, name);
    assert.deepEqual(told, [KEXEC_KHO_ABORT]);
    assert.equal(rig.activate(), 1, "the next attempt succeeds");
  }
});

Deno.test("memory in scratch cannot be preserved, not one byte of it", () => {
  // FACTS 6.1: overlap with scratch → EINVAL.
  const rig = new KernelRig();
  const scratch = rig.kernel.kho.scratch;
  assert.ok(scratch !== undefined);
  let mem: KhoMem[] = [];
  rig.kernel.kho.register(
    "mine",
    (_, fdt) => fdt.beginNode("mine") | memProperty(fdt, mem) | fdt.endNode(),
  );
  for (
    const [address, length] of [
      [scratch.start, PAGE_SIZE],
      [scratch.end - 1, 1],
      [scratch.start - PAGE_SIZE, PAGE_SIZE + 1],
      [scratch.start - PAGE_SIZE, scratch.end - scratch.start + 2 * PAGE_SIZE],
    ]
  ) {
    mem = [{ address, length }];
    assert.equal(rig.activate(), -E.EINVAL, `${address}+${length}`);
    assert.equal(rig.kernel.kho.active, false);
  }
  mem = [
    { address: scratch.start - PAGE_SIZE, length: PAGE_SIZE },
    { address: scratch.end, length: PAGE_SIZE },
  ];
  assert.equal(rig.activate(), 1);
});

Deno.test("what is preserved is every mem of the tree: sorted, merged, in whole pages", () => {
  const rig = new KernelRig();
  const page = (n: number) => 8 * MiB + n * PAGE_SIZE;
  rig.kernel.kho.register("deep", (_, fdt) => {
    let err = fdt.beginNode("a");
    err |= memProperty(fdt, [{ address: page(3), length: 2 * PAGE_SIZE }]);
    err |= fdt.beginNode("b") | fdt.beginNode("c");
    // Low bits of an address are flags.
    err |= memProperty(fdt, [
      { address: page(9) + 1, length: PAGE_SIZE },
      { address: page(2), length: 100 },
    ]);
    return err | fdt.endNode() | fdt.endNode() | fdt.endNode();
  });
  rig.activate();
  const near = rig.kernel.kho.dump?.mem.filter((r) => r.start >= page(0) && r.end <= page(99));
  assert.deepEqual(near, [
    { start: page(2), end: page(5) },
    { start: page(9), end: page(10) },
  ]);
});

Deno.test("preserved memory waits untouched in the next kernel until somebody claims it, once", () => {
  const rig = new KernelRig();
  const mem = somePages(rig, 3);
  const pfn = mem.address / PAGE_SIZE;
  rig.machine.memory.store(pfn + 1, 7, 0xcafe);
  subscribe(rig, "mine", [mem]);
  const kernel = rig.liveUpdate();
  const { kho, pages } = kernel;
  const node = kho.incoming?.path("/mine") ?? -1;
  assert.deepEqual(kho.incoming && readMem(kho.incoming, node), [mem]);
  assert.equal(rig.machine.memory.load(pfn + 1, 7), 0xcafe);
  for (let i = 0; i < 3; i++) assert.equal(pages.useOf(pfn + i), FrameUse.preserved);
  const taken: number[] = [];
  for (let p; (p = pages.allocPage(FrameUse.kernel)) >= 0;) taken.push(p);
  assert.ok(!taken.some((p) => p >= pfn && p < pfn + 3));

  assert.equal(kho.claim({ address: mem.address, length: PAGE_SIZE }), true);
  assert.equal(pages.useOf(pfn), FrameUse.kernel);
  assert.equal(kho.claim({ address: mem.address, length: PAGE_SIZE }), false, "claimed twice");
  assert.equal(kho.claim(mem), false, "partly claimed already");
  assert.equal(pages.useOf(pfn + 1), FrameUse.preserved, "a refused claim takes nothing");
  assert.equal(kho.claim({ address: taken[0] * PAGE_SIZE, length: 1 }), false, "never preserved");
  assert.ok(rig.log.some((l) => l.startsWith("WARNING: kho_claim_mem")));
  // Claimed memory belongs to its driver, which may free it like any other.
  pages.freePage(pfn);
  assert.equal(pages.allocPage(FrameUse.user), pfn);
});

Deno.test("what the second kernel does not preserve again the third may use", () => {
  // FACTS 6.1: unclaimed memory is not automatically passed on at a second kexec.
  const rig = new KernelRig();
  const mem = somePages(rig, 2);
  subscribe(rig, "mine", [mem]);
  rig.liveUpdate();
  const kernel = rig.liveUpdate();
  assert.equal(kernel.kho.incoming?.path("/mine"), -1);
  assert.equal(kernel.pages.useOf(mem.address / PAGE_SIZE), FrameUse.free);
});

Deno.test("scratch stays where it is from kernel to kernel", () => {
  const rig = new KernelRig();
  const first = rig.kernel.kho.scratch;
  const texts = ["phys", "len"].map((f) => rig.cat(`/sys/kernel/kho/scratch_${f}`));
  assert.deepEqual(texts, [`0x${first?.start.toString(16)}\n`, "0x400000\n"]);
  for (let i = 0; i < 3; i++) assert.deepEqual(rig.liveUpdate().kho.scratch, first);
  const { pages } = rig.kernel;
  const end = (first?.end ?? 0) / PAGE_SIZE;
  for (let pfn; (pfn = pages.allocPage(FrameUse.user)) >= 0;) {
    assert.ok(pfn >= end || pfn < end - 1024, "a page of scratch was handed out");
  }
});

Deno.test("the next kernel shows the tree it was handed, byte for byte", () => {
  const rig = new KernelRig();
  assert.equal(rig.sys.open("/sys/firmware/kho/dt", O_RDONLY), -E.ENOENT);
  rig.activate();
  const dt = rig.kernel.kho.dump?.dt;
  rig.load();
  rig.jump();
  const { sys } = rig;
  assert.deepEqual(sys.read(sys.open("/sys/firmware/kho/dt", O_RDONLY), 1 << 20), dt);
});

Deno.test("a kernel loaded before activation gets nothing, and nobody says so", () => {
  // FACTS 6.1: load before activate = no KHO at all, silently.
  const rig = new KernelRig();
  subscribe(rig, "mine", [somePages(rig, 1)]);
  assert.equal(rig.load(), 0);
  assert.equal(rig.activate(), 1);
  const kernel = rig.jump();
  assert.equal(kernel.kho.incoming, undefined);
  assert.deepEqual(kernel.kho.preserved, []);
  assert.equal(rig.sys.open("/sys/firmware/kho/dt", O_RDONLY), -E.ENOENT);
});

Deno.test("deactivation after the load leaves the stale tree in the image", () => {
  // FACTS 6.1.
  const rig = new KernelRig();
  const mem = somePages(rig, 1);
  subscribe(rig, "mine", [mem]);
  rig.activate();
  rig.load();
  rig.deactivate();
  const kernel = rig.jump();
  assert.ok((kernel.kho.incoming?.path("/mine") ?? -1) > 0);
  assert.equal(kernel.pages.useOf(mem.address / PAGE_SIZE), FrameUse.preserved);
});

/** Live-updates with the tree changed on its way, and says what the next kernel made of it. */
function updateWith(change: (dt: Uint8Array) => Uint8Array) {
  const rig = new KernelRig();
  subscribe(rig, "mine", [somePages(rig, 64)]);
  const { memory } = rig.machine;
  const kernel = rig.liveUpdate("rfc-v1", () => {
    const params = readBootParams(memory);
    assert.ok(params !== undefined && params.dtSize > 0);
    const dt = change(memory.read(params.dt, params.dtSize));
    assert.equal(dt.length, params.dtSize, "a change in place");
    memory.write(params.dt, dt);
  });
  const preserved = Array.from(
    { length: rig.machine.memory.frames },
    (_, pfn) => kernel.pages.useOf(pfn),
  ).filter((use) => use === FrameUse.preserved);
  return { rig, kernel, preserved: preserved.length };
}

Deno.test("a tree of an unknown version is ignored, and what it preserved is free memory", () => {
  // FACTS 6.1: mismatch → KHO ignored = all preserved memory is free for use.
  assert.ok(updateWith((dt) => dt).preserved >= 64, "unchanged, it is heeded");
  const { rig, kernel, preserved } = updateWith((dt) => {
    const at = new TextDecoder("latin1").decode(dt).indexOf(KHO_COMPATIBLE);
    dt[at + KHO_COMPATIBLE.length - 1] = "2".charCodeAt(0);
    return dt;
  });
  assert.equal(kernel.kho.incoming, undefined);
  assert.equal(preserved, 0);
  assert.deepEqual(kernel.guestmemfs?.names(), []);
  assert.ok(rig.log.includes("KHO: handed-over tree is of an unknown version, ignored"));
  assert.ok(kernel.ready);
});

Deno.test("a damaged tree is ignored, wherever the damage is, and the kernel boots", () => {
  const damages: [string, (dt: Uint8Array) => void][] = [
    ["magic", (dt) => dt[0] ^= 0xff],
    ["size", (dt) => dt.fill(0xff, 4, 8)],
    ["structure", (dt) => dt.fill(0x55, 56, 80)],
    ["everything", (dt) => dt.fill(0)],
  ];
  for (const [what, damage] of damages) {
    const { rig, kernel, preserved } = updateWith((dt) => (damage(dt), dt));
    assert.equal(kernel.kho.incoming, undefined, what);
    assert.ok(rig.log.some((l) => /^KHO: handed-over tree is damaged, ignored/.test(l)), what);
    assert.equal(preserved, 0);
    assert.ok(kernel.ready);
  }
});

Deno.test("a guestmemfs without its super block cannot be mounted, and the kernel says so", () => {
  const rig = new KernelRig();
  rig.sys.open("/mnt/guestmemfs/ram", 0o102);
  rig.activate();
  const dump = rig.kernel.kho.dump;
  assert.ok(dump !== undefined);
  // A tree as a kernel with a defect might write it.
  const fdt = new FdtWriter(4096);
  fdt.beginNode("");
  fdt.propString("compatible", KHO_COMPATIBLE);
  fdt.beginNode("guestmemfs");
  fdt.propString("compatible", "guestmemfs-v1");
  fdt.beginNode("fs_mem");
  memProperty(fdt, [{ address: rig.kernel.guestmemfs?.base ?? 0, length: 16 * MiB }]);
  fdt.endNode();
  fdt.endNode();
  fdt.endNode();
  rig.kernel.kho.dump = { ...dump, dt: fdt.finish() };
  rig.load();
  const kernel = rig.jump();
  assert.equal(kernel.guestmemfs, undefined);
  assert.ok(rig.log.includes("guestmemfs: cannot be mounted"));
  assert.ok(kernel.ready);
});

Deno.test("mem entries are packed little-endian 64-bit pairs, also above 4 GiB", () => {
  const fdt = new FdtWriter(4096);
  fdt.beginNode("");
  const entries = [{ address: 2 ** 40 + 4096, length: 2 ** 33 }, { address: 1, length: 0 }];
  memProperty(fdt, entries);
  fdt.endNode();
  const tree = openFdt(fdt.finish());
  const bytes = tree.getprop(tree.root, "mem") as Uint8Array;
  assert.equal(bytes.toHex().slice(0, 32), "0010000000010000" + "0000000002000000");
  assert.deepEqual(decodeMem(bytes), entries);
  assert.deepEqual(decodeMem(bytes.subarray(0, 31)), entries.slice(0, 1));
});

Deno.test("a claim of several ranges takes all of them or none", () => {
  const rig = new KernelRig();
  const [a, b] = [somePages(rig, 2), somePages(rig, 1)];
  subscribe(rig, "mine", [a, b]);
  const { kho, pages } = rig.liveUpdate();
  const uses = () => [a, b].map((m) => pages.useOf(m.address / PAGE_SIZE));
  assert.equal(kho.claim([a, { address: 0, length: PAGE_SIZE }]), false, "never preserved");
  assert.equal(kho.claim([a, b, a]), false, "the same pages twice");
  rig.chooser.arm("fault:kho_claim:", 2);
  assert.equal(kho.claim([a, b]), false, "refused half-way");
  assert.deepEqual(uses(), [FrameUse.preserved, FrameUse.preserved]);
  assert.equal(kho.claim([a, b]), true);
  assert.deepEqual(uses(), [FrameUse.kernel, FrameUse.kernel]);
});

Deno.test("a subscriber registers once: the same one again is EEXIST", () => {
  const rig = new KernelRig();
  let told = 0;
  assert.equal(rig.kernel.kho.register("mine", () => (told++, NOTIFY_OK)), 0);
  assert.equal(rig.kernel.kho.register("mine", () => (told++, NOTIFY_OK)), -E.EEXIST);
  assert.equal(rig.kernel.kho.register("guestmemfs", () => NOTIFY_OK), -E.EEXIST);
  rig.activate();
  assert.equal(told, 1);
});

Deno.test("with kho=off there are no files, and what was handed over is free memory", () => {
  const rig = new KernelRig();
  const mem = somePages(rig, 2);
  subscribe(rig, "mine", [mem]);
  rig.cmdline = "guestmemfs=16M kho_scratch=4M kho=off";
  const kernel = rig.liveUpdate();
  assert.equal(kernel.kho.incoming, undefined);
  assert.equal(kernel.kho.scratch, undefined);
  assert.notEqual(kernel.pages.useOf(mem.address / PAGE_SIZE), FrameUse.preserved);
  for (const path of [ACTIVE, DT, "/sys/firmware/kho/dt"]) {
    assert.equal(rig.sys.open(path, O_RDONLY), -E.ENOENT, path);
  }
  assert.deepEqual(kernel.guestmemfs?.names(), [], "a file system, but a new one");
  assert.equal(rig.load(), 0);
  assert.ok(rig.jump().ready);
});

Deno.test("a boot that cannot take the file system leaves it whole for a mount later on", () => {
  const rig = new KernelRig();
  const { sys } = rig;
  assert.equal(sys.ftruncate(sys.open("/mnt/guestmemfs/ram", 0o102), 2 * MiB), 0);
  rig.activate();
  rig.load();
  const kernel = rig.jump(() => rig.chooser.arm("fault:kho_claim:guestmemfs", 3));
  assert.ok(kernel.guestmemfs === undefined);
  assert.ok(rig.log.includes("guestmemfs: cannot be mounted"));
  assert.equal(rig.sys.mount("guestmemfs", "/dev", ""), 0);
  assert.deepEqual(rig.sys.readdir("/dev"), ["ram"]);
});
