import assert from "node:assert/strict";
import { MiB, PAGE_SIZE } from "../../src/base/units.ts";
import { memparse } from "../../src/kernel/boot.ts";
import { formatLogLine } from "../../src/kernel/dmesg.ts";
import { FrameUse } from "../../src/kernel/mm/frames.ts";
import { KernelRig } from "./rig.ts";

Deno.test("sizes on the command line are read as the kernel's memparse does", () => {
  assert.equal(memparse("64M"), 64 * MiB);
  assert.equal(memparse("64m"), 64 * MiB);
  assert.equal(memparse("4K"), 4096);
  assert.equal(memparse("2G"), 2 ** 31);
  assert.equal(memparse("1T"), 2 ** 40);
  assert.equal(memparse("16777216"), 16 * MiB);
  assert.equal(memparse("0x1000"), 4096);
  assert.equal(memparse("0x10M"), 16 * MiB);
  // What follows the number is left unread.
  assert.equal(memparse("64MB"), 64 * MiB);
  for (const bad of ["", "M", "-1", "x"]) assert.equal(memparse(bad), undefined);
});

Deno.test("the guests' range and scratch are set aside: RAM, apart, never handed out", () => {
  // FACTS 5.1 and 6.1.
  const { kernel, machine } = new KernelRig();
  const fs = kernel.guestmemfs, scratch = kernel.kho.scratch;
  assert.ok(fs !== undefined && scratch !== undefined);
  assert.deepEqual([fs.size, scratch.end - scratch.start], [16 * MiB, 4 * MiB]);
  assert.equal(fs.base % (2 * MiB), 0);
  assert.ok(scratch.end <= fs.base || fs.base + fs.size <= scratch.start);
  const used = new Map<FrameUse, number>();
  for (let pfn = 0; pfn < machine.memory.frames; pfn++) {
    const use = kernel.pages.useOf(pfn);
    used.set(use, (used.get(use) ?? 0) + 1);
  }
  assert.equal(used.get(FrameUse.guestmemfs), 16 * MiB / PAGE_SIZE);
  assert.equal(used.get(FrameUse.scratch), 4 * MiB / PAGE_SIZE);
  assert.equal(used.get(FrameUse.free), kernel.pages.freePages);
  for (let pfn; (pfn = kernel.pages.allocPage(FrameUse.user)) >= 0;) {
    const at = pfn * PAGE_SIZE;
    assert.ok(at < fs.base || at >= fs.base + fs.size, "a page of the guests' was handed out");
    assert.ok(at < scratch.start || at >= scratch.end, "a page of scratch was handed out");
    assert.ok(at >= MiB, "the first megabyte belongs to firmware");
  }
});

Deno.test("a size in plain bytes is not taken for something larger", () => {
  const { kernel } = new KernelRig({ cmdline: "guestmemfs=4194304 kho_scratch=4M" });
  assert.equal(kernel.guestmemfs?.size, 4 * MiB);
});

Deno.test("a range that does not fit is refused in the log, and the kernel boots without it", () => {
  const rig = new KernelRig({ cmdline: "guestmemfs=1G kho_scratch=4M" });
  assert.equal(rig.kernel.guestmemfs, undefined);
  assert.ok(rig.kernel.ready);
  assert.ok(rig.log.includes("guestmemfs: no room for 1 GiB"));
});

Deno.test("two boots with one seed do the same, to the last line and the last page", () => {
  const [a, b] = [new KernelRig({ seed: 9 }), new KernelRig({ seed: 9 })];
  assert.deepEqual(a.lines, b.lines);
  assert.equal(a.machine.hash.digest(), b.machine.hash.digest());
  const written = (rig: KernelRig) => [...rig.machine.memory.writtenRuns()];
  assert.deepEqual(written(a), written(b));
  // Which pages boot takes here and there is for the seed to decide.
  assert.notDeepEqual(written(new KernelRig({ seed: 10 })), written(a));
});

Deno.test("a new kernel writes over memory that was not preserved", () => {
  const rig = new KernelRig();
  const { kernel, machine } = rig;
  const marked: number[] = [];
  for (let pfn; (pfn = kernel.pages.allocPage(FrameUse.kernel)) >= 0;) marked.push(pfn);
  for (const pfn of marked) kernel.pages.freePage(pfn);
  assert.equal(rig.load(), 0);
  rig.jump(() => marked.forEach((pfn) => machine.memory.store(pfn, 17, 0x0dd5eed)));
  const lost = marked.filter((pfn) => machine.memory.load(pfn, 17) !== 0x0dd5eed);
  // The bottom of memory as a whole, and pages here and there.
  const high = lost.filter((pfn) => pfn * PAGE_SIZE >= 8 * MiB);
  assert.ok(high.length >= 100, `${high.length} frames here and there`);
  assert.ok(lost.length - high.length >= 500, `${lost.length - high.length} frames at the bottom`);
  assert.ok(lost.length < marked.length / 2, "most of memory is left alone");
});

Deno.test("log lines carry the time since this kernel took over", () => {
  const rig = new KernelRig();
  const line = rig.lines.find((l) => l.text.startsWith("Run /sbin/init"));
  assert.ok(line !== undefined);
  // 90 + 60 + 110 ms: the stages of the profile.
  assert.equal(formatLogLine(line), "[    0.260000] Run /sbin/init as init process");
});

Deno.test("the control image has neither KHO nor guestmemfs, whatever the command line says", () => {
  const rig = new KernelRig({ image: "mainline" });
  assert.equal(rig.kernel.guestmemfs, undefined);
  assert.equal(rig.kernel.kho.scratch, undefined);
  assert.equal(rig.activate(), -2);
  assert.equal(rig.kernel.intel?.units[0].translationEnabled, true);
});
