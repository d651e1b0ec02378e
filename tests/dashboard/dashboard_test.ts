/** The whole dashboard over a real platform, without a terminal: scripted keys, screens out. */

import assert from "node:assert/strict";
import { ms } from "../../src/base/units.ts";
import { runDashboard } from "../../src/dashboard/mod.ts";
import { OPERATIONS } from "../../src/operations/table.ts";
import { FakeIo } from "../tui/fake_io.ts";
import { demoSession, smallSession } from "./platforms.ts";
import { DOWN, ENTER, ESC, Rig, TAB, UP } from "./rig.ts";

/** The cell of a device's row under a column's title. */
function cell(screen: readonly string[], id: string, title: string): string {
  const head = screen.findIndex((row) => row.includes("longest gap"));
  const row = screen.slice(head + 1).find((line) => line.includes(` ${id} `));
  const end = screen[head]!.indexOf(title) + title.length;
  assert.ok(head >= 0 && row !== undefined && end >= title.length, screen.join("\n"));
  return row.slice(0, end).split(" ").at(-1)!;
}

Deno.test("k y: boot 2 appears, and the rate shown for a kept NIC is never zero", async () => {
  const rig = new Rig(demoSession());
  await rig.pass(100);
  assert.match(await rig.text(), /kernel rfc-v1 .* boot 1 .* RUNNING .* verdict/);
  await rig.type("k");
  await rig.pass(40);
  const asked = await rig.text();
  assert.match(asked, /Replace the kernel under 3 running guests\?/);
  assert.match(asked, /kexec from rfc-v1, which hands over[^]*into rfc-v1, which takes over/);
  await rig.type("y");

  const seen = new Set<string>();
  const speeds = new Set<string>();
  for (let frame = 0; frame < 90; frame++) {
    await rig.pass(34);
    const screen = await rig.screen();
    const header = screen[0]!;
    speeds.add(/speed (\S+)/.exec(header)?.[1] ?? "");
    for (const word of ["NO KERNEL", "boot 2 STARTS", "boot 2  t"]) {
      if (header.includes(word)) seen.add(word);
    }
    for (const id of ["nic0", "nic1"]) {
      assert.equal(cell(screen, id, "DMA/s"), "15.0k", screen.join("\n"));
      assert.equal(cell(screen, id, "faults"), "0");
    }
    if (header.includes("boot 2 STARTS")) {
      assert.match(screen.join("\n"), /NO KERNEL YET: BOOT 2 STARTS/);
      assert.match(screen.join("\n"), /vm0 .* paused \d+\.\d+ ms/);
    }
  }
  assert.deepEqual([...seen].sort(), ["NO KERNEL", "boot 2  t", "boot 2 STARTS"]);
  // In slow motion as long as kernels change, and only then.
  assert.deepEqual([...speeds], ["1/8x", "1x"]);
  const end = await rig.text();
  assert.match(end, / DONE, HITLESS {2}guests stood still/);
  assert.match(end, /b2 >> live update: done/);
  assert.equal(await rig.quit(), 0);
});

Deno.test("without persistence the header turns to VIOLATED and the message says by whom", async () => {
  const rig = new Rig(smallSession("mainline"), { cols: 80, rows: 24 });
  await rig.pass(100);
  await rig.type("ky");
  let text = "";
  for (let n = 0; n < 30 && !text.includes("VIOLATED"); n++) {
    await rig.pass(34);
    text = await rig.text();
  }
  assert.match(text, /verdict VIOLATED 1/);
  assert.match(text, /VIOLATED no-dma-fault: nic0 at \d\.\d{3} s/);
  await rig.quit();
});

Deno.test("a abort: in time it brings everything back, too late it says so", async () => {
  const rig = new Rig(smallSession());
  await rig.type("--".repeat(2));
  await rig.pass(40);
  await rig.type("ky");
  await rig.pass(20);
  await rig.type("a");
  for (let n = 0; n < 10; n++) await rig.pass(34);
  assert.equal(rig.platform.update?.outcome, "aborted");
  assert.match(await rig.text(), / ABORTED {2}called off by the operator/);
  await rig.type("++++ky");
  await rig.pass(100);
  await rig.type("a");
  await rig.pass(40);
  assert.match(await rig.text(), /abort: too late/);
  await rig.quit();
});

Deno.test("paused: no virtual time, and once the message has gone nothing is written", async () => {
  const rig = new Rig(smallSession());
  await rig.pass(100);
  await rig.type("- ");
  await rig.pass(6000);
  const now = rig.platform.now;
  assert.match(await rig.text(), /PAUSED/);
  rig.io.output();
  assert.equal(rig.io.timers, 0);
  await rig.pass(60_000);
  assert.equal(rig.io.output(), "");
  assert.equal(rig.platform.now, now);
  const { ran } = rig.platform.machine.queue;
  await rig.type(".");
  await rig.pass(100);
  assert.equal(rig.platform.machine.queue.ran, ran + 1);
  // Running again does not catch up on the minute.
  await rig.type(" ");
  await rig.pass(100);
  assert.ok(rig.platform.now - now < 200 * ms);
  await rig.quit();
});

Deno.test("running at 200x50: a frame is one write", async () => {
  const rig = new Rig(demoSession(), { cols: 200, rows: 50 });
  await rig.pass(40);
  const before = rig.io.log.length, frames = 20;
  for (let n = 0; n < frames; n++) await rig.pass(34);
  const writes = rig.io.log.slice(before);
  assert.ok(writes.every((entry) => entry.startsWith("write \x1b[?2026h")), writes.join("\n"));
  assert.equal(writes.length, frames);
  await rig.quit();
});

Deno.test("sizes: every size from 120x40 down to one line, changed while it runs", async () => {
  const rig = new Rig(smallSession());
  for (const [cols, rows] of [[120, 40], [80, 24], [40, 12], [20, 5], [1, 1], [200, 60]] as const) {
    await rig.resize(cols, rows);
    const screen = await rig.screen();
    assert.equal(screen.length, rows);
    if (cols >= 20) assert.match(screen.join("\n"), /holds/);
  }
  await rig.resize(40, 12);
  for (const [key, title] of [["1", "Live update"], ["2", "Devices"], ["6", "Events"]] as const) {
    await rig.type(key);
    await rig.pass(40);
    assert.match((await rig.screen())[1]!, new RegExp(`━${key} ${title}`));
  }
  await rig.type(TAB);
  await rig.pass(40);
  assert.match((await rig.screen())[1]!, /━7 Invariants/);
  await rig.quit();
});

Deno.test("details, help and zoom open and close", async () => {
  const rig = new Rig(smallSession());
  await rig.type(ENTER);
  await rig.pass(40);
  assert.match(await rig.text(), /Device nic0[^]*health +healthy[^]*resets/);
  await rig.type(DOWN + UP + ESC);
  await rig.type("?abort");
  await rig.pass(40);
  assert.match(await rig.text(), /Call an update off before the jump/);
  assert.match(await rig.text(), /not now: no live update runs/);
  await rig.type(ESC);
  await rig.type("6z");
  await rig.pass(40);
  assert.match((await rig.screen())[1]!, /^┏━6 Events/);
  await rig.type(ESC);
  await rig.pass(40);
  assert.match((await rig.screen())[1]!, /^┌─1 Live update/);
  await rig.quit();
});

Deno.test("a device in detail: an address walked through the tables to the guest's frame", async () => {
  const rig = new Rig(smallSession(), { cols: 120, rows: 40 });
  await rig.type(" \r\x1b[C");
  await rig.pass(40);
  const walked = await rig.text();
  assert.match(walked, /write to IOVA 0x[0-9a-f]+ {2}\(an address it uses/);
  assert.match(walked, /root +0x[0-9a-f]+ +58 {2}[0-9a-f]{8} [0-9a-f]{8} {2}context table at 0x/);
  assert.match(walked, /L4 .*table at 0x[^]*L3 .*table at 0x[^]*L2 .*read write, 2 MiB page at 0x/);
  assert.match(walked, /reaches physical 0x[0-9a-f]+[^]*in the IOTLB: DID \d+: 0x/);
  await rig.type("t");
  await rig.type("fffff000\r");
  await rig.pass(40);
  assert.match(await rig.text(), /write to IOVA 0xfffff000[^]*fault 0x05/);
  await rig.type("\x1b[C");
  await rig.pass(40);
  assert.match(await rig.text(), /BAR 0 +0xc0000000[^]*capability PCI Express[^]*00: 86 80 c9 10/);
  await rig.type("\x1b[C");
  await rig.pass(40);
  assert.match(await rig.text(), /RDLEN +0x10000[^]*receive: 4096 entries at IOVA 0x/);
  await rig.type("y");
  await rig.pass(40);
  await rig.screen();
  assert.match(rig.copied, /^ RCTL +0x2\n/);
  await rig.quit();
});

Deno.test("a device in detail: a table that the next kernel takes for its own is named", async () => {
  const rig = new Rig(smallSession("rfc-v1+D55"), {
    dashboard: { clock: () => 0, slowMotion: false },
  });
  await rig.pass(40);
  await rig.type("ky");
  for (let n = 0; n < 12; n++) await rig.pass(40);
  await rig.command("device nic0 translation");
  assert.match(
    await rig.text(),
    /L4 .*\n.* ! this kernel (takes the table for free|has something else)/,
  );
  assert.equal(await rig.quit(), 0);
});

Deno.test("back in time: the present is frozen on the way, and the same future comes again", async () => {
  const rig = new Rig(smallSession());
  await rig.pass(100);
  await rig.type(" ");
  await rig.command("vm.kill vm0");
  await rig.type("y");
  await rig.pass(40);
  assert.match(await rig.text(), /vm\.kill vm=vm0: done/);
  assert.equal(rig.platform.statusOf("vm0"), "exited");
  const killed = rig.dashboard.timeline.now;
  await rig.type(" ");
  await rig.pass(300);
  const hash = rig.platform.machine.hash.digest(), { moment } = rig.dashboard.timeline;
  await rig.type("u");
  await rig.pass(40);
  assert.match(await rig.text(), /PAUSED {2}PAST \(1 ahead\)/);
  assert.equal(rig.dashboard.timeline.now, killed);
  assert.equal(rig.platform.statusOf("vm0"), "running");
  // Forward again: the VMM is killed again, and everything comes to the same.
  await rig.command(`goto ${moment.time}ns`);
  await rig.pass(40);
  assert.equal(rig.platform.statusOf("vm0"), "exited");
  assert.equal(rig.platform.machine.hash.digest(), hash);
  // Something else done in the past gives the old future up.
  await rig.type("u");
  await rig.pass(40);
  await rig.command("vm.unmap vm0");
  await rig.type("y ");
  await rig.pass(400);
  assert.doesNotMatch(await rig.text(), /ahead/);
  assert.match(await rig.text(), /! blocked|× faulting/);
  await rig.quit();
});

Deno.test(", and . are one event back and forth, < and > one phase", async () => {
  const rig = new Rig(smallSession());
  await rig.pass(50);
  await rig.type(" ...");
  await rig.pass(40);
  const { queue } = rig.platform.machine;
  const [ran, hash] = [queue.ran, rig.platform.machine.hash.digest()];
  await rig.type(".,");
  await rig.pass(40);
  assert.equal(rig.platform.machine.queue.ran, ran);
  assert.equal(rig.platform.machine.hash.digest(), hash);
  await rig.type("ky");
  const phases: (string | undefined)[] = [];
  for (let n = 0; n < 7; n++) {
    await rig.type(">");
    await rig.pass(40);
    phases.push(rig.platform.update?.phase);
  }
  const last = ["restore", "resume", "finish", "finish"];
  assert.deepEqual(phases, ["pause", "kexec", "boot", ...last]);
  assert.equal(rig.platform.update?.outcome, "done");
  await rig.type("<<");
  await rig.pass(40);
  assert.equal(rig.platform.update?.phase, "finish");
  assert.equal(rig.platform.update?.outcome, "running");
  await rig.quit();
});

Deno.test("without colour no colour is written", async () => {
  const io = new FakeIo();
  Object.assign(io, { cols: 120, rows: 40, noColor: true });
  const ended = runDashboard(smallSession(), { io, clock: () => 0 });
  io.advance(200);
  const output = io.output();
  assert.ok(output.includes("verdict"));
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(output, /\x1b\[[0-9;]*\b(3[0-7]|4[0-7]|9[0-7]|38|48)\b[0-9;:]*m/);
  await io.type("\x03");
  assert.equal(await ended, 0);
});

Deno.test("watching does not change a run", async () => {
  const rig = new Rig(smallSession());
  await rig.pass(500);
  await rig.type(" 345671z2\r\x1b[C\x1b[C\x1b[C\x1b[C");
  await rig.pass(40);
  const watched = rig.platform;
  const alone = smallSession().timeline.platform;
  alone.runFor(watched.now - alone.now);
  assert.equal(watched.machine.hash.digest(), alone.machine.hash.digest());
  await rig.quit();
});

Deno.test("a journey that takes long says how far it is; Esc stays in the present", async () => {
  // A clock that moves with every look at it: each journey takes many frames.
  let looks = 0;
  const rig = new Rig(smallSession(), { dashboard: { clock: () => looks++ * 10 } });
  await rig.type(" ");
  const { time } = rig.dashboard.timeline.moment;
  await rig.command("goto 0ns");
  await rig.command(`goto ${time}ns`);
  await rig.command("goto 10ms");
  await rig.pass(1);
  const there = rig.dashboard.timeline.moment;
  await rig.type(":goto 650ms\r");
  await rig.pass(40);
  if (rig.model.travel !== undefined) {
    assert.match(await rig.text(), /GOING TO 0\.650 s: \d+%/);
    await rig.type("k");
    await rig.type("y");
    await rig.pass(20);
    assert.equal(rig.platform.update, undefined, "nothing is begun on the way");
    await rig.type(ESC);
    await rig.pass(40);
    assert.equal(rig.model.travel, undefined);
  }
  assert.ok(rig.dashboard.timeline.moment.time >= there.time);
  await rig.quit();
});

Deno.test("the default image of a kexec, and what it is told of, are the model's", async () => {
  const rig = new Rig(smallSession());
  await rig.command("kernel mainline");
  await rig.type("ky");
  await rig.pass(40);
  assert.deepEqual(rig.dashboard.timeline.plan.at(-1)?.with, { image: "mainline" });
  assert.ok(OPERATIONS.has(rig.dashboard.timeline.plan.at(-1)?.do ?? ""));
  await rig.quit();
});
