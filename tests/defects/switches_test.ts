import assert from "node:assert/strict";
import { INVARIANT_IDS } from "../../src/health/invariants.ts";
import { DEFECTS, findDefect, SWITCHES } from "../../src/kernel/defects/catalogue.ts";
import { BUILTIN } from "../../src/scenario/builtin.ts";
import { baseScenario, defectScenario } from "../../src/scenario/defects.ts";
import { textReport } from "../../src/scenario/report.ts";
import { prepare } from "../../src/scenario/run.ts";
import {
  type Call,
  play,
  type Vector,
  type VectorFile,
  vectorFiles,
} from "../conformance/runner.ts";
import { playOut } from "../throw_away.ts";

const VECTORS = vectorFiles(new URL("../conformance/", import.meta.url));

for (const defect of SWITCHES) {
  Deno.test(`${defect.id} is caught: ${defect.title}`, () => {
    const run = playOut(prepare(defectScenario(`defect-${defect.id}`), 1));
    assert.equal(run.judgement.verdict, "holds", textReport(run));
  });
}

for (const scenario of new Set(SWITCHES.map((d) => d.scenario))) {
  Deno.test(`${scenario} holds without the defects it shows`, () => {
    const defect = SWITCHES.find((d) => d.scenario === scenario)!;
    const run = playOut(prepare(baseScenario(defect), 1));
    assert.equal(run.judgement.verdict, "holds", textReport(run));
  });
}

for (const { id, vector: name } of SWITCHES.filter((d) => d.vector !== undefined)) {
  Deno.test(`${id}: the vector "${name}" holds without it and fails with it`, () => {
    const found = [...VECTORS.values()].flatMap((file) =>
      file.vectors.filter((v) => v.name === name).map((vector) => ({ file, vector }))
    );
    assert.equal(found.length, 1, `${name} is one vector`);
    const { file, vector } = found[0];
    play(file, vector);
    const [otherFile, otherVector] = withDefect(file, vector, id);
    assert.throws(() => play(otherFile, otherVector), assert.AssertionError);
  });
}

/** The vector with the defect in the kernel it begins with, and in each of that name it jumps to. */
function withDefect(file: VectorFile, vector: Vector, id: string): [VectorFile, Vector] {
  const before = vector.image ?? "rfc-v1", image = `${before}+${id}`;
  const changed = (calls: readonly Call[]) =>
    calls.map((call) => call.kexec === before ? { ...call, kexec: image } : call);
  const setups = Object.entries(file.setups ?? {}).map(([name, calls]) => [name, changed(calls)]);
  return [
    { ...file, setups: Object.fromEntries(setups) },
    { ...vector, image, calls: changed(vector.calls) },
  ];
}

Deno.test("every entry of the catalogue is whole", () => {
  const ids = DEFECTS.map((d) => d.id);
  assert.deepEqual(ids.filter((id, i) => ids.indexOf(id) !== i), [], "ids are unique");
  for (const d of DEFECTS) {
    assert.ok(d.patch >= 0 && d.patch <= 13, d.id);
    assert.ok(d.seedLine > 0 && d.seedLine <= 3457, d.id);
    for (const id of d.invariants) assert.ok(INVARIANT_IDS.includes(id as never), `${d.id}: ${id}`);
    for (const id of d.needs ?? []) assert.ok(findDefect(id) !== undefined, `${d.id}: ${id}`);
    if (d.notShown !== undefined) continue;
    assert.ok(BUILTIN.has(d.scenario), `${d.id}: ${d.scenario}`);
    assert.ok(d.invariants.length > 0 || d.vector !== undefined, `${d.id}: nothing catches it`);
  }
});
