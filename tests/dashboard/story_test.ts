/**
 * Every command of the table, typed behind the colon in one session that makes sense of each: it is
 * done, and not only taken. What was done is saved, and comes to the same hash when run again.
 */

import assert from "node:assert/strict";
import { runFor, sessionOf } from "../../src/cli/world.ts";
import { commandNamed, COMMANDS } from "../../src/dashboard/commands/table.ts";
import type { World } from "../../src/dashboard/mod.ts";
import { answer } from "../../src/operations/timeline.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { textReport } from "../../src/scenario/report.ts";
import { prepare, runScenario } from "../../src/scenario/run.ts";
import { ESC, Rig } from "./rig.ts";

/** A VM that nobody has started, and a card that nobody has. */
const COLD = `version: 1
name: cold
description: A machine on which nothing runs yet.
machine:
  memory: 128MiB
  guestmemfs: 32MiB
  kho_scratch: 8MiB
  devices:
    - { id: nic0, model: nic, bdf: "3a:00.0", interval: 400us }
    - { id: nic1, model: nic, bdf: "3b:00.0", interval: 400us }
  vms:
    - { id: vm0, memory: 16MiB, devices: [nic0], ring: 1024 }
steps:
  - { do: check }
`;

/** A line, and what the operation answers where that is an errno. */
type Line = string | readonly [line: string, answer: string];

const STORY: readonly Line[] = [
  "vm.start",
  "run 30ms",
  "check",
  // An iommufd of one's own, with the card that nobody has.
  "iommufd.open x",
  "iommufd.ioas x",
  "iommufd.option x huge-pages 1 object=1",
  "iommufd.map x memfd size=4MiB iova=0x100000",
  "iommufd.copy x from=0x100000 iova=0x800000 size=2MiB",
  "device.driver nic1 vfio-pci",
  "device.bind nic1 x",
  "device.attach nic1",
  "device.master nic1 true",
  "device.reset nic1",
  "device.detach nic1",
  "device.close nic1",
  "iommufd.unmap x",
  ["iommufd.destroy x 99", "ENOENT"],
  "iommufd.close x",
  "iommufd.open y empty=true",
  "iommufd.mark y",
  "iommufd.close y",
  "device.unplug nic1",
  "device.plug nic1",
  // Files, some of which somebody still needs.
  "guestmemfs.create a 4MiB",
  "guestmemfs.truncate a 2MiB",
  "guestmemfs.unlink a",
  ["guestmemfs.mount", "EBUSY"],
  ["file.remove /mnt/guestmemfs/vm0", "EBUSY"],
  "file.read /sys/kernel/kho/active",
  "file.write /sys/kernel/kho/dt_max 100000",
  // Faults that come when they are asked for.
  "fault.arm copy_from_user",
  "fault.disarm copy_from_user",
  "race mark tries=1",
  "vm.unmap vm0",
  "vm.map vm0",
  // Handing over by hand, and not.
  "kho.dt_max 1MiB",
  "kho.limit 1",
  ["kho.activate", "EINVAL"],
  "kho.dt_max 1MiB",
  "kho.activate",
  "kho.deactivate",
  "kexec.load",
  "kexec.unload",
  // Live updates: called off, held, gone on with.
  "kernel rfc-v1+D57",
  "kernel rfc-v1",
  "set slow-motion off",
  "pause",
  "~update",
  "phase",
  "run 400ms",
  "update hold=prepare",
  "update.abort",
  "update hold=pause",
  "update.continue",
  // A kernel that is jumped into as things stand: nobody comes for what it was handed.
  "save s.yaml",
  "restart redrive",
  "vm.start",
  "run 20ms",
  "kho.activate",
  "corrupt nic0 0x2000 permission",
  "kexec.load",
  "kexec.execute",
  ["persisted.open nic0", "EBUSY"],
  ["persisted.finish", "EBUSY"],
  "persisted.mount",
  "iommufd.pickup 1 as=p",
  ["persisted.discard vm=vm0", "EBUSY"],
  // A machine on which guests come and go.
  "save s.yaml",
  "restart rfc-v1",
  "vm.start",
  "vm.crash vm0",
  "vm.start",
  "vm.kill vm0",
  "vm.start",
  "vm.stop vm0",
  // Time.
  "pause",
  "faster",
  "slower",
  "mark m1",
  "event",
  "event.back",
  "mark.goto m1",
  "back",
  "forward",
  "goto 600ms",
  "save s.yaml",
  "mark m2",
  "mark.next",
  "mark.previous",
  "phase.back",
  // Panes.
  ...["update", "devices", "iommufd", "files", "memory", "events", "invariants"].flatMap((id) => [
    `pane.${id}`,
    `show ${id}`,
    "zoom",
    "zoom",
  ]),
  "pane.next",
  "pane.previous",
  "pane.files",
  "filter guest",
  "filter.clear",
  "move.down",
  "move.up",
  "move.page-down",
  "move.page-up",
  "move.half-down",
  "move.half-up",
  "move.bottom",
  "move.top",
  "move.right",
  "move.left",
  "open.row",
  "close",
  "pane.devices",
  "sort health",
  "sort.reverse",
  "column BM",
  "translate 0x2000",
  "device nic1 config",
  "follow",
  "source kernel",
  "command",
  "help",
  "copy",
  "mouse",
  "background",
  "palette",
  "color",
  "bind j move.up",
  "redraw",
  "suspend",
  "screenshot s.svg",
  "save s.yaml",
  "restart rfc-v1",
  "open s.yaml",
];

/** Lines that begin so are not waited for, nor does time run for them. */
const AT_ONCE = "~";

Deno.test("every command does what it is for, from the colon; what was saved comes to the same hash", async () => {
  const written = new Map<string, string>();
  const sessionFor = (text: string) => sessionOf(runFor(loadScenario(text, "s.yaml")), () => {});
  const world: World = {
    scenarios: [],
    open: (name) => sessionFor(written.get(name) ?? ""),
    write: (file, text) => void written.set(file, text),
  };
  const rig = new Rig(sessionFor(COLD), {
    dashboard: { clock: () => 0, world, slowMotion: false },
  });
  await rig.pass(400);
  const typed = new Set<string>();
  for (const row of STORY) {
    const [text, expected = "0"] = typeof row === "string" ? [row] : row;
    const line = text.replace(AT_ONCE, ""), id = line.split(" ")[0]!;
    typed.add(id);
    const operation = commandNamed(id)?.operation;
    const before = new Set(rig.dashboard.timeline.results);
    if (operation !== undefined && rig.model.paused && !text.startsWith(AT_ONCE)) {
      await rig.type(" ");
    }
    await rig.command(line);
    if (rig.model.overlay?.kind === "question") await rig.type("y");
    for (let n = 0; n < 400 && !text.startsWith(AT_ONCE) && busy(rig); n++) await rig.pass(40);
    const { prompt, message } = rig.model, said = `${line}: ${prompt?.wrong ?? message?.text}`;
    assert.equal(prompt?.wrong, undefined, said);
    if (operation === undefined) {
      assert.ok(!["warn", "bad"].includes(String(message?.style)), said);
    } else if (!text.startsWith(AT_ONCE)) {
      const result = rig.dashboard.timeline.results.findLast((r) => r.name === id);
      assert.ok(result?.outcome !== undefined && !before.has(result), said);
      assert.equal(answer(result.outcome), expected, said);
    }
    if (id === "suspend") await rig.io.signal("SIGCONT");
    await rig.type(ESC + ESC);
    if (operation === undefined) {
      assert.match((await rig.screen())[0]!, /^ hitless .* verdict /, said);
    }
    if (id === "save") playAgain(written.get("s.yaml") ?? "", said);
  }
  await rig.command("quit");
  assert.equal(await rig.ended, 0);
  for (const id of ["quit", "quit.now"]) typed.add(id);
  // What operations there are may grow: walk_test.ts types every one of them.
  const left = COMMANDS.filter((c) => c.operation === undefined && !typed.has(c.id));
  assert.deepEqual(left.map((c) => c.id), [], "these are in no line of the story");
});

function busy({ model, dashboard }: Rig): boolean {
  return model.travel !== undefined ||
    dashboard.timeline.results.some((r) => r.outcome === undefined);
}

/** `said`: what was told when it was saved, with the hash of that moment. */
function playAgain(saved: string, said: string): void {
  const again = runScenario(prepare(loadScenario(saved, "s.yaml")));
  assert.equal(again.judgement.verdict, "holds", saved + textReport(again));
  assert.ok(said.endsWith(`event hash ${again.platform.machine.hash.digest()}`), said);
}
