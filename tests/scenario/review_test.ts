import assert from "node:assert/strict";
import { BUILTIN } from "../../src/scenario/builtin.ts";
import { matrixMarkdown, versionMatrix } from "../../src/scenario/version_matrix.ts";

/** docs/review.md: every demand of the review has a row, and every row something that shows it. */

const read = (path: string) => Deno.readTextFileSync(new URL(`../../${path}`, import.meta.url));

const numbered = (letter: string, last: number) =>
  Array.from({ length: last }, (_, i) => `${letter}${String(i + 1).padStart(2, "0")}`);
const DEMANDS = [
  ...numbered("R", 27),
  ...numbered("W", 1),
  ...numbered("J", 13),
  ...numbered("P", 4),
];

const rows = read("docs/review.md").split("\n").flatMap((line) => {
  const cells = line.split("|").map((cell) => cell.trim());
  const m = /^([RWJP]\d\d) /.exec(cells[1] ?? "");
  return m === null ? [] : [{ id: m[1], who: cells[2], shown: cells[3], verdict: cells[4] }];
});

Deno.test("every demand of the review has one row, in order", () => {
  assert.deepEqual(rows.map((r) => r.id), DEMANDS);
});

for (const { id, who, shown, verdict } of rows) {
  Deno.test(`${id} names who asked where, what shows it, and what came of it`, () => {
    assert.match(who, /^(Gunthorpe|Woodhouse|Gowans|Pan) \d{4}$/);
    assert.ok(verdict.length > 5, verdict);
    if (shown === "not run") return assert.ok(verdict.length > 5, "says why");
    const scenarios = [...shown.matchAll(/`([a-z0-9-]+)`/g)].map(([, name]) => name);
    // That they hold is tested with all the others: run_test.ts.
    for (const name of scenarios) assert.ok(BUILTIN.has(name), name);
    if (scenarios.length === 0) assert.ok(read(shown).length > 0, shown);
  });
}

Deno.test("docs/versions.md has the matrix as it is, and no passage in it is unsafe", () => {
  const cells = versionMatrix("intel-legacy");
  assert.deepEqual(cells.filter((c) => c.passage === "unsafe"), []);
  const doc = read("docs/versions.md").replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---");
  assert.ok(doc.includes(matrixMarkdown(cells)), matrixMarkdown(cells));
});
