/** The update function: keys and frames in, models and effects out. */

import assert from "node:assert/strict";
import { commandFor, COMMANDS } from "../../src/dashboard/commands.ts";
import {
  type Context,
  type Effect,
  initialModel,
  type Metrics,
  type Model,
  SPEEDS,
} from "../../src/dashboard/model.ts";
import { QUESTIONS } from "../../src/dashboard/questions.ts";
import { update } from "../../src/dashboard/update.ts";
import { cancelButton } from "../../src/tui/mod.ts";
import type { Snapshot } from "../../src/platform/snapshot.ts";
import { booting, device, record, snapshotOf, violated, vm } from "./snapshots.ts";

/** A model with keys pressed on it, and what they asked to be done. */
class Hands {
  model: Model = initialModel("test", "rfc-v1");
  readonly effects: Effect[] = [];
  metrics: Metrics = {};

  constructor(public snapshot: Snapshot = snapshotOf()) {}

  get #context(): Context {
    return { snapshot: this.snapshot, metrics: this.metrics, size: { cols: 80, rows: 24 }, now: 1 };
  }

  press(...keys: string[]): this {
    for (const key of keys) this.#take(update(this.model, { type: "key", key }, this.#context));
    return this;
  }

  frame(): this {
    this.#take(update(this.model, { type: "frame", pace: 1 }, this.#context));
    return this;
  }

  #take({ model, effects }: ReturnType<typeof update>): void {
    this.model = model;
    this.effects.push(...effects);
  }
}

const preparing = () => snapshotOf({ updates: [record("prepare", { prepare: 700e6 })] });

Deno.test("the table of commands: ids and keys are used once, everything has a line of help", () => {
  const ids = COMMANDS.map((c) => c.id);
  const keys = COMMANDS.flatMap((c) => c.keys);
  assert.equal(new Set(ids).size, ids.length);
  assert.equal(new Set(keys).size, keys.length);
  assert.equal(commandFor("k")?.id, "update.start");
  for (const c of COMMANDS) {
    assert.ok(c.keys.length > 0 && c.title.length > 3, c.id);
    assert.ok(c.title.length <= 66, `${c.id}: help would be cut at 80 columns`);
    assert.ok((c.onBar ?? "").length <= 10, c.id);
  }
});

Deno.test("every destructive command asks, and dialogs start on their way out", () => {
  for (const command of COMMANDS.filter((c) => c.destructive === true)) {
    const hands = new Hands().press(command.keys[0]!);
    assert.deepEqual(hands.effects, [], command.id);
    const { overlay } = hands.model;
    assert.ok(overlay?.kind === "question", command.id);
    const { buttons } = QUESTIONS[overlay.question];
    assert.equal(overlay.selected, cancelButton(buttons));
  }
  for (const { buttons } of Object.values(QUESTIONS)) assert.equal(cancelButton(buttons), 0);
});

Deno.test("k: y confirms; n, Esc and Enter on Cancel do nothing", () => {
  const start: Effect = { type: "start-update", image: "rfc-v1" };
  assert.deepEqual(new Hands().press("k", "y").effects, [start]);
  assert.deepEqual(new Hands().press("k", "right", "enter").effects, [start]);
  assert.deepEqual(new Hands().press("k", "tab", "enter").effects, [start]);
  for (const no of ["n", "esc", "enter", " ", "q"]) {
    const hands = new Hands().press("k", no);
    assert.deepEqual(hands.effects, [], no);
    assert.equal(hands.model.overlay, undefined);
  }
  assert.ok(new Hands().press("k", "x").model.overlay !== undefined);
});

Deno.test("k names its reason while it cannot be done", () => {
  const reason = (s: Snapshot) => new Hands(s).press("k").model.message?.text ?? "";
  assert.match(reason(preparing()), /a live update runs \(phase prepare\)/);
  assert.match(reason(booting()), /a live update runs \(phase boot\)/);
  assert.match(reason(snapshotOf({ ready: false })), /boot 1 is not up yet/);
  assert.match(reason(snapshotOf({ vms: [vm("vm0", { status: "starting" })] })), /still starting/);
  // The chance may pass while the question stands.
  const hands = new Hands().press("k");
  hands.snapshot = preparing();
  assert.deepEqual(hands.press("y").effects, []);
  assert.match(hands.model.message?.text ?? "", /a live update runs/);
});

Deno.test("a aborts before the jump only, and says why not after it", () => {
  assert.deepEqual(new Hands(preparing()).press("a").effects, [{ type: "abort-update" }]);
  const late = new Hands(booting()).press("a");
  assert.deepEqual(late.effects, []);
  assert.match(late.model.message?.text ?? "", /too late: the old kernel went 136\.0 ms ago/);
  assert.match(new Hands().press("a").model.message?.text ?? "", /no live update runs/);
});

Deno.test("q asks while an update runs, ctrl-c never does", () => {
  const exit: Effect = { type: "exit", code: 0 };
  assert.deepEqual(new Hands().press("q").effects, [exit]);
  const hands = new Hands(booting()).press("q");
  assert.deepEqual(hands.effects, []);
  assert.deepEqual(hands.press("y").effects, [exit]);
  assert.deepEqual(new Hands(booting()).press("k", "q", "ctrl-c").effects, [exit]);
  assert.deepEqual(new Hands().press("esc").effects, []);
});

Deno.test("speed has ends, stepping wants a pause", () => {
  const fast = new Hands().press(...new Array<string>(20).fill("+"));
  assert.equal(SPEEDS[fast.model.speed], 64);
  assert.match(fast.model.message?.text ?? "", /64x is the highest/);
  const slow = new Hands().press(...new Array<string>(20).fill("-"));
  assert.equal(SPEEDS[slow.model.speed], 1 / 16);
  assert.deepEqual(new Hands().press(".").effects, []);
  assert.deepEqual(new Hands().press(" ", ".").effects, [{ type: "step" }]);
});

Deno.test("Tab and numbers go round all panes; only tabbed ones change the tab", () => {
  const hands = new Hands();
  assert.equal(hands.press("4").model.tab, "sysfs");
  assert.equal(hands.press("7").model.tab, "sysfs");
  assert.equal(hands.model.focus, "events");
  assert.equal(hands.press("tab", "tab").model.focus, "update");
  assert.equal(hands.press("shift-tab").model.focus, "invariants");
  assert.equal(hands.model.tab, "invariants");
});

Deno.test("selection stays within the devices and scrolls the table", () => {
  const hands = new Hands(snapshotOf({ devices: [device("a"), device("b"), device("c")] }));
  hands.metrics = { devices: { offset: 0, visible: 2, total: 3 } };
  assert.equal(hands.press("up").model.selected, 0);
  assert.equal(hands.press("down", "down", "down").model.selected, 2);
  assert.equal(hands.model.scroll.devices.top, 1);
  assert.equal(hands.press("enter").model.overlay?.kind, "device");
  assert.equal(hands.press("up").model.selected, 1);
  assert.equal(hands.press("esc").model.overlay, undefined);
});

Deno.test("the log follows its end until it is scrolled, and again from the end", () => {
  const hands = new Hands();
  hands.metrics = { events: { offset: 90, visible: 10, total: 100 } };
  hands.press("7", "up");
  assert.equal(hands.model.follow, false);
  assert.equal(hands.model.scroll.events.top, 89);
  assert.equal(hands.press("G").model.follow, true);
  assert.equal(hands.press("g").model.scroll.events.top, 0);
});

Deno.test("news: the start and the end of an update, and a broken invariant by name", () => {
  const hands = new Hands().frame();
  assert.equal(hands.model.message, undefined);
  hands.snapshot = preparing();
  assert.match(hands.frame().model.message?.text ?? "", /live update to rfc-v1/);
  hands.snapshot = { ...preparing(), ...violated("no-dma-fault") };
  const { message } = hands.frame().model;
  assert.equal(message?.text, "VIOLATED no-dma-fault: nic0 at 0.834 s");
  assert.equal(message?.style, "bad");
  const done = record("finish", {}, { outcome: "aborted", reason: "called off" });
  hands.snapshot = { ...snapshotOf({ updates: [done] }), ...violated("no-dma-fault") };
  assert.match(hands.frame().model.message?.text ?? "", /aborted: called off/);
});
