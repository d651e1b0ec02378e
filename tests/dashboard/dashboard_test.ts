/** The whole dashboard over a real platform, without a terminal: scripted keys, screens out. */

import assert from "node:assert/strict";
import { MiB, ms } from "../../src/base/units.ts";
import { runDashboard, type Session } from "../../src/dashboard/mod.ts";
import { findProfile } from "../../src/machine/profile.ts";
import { Platform } from "../../src/platform/platform.ts";
import { FakeIo } from "../tui/fake_io.ts";
import { demoSession } from "./platforms.ts";
import { DOWN, ENTER, ESC, Rig, TAB, UP } from "./rig.ts";

/** One VM with one NIC: cheap enough to run often. */
function small(image = "rfc-v1"): Session {
  const platform = new Platform({
    machine: {
      profile: findProfile("intel-legacy")!,
      memory: 256 * MiB,
      devices: [{ id: "nic0", bdf: "3a:00.0", model: "nic", interval: 200_000, packetBytes: 256 }],
    },
    vms: [{ id: "vm0", memory: 16 * MiB, persistent: true, devices: ["nic0"], ring: 4096 }],
    kernel: image,
    guestmemfs: 32 * MiB,
    khoScratch: 16 * MiB,
    seed: 1,
  });
  platform.runFor(400 * ms);
  for (const vm of platform.spec.vms) platform.startVm(vm);
  platform.runFor(300 * ms);
  return { platform, title: "small", image };
}

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
  assert.match(asked, /kexec into rfc-v1/);
  await rig.type("y");

  const seen = new Set<string>();
  for (let frame = 0; frame < 40; frame++) {
    await rig.pass(34);
    const screen = await rig.screen();
    const header = screen[0]!;
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
  const end = await rig.text();
  assert.match(end, / DONE {2}guests stood still/);
  assert.match(end, /b2 >> live update: done/);
  assert.equal(await rig.quit(), 0);
});

Deno.test("without persistence the header turns to VIOLATED and the message says by whom", async () => {
  const rig = new Rig(small("mainline"), { cols: 80, rows: 24 });
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
  const rig = new Rig(small());
  await rig.type("--".repeat(2));
  await rig.pass(40);
  await rig.type("ky");
  await rig.pass(20);
  await rig.type("a");
  for (let n = 0; n < 10; n++) await rig.pass(34);
  assert.equal(rig.session.platform.update?.outcome, "aborted");
  assert.match(await rig.text(), / ABORTED {2}called off by the operator/);
  await rig.type("++++ky");
  await rig.pass(100);
  await rig.type("a");
  await rig.pass(40);
  assert.match(await rig.text(), /abort: too late/);
  await rig.quit();
});

Deno.test("paused: no virtual time, and once the message has gone nothing is written", async () => {
  const rig = new Rig(small());
  await rig.pass(100);
  await rig.type("- ");
  await rig.pass(6000);
  const now = rig.session.platform.now;
  assert.match(await rig.text(), /PAUSED/);
  rig.io.output();
  assert.equal(rig.io.timers, 0);
  await rig.pass(60_000);
  assert.equal(rig.io.output(), "");
  assert.equal(rig.session.platform.now, now);
  await rig.type(".");
  await rig.pass(100);
  assert.equal(rig.session.platform.now, now + Math.round(1000 / 30 * 1e6 / 2));
  // Running again does not catch up on the minute.
  await rig.type(" ");
  await rig.pass(100);
  assert.ok(rig.session.platform.now - now < 200 * ms);
  await rig.quit();
});

Deno.test("sizes: every size from 120x40 down to one line, changed while it runs", async () => {
  const rig = new Rig(small());
  for (const [cols, rows] of [[120, 40], [80, 24], [40, 12], [20, 5], [1, 1], [200, 60]] as const) {
    await rig.resize(cols, rows);
    const screen = await rig.screen();
    assert.equal(screen.length, rows);
    if (cols >= 20) assert.match(screen.join("\n"), /holds/);
  }
  await rig.resize(40, 12);
  for (const [key, title] of [["1", "Live update"], ["2", "Devices"], ["7", "Events"]] as const) {
    await rig.type(key);
    await rig.pass(40);
    assert.match((await rig.screen())[1]!, new RegExp(`━${key} ${title}`));
  }
  await rig.type(TAB);
  await rig.pass(40);
  assert.match((await rig.screen())[1]!, /━8 Invariants/);
  await rig.quit();
});

Deno.test("details, help and zoom open and close", async () => {
  const rig = new Rig(small());
  await rig.type(ENTER);
  await rig.pass(40);
  assert.match(await rig.text(), /Device nic0[^]*health +healthy[^]*resets/);
  await rig.type(DOWN + UP + ESC);
  await rig.type("?");
  await rig.pass(40);
  assert.match(await rig.text(), /abort the live update|Abort the live update/);
  assert.match(await rig.text(), /not now: no live update runs/);
  await rig.type(ESC);
  await rig.type("7z");
  await rig.pass(40);
  assert.match((await rig.screen())[1]!, /^┏━7 Events/);
  await rig.type(ESC);
  await rig.pass(40);
  assert.match((await rig.screen())[1]!, /^┌─1 Live update/);
  await rig.quit();
});

Deno.test("without colour no colour is written", async () => {
  const io = new FakeIo();
  Object.assign(io, { cols: 120, rows: 40, noColor: true });
  const ended = runDashboard(small(), { io, clock: () => 0 });
  io.advance(200);
  const output = io.output();
  assert.ok(output.includes("verdict"));
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(output, /\x1b\[[0-9;]*\b(3[0-7]|4[0-7]|9[0-7]|38|48)\b[0-9;:]*m/);
  await io.type("\x03");
  assert.equal(await ended, 0);
});

Deno.test("watching does not change a run", async () => {
  const rig = new Rig(small());
  await rig.pass(500);
  await rig.type(" 3456781");
  await rig.pass(40);
  const watched = rig.session.platform;
  const alone = small().platform;
  alone.runFor(watched.now - alone.now);
  assert.equal(watched.machine.hash.digest(), alone.machine.hash.digest());
  await rig.quit();
});
