import assert from "node:assert/strict";
import { complaints, Coverage } from "./coverage.ts";
import { playAll, readRequired } from "./report.ts";
import { play, vectorFiles } from "./runner.ts";

const files = vectorFiles(new URL(".", import.meta.url));
const coverage = new Coverage();

for (const [name, file] of files) {
  Deno.test(`conformance ${name}`, async (t) => {
    for (const vector of file.vectors) {
      await t.step(`${vector.name} (FACTS ${vector.facts})`, () => {
        coverage.add(play(file, vector));
      });
    }
  });
}

Deno.test("the vectors cover what required.yaml asks for", () => {
  const vectors = [...files.values()].reduce((sum, file) => sum + file.vectors.length, 0);
  // With --filter, or after a failure, not all have been played above.
  const shown = coverage.vectors === vectors ? coverage : playAll().coverage;
  assert.deepEqual(complaints(readRequired(), shown), []);
});
