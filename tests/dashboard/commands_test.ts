/** The one table of commands, and that everything is made from it. */

import assert from "node:assert/strict";
import { BAR, commandFor, commandNamed, COMMANDS } from "../../src/dashboard/commands/table.ts";
import { GROUPS } from "../../src/dashboard/commands/types.ts";
import { PANE_IDS } from "../../src/dashboard/model.ts";
import { helpRows } from "../../src/dashboard/overlays/help.ts";
import { keyText } from "../../src/dashboard/chrome.ts";
import { completionOf } from "../../src/dashboard/prompt.ts";
import { type Argument, argumentsOf, usage } from "../../src/operations/arguments.ts";
import { OPERATIONS } from "../../src/operations/table.ts";
import type { Operation } from "../../src/operations/types.ts";
import { cancelButton } from "../../src/tui/mod.ts";
import { Hands } from "./hands.ts";
import { snapshotOf } from "./snapshots.ts";

Deno.test("names are used once, a key means one thing in each pane, every command has its help", () => {
  const names = COMMANDS.flatMap((c) => [c.id, ...c.aliases ?? []]);
  assert.deepEqual(names.filter((name, i) => names.indexOf(name) !== i), []);
  for (const pane of PANE_IDS) {
    const keys = COMMANDS.filter((c) => c.panes === undefined || c.panes.includes(pane))
      .flatMap((c) => c.keys);
    assert.deepEqual(keys.filter((key, i) => keys.indexOf(key) !== i), [], pane);
  }
  for (const c of COMMANDS) {
    assert.match(c.title, /^[A-Z].{6,}[^.]$/, c.id);
    assert.ok((c.onBar ?? "").length <= 10, c.id);
    assert.ok(GROUPS.includes(c.group), c.id);
    assert.equal(commandNamed(c.id), c);
    for (const a of c.arguments ?? []) assert.ok(a.description.length > 2, `${c.id} ${a.name}`);
  }
  for (const id of BAR) assert.ok(commandNamed(id)?.onBar !== undefined, id);
  const barred = COMMANDS.filter((c) => c.onBar !== undefined).map((c) => c.id);
  assert.deepEqual(barred.filter((id) => !BAR.includes(id)), []);
});

Deno.test("every operation of the platform is a command: same name, same words, same arguments", () => {
  const operations = COMMANDS.filter((c) => c.operation !== undefined);
  assert.deepEqual(operations.map((c) => c.id).sort(), [...OPERATIONS.keys()].sort());
  for (const operation of OPERATIONS.values()) {
    const command = commandNamed(operation.name);
    assert.equal(command?.operation, operation);
    assert.equal(command.title.toLowerCase(), operation.summary.toLowerCase());
    assert.deepEqual(command.arguments, argumentsOf(operation));
    assert.equal(command.destructive, operation.destroys !== undefined);
  }
});

Deno.test("every operation is reachable from the colon: its line is taken, or asked about first", () => {
  // What an argument takes is found by trying: new operations need nothing here.
  const CANDIDATES = ["vm0", "1ms", "2MiB", "alloc_page", "/sys/a", "1", "0x1000"];
  const named: Record<string, string> = { vms: "vm0", devices: "nic0", images: "rfc-v1" };
  const valueOf = (operation: Operation, { name, choices, suggests }: Argument) => {
    if (suggests !== undefined && suggests in named) return named[suggests];
    const takes = (value: string) => {
      const schema = operation.args.shape[name] as unknown as {
        safeParse(v: unknown): { success: boolean };
      };
      return [value, Number(value), value === "true"].some((v) => schema.safeParse(v).success);
    };
    return choices?.[0] ?? CANDIDATES.find(takes) ?? "x";
  };
  const reached: string[] = [];
  for (const operation of OPERATIONS.values()) {
    const needed = argumentsOf(operation).filter((a) => a.required);
    const line = [
      operation.name,
      ...needed.map((a) => `${a.name}=${valueOf(operation, a)}`),
    ].join(" ");
    // What cannot be done in one state of the platform can be in another.
    for (const s of STATES) {
      const hands = new Hands(s).command(line);
      if (hands.model.prompt?.wrong !== undefined) continue;
      if (operation.destroys !== undefined) {
        const { overlay } = hands.model;
        assert.ok(overlay?.kind === "question", line);
        assert.equal(overlay.selected, cancelButton(overlay.question.buttons), line);
        assert.equal(overlay.selected, 0, line);
        hands.press("y");
      }
      const [effect] = hands.effects;
      assert.ok(effect?.type === "act" && effect.operation === operation.name, line);
      reached.push(operation.name);
      break;
    }
  }
  assert.deepEqual(reached, [...OPERATIONS.keys()]);
});

const held = {
  image: "rfc-v1",
  startedAt: 0,
  phase: "pause",
  outcome: "running",
  began: { prepare: 0, pause: 1 },
  endedAt: -1,
  reason: "",
  pauses: new Map(),
  fingerprint: "",
  kho: true,
  abortRequested: false,
  held: true,
} as const;
/** States in which, between them, everything can be done. */
const STATES = [
  snapshotOf({ loaded: "rfc-v1", armed: [{ point: "alloc_page", nth: 1 }] }),
  snapshotOf({ vms: [], loaded: "rfc-v1" }),
  snapshotOf({
    vms: snapshotOf().vms.map((v) => ({ ...v, status: "off" })),
    devices: snapshotOf().devices.map((d) => ({ ...d, present: false })),
  }),
  snapshotOf({ updates: [held as never] }),
];

Deno.test("what destroys says what is lost, and names what", () => {
  const hands = new Hands().command("vm.kill vm1");
  const { overlay } = hands.model;
  assert.ok(overlay?.kind === "question");
  assert.match(overlay.question.text, /^vm\.kill vm=vm1\n/);
  assert.match(overlay.question.text, /Lost: the guest and what it has in memory\./);
});

Deno.test("help filters by name, key and words, and does what is chosen", () => {
  assert.deepEqual(helpRows("kho.act").map((c) => c.id), ["kho.activate"]);
  assert.ok(helpRows("Ctrl-R").some((c) => c.id === "forward"));
  assert.ok(helpRows("clipboard").some((c) => c.id === "copy"));
  assert.equal(helpRows("").length, COMMANDS.length);
  const hands = new Hands().press("?").type("zoom").press("enter");
  assert.equal(hands.model.zoomed, true);
  assert.equal(hands.model.overlay, undefined);
  assert.equal(new Hands().press("?").press("q").model.overlay, undefined);
  const typed = new Hands().press("?").type("q").model.overlay;
  assert.equal(typed, undefined, "q closes while nothing is typed");
});

Deno.test("a line that is wrong stays to be put right, and says what is wrong", () => {
  const wrong = (line: string) => new Hands().command(line).model.prompt?.wrong ?? "";
  assert.match(wrong("vm.kil vm0"), /there is no command "vm\.kil", did you mean vm\.kill\?/);
  assert.match(wrong("vm.kill"), /vm is missing: vm\.kill vm=VM/);
  assert.match(wrong("update hold=prepair"), /expected one of prepare, pause, did you mean/);
  assert.match(wrong("save"), /save: file is missing/);
  // What a saved session could not be read back with is not begun.
  assert.match(wrong("vm.kill vm7"), /vm\.kill: there is no VM "vm7", did you mean vm[01]\?/);
  assert.match(wrong("device.unplug gpu"), /there is no device "gpu"/);
  assert.match(wrong("update rfc-v1+D999"), /there is no defect "D999"; near it are D/);
  assert.match(wrong("pause now"), /pause takes nothing, found now/);
  const hands = new Hands().command("vm.kil vm0");
  assert.equal(hands.model.prompt?.input.text, "vm.kil vm0");
  hands.press("home", "ctrl-right").type("l").press("enter", "y");
  assert.deepEqual(hands.effects, [{ type: "act", operation: "vm.kill", given: { vm: "vm0" } }]);
});

Deno.test("completion: names, then arguments by what they stand for", () => {
  const hands = new Hands();
  const c = {
    snapshot: hands.snapshot,
    metrics: hands.metrics,
    size: { cols: 80, rows: 24 },
    now: 0,
    complete: (kind: string, word: string) =>
      (hands.offers[kind] ?? []).filter((o) => o.startsWith(word)),
    scenarios: ["tour", "abort"],
  };
  const options = (line: string) => completionOf(line, hands.model, c).options;
  assert.deepEqual(options("vm.k"), ["vm.kill"]);
  assert.deepEqual(options("vm.kill "), ["vm0", "vm1", "vm="]);
  assert.deepEqual(options("vm.kill vm=vm1"), ["vm=vm1"]);
  assert.deepEqual(options("update hold="), ["hold=prepare", "hold=pause"]);
  assert.deepEqual(options("update rfc-v1 "), ["prepare", "pause", "hold="]);
  assert.deepEqual(options("open "), ["tour", "abort", "name="]);
  assert.deepEqual(options("set palette "), ["standard", "colorblind", "to="]);
  assert.deepEqual(options("set slow-motion to=o"), ["to=on", "to=off"]);
  assert.deepEqual(options("nothing "), []);
  assert.ok(options("").length > 60);
});

Deno.test("Tab puts in what all share, then goes round; up and down bring earlier lines", () => {
  const hands = new Hands().press(":").type("vm.k").press("tab");
  assert.equal(hands.model.prompt?.input.text, "vm.kill ");
  hands.press("tab");
  assert.equal(hands.model.prompt?.input.text, "vm.kill vm");
  const seen = ["tab", "tab", "tab", "tab", "shift-tab"].map((key) => {
    hands.press(key);
    return hands.model.prompt?.input.text;
  });
  assert.deepEqual(seen, [
    "vm.kill vm0",
    "vm.kill vm1",
    "vm.kill vm=",
    "vm.kill vm0",
    "vm.kill vm=",
  ]);
  hands.press("esc").command("zoom").command("help").press("esc");
  hands.press(":", "up");
  assert.equal(hands.model.prompt?.input.text, "help");
  assert.equal(hands.press("up").model.prompt?.input.text, "zoom");
  assert.equal(hands.press("down", "down").model.prompt?.input.text, "");
  assert.equal(hands.press("backspace").model.prompt, undefined);
});

Deno.test("keys that do something to what is chosen ask about it, or offer it", () => {
  const hands = new Hands().press("down", "X");
  const { overlay } = hands.model;
  assert.ok(overlay?.kind === "question");
  assert.match(overlay.question.text, /vm\.crash vm=vm1/);
  hands.press("n", "f");
  assert.equal(hands.model.prompt?.input.text, "fault.arm ");
  hands.press("esc", "P");
  const unplug = hands.model.overlay;
  assert.ok(unplug?.kind === "question" && /device\.unplug device=nic1/.test(unplug.question.text));
});

Deno.test("pasted text goes into the line, and nowhere else", () => {
  const hands = new Hands().happen({ type: "paste", text: "q" });
  assert.deepEqual(hands.effects, []);
  hands.press(":").happen({ type: "paste", text: "vm.kill\nvm0" });
  assert.equal(hands.model.prompt?.input.text, "vm.kill vm0");
});

Deno.test("settings: what can be set, and the keys that go round", () => {
  const hands = new Hands().command("set palette colorblind").press("M", "L", "C");
  assert.deepEqual(hands.model.settings, {
    look: { palette: "colorblind", background: "dark", depth: "none" },
    mouse: false,
    slowMotion: true,
  });
  assert.equal(hands.effects.filter((e) => e.type === "settings").length, 4);
  assert.match(hands.command("set palette pink").message, /expected one of standard, colorblind/);
  assert.match(hands.command("set colour none").message, /expected one of color, background/);
});

Deno.test("keys are written as people read them", () => {
  assert.deepEqual(
    ["ctrl-r", "shift-tab", "pagedown", "f1", "space", "G", ":", "delete", "ctrl-alt-x"].map(
      keyText,
    ),
    ["Ctrl-R", "Shift-Tab", "PgDn", "F1", "Space", "G", ":", "Del", "Ctrl-Alt-X"],
  );
  assert.equal(commandFor("d")?.id, "source");
  assert.equal(commandFor("d", "devices"), undefined);
  assert.equal(commandFor("o", "devices")?.id, "sort");
  assert.match(usage(OPERATIONS.get("update")!), /^update \[image=IMAGE\]/);
});
