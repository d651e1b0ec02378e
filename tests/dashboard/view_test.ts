/** The view as pictures of snapshots made by hand, and as a property over random ones. */

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  DEVICE_TABS,
  everyPane,
  initialModel,
  type Model,
  PANE_IDS,
  SPEEDS,
} from "../../src/dashboard/model.ts";
import { view } from "../../src/dashboard/view.ts";
import type { Overlay, Scene } from "../../src/dashboard/model.ts";
import { showText } from "../../src/dashboard/overlays/text.ts";
import { Grid, inputOf, Region, StyleTable } from "../../src/tui/mod.ts";
import { pictureOf } from "../tui/helpers.ts";
import { anySnapshot, booting, device, record, snapshotOf, violated, vm } from "./snapshots.ts";

const start = initialModel("test", "rfc-v1");

function drawn(cols: number, rows: number, s: Scene, model: Model = start, ascii = false): Grid {
  const grid = new Grid(cols, rows, new StyleTable());
  grid.ascii = ascii;
  view(Region.of(grid), model, s);
  return grid;
}

function picture(cols: number, rows: number, s: Scene, model: Model = start): string {
  return "\n" + pictureOf(drawn(cols, rows, s, model)).map((row) => row.trimEnd()).join("\n") +
    "\n";
}

const question = (title: string) => ({
  title,
  text: "Replace the kernel?\n\ny yes, n no",
  buttons: [{ label: "Cancel", cancel: true }, { label: "Kexec", danger: true }] as const,
  yes: { type: "repaint" } as const,
  command: "update",
});

const OVERLAYS: readonly (Overlay | undefined)[] = [
  undefined,
  { kind: "help", selected: 3, input: inputOf("") },
  { kind: "help", selected: 0, input: inputOf("vm") },
  ...DEVICE_TABS.map((tab) => ({ kind: "device", top: 2, tab }) as const),
  { kind: "kernel", selected: 1, image: "rfc-v1+D55", input: inputOf("") },
  { kind: "question", question: question("Live update"), selected: 0 },
  { kind: "question", question: question("Quit"), selected: 1 },
  showText("a file", "one\ntwo\n" + "long ".repeat(80)),
];

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

Deno.test("what nothing isolates is said to be so on every screen that has room for a table", () => {
  const devices = [device("nic0"), device("nvme1", { mode: "noiommu", domain: "none", did: -1 })];
  for (const [cols, rows] of [[120, 40], [80, 24], [40, 12]]) {
    const lines = pictureOf(drawn(cols, rows, { ...snapshotOf(), devices }));
    const row = lines.findLast((line) => line.includes("nvme1"));
    assert.match(row ?? "", /noiommu .*healthy/, `${cols}x${rows}`);
  }
  assert.match(pictureOf(drawn(120, 40, { ...snapshotOf(), devices })).join("\n"), /NOT ISOLATED/);
});

Deno.test("view() says that no kernel runs from reboot to jump", () => {
  const updates = [record("kexec", { prepare: 7e8, pause: 702e6, kexec: 704e6 })];
  const reigns = [{ from: 0, ready: 260e6, left: 704e6 }];
  const s = snapshotOf({ time: 734e6, updates, reigns });
  const text = pictureOf(drawn(120, 40, s)).join("\n");
  assert.match(text, /hitless {2}test {2}NO KERNEL {2}t 0\.734 s/);
  assert.match(text, /kernel .*× +NONE/);
  assert.match(text, /nic0 .*15\.0k\/s/);
  assert.match(text, /kept devices go on: 15\.0k DMA\/s/);
});

Deno.test("a device that gets nothing done shows since when, and for how long", () => {
  const lane = (s: Scene) => pictureOf(drawn(120, 40, s)).find((row) => row.includes("/s, "))!;
  assert.match(lane(booting()), /^│ {3}nic1 +▇+▁* *░* 100\.0 ms ░* +0\/s, blocked/);
  const kept = device("nic0", {
    health: "faulting",
    rate: 0,
    history: new Array<number>(128).fill(0),
    openGap: 840e6,
    longestGap: 840e6,
  });
  assert.match(
    lane({ ...booting(), devices: [kept] }),
    /^│ ● nic0 +×+ 840\.0 ms ×+ +0\/s, faulting/,
  );
  const over = {
    ...kept,
    health: "idle",
    openGap: 0,
    longestGap: 200e6,
    longestGapEnd: 700e6,
  } as const;
  assert.match(lane({ ...booting(), devices: [over] }), /nic0 +×+ 200\.0 ms ×+ +0\/s, idle/);
});

Deno.test("a kexec by hand, and a VMM that is gone, are told as they are", () => {
  const reigns = [{ from: 0, ready: 260e6, left: 500e6 }, { from: 555e6, ready: -1, left: -1 }];
  const vms = [vm("vm0", { status: "exited", lives: [{ from: 343e6, to: 500e6 }] })];
  const s = snapshotOf({ boot: 2, ready: false, reigns, vms });
  const rows = pictureOf(drawn(120, 40, s));
  assert.match(rows[2]!, /NO KERNEL YET: BOOT 2 STARTS {2}kept devices go on/);
  assert.match(rows.find((r) => r.includes("   kernel "))!, /boot 1 ━+×+░+ boot 2 starts ░/);
  assert.match(rows.find((r) => r.includes(" vm0 "))!, /vm0 +━+ runs ━+ {10,}exited/);
  const by = { ...s, ready: true, reigns: reigns.map((r) => ({ ...r, ready: 260e6 })) };
  assert.match(pictureOf(drawn(120, 40, by))[2]!, /READY {2}boot 2, jumped into by hand: k repl/);
});

Deno.test("where there is no room for all devices, one that is kept and in trouble comes first", () => {
  const devices = [
    device("nic0", { persistent: false, health: "blocked" }),
    ...["nic1", "nic2", "nic3", "nic4"].map((id) => device(id)),
    device("nic5", { health: "faulting" }),
  ];
  const rows = pictureOf(drawn(80, 24, { ...snapshotOf(), devices }));
  assert.match(rows.find((row) => /nic\d/.test(row))!, /● nic5 .*faulting/);
});

Deno.test("an update is called hitless when kept devices lost nothing in it", () => {
  const story = (faults: number, lostBefore: number, more: Partial<Scene> = {}) => {
    const updates = [record("finish", { prepare: 0 }, {
      outcome: "done",
      endedAt: 1e9,
      lostBefore: new Map([["nic0", lostBefore]]),
    })];
    const devices = [device("nic0", { faults })];
    return pictureOf(drawn(120, 40, { ...snapshotOf({ updates }), devices, ...more }))[2]!;
  };
  assert.match(story(0, 0), / DONE, HITLESS .*kept devices lost no DMA/);
  assert.match(story(7, 7), / DONE, HITLESS .*lost no DMA/, "what was lost before is another's");
  assert.match(story(9, 7), / DONE, DMA LOST .*kept devices lost 2 DMA/);
  assert.match(story(0, 0, { verdict: "violated" }), / DONE {2}kept/);
});

Deno.test("memory: each guest has its number and its size, whoever else is there", () => {
  const map = { ...snapshotOf().memory!, guests: ["vm0", "vm1"], guestFrames: [0, 512] };
  const text = pictureOf(drawn(120, 40, { ...snapshotOf(), memory: map })).join("\n");
  assert.match(text, / 2 vm1 2M /);
  assert.doesNotMatch(text, / 1 vm0 \d/);
});

Deno.test("view() in ASCII draws nothing else", () => {
  for (const [cols, rows] of [[120, 40], [80, 24], [40, 12], [20, 5]] as const) {
    for (const overlay of OVERLAYS) {
      const grid = drawn(cols, rows, booting(), { ...start, overlay }, true);
      assert.match(pictureOf(grid).join(""), /^[\x20-\x7e]*$/);
    }
  }
});

const anyModel: fc.Arbitrary<Model> = fc.record({
  focus: fc.constantFrom(...PANE_IDS),
  tab: fc.constantFrom("iommufd", "files", "memory", "invariants"),
  zoomed: fc.boolean(),
  chosen: fc.constantFrom("", "nic0", "3").map((key) => everyPane(key)),
  filters: fc.constantFrom("", "nic", "!a", "/x", "~no").map((filter) => everyPane(filter)),
  sorting: fc.record({
    column: fc.constantFrom("", "id", "DMA/s", "health", "domain"),
    reverse: fc.boolean(),
  }),
  hidden: fc.constantFrom([], ["BDF", "history"]),
  source: fc.constantFrom("all", "kernel"),
  marks: fc.constantFrom([], [{ name: "a", moment: { time: 5e8, events: 1, begun: 0 } }]),
  travel: fc.constantFrom(undefined, { to: "the past", ratio: 0.5 }),
  prompt: fc.constantFrom(
    undefined,
    { purpose: "command", input: inputOf("vm.kill 日本"), recall: 0 } as const,
    { purpose: "filter", input: inputOf("x".repeat(300)), recall: 0, wrong: "no" } as const,
    {
      purpose: "command",
      input: inputOf("v"),
      recall: 0,
      completion: { from: 0, options: ["vm.start", "vm.stop", "x".repeat(200)], at: 1 },
    } as const,
  ),
  speed: fc.nat(SPEEDS.length - 1),
  pace: fc.double({ min: 0, max: 64, noNaN: true }),
  paused: fc.boolean(),
  follow: fc.boolean(),
  top: fc.nat(60),
  left: fc.nat(60),
  overlay: fc.constantFrom(...OVERLAYS),
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
