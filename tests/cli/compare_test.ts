import assert from "node:assert/strict";
import { GiB, KiB, MiB } from "../../src/base/units.ts";
import { casesOf, progressBar, sizes } from "../../src/cli/compare.ts";
import { answer, compareMarkdown } from "../../src/scenario/compare_text.ts";
import { COMPARED, measure } from "../../src/scenario/compare.ts";
import { hitless } from "./helpers.ts";

Deno.test("sizes and pages are read as they are written; what is too much is left out by name", () => {
  assert.deepEqual(sizes("guest", "1GiB,1TiB", GiB), [GiB, 1024 * GiB]);
  for (const bad of ["1", "0GiB", "1.5GiB", "x", "512MiB"]) {
    assert.throws(() => sizes("guest", bad, GiB), /--guest .*expected one such as/);
  }
  const { cases, left } = casesOf([GiB, 1024 * GiB], [4 * KiB, 2 * MiB]);
  assert.deepEqual(cases.length, 3);
  assert.deepEqual(left, [{ guest: 1024 * GiB, page: 4 * KiB }]);
  assert.throws(() => casesOf([GiB], [8 * KiB]), /4KiB, 2MiB and 1GiB/);
  assert.match(progressBar(5, 10, "x"), /\[#{10}\.{10}\] 5\/10 x$/);
});

Deno.test("each design is measured by what its kernels really did", () => {
  const cost = { guest: GiB, page: 2 * MiB };
  const rows = COMPARED.map((design) => measure(design, cost));
  const of = (design: string) => rows.find((r) => r.design === design)!.takingOver;
  // 512 leaves, the way to them, and nothing at all where the objects are handed over.
  assert.deepEqual([of("rfc-v1").ptesWritten, of("rfc-v1").pagesPinned], [0, 0]);
  for (const design of ["replay", "redrive", "redrive-replace"]) {
    assert.ok(of(design).ptesWritten >= 512 && of(design).ptesWritten < 520, design);
    assert.equal(of(design).pagesPinned, GiB / (4 * KiB));
    assert.equal(of(design).tables, rows.find((r) => r.design === design)!.tablesBefore);
  }
  assert.equal(of("redrive").ptesCompared, of("redrive-replace").ptesWritten);
  assert.equal(of("redrive-replace").ptesCompared, 0);
  assert.match(
    answer(rows, cost),
    /validation compares \d+ pairs .*; rebuilding writes \d+ entries/,
  );
  assert.match(compareMarkdown(rows, []), /\| redrive-replace \| 1 GiB \| 2 MiB \|/);
});

Deno.test("small pages cost what they should: 1 GiB is 262144 leaves in 512 tables", () => {
  const { takingOver, tablesBefore } = measure("redrive-replace", { guest: GiB, page: 4 * KiB });
  assert.ok(takingOver.ptesWritten >= 262144 && takingOver.ptesWritten < 262144 + 600);
  assert.ok(takingOver.tablesPeak > tablesBefore + 512, "twice, during the switch");
});

Deno.test("compare and versions say what is wrong with their flags, and exit 2", async () => {
  for (
    const [args, why] of [
      [["compare", "--guest", "much"], /--guest much: "much" is no size/],
      [["compare", "--page", "8KiB"], /there are pages of 4KiB, 2MiB and 1GiB/],
      [["versions", "--profile", "vax"], /profile/],
    ] as const
  ) {
    const { code, err, out } = await hitless([], args);
    assert.equal(code, 2, err);
    assert.match(err, why);
    assert.equal(out, "");
  }
});
