import assert from "node:assert/strict";
import {
  ENTER,
  LEAVE,
  MOUSE_OFF,
  MOUSE_ON,
  NotATerminal,
  Session,
  SIGNAL_EXIT,
} from "../../src/tui/mod.ts";
import { FakeIo } from "./fake_io.ts";

Deno.test("Session sets the terminal up, and restores it in reverse order", () => {
  const io = new FakeIo();
  const session = new Session(io, { mouse: true });
  session.restore();
  assert.deepEqual(io.log, [
    "raw on",
    `write ${ENTER}${MOUSE_ON}`,
    `write ${MOUSE_OFF}${LEAVE}`,
    "raw off",
  ]);
  const modes = (text: string) => [...text.matchAll(/\?(\d+)[hl]/g)].map((match) => match[1]);
  const left = modes(MOUSE_OFF + LEAVE).filter((mode) => mode !== "2026");
  assert.deepEqual(left, modes(ENTER + MOUSE_ON).reverse());
});

Deno.test("restore() does its work once, and leaves no listener behind", () => {
  const io = new FakeIo();
  const session = new Session(io);
  assert.ok(io.listeners > 0);
  session.restore();
  const { length } = io.log;
  session.restore();
  io.unload();
  io.signal("SIGTERM");
  session.write("x");
  assert.equal(io.log.length, length);
  assert.equal(io.listeners, 0);
  assert.equal(session.active, false);
});

Deno.test("restore() attempts every step even when others fail", () => {
  const io = new FakeIo();
  const session = new Session(io);
  io.broken.add("write");
  session.restore();
  assert.deepEqual(io.log.slice(2), ["raw off"]);

  const other = new FakeIo();
  const second = new Session(other);
  other.broken.add("setRaw");
  second.restore();
  assert.deepEqual(other.log.slice(2), [`write ${LEAVE}`]);
  assert.equal(other.listeners, 0);
});

Deno.test("Session refuses what is no terminal, before touching it", () => {
  const io = new FakeIo();
  io.terminal = false;
  assert.throws(() => new Session(io), NotATerminal);
  assert.deepEqual(io.log, []);
  assert.equal(io.listeners, 0);
});

Deno.test("Session gives back a terminal it could not set up", () => {
  const io = new FakeIo();
  io.broken.add("write");
  assert.throws(() => new Session(io), /gone/);
  assert.deepEqual(io.log, ["raw on", "raw off"]);
  assert.equal(io.listeners, 0);
});

Deno.test("each signal that ends a program restores the terminal first", () => {
  for (const [signal, code] of Object.entries(SIGNAL_EXIT)) {
    const io = new FakeIo();
    new Session(io);
    io.signal(signal as keyof typeof SIGNAL_EXIT);
    assert.deepEqual(io.log.slice(2), [`write ${LEAVE}`, "raw off", `exit ${code}`]);
  }
});

Deno.test("an uncaught error is printed after the screen is left, without control characters", () => {
  const io = new FakeIo();
  new Session(io, { errorExit: 71, describe: (error) => `it broke: ${error}` });
  io.throwUncaught("bad \x1b[2J byte");
  assert.deepEqual(io.log.slice(2), [
    `write ${LEAVE}`,
    "raw off",
    "error it broke: bad ?[2J byte\n",
    "exit 71",
  ]);
});

Deno.test("an error exits with 70 by default, even when nothing can be printed", () => {
  const io = new FakeIo();
  const session = new Session(io, {
    describe: () => {
      throw new Error("describe is broken too");
    },
  });
  io.broken.add("writeError");
  session.fail(new Error("x"));
  assert.equal(io.log.at(-1), "exit 70");
});

Deno.test("suspend() leaves the screen, stops, and comes back with a repaint", () => {
  const io = new FakeIo();
  let resumed = 0;
  const session = new Session(io, { onResume: () => resumed++ });
  session.suspend();
  assert.deepEqual(io.log.slice(2), [`write ${LEAVE}`, "raw off", "stop"]);
  assert.equal(session.active, false);
  session.write("not now");
  session.suspend();
  assert.equal(io.log.length, 5);
  io.signal("SIGCONT");
  assert.deepEqual(io.log.slice(5), ["raw off", "raw on", `write ${ENTER}`]);
  assert.equal(resumed, 1);
  assert.equal(session.active, true);
});

Deno.test("suspend() goes on at once where the process cannot be stopped", () => {
  const io = new FakeIo();
  const session = new Session(io);
  io.broken.add("stop");
  session.suspend();
  assert.equal(session.active, true);
  assert.equal(io.log.at(-1), `write ${ENTER}`);
});

Deno.test("a signal while suspended does not write to the screen again", () => {
  const io = new FakeIo();
  const session = new Session(io);
  session.suspend();
  io.signal("SIGTERM");
  assert.deepEqual(io.log.slice(5), ["exit 143"]);
});

Deno.test("write() goes on after short counts", () => {
  const io = new FakeIo();
  const session = new Session(io);
  io.output();
  io.appetite = 3;
  const text = "日本語 and more ".repeat(20);
  session.write(text);
  assert.equal(io.output(), text);
  io.appetite = 0;
  assert.throws(() => session.write("x"), /takes no more/);
});

Deno.test("size() is held within bounds, with a fallback", () => {
  const io = new FakeIo();
  const session = new Session(io);
  [io.cols, io.rows] = [65535, 65535];
  assert.deepEqual(session.size(), { cols: 1000, rows: 500 });
  io.cols = 0;
  assert.deepEqual(session.size(), { cols: 80, rows: 24 });
  io.broken.add("size");
  assert.deepEqual(session.size(), { cols: 80, rows: 24 });
});

Deno.test("mouse reports can be switched while running", () => {
  const io = new FakeIo();
  const session = new Session(io);
  io.output();
  session.mouse = true;
  session.mouse = true;
  assert.equal(io.output(), MOUSE_ON);
  session.mouse = false;
  assert.equal(io.output(), MOUSE_OFF);
});
