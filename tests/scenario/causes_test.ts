import assert from "node:assert/strict";
import { BUILTIN } from "../../src/scenario/builtin.ts";
import { findCauses } from "../../src/scenario/causes.ts";
import { loadScenario } from "../../src/scenario/load.ts";
import { textReport } from "../../src/scenario/report.ts";
import { prepare } from "../../src/scenario/run.ts";
import { playOut } from "../throw_away.ts";

function causes(image: string) {
  const loaded = loadScenario(BUILTIN.get("persisted-iommufd") ?? "", "test.yaml");
  const run = playOut(prepare(loaded, 1, image));
  return { ...run, causes: findCauses(run, run.judgement.invariants) };
}

Deno.test("a single defect is the cause of all that breaks; the report says so, in order", () => {
  const run = causes("rfc-v1+D55");
  assert.deepEqual(run.causes.get("no-dma-fault nic0"), ["D55"]);
  assert.deepEqual(run.causes.get("tables-owned kernel"), ["D55"]);
  const report = textReport(run);
  assert.match(
    report,
    /tables-kept: .*<- D55\n {2}tables-owned: .*<- D55\n {2}no-dma-fault: nic0, t=.*<- D55\n/,
  );
});

Deno.test("what no defect does alone is put down to those without which it does not happen", () => {
  // The context entry of a persistent device is zapped (D16), and flushed by a wrong id (D17).
  const run = causes("rfc-v1+D16+D17");
  assert.deepEqual(run.causes.get("no-dma-fault nic0"), ["D16"]);
  assert.deepEqual(run.causes.get("iotlb-fresh dmar0"), ["+D16", "+D17"]);
  assert.match(textReport(run), /iotlb-fresh: dmar0.* <- D16 with D17, not alone/);
});

Deno.test("a kernel without defects has no causes to look for", () => {
  assert.deepEqual([...causes("rfc-v1").causes], []);
});
