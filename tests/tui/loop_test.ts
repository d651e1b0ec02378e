// Escape sequences are what these tests are about.
// deno-lint-ignore-file no-control-regex

import assert from "node:assert/strict";
import {
  type App,
  NotATerminal,
  PROBE,
  type Region,
  run,
  type RunOptions,
  type Ui,
  type UiEvent,
} from "../../src/tui/mod.ts";
import { FakeIo, settle } from "./fake_io.ts";
import { Screen } from "./xterm.ts";

class Probe implements App {
  events: UiEvent[] = [];
  draws = 0;
  ticks: number[] = [];
  next: number | undefined = undefined;
  text = "hello";
  ui!: Ui;

  start(ui: Ui) {
    this.ui = ui;
  }
  onEvent(event: UiEvent, ui: Ui) {
    this.events.push(event);
    if (event.type !== "key") return;
    if (event.key === "q") ui.exit(3);
    if (event.key === "!") throw new Error("the app broke");
    this.text = event.key;
  }
  tick(nowMs: number) {
    this.ticks.push(nowMs);
    return this.next;
  }
  draw(screen: Region) {
    this.draws++;
    screen.put(0, 0, this.text, "good");
  }
}

function start(options: Partial<RunOptions> = {}, prepare: (io: FakeIo) => void = () => {}) {
  const io = new FakeIo();
  prepare(io);
  const app = new Probe();
  const ended = run(app, { io, look: { depth: "none" }, ...options });
  return { io, app, ended };
}

Deno.test("run() draws the first frame at once and returns the exit code", async () => {
  const { io, app, ended } = start();
  assert.match(io.output(), /hello/);
  await io.type("q");
  assert.equal(await ended, 3);
  assert.equal(app.draws, 1);
  assert.equal(io.log.at(-1), "raw off");
  assert.equal(io.timers, 0);
});

Deno.test("run() does nothing while nothing happens", async () => {
  const { io, app, ended } = start();
  io.output();
  assert.equal(io.timers, 0);
  assert.equal(io.advance(3_600_000), 0);
  assert.equal(app.draws, 1);
  assert.equal(io.output(), "");
  await io.type("q");
  await ended;
});

Deno.test("run() draws at most fps times a second, and the last state", async () => {
  const { io, app, ended } = start({ fps: 10 });
  for (let n = 0; n < 50; n++) {
    await io.type("x");
    io.advance(10);
  }
  await io.type("z");
  io.advance(1000);
  assert.ok(app.draws >= 5 && app.draws <= 7, `${app.draws} frames`);
  assert.match(io.output(), /z/);
  await io.type("q");
  await ended;
});

Deno.test("tick() is called at the start, after events and when it is due", async () => {
  const { io, app, ended } = start();
  assert.deepEqual(app.ticks, [0]);
  app.next = 500;
  io.advance(100);
  await io.type("x");
  assert.deepEqual(app.ticks, [0, 100]);
  app.next = undefined;
  io.advance(900);
  assert.deepEqual(app.ticks, [0, 100, 500]);
  const { draws } = app;
  app.ui.invalidate();
  io.advance(0);
  assert.equal(app.draws, draws + 1);
  app.ui.wake();
  io.advance(0);
  assert.equal(app.ticks.length, 4);
  await io.type("q");
  await ended;
});

Deno.test("a lone ESC becomes a key after 30 ms, a sequence in two reads does not", async () => {
  const { io, app, ended } = start();
  await io.type("\x1b");
  assert.equal(app.events.length, 0);
  io.advance(31);
  assert.deepEqual(app.events, [{ type: "key", key: "esc" }]);
  await io.type("\x1b");
  io.advance(10);
  await io.type("[A");
  io.advance(100);
  assert.deepEqual(app.events[1], { type: "key", key: "up" });
  assert.equal(app.events.length, 2);
  await io.type("q");
  await ended;
});

Deno.test("a resize reaches the app and repaints in full", async () => {
  const { io, app, ended } = start();
  io.advance(100);
  io.output();
  [io.cols, io.rows] = [30, 6];
  io.signal("SIGWINCH");
  assert.deepEqual(app.events, [{ type: "resize", cols: 30, rows: 6 }]);
  assert.deepEqual(app.ui.size, { cols: 30, rows: 6 });
  assert.match(io.output(), /\x1b\[2J.*hello/);
  io.advance(100);
  io.signal("SIGWINCH");
  assert.equal(io.output(), "");
  await io.type("q");
  await ended;
});

Deno.test("ctrl-z suspends and comes back with a full repaint; ctrl-c is a key", async () => {
  const { io, app, ended } = start();
  await io.type("\x03");
  assert.deepEqual(app.events, [{ type: "key", key: "ctrl-c" }]);
  io.advance(100);
  await io.type("\x1a");
  assert.equal(io.log.at(-1), "stop");
  assert.equal(app.events.length, 1);
  io.output();
  app.ui.invalidate();
  assert.equal(io.advance(1000), 0);
  assert.equal(io.output(), "");
  [io.cols, io.rows] = [10, 2];
  io.signal("SIGCONT");
  assert.match(io.output(), /\x1b\[\?1049h.*\x1b\[2J/);
  assert.deepEqual(app.events[1], { type: "resize", cols: 10, rows: 2 });
  await io.type("q");
  await ended;
});

Deno.test("the end of input, and a terminal that is gone, end the loop", async () => {
  const { io, ended } = start();
  await io.type(null);
  assert.equal(await ended, 129);
  assert.equal(io.log.at(-1), "raw off");

  const other = start();
  other.io.advance(100);
  other.io.broken.add("write");
  await other.io.type("x");
  assert.equal(await other.ended, 129);
});

Deno.test("an error of the app restores the terminal, is printed, and exits with 70", async () => {
  const { io, app } = start({ describe: (error) => (error as Error).message });
  await io.type("!");
  assert.deepEqual(io.log.slice(-3), ["raw off", "error the app broke\n", "exit 70"]);
  const { draws } = app;
  await io.type("x");
  assert.equal(app.draws, draws);
});

Deno.test("run() throws without a terminal", async () => {
  await assert.rejects(
    async () => await start({}, (io) => io.terminal = false).ended,
    NotATerminal,
  );
});

Deno.test("colours start as a guess and follow the terminal's answer", async () => {
  const { io, app, ended } = start({ look: {} });
  const first = io.output();
  assert.ok(first.indexOf(PROBE) < first.indexOf("hello"), "asked before the first frame");
  assert.match(first, /\x1b\[0;32mhello/);
  io.advance(100);
  await io.type("\x1bP1$r0;38:2::1:2:3m\x1b\\\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?64;22c");
  assert.match(io.output(), /\x1b\[0;38;2;14;112;36mhello/);
  assert.deepEqual(app.events, []);
  assert.equal(io.timers, 0);
  app.ui.look = { depth: "none" };
  io.advance(100);
  assert.match(io.output(), /\x1b\[mhello/);
  await io.type("q");
  await ended;
});

Deno.test("a terminal that does not answer stays with the guess; a late answer is taken", async () => {
  const { io, app, ended } = start({ look: {} });
  io.advance(300);
  assert.equal(io.timers, 0);
  io.output();
  await io.type("\x1bP>|tmux 3.3a\x1b\\\x1b[?1;2c");
  assert.match(io.output(), /\x1b\[0;38;2;[0-9;]+mhello/);
  assert.deepEqual(app.events, []);
  await io.type("q");
  await ended;
});

Deno.test("nothing is asked when the look is given, or under NO_COLOR", async () => {
  const given = start({ look: { depth: "256", background: "dark" } });
  assert.ok(!given.io.output().includes(PROBE));
  const plain = start({ look: {} }, (io) => io.noColor = true);
  const output = plain.io.output();
  assert.ok(!output.includes(PROBE));
  assert.match(output, /\x1b\[mhello/);
  for (const { io, ended } of [given, plain]) {
    await io.type("q");
    await ended;
  }
});

Deno.test("what run() writes is what a terminal shows", async () => {
  const { io, ended } = start();
  const screen = new Screen(20, 4);
  await screen.write(io.output());
  assert.deepEqual(screen.text(), ["hello", "", "", ""]);
  io.advance(100);
  await io.type("w");
  await settle();
  await screen.write(io.output());
  assert.deepEqual(screen.text().map((line) => line.trimEnd()), ["w", "", "", ""]);
  await io.type("q");
  await ended;
});
