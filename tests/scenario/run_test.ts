import assert from "node:assert/strict";
import { BUILTIN } from "../../src/scenario/builtin.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { jsonReport, textReport } from "../../src/scenario/report.ts";
import { type FinishedRun, prepare } from "../../src/scenario/run.ts";
import { playOut } from "../throw_away.ts";

function play(text: string, seed = 1, image?: string): FinishedRun {
  return playOut(prepare(loadScenario(text, "test.yaml"), seed, image));
}

const builtin = (name: string) => BUILTIN.get(name) ?? "";

for (const name of BUILTIN.keys()) {
  Deno.test(`${name} holds`, () => {
    const run = play(builtin(name));
    assert.equal(run.judgement.verdict, "holds", textReport(run));
  });
}

for (const seed of [2, 3, 4, 5, 6, 7, 8, 9]) {
  Deno.test(`persisted-iommufd holds with seed ${seed}`, () => {
    const run = play(builtin("persisted-iommufd"), seed);
    assert.equal(run.judgement.verdict, "holds", textReport(run));
  });
}

/** The scenario on another machine. */
const on = (profile: string, name: string) =>
  builtin(name).replace(/^machine:\n( +profile: .*\n)?/m, `machine:\n  profile: ${profile}\n`);

for (
  const [profile, name] of [
    ["intel-legacy", "persisted-iommufd"],
    ["intel-scalable", "persisted-iommufd"],
    ["intel-scalable", "persisted-iommufd-pasid"],
  ]
) {
  Deno.test(`${name} holds on ${profile}`, () => {
    for (const seed of [1, 2, 3]) {
      const run = play(on(profile, name), seed);
      assert.equal(run.judgement.verdict, "holds", textReport(run));
      const { machine, kernel } = run.platform;
      assert.equal(machine.units[0].capability.scalable, profile === "intel-scalable");
      const [nic, nvme] = kernel.pci.devices.map((dev) => dev.group);
      const pasids = [...nic?.pasids ?? []].map(([pasid]) => pasid);
      assert.deepEqual(pasids, name.endsWith("pasid") ? [42] : []);
      const ids = [nic, nvme].map((group) => group?.domain.persistentId ?? 0);
      assert.ok(ids.every((id) => id > 0), "handed over, and persistent again");
    }
  });
}

Deno.test("one seed gives one run, another seed another", () => {
  const report = (seed: number) => jsonReport(play(builtin("tour"), seed));
  const first = report(1);
  assert.equal(report(1), first);
  const hash = (text: string) => JSON.parse(text).event_hash;
  assert.notEqual(hash(report(2)), hash(first));
});

Deno.test("a persistent NIC is never out of touch for two packets while its guest stands still", () => {
  const run = play(builtin("persisted-iommufd"));
  const nic = run.judgement.devices.find((d) => d.id === "nic0");
  const pause = run.platform.update?.pauses.get("vm0");
  assert.ok(nic !== undefined && pause !== undefined);
  assert.ok(pause.to - pause.from > 200e6, `${pause.to - pause.from} ns`);
  assert.ok(nic.longestGap <= 400_000, `${nic.longestGap} ns`);
  assert.equal(nic.faults + nic.stray + nic.blocked, 0);
  assert.equal(nic.resets, 1, "reset when it was first opened, never again");
});

Deno.test("the same steps on mainline lose DMA, and the report says where", () => {
  const run = play(builtin("persisted-iommufd"), 1, "mainline");
  assert.equal(run.judgement.verdict, "violated");
  const report = textReport(run);
  assert.match(
    report,
    /no-dma-fault\n +nic0, t=[\d.]+ ms: read to IOVA 0x[0-9a-f]+: bus mastering is off/,
  );
});

Deno.test("an invariant that was asked for and never came up makes the run vacuous", () => {
  const text = builtin("pinned-file").replace("[pins-balanced,", "[no-dma-fault,");
  const run = play(text);
  assert.equal(run.judgement.verdict, "vacuous");
  assert.ok(run.judgement.findings.some((f) => f.text.includes("was not exercised")));
});

Deno.test("a step that answers otherwise than expected ends the run as violated", () => {
  const text = builtin("pinned-file").replace("EBUSY", "ENOENT");
  const run = play(text);
  assert.equal(run.judgement.verdict, "violated");
  assert.ok(
    run.judgement.findings.some((f) =>
      f.text === "step 3 guestmemfs.unlink: EBUSY, expected ENOENT"
    ),
    JSON.stringify(run.judgement.findings),
  );
});

Deno.test("what was expected to be violated and is not makes the run violated", () => {
  const text = builtin("persisted-iommufd").replace(
    "  invariants:",
    "  violated: [guest-intact]\n  invariants:",
  );
  assert.equal(play(text).judgement.verdict, "violated");
});

Deno.test("two updates in a row hold", () => {
  const text = builtin("persisted-iommufd").replace(
    "  - { do: update }\n",
    "  - { do: update }\n  - { do: run, with: { for: 400ms } }\n  - { do: update }\n",
  );
  const run = play(text);
  assert.equal(run.judgement.verdict, "holds", textReport(run));
  assert.equal(run.platform.boots, 3);
});

Deno.test("a run that stops in the middle of an update says how long that has taken so far", () => {
  const text = builtin("persisted-iommufd").replace("steps:", "until: 500ms\nsteps:");
  const run = play(text);
  assert.match(textReport(run), /kexec 55\.0 ms, boot 81\.0 ms\n {2}guest pause of vm0: 138\.0 ms/);
  const [update] = JSON.parse(jsonReport(run)).updates;
  assert.deepEqual([update.ended_ns, update.pauses_ns], [null, { vm0: null }]);
});
