/** The update function: keys and frames in, models and effects out. */

import assert from "node:assert/strict";
import { type Effect, type Scene, SPEEDS, START } from "../../src/dashboard/model.ts";
import { Hands } from "./hands.ts";
import { booting, device, record, snapshotOf, violated, vm } from "./snapshots.ts";

const preparing = () => snapshotOf({ updates: [record("prepare", { prepare: 700e6 })] });
const act = (operation: string, given: Record<string, unknown> = {}): Effect => ({
  type: "act",
  operation,
  given,
});

Deno.test("k: y confirms; n, Esc and Enter on Cancel do nothing", () => {
  const start = act("update", { image: "rfc-v1" });
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
  const reason = (s: Scene) => new Hands(s).press("k").message;
  assert.match(reason(preparing()), /a live update runs \(phase prepare\)/);
  assert.match(reason(booting()), /a live update runs \(phase boot\)/);
  assert.match(reason(snapshotOf({ ready: false })), /boot 1 is not up yet/);
  assert.match(reason(snapshotOf({ panicked: "oops" })), /boot 1 has panicked: oops/);
  assert.match(reason(snapshotOf({ vms: [vm("vm0", { status: "starting" })] })), /still starting/);
  // The chance may pass while the question stands.
  const hands = new Hands().press("k");
  hands.snapshot = preparing();
  assert.deepEqual(hands.press("y").effects, []);
  assert.match(hands.message, /a live update runs/);
});

Deno.test("a aborts before the jump only, and says why not after it", () => {
  assert.deepEqual(new Hands(preparing()).press("a").effects, [act("update.abort")]);
  const late = new Hands(booting()).press("a");
  assert.deepEqual(late.effects, []);
  assert.match(late.message, /too late: the old kernel went 136\.0 ms ago/);
  assert.match(new Hands().press("a").message, /no live update runs/);
});

Deno.test("q asks while an update runs, ctrl-c never does", () => {
  const exit: Effect = { type: "exit", code: 0 };
  assert.deepEqual(new Hands().press("q").effects, [exit]);
  const hands = new Hands(booting()).press("q");
  assert.deepEqual(hands.effects, []);
  assert.deepEqual(hands.press("y").effects, [exit]);
  assert.deepEqual(new Hands(booting()).press("k", "q", "ctrl-c").effects, [exit]);
  assert.deepEqual(new Hands().press(":", "x", "ctrl-c").effects, [exit]);
  assert.deepEqual(new Hands().press("esc").effects, []);
});

Deno.test("speed has ends", () => {
  const fast = new Hands().press(...new Array<string>(20).fill("+"));
  assert.equal(SPEEDS[fast.model.speed], 64);
  assert.match(fast.message, /64x is the highest/);
  const slow = new Hands().press(...new Array<string>(20).fill("-"));
  assert.equal(SPEEDS[slow.model.speed], 1 / 16);
});

Deno.test("single events and phases pause; going back is a journey to an exact moment", () => {
  const one = new Hands().press(".");
  assert.deepEqual(one.effects, [{ type: "step", by: "event" }]);
  assert.equal(one.model.paused, true);
  assert.match(new Hands().press(">").message, /no live update runs, and no kernel boots/);
  assert.deepEqual(new Hands(booting()).press(">").effects, [{ type: "step", by: "phase" }]);
  const back = new Hands().frame().press(",");
  assert.deepEqual(back.effects, [
    { type: "travel", to: { time: 0, events: 99, begun: 0 }, text: "one event" },
  ]);
  const phase = new Hands(booting()).frame().press("<");
  assert.deepEqual(phase.effects, [{ type: "travel", to: { time: 760e6 }, text: "0.760 s" }]);
});

Deno.test("u goes to before the last thing done by hand, ctrl-r to the next one ahead", () => {
  assert.match(new Hands().press("u").message, /nothing was done by hand/);
  assert.match(new Hands().press("ctrl-r").message, /nothing lies ahead/);
  const hands = new Hands();
  const before = { time: 5e8, events: 70, begun: 0 };
  hands.history = {
    moment: { time: 7e8, events: 100, begun: 1 },
    done: [{ at: 1, text: "vm.start" }, { at: 5e8, text: "vm.kill vm=vm0", answer: "0", before }],
    ahead: [{ at: 8e8, text: "update" }],
  };
  hands.frame().press("u", "ctrl-r");
  assert.deepEqual(hands.effects, [
    { type: "travel", to: before, text: "before vm.kill vm=vm0" },
    { type: "travel", to: { time: 8e8 }, text: "update" },
  ]);
});

Deno.test("marks: m names them by letters, [ and ] go from one to the other", () => {
  const hands = new Hands().frame().press("m", "m");
  assert.deepEqual(hands.model.marks.map((m) => m.name), ["a", "b"]);
  hands.command("mark here");
  assert.deepEqual(hands.model.marks.at(-1), { name: "here", moment: hands.history.moment });
  hands.history = { ...hands.history, moment: { time: 9e8, events: 200, begun: 0 } };
  hands.frame().press("[").command("jump a");
  const to = { time: 7e8, events: 100, begun: 0 };
  assert.deepEqual(hands.effects, [
    { type: "travel", to, text: "mark here" },
    { type: "travel", to, text: "mark a" },
  ]);
  assert.match(hands.press("]").message, /no mark after/);
  assert.match(hands.command("jump z").message, /there is no mark "z", there are a, b, here/);
});

Deno.test("goto takes a time, and says what it wants of anything else", () => {
  assert.deepEqual(new Hands().command("goto 1.5s").effects, [
    { type: "travel", to: { time: 1.5e9 }, text: "1.500 s" },
  ]);
  assert.match(new Hands().command("goto soon").message, /goto: found "soon", expected a time/);
});

Deno.test("Tab and numbers go round all panes; only tabbed ones change the tab", () => {
  const hands = new Hands();
  assert.equal(hands.press("4").model.tab, "files");
  assert.equal(hands.press("6").model.tab, "files");
  assert.equal(hands.model.focus, "events");
  assert.equal(hands.press("tab", "tab").model.focus, "update");
  assert.equal(hands.press("shift-tab").model.focus, "invariants");
  assert.equal(hands.model.tab, "invariants");
});

const drawn = (visible: number, total: number, offset = 0) => ({
  offset,
  visible,
  total,
  area: { x: 0, y: 1, w: 80, h: visible + 3 },
  firstRow: 3,
});

Deno.test("the chosen device stays within the rows and scrolls the table", () => {
  const hands = new Hands(snapshotOf({ devices: [device("a"), device("b"), device("c")] }));
  hands.metrics = { panes: { devices: drawn(2, 3) } };
  assert.equal(hands.press("up").model.chosen.devices, "a");
  assert.equal(hands.press("down", "j", "down").model.chosen.devices, "c");
  assert.equal(hands.model.scroll.devices.top, 1);
  assert.equal(hands.press("enter").model.overlay?.kind, "device");
  assert.equal(hands.press("k").model.chosen.devices, "b", "vim's keys work in what lies over");
  assert.equal(hands.press("esc").model.overlay, undefined);
});

Deno.test("the chosen device stays chosen when the order or the filter changes", () => {
  const devices = [device("a", { rate: 1 }), device("b", { rate: 9 }), device("c", { rate: 5 })];
  const hands = new Hands(snapshotOf({ devices }));
  hands.press("down").command("sort DMA/s");
  assert.equal(hands.model.chosen.devices, "b");
  assert.equal(hands.press("down").model.chosen.devices, "c");
  assert.equal(hands.press("r", "down").model.chosen.devices, "b");
  hands.press("/").type("a");
  assert.equal(hands.model.filters.devices, "a", "a filter works while it is typed");
  hands.press("enter", "enter");
  assert.equal(hands.model.overlay?.kind, "device");
  assert.equal(hands.press("esc", "\\").model.filters.devices, "");
  assert.match(hands.command("sort speed").message, /there is no column speed, there are id, BDF/);
});

Deno.test("the log follows its end until it is scrolled, and again from the end", () => {
  const hands = new Hands();
  hands.metrics = { panes: { events: drawn(10, 100, 90) } };
  hands.press("6", "up");
  assert.equal(hands.model.follow, false);
  assert.equal(hands.model.scroll.events.top, 89);
  assert.equal(hands.press("G").model.follow, true);
  assert.equal(hands.press("g").model.scroll.events.top, 0);
  assert.equal(hands.press("F").model.follow, true);
  assert.deepEqual(["d", "d", "d", "d"].map((key) => hands.press(key).model.source), [
    "kernel",
    "program",
    "operator",
    "all",
  ]);
});

Deno.test("trees: branches open and close, files are read, a persisted iommufd is taken", () => {
  const waiting = {
    key: "pending:1",
    depth: 0,
    name: "iommufd persistent 1",
    detail: "waits in sysfs",
    state: "leaf",
    persistentId: 1,
  } as const;
  const hands = new Hands(snapshotOf({ iommufd: [waiting] })).press("3", "enter");
  assert.deepEqual(hands.effects, [act("iommufd.pickup", { id: 1, as: "fd1" })]);
  hands.press("4", "right");
  assert.deepEqual([...hands.model.toggled], ["kho"]);
  hands.press("down", "down", "enter");
  assert.deepEqual(hands.effects.at(-1), act("file.read", { path: "/sys/kernel/kho/active" }));
  // Delete asks, and names the file.
  hands.press("delete");
  const { overlay } = hands.model;
  assert.ok(overlay?.kind === "question");
  assert.match(overlay.question.text, /file\.remove path=\/sys\/kernel\/kho\/active/);
  hands.press("y");
  assert.deepEqual(hands.effects.at(-1), act("file.remove", { path: "/sys/kernel/kho/active" }));
});

Deno.test("news: the start and the end of an update, and a broken invariant by name", () => {
  const hands = new Hands().frame();
  assert.equal(hands.model.message, undefined);
  hands.snapshot = preparing();
  assert.match(hands.frame().message, /live update to rfc-v1/);
  hands.snapshot = { ...preparing(), ...violated("no-dma-fault") };
  const { message } = hands.frame().model;
  assert.equal(message?.text, "VIOLATED no-dma-fault: nic0 at 0.834 s");
  assert.equal(message?.style, "bad");
  const done = record("finish", {}, { outcome: "aborted", reason: "called off" });
  hands.snapshot = { ...snapshotOf({ updates: [done] }), ...violated("no-dma-fault") };
  assert.match(hands.frame().message, /aborted: called off/);
});

Deno.test("slow motion: while kernels change, unless a person wants another speed or none of it", () => {
  const speeds = (hands: Hands, ...keys: string[]) =>
    [preparing(), preparing(), snapshotOf(), preparing()].map((s, i) => {
      hands.snapshot = s;
      hands.frame();
      if (i === 0) hands.press(...keys);
      return SPEEDS[hands.model.speed];
    });
  assert.deepEqual(speeds(new Hands().frame()), [1 / 8, 1 / 8, 1, 1 / 8]);
  assert.deepEqual(speeds(new Hands().frame(), "+", "+"), [1 / 2, 1 / 2, 1 / 2, 1 / 8]);
  const slower = new Hands({ ...snapshotOf() }, { speed: 0 }).frame();
  assert.deepEqual(speeds(slower), [1 / 16, 1 / 16, 1 / 16, 1 / 16]);
  const off = new Hands().command("set slow-motion off").frame();
  assert.deepEqual(speeds(off), [1, 1, 1, 1]);
  const held = new Hands(snapshotOf({ updates: [record("pause", {}, { held: true })] })).frame();
  assert.equal(SPEEDS[held.model.speed], 1);
});

Deno.test("answers: an errno is said, short output too, long output is shown", () => {
  const answered = { type: "answered", text: "file.read path=/a", detail: "", output: "" } as const;
  const hands = new Hands().happen({ ...answered, text: "x.y", answer: "EBUSY", detail: "busy" });
  assert.equal(hands.message, "x.y: EBUSY (busy)");
  hands.happen({ ...answered, text: "x.y", answer: "0", output: "descriptor 4" });
  assert.equal(hands.message, "x.y: descriptor 4");
  hands.happen({ ...answered, answer: "0", output: "one\ntwo" });
  const { overlay } = hands.model;
  assert.deepEqual(overlay?.kind === "text" && overlay.lines, ["one", "two"]);
  assert.deepEqual(hands.press("y").effects.at(-1), { type: "copy", text: "one\ntwo" });
});

Deno.test("K chooses image and defects; the next kexec boots them", () => {
  const hands = new Hands().press("K").type("D55").press(" ", "enter");
  assert.equal(hands.model.image, "rfc-v1+D55");
  hands.press("k");
  const { overlay } = hands.model;
  assert.ok(overlay?.kind === "question" && overlay.question.text.includes("rfc-v1+D55"));
  assert.deepEqual(hands.press("y").effects, [act("update", { image: "rfc-v1+D55" })]);
  hands.press("K").type("mainline").press(" ", "enter");
  assert.equal(hands.model.image, "mainline", "a defect does not follow to an image without it");
  assert.equal(hands.command("kernel rfc-v1").model.image, "rfc-v1");
  assert.match(hands.command("kernel rfc-v2").message, /there is no kernel image "rfc-v2"/);
  assert.equal(hands.command("kernel rfc-v1-posted-D77").model.image, "rfc-v1-posted-D77");
  // To see a defect in how a kernel hands over, one has to begin with that kernel.
  hands.press("K").type("D55").press(" ", "ctrl-r");
  const restart = hands.model.overlay;
  assert.ok(
    restart?.kind === "question" && /power-on with rfc-v1.*\+D55/.test(restart.question.text),
  );
});

Deno.test("read-only: nothing can be done to the platform, everything can be looked at", () => {
  const hands = new Hands(snapshotOf(), { readOnly: true });
  for (const key of ["k", "s", "f", "K"]) {
    assert.match(hands.press(key).message, /read-only/, key);
  }
  assert.match(hands.press("4", "down", "down", "enter").message, /read-only/);
  hands.press(":").type("vm.kill vm0").press("enter");
  assert.match(hands.model.prompt?.wrong ?? "", /read-only/);
  assert.deepEqual(hands.press("esc").effects, []);
});

Deno.test("bind gives a key another meaning, and takes it away", () => {
  const hands = new Hands().command("bind j vm.kill vm1").press("j");
  assert.equal(hands.model.overlay?.kind, "question");
  hands.press("y");
  assert.deepEqual(hands.effects, [act("vm.kill", { vm: "vm1" })]);
  hands.command("bind k").press("k");
  assert.equal(hands.model.overlay, undefined);
});

Deno.test("a key that means nothing says so, and where it does", () => {
  assert.equal(new Hands().press("d").message, "d does nothing here: it works in Events");
  assert.equal(new Hands().press("9").message, "9 does nothing here: ? shows the keys");
});

Deno.test("mouse: a click takes the focus and the row, a second one is Enter, the wheel scrolls", () => {
  const hands = new Hands();
  hands.metrics = {
    panes: {
      devices: drawn(5, 2),
      events: { ...drawn(5, 90, 80), area: { x: 0, y: 10, w: 80, h: 8 }, firstRow: 11 },
    },
  };
  const at = (x: number, y: number, action: "press" | "wheel-up" = "press") =>
    hands.happen({
      type: "mouse",
      x,
      y,
      action,
      button: action === "press" ? "left" : "none",
      shift: false,
      alt: false,
      ctrl: false,
    });
  at(5, 4);
  assert.equal(hands.model.chosen.devices, "nic1");
  assert.ok(hands.model.overlay === undefined);
  assert.equal(at(5, 4).model.overlay?.kind, "device");
  hands.press("esc");
  at(5, 12, "wheel-up");
  assert.equal(hands.model.scroll.events.top, 77);
  assert.equal(hands.model.focus, "devices", "the wheel leaves the focus where it is");
  at(5, 12);
  assert.equal(hands.model.focus, "events");
  assert.equal(at(200, 200).model.focus, "events");
});

Deno.test("the start of everything is where nothing more can be taken back", () => {
  const hands = new Hands();
  hands.history = { moment: START, done: [], ahead: [] };
  assert.match(hands.frame().press(",").message, /where everything begins/);
  assert.match(hands.press("<").message, /where everything begins/);
});
