import assert from "node:assert/strict";
import { BUILTIN } from "../../src/scenario/builtin.ts";
import { jsonReport, textReport } from "../../src/scenario/report.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { prepare } from "../../src/scenario/run.ts";
import { playOut } from "../throw_away.ts";

/** The wait for pages in the reports of a run. */

const run = (kernel: string) => {
  const text = BUILTIN.get("page-requests")!.replace("image: redrive-replace", `image: ${kernel}`);
  return playOut(prepare(loadScenario(text, "page-requests"), 1));
};

Deno.test("the report says how often a device asked, and how long it waited", () => {
  for (const kernel of ["redrive", "redrive-replace"]) {
    const done = run(kernel);
    assert.equal(done.judgement.verdict, "holds", textReport(done));
    assert.match(
      textReport(done),
      /nic0: asked for pages (\d+) times, answered \1, longest wait 1/,
    );
    const [device] = JSON.parse(jsonReport(done)).devices;
    assert.equal(device.pages_answered, device.page_requests);
    assert.ok(device.longest_page_wait_ns > 100_000_000);
    assert.equal(device.open_page_wait_ns, 0);
  }
});

Deno.test("with the queue left behind it waits for ever, and the report says that too", () => {
  const done = run("redrive-replace+G14");
  assert.match(textReport(done), /nic0: asked for .*, has waited \d+\.\d+ ms for one now/);
  const kept = done.judgement.invariants.find((i) => i.id === "page-requests-kept");
  assert.deepEqual(kept?.violations.map((v) => v.subject), ["dmar0", "nic0"]);
});
