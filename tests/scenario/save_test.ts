/** Things done by hand at any time, saved as a scenario: run again, they come to the same hash. */

import assert from "node:assert/strict";
import { ms } from "../../src/base/units.ts";
import { OPERATIONS } from "../../src/operations/table.ts";
import type { Moment } from "../../src/operations/timeline.ts";
import { durationText, parseDuration } from "../../src/operations/values.ts";
import { BUILTIN } from "../../src/scenario/builtin.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { firstUpdate, prepare, type Run } from "../../src/scenario/run.ts";
import { saveText } from "../../src/scenario/save.ts";
import { textReport } from "../../src/scenario/report.ts";
import { playOut } from "../throw_away.ts";

/** A built-in scenario up to where a person takes over. */
function begin(name: string, seed = 1): Run {
  const loaded = loadScenario(BUILTIN.get(name) ?? "", name);
  return prepare(loaded, seed, undefined, firstUpdate(loaded));
}

function act(run: Run, name: string, given: Record<string, unknown> = {}): void {
  const operation = OPERATIONS.get(name)!;
  run.timeline.act({ do: name, with: given, args: operation.args.parse(given) });
}

const hashOf = (run: Run) => run.platform.machine.hash.digest();

/** Loads and runs what was saved; fails unless it holds and has the same hash. */
function playAgain(run: Run): Run {
  const text = saveText(run, "saved");
  const again = playOut(prepare(loadScenario(text, "saved.yaml")));
  assert.equal(again.judgement.verdict, "holds", text + textReport(again));
  assert.equal(hashOf(again), hashOf(run), text);
  assert.equal(again.platform.now, run.platform.now);
  return again;
}

Deno.test("a session: things done in the middle of each other come to the same hash", () => {
  const run = begin("persisted-iommufd", 7);
  run.timeline.runFor(500 * ms + 17);
  act(run, "guestmemfs.create", { file: "a", size: "4MiB" });
  act(run, "guestmemfs.unlink", { file: "vm0" });
  run.timeline.runFor(1);
  act(run, "update", { hold: "pause" });
  playAgain(run);
  run.timeline.runFor(10 * ms);
  act(run, "update.continue");
  run.timeline.runFor(333_333_333);
  act(run, "vm.kill", { vm: "vm0" });
  const again = playAgain(run);
  assert.equal(again.steps.find((s) => s.name === "guestmemfs.unlink")?.outcome?.errno, 16);
  assert.equal(again.platform.boots, 2);
});

Deno.test("a session that broke something expects it broken", () => {
  const run = begin("persisted-iommufd");
  run.timeline.runFor(600 * ms);
  act(run, "vm.unmap", { vm: "vm0" });
  act(run, "update", { image: "mainline" });
  run.timeline.runFor(200 * ms);
  playAgain(run);
});

Deno.test("a saved session with another seed says so", () => {
  const run = begin("persisted-iommufd");
  run.timeline.runFor(400 * ms);
  const loaded = loadScenario(saveText(run, "saved"), "saved.yaml");
  const other = playOut(prepare(loaded, 2));
  assert.equal(other.judgement.verdict, "violated");
  assert.match(textReport(other), /event hash \w+, expected \w+: another seed/);
});

Deno.test("back in time: the same moment again, to the event", () => {
  const run = begin("persisted-iommufd");
  const { timeline } = run;
  const seen: [Moment, string][] = [];
  const note = () => seen.push([timeline.moment, hashOf(run)]);
  timeline.runFor(400 * ms);
  note();
  for (let i = 0; i < 40; i++) {
    timeline.step();
    note();
  }
  act(run, "update");
  note();
  timeline.runFor(30 * ms);
  note();
  for (let i = 0; i < 20; i++) timeline.step();
  note();
  for (const [moment, hash] of [seen.at(-1)!, seen[17]!, seen[41]!, seen[0]!, seen[42]!]) {
    const again = timeline.again();
    while (!again.towards(moment, 5000)) { /* in slices, as a dashboard does */ }
    assert.equal(again.platform.machine.hash.digest(), hash, JSON.stringify(moment));
    assert.deepEqual(again.moment, moment);
    // What came after will come again.
    assert.equal(again.ahead.length, moment.begun === 0 ? 1 : 0);
    again.runTo(timeline.now);
  }
});

Deno.test("something else done in the past gives up what came after", () => {
  const run = begin("persisted-iommufd");
  run.timeline.runFor(400 * ms);
  act(run, "update");
  run.timeline.runFor(100 * ms);
  const again = run.timeline.again();
  again.runTo(400 * ms - 1);
  assert.deepEqual(again.ahead.map((a) => a.do), ["update"]);
  const before = run.timeline.again();
  before.towards(run.timeline.results.at(-1)!.before, Infinity);
  playAgain({ ...run, timeline: before, platform: before.platform, steps: before.results });
  assert.deepEqual(before.ahead.map((a) => a.do), ["update"], "saving begins nothing");
  again.act({ do: "vm.kill", with: { vm: "vm0" }, args: { vm: "vm0" } });
  assert.deepEqual(again.ahead, []);
  assert.equal(again.plan.at(-1)?.do, "vm.kill");
  playAgain({ ...run, timeline: again, platform: again.platform, steps: again.results });
});

Deno.test("a step with a time of its own begins then, whatever the others do", () => {
  const text = BUILTIN.get("persisted-iommufd")!.replace(
    "steps:\n",
    "steps:\n  - { at: 250ms, do: guestmemfs.create, with: { file: a, size: 2MiB } }\n",
  );
  const run = playOut(prepare(loadScenario(text, "x.yaml")));
  const [at, kill] = [250 * ms, run.steps.find((s) => s.name === "guestmemfs.create")];
  assert.equal(kill?.startedAt, at);
  assert.equal(kill?.index, 0);
  assert.equal(run.judgement.verdict, "holds", textReport(run));
});

Deno.test("durations are written so that they are read back exactly", () => {
  for (const ns of [0, 1, 999, 1000, 1500, 123_456_789, 1e9, 1_000_000_001, 2.5e9, 0.1e9, 7e12]) {
    assert.equal(parseDuration(durationText(ns)), ns, durationText(ns));
  }
  assert.equal(durationText(812_500_000), "812.5ms");
});

/** Sessions of every kind of platform: until when, and what is done by hand then, at which pauses. */
type Deeds = readonly (readonly [name: string, given: Record<string, unknown>, then: number])[];
const SESSIONS: readonly [scenario: string, warm: number, deeds: Deeds][] = [
  ["noiommu-keepalive", 420 * ms + 7, [
    ["fault.arm", { point: "alloc_page", nth: 2 }, 1],
    ["update", { hold: "pause" }, 9 * ms],
    ["vm.kill", { vm: "pv0" }, 0],
    ["update.abort", {}, 40 * ms + 3],
  ]],
  ["noiommu-mixed", 500 * ms, [
    ["update", {}, 61 * ms],
    ["device.unplug", { device: "nvme0" }, 300 * ms],
    ["fault.arm", { point: "copy_from_user" }, 17],
    ["update", {}, 123_456_789],
  ]],
  ["noiommu-unpinned", 300 * ms, [["race", { what: "mark" }, 5], ["update", {}, 350 * ms]]],
  ["redrive-smmu", 400 * ms, [["vm.crash", { vm: "vm0" }, 1], ["kexec.load", {}, 3 * ms]]],
  // What its kernel is told on the command line is part of the platform.
  ["native-driver", 350 * ms, [["update", {}, 333 * ms]]],
  ["table-limit", 300 * ms, []],
  // Nothing was done at all.
  ["nothing-to-pick-up", 300 * ms, []],
];

for (const [scenario, warm, deeds] of SESSIONS) {
  Deno.test(`a session on ${scenario}, and half of it again: the same hashes`, () => {
    const run = begin(scenario);
    run.timeline.runFor(warm);
    for (const [name, given, then] of deeds) {
      act(run, name, given);
      run.timeline.runFor(then);
    }
    playAgain(run);
    const half = run.timeline.again();
    half.runTo(Math.floor(run.timeline.now / 2));
    const past: Run = { ...run, timeline: half, platform: half.platform, steps: half.results };
    playAgain(past);
    act(past, "fault.arm", { point: "alloc_page" });
    half.runFor(2 * ms);
    playAgain(past);
  });
}

Deno.test("a session that has not got anywhere: what was done at power-on is done again", () => {
  const run = begin("persisted-iommufd");
  act(run, "fault.arm", { point: "alloc_page" });
  playAgain(run);
});

Deno.test("a session whose scenario failed by what was done early does not go on when run again", () => {
  const run = begin("persisted-iommufd");
  const { timeline } = run;
  timeline.runFor(100 * ms);
  // The next step would let time pass: it is not reached.
  act(run, "fault.arm", { point: "alloc_pages" });
  timeline.runFor(600 * ms);
  assert.equal(timeline.failed, true);
  playAgain(run);
});
