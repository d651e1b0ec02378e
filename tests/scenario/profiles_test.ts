import assert from "node:assert/strict";
import { PROFILES } from "../../src/machine/profile.ts";
import { BUILTIN } from "../../src/scenario/builtin.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { jsonReport, textReport } from "../../src/scenario/report.ts";
import { type FinishedRun, prepare } from "../../src/scenario/run.ts";
import { iommufdTree } from "../../src/platform/look/iommufd_tree.ts";
import { snapshot } from "../../src/platform/snapshot.ts";
import { playOut } from "../throw_away.ts";

/** The other ones have persistence: tests/scenario/run_test.ts. */
const NAMES = PROFILES.filter((p) => p.smmu !== undefined || p.amdvi !== undefined).map((p) =>
  p.name
);

function play(text: string, seed = 1, image?: string): FinishedRun {
  return playOut(prepare(loadScenario(text, "test.yaml"), seed, image));
}

const tour = (profile: string) => (BUILTIN.get("tour") ?? "").replace("intel-legacy", profile);

/** The tour up to where its update would begin. */
function standing(profile: string): string {
  const text = tour(profile);
  const [before] = text.split("  - { do: update }");
  return `${before}expect:
  invariants: [no-stray-dma, domain-in-hardware, did-one-root, no-untranslated-dma, iotlb-fresh]
  devices:
    nic0: { faults: 0, blocked: 0, max_gap_intervals: 2 }
    nvme0: { faults: 0, blocked: 0 }
    nic1: { faults: 0, blocked: 0, max_gap_intervals: 2 }
    nic2: { faults: 0, blocked: 0, max_gap_intervals: 2 }
`;
}

for (const profile of NAMES) {
  Deno.test(`${profile}: guests run, their devices do DMA, nothing is wrong`, () => {
    const run = play(standing(profile));
    assert.equal(run.judgement.verdict, "holds", textReport(run));
    for (const d of run.judgement.devices) assert.ok(d.operations > 100, `${d.id} did nothing`);
    const { devices } = snapshot(run.platform), iommufd = iommufdTree(run.platform, new Set());
    const covered = devices.filter((d) => d.mode === "iommu");
    assert.ok(covered.every((d) => d.did > 0 && d.domain === "paging"), "no domain is persistent");
    const persistent = iommufd.filter((line) => line.name.startsWith("iommufd persistent"));
    assert.equal(persistent.length, 1);
    assert.match(persistent[0].detail, /of pv0 /);
  });

  Deno.test(`${profile}: the VMM says why it goes on without persistence`, () => {
    const run = play(standing(profile));
    const said = run.platform.events.filter((e) => e.source === "program").map((e) => e.text);
    assert.equal(said.length, 2, said.join("\n"));
    for (const [i, vm] of ["vm0", "vm1"].entries()) {
      const line = said.toSorted()[i];
      assert.match(line, new RegExp(`^${vm}\\[\\d+\\]: the IOMMU cannot persist .*EOPNOTSUPP`));
    }
    // What was tried left nothing behind: no file, no pin. Who needs no IOMMU has what it wants.
    const files = run.platform.kernel.guestmemfs?.inodes().map((inode) => inode.name);
    assert.deepEqual(files, ["pv0"]);
  });

  Deno.test(`${profile}: a kexec stops the devices as it does on mainline, and nothing strays`, () => {
    const run = play(tour(profile));
    assert.equal(run.judgement.verdict, "violated");
    const verdicts = new Map(run.judgement.invariants.map((i) => [i.id, i.verdict]));
    assert.equal(verdicts.get("no-dma-fault"), "violated");
    assert.equal(verdicts.get("guest-intact"), "violated");
    for (
      const id of [
        "no-stray-dma",
        "quiet-unless-held",
        "tables-owned",
        "domain-in-hardware",
        "did-one-root",
        "no-untranslated-dma",
        "iotlb-fresh",
      ] as const
    ) assert.equal(verdicts.get(id), "holds", `${id}\n${textReport(run)}`);
    // The guests booted again, and their devices are back.
    for (const d of run.judgement.devices) assert.equal(d.health, "healthy", textReport(run));
    assert.match(textReport(run), /no-dma-fault\n +nic0, t=[\d.]+ ms: .*bus mastering is off/);
  });

  Deno.test(`${profile}: one seed gives one run`, () => {
    const report = (seed: number) => jsonReport(play(standing(profile), seed));
    assert.equal(report(3), report(3));
  });
}

Deno.test("a guest that would reach into the SMMU's interrupt window lies above it", () => {
  const text = standing("arm-smmuv3-bbml0").replace(
    /- \{ id: vm0, memory: \w+/,
    "- { id: vm0, memory: 160MiB",
  ).replace(/memory: 512MiB/, "memory: 768MiB").replace(/guestmemfs: \w+/, "guestmemfs: 256MiB");
  const run = play(text);
  assert.equal(run.judgement.verdict, "holds", textReport(run));
  const areas = iommufdTree(run.platform, new Set()).map((line) => line.name);
  assert.ok(areas.includes("0x40000000-0x49ffffff"), areas.join("\n"));
});

Deno.test("a profile nobody knows is refused by name, with the nearest right one", () => {
  assert.throws(
    () => loadScenario(tour("arm-smmuv3-bbml3"), "t.yaml"),
    (error: Error) => /arm-smmuv3-bbml/.test(error.message),
  );
});
