import assert from "node:assert/strict";
import { SPOILS } from "../../src/platform/corrupt.ts";
import { BUILTIN } from "../../src/scenario/builtin.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { textReport } from "../../src/scenario/report.ts";
import { type FinishedRun, prepare } from "../../src/scenario/run.ts";
import { playOut } from "../throw_away.ts";

/** The review's designs on every machine that can carry them; what spoilt tables do to each. */

function play(text: string, image?: string): FinishedRun {
  return playOut(prepare(loadScenario(text, "test.yaml"), 1, image));
}

const builtin = (name: string) => BUILTIN.get(name) ?? "";
const on = (profile: string, text: string) =>
  text.replace("machine:\n", `machine:\n  profile: ${profile}\n`);
const said = (run: FinishedRun) => run.platform.events.map((e) => e.text);

const RE_DRIVEN = ["redrive", "redrive-replace"] as const;

for (const scenario of ["persisted-iommufd", "replay"]) {
  Deno.test(`${scenario} holds in scalable mode as well`, () => {
    const run = play(on("intel-scalable", builtin(scenario)));
    assert.equal(run.judgement.verdict, "holds", textReport(run));
  });
}

for (const design of RE_DRIVEN) {
  for (
    const profile of ["intel-scalable", "arm-smmuv3-bbml0", "arm-smmuv3-bbml1", "arm-smmuv3-bbml2"]
  ) {
    Deno.test(`${design} holds on ${profile}`, () => {
      const run = play(on(profile, builtin(design)));
      assert.equal(run.judgement.verdict, "holds", textReport(run));
    });
  }

  Deno.test(`${design} carries PASIDs, each on tables of its own`, () => {
    const run = play(builtin("persisted-iommufd-pasid"), design);
    assert.equal(run.judgement.verdict, "holds", textReport(run));
  });

  Deno.test(`${design} on AMD: refused when the iommufd gets its domain, and the VM goes on without`, () => {
    const run = play(on("amd", builtin(design)));
    assert.ok(said(run).some((t) => /vm0.*cannot persist .*EOPNOTSUPP/.test(t)));
    const strayed = run.judgement.invariants.filter((i) =>
      i.verdict === "violated" && /stray|untranslated|owned/.test(i.id)
    );
    assert.deepEqual(strayed, [], textReport(run));
  });
}

for (const design of ["rfc-v1", "replay"].filter((d) => builtin(d) !== "" || d === "rfc-v1")) {
  Deno.test(`${design} on an SMMU: refused as in the series, before any jump (seed lines 604-621)`, () => {
    const run = play(on("arm-smmuv3-bbml2", builtin("redrive")), design);
    assert.ok(said(run).some((t) => /vm0.*cannot persist .*EOPNOTSUPP/.test(t)));
  });
}

/** An update with one entry spoilt at the jump; then time enough for the NIC to get there. */
function spoilt(what: string, iova: string, first = 20, then = 500): string {
  return builtin("redrive").replace(
    /steps:[\s\S]*expect:/,
    `steps:
  - { do: vm.start }
  - { do: run, with: { for: ${first}ms } }
  - { do: corrupt, with: { device: nic0, iova: ${iova}, what: ${what} } }
  - { do: update }
  - { do: run, with: { for: ${then}ms } }
expect:`,
  );
}

/** Where the guest's card will write after the pause, and nothing does until then. */
const LATER = "0x600000";

Deno.test("an address or a permission spoilt: redrive names the IOVA and replaces, nothing is lost", () => {
  for (const what of ["address", "permission"]) {
    const run = play(spoilt(what, LATER));
    assert.equal(run.judgement.verdict, "holds", textReport(run));
    const line = `iommu: 0000:3a:00.0: tables of the previous kernel differ at IOVA ${LATER}: ` +
      `${what}; not adopted`;
    assert.ok(said(run).includes(line), said(run).filter((t) => t.startsWith("iommu")).join("\n"));
  }
});

Deno.test("a page size or a table pointer spoilt: redrive names the IOVA and goes on with its own", () => {
  // A pointer leads to all that is below it: what differs first is where that begins.
  for (const [what, iova] of [["page size", LATER], ["table pointer", "0x0"]]) {
    const run = play(spoilt(what, LATER));
    const line = `iommu: 0000:3a:00.0: tables of the previous kernel differ at IOVA ${iova}: `;
    assert.ok(said(run).some((t) => t.startsWith(line)), `${what}\n${said(run).join("\n")}`);
    assert.equal(run.platform.update?.outcome, "done");
    const nic = run.judgement.devices.find((d) => d.id === "nic0");
    assert.equal(nic?.health, "healthy", "from the switch on");
    assert.equal(nic?.stray, 0);
  }
});

/** What becomes of a guest whose tables are gone on with as they are found. */
const ADOPTED: Readonly<Record<typeof SPOILS[number], readonly string[]>> = {
  "address": ["areas-mapped", "guest-intact"],
  "permission": ["no-dma-fault", "areas-mapped"],
  "page size": ["no-dma-fault", "tables-owned", "areas-mapped"],
  "table pointer": ["no-dma-fault", "tables-owned", "areas-mapped", "guest-intact"],
};

Deno.test("the same under rfc-v1: adopted blindly, and nobody says a word", () => {
  for (const what of SPOILS) {
    const run = play(spoilt(what, LATER), "rfc-v1");
    const broken = run.judgement.invariants.filter((i) => i.verdict === "violated")
      .map((i) => i.id as string);
    for (const id of ADOPTED[what]) assert.ok(broken.includes(id), `${what}: ${textReport(run)}`);
    assert.ok(!said(run).some((t) => t.includes("differ at IOVA")));
  }
});

Deno.test("redrive-replace does not look at the old tables: they are gone before anybody gets there", () => {
  const run = play(spoilt("address", LATER), "redrive-replace");
  assert.equal(run.judgement.verdict, "holds", textReport(run));
});
