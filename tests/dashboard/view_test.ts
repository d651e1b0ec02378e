/** The view as pictures of snapshots made by hand, and as a property over random ones. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { initialModel, type Model, PANE_IDS, SPEEDS } from "../../src/dashboard/model.ts";
import { view } from "../../src/dashboard/view.ts";
import type { Snapshot } from "../../src/platform/snapshot.ts";
import { Grid, Region, StyleTable } from "../../src/tui/mod.ts";
import { pictureOf } from "../tui/helpers.ts";
import { anySnapshot, booting, record, snapshotOf, violated } from "./snapshots.ts";

const start = initialModel("test", "rfc-v1");

function drawn(cols: number, rows: number, s: Snapshot, model: Model = start, ascii = false): Grid {
  const grid = new Grid(cols, rows, new StyleTable());
  grid.ascii = ascii;
  view(Region.of(grid), model, s);
  return grid;
}

function picture(cols: number, rows: number, s: Snapshot, model: Model = start): string {
  return "\n" + pictureOf(drawn(cols, rows, s, model)).map((row) => row.trimEnd()).join("\n") +
    "\n";
}

for (const [cols, rows] of [[120, 40], [80, 24], [40, 12], [20, 5]] as const) {
  Deno.test(`view() at ${cols}x${rows}`, async (t) => {
    await t.step("before any update", (t) => t.assertSnapshot(picture(cols, rows, snapshotOf())));
    await t.step("while boot 2 starts", (t) => t.assertSnapshot(picture(cols, rows, booting())));
    await t.step("with an invariant violated", async (t) => {
      const s = { ...booting(), ...violated("no-dma-fault") };
      await t.assertSnapshot(picture(cols, rows, s, { ...start, focus: "invariants" }));
    });
  });
}

Deno.test("view() tells every state without colour", () => {
  const gap = pictureOf(drawn(120, 40, booting())).join("\n");
  assert.match(gap, /NO KERNEL YET: BOOT 2 STARTS/);
  assert.match(gap, /! blocked/);
  assert.match(gap, /■ healthy/);
  assert.match(gap, /verdict holds/);
  const bad = pictureOf(drawn(80, 24, { ...booting(), ...violated("no-dma-fault") })).join("\n");
  assert.match(bad, /verdict VIOLATED 1/);
});

Deno.test("view() says that no kernel runs from reboot to jump", () => {
  const updates = [record("kexec", { prepare: 7e8, pause: 702e6, kexec: 704e6 })];
  const text = pictureOf(drawn(120, 40, snapshotOf({ time: 734e6, updates }))).join("\n");
  assert.match(text, /hitless {2}test {2}NO KERNEL {2}t 0\.734 s/);
  assert.match(text, /kernel .*× +NONE/);
  assert.match(text, /nic0 .*15\.0k\/s/);
  assert.match(text, /kept devices go on: 15\.0k DMA\/s/);
});

Deno.test("view() in ASCII draws nothing else", () => {
  for (const [cols, rows] of [[120, 40], [80, 24], [40, 12], [20, 5]] as const) {
    for (
      const overlay of [undefined, { kind: "help", top: 0 }, { kind: "device", top: 0 }] as const
    ) {
      const grid = drawn(cols, rows, booting(), { ...start, overlay }, true);
      assert.match(pictureOf(grid).join(""), /^[\x20-\x7e]*$/);
    }
  }
});

const anyModel: fc.Arbitrary<Model> = fc.record({
  focus: fc.constantFrom(...PANE_IDS),
  tab: fc.constantFrom("iommufd", "sysfs", "guestmemfs", "kho", "invariants"),
  zoomed: fc.boolean(),
  selected: fc.nat(12),
  speed: fc.nat(SPEEDS.length - 1),
  pace: fc.double({ min: 0, max: 64, noNaN: true }),
  paused: fc.boolean(),
  follow: fc.boolean(),
  top: fc.nat(60),
  left: fc.nat(60),
  overlay: fc.constantFrom(
    undefined,
    { kind: "help", top: 3 } as const,
    { kind: "device", top: 2 } as const,
    { kind: "question", question: "kexec", selected: 0 } as const,
    { kind: "question", question: "quit", selected: 1 } as const,
  ),
  message: fc.constantFrom(undefined, { text: "日本 news", style: "warn", until: 1 } as const),
}).map(({ top, left, ...rest }) => ({
  ...start,
  ...rest,
  scroll: Object.fromEntries(PANE_IDS.map((id) => [id, { top, left }])) as Model["scroll"],
}));

Deno.test("view() draws anything at any size, and the same thing twice", () => {
  const size = (max: number) => fc.oneof(fc.constantFrom(0, 1, 2, 12, 24, 40), fc.nat(max));
  fc.assert(
    fc.property(size(150), size(50), anySnapshot, anyModel, fc.boolean(), (w, h, s, m, ascii) => {
      const frozen = structuredClone({ s, m });
      const once = drawn(w, h, s, m, ascii);
      const twice = drawn(w, h, s, m, ascii);
      assert.deepEqual(pictureOf(once), pictureOf(twice));
      assert.deepEqual(once.styles, twice.styles);
      assert.deepEqual(structuredClone({ s, m }), frozen);
    }),
    { numRuns: 300 },
  );
});
