/** The dashboard a line at a time, and key scripts. */

import assert from "node:assert/strict";
import { COMMANDS } from "../../src/dashboard/commands/table.ts";
import { KeyScriptError, parseKeyScript } from "../../src/dashboard/key_script.ts";
import { Plain } from "../../src/dashboard/plain.ts";
import { NO_WORLD, type World } from "../../src/dashboard/session.ts";
import { demoSession, smallSession } from "./platforms.ts";

class Teller {
  readonly said: string[] = [];
  readonly plain: Plain;

  constructor(session = smallSession("rfc-v1", 0), world: World = NO_WORLD) {
    this.plain = new Plain(session, { world }, (line) => this.said.push(line));
  }

  /** What is said to these lines. */
  say(...lines: string[]): string {
    const from = this.said.length;
    for (const line of lines) this.plain.line(line);
    return this.said.slice(from).join("\n");
  }
}

Deno.test("line mode: things are done and answered, time runs only while they are", () => {
  const teller = new Teller();
  assert.match(teller.said.join("\n"), /^at 0\.\d+ s, boot 1 \(rfc-v1\) up, holds$/);
  const { now } = teller.plain.timeline;
  assert.equal(teller.say("mark", "faster"), "mark a at 0.260 s\nspeed 2x");
  assert.equal(teller.plain.timeline.now, now);
  assert.match(teller.say("run 100ms"), /^run for=100ms: done\nat 0\.360 s/);
  assert.match(teller.say("guestmemfs.unlink vm0"), /Lost: the file and what is in it\./);
  assert.match(teller.say("yes"), /^guestmemfs\.unlink file=vm0: EBUSY/);
  assert.match(teller.say("update", "y"), /update image=rfc-v1: done\nat 0\.\d+ s, boot 2/);
  assert.match(teller.say("file.read /sys/kernel/kho/active"), /: done\n0\n/);
  assert.match(teller.say("back"), /^at \S+ s, boot 2 \(rfc-v1\) up, holds$/);
  assert.match(teller.say("back", "back"), /boot 1/);
  assert.equal(teller.plain.failures, 0);
});

Deno.test("line mode: marks go with the future they were in", () => {
  const teller = new Teller();
  teller.say("mark early", "run 20ms", "mark late", "goto 270ms");
  assert.match(teller.say("mark.goto late"), /^at 0\.280 s/, "nothing else was done");
  teller.say("goto 270ms", "check");
  assert.match(teller.say("mark.goto late"), /there is no mark "late", there are early/);
});

Deno.test("line mode: a question that is not answered with yes does nothing", () => {
  const teller = new Teller();
  assert.equal(teller.plain.prompt, "hitless> ");
  teller.say("vm.kill vm0");
  assert.equal(teller.plain.prompt, "yes or no? ");
  assert.equal(teller.say("no"), "nothing was done");
  assert.match(teller.say("vm.kill vm0", "show devices"), /nothing was done\nDevices:/);
  assert.equal(teller.plain.timeline.platform.statusOf("vm0"), "running");
});

Deno.test("line mode: every pane can be shown, every page of a device read", () => {
  const teller = new Teller(demoSession("rfc-v1", 500e6));
  assert.match(teller.say("show devices"), /P nic0 +3a:00\.0 vm0 +persist[^]*nic2 +3d:00\.0 vm2/);
  assert.match(teller.say("show update"), /READY {2}no live update yet/);
  assert.match(teller.say("show iommufd"), /iommufd persistent 1[^]*IOAS[^]*HWPT of/);
  assert.match(
    teller.say("show files"),
    /KHO[^]*\/mnt\/[^]*vm0 +32 MiB, inode 3[^]*programs {2}3, and/,
  );
  assert.match(teller.say("show memory"), /0x[0-9a-f]+-0x[0-9a-f]+ of vm0/);
  assert.match(teller.say("show events"), /b1 Run \/sbin\/init as init process/);
  assert.match(teller.say("show invariants"), /x holds +no-stray-dma/);
  assert.match(teller.say("device nic1 translation"), /L2 .*read write, 2 MiB page/);
  assert.match(teller.say("device nvme0 rings"), /CC +0x[^]*SQ 1: \d+ entries/);
  assert.match(teller.say("translate 0x1000"), /IOVA 0x1000/);
  for (const line of teller.said) assert.match(line, /^[\x20-\x7e]*$/);
});

Deno.test("line mode: help has every command, what is wrong is said, and counted", () => {
  const teller = new Teller();
  const help = teller.say("help");
  for (const { id } of COMMANDS) assert.ok(help.includes(`\n${id}`) || help.startsWith(id), id);
  assert.match(help, /update\.abort \[a\]: .*\(not now: no live update runs\)/);
  assert.match(teller.say("vm.kil vm0"), /^error: there is no command "vm\.kil", did you mean/);
  assert.match(teller.say("save x.yaml"), /^error: this session cannot be saved/);
  assert.match(teller.say("save x"), /^error: x: a scenario's name ends in \.yaml/);
  assert.match(teller.say("screenshot x.svg"), /^error: there is no screen/);
  assert.equal(teller.say("", "# nothing"), "");
  assert.equal(teller.plain.failures, 4);
  teller.say("q");
  assert.equal(teller.plain.exitCode, 0);
});

Deno.test("line mode: violations are told as they come up", () => {
  const teller = new Teller(smallSession("mainline", 0));
  assert.match(teller.say("update", "y"), /VIOLATED: \d invariants, see show invariants/);
});

Deno.test("key scripts: keys as help shows them, times, sizes, files", () => {
  const done: string[] = [];
  const hands = {
    screenshot: (file: string) => done.push(`screenshot ${file}`),
    marker: (label: string) => done.push(`marker ${label}`),
  };
  const steps = parseKeyScript(
    "# a comment\n\nwait 1.5s\n  press k Ctrl-R PgDn\ntype :a b\nresize 80x24\n" +
      "screenshot a b.svg\nmarker the end",
    hands,
  );
  for (const step of steps) if (step.type === "call") step.run();
  assert.deepEqual(done, ["screenshot a b.svg", "marker the end"]);
  const input = steps.filter((s) => s.type === "input").map((s) => s.bytes);
  assert.deepEqual(input, ["k", "\x12", "\x1b[6~", ":", "a", " ", "b"]);
  assert.deepEqual(steps[0], { type: "wait", ms: 1500 });
  assert.deepEqual(steps.find((s) => s.type === "resize")?.size, { cols: 80, rows: 24 });
  const WRONG: [text: string, line: number, says: RegExp][] = [
    ["wait\n", 1, /wait: found "", expected a time like 500ms/],
    ["\npress Hyper-X", 2, /there is no key "Hyper-X"/],
    ["resize big", 1, /expected a size like 80x24/],
    ["sleep 1s", 1, /found "sleep", expected one of wait, press/],
    ["screenshot", 1, /expected the name of a file/],
  ];
  for (const [text, line, says] of WRONG) {
    assert.throws(() => parseKeyScript(text, hands), (error: unknown) => {
      return error instanceof KeyScriptError && error.line === line && says.test(error.message);
    }, text);
  }
});
