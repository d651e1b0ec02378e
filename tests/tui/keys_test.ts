import assert from "node:assert/strict";
import fc from "fast-check";
import { KeyDecoder, MAX_PASTE, type TerminalEvent } from "../../src/tui/mod.ts";

const encode = (text: string) => new TextEncoder().encode(text);

function decode(input: string | Uint8Array, timeout = true): TerminalEvent[] {
  const decoder = new KeyDecoder();
  const events = decoder.feed(typeof input === "string" ? encode(input) : input);
  return timeout ? [...events, ...decoder.timeout()] : events;
}

/** Names of the keys, other events by their type. */
function names(input: string | Uint8Array): string[] {
  return decode(input).map((event) => event.type === "key" ? event.key : event.type);
}

const TABLE: readonly [string, string][] = [
  ["a", "a"],
  ["G", "G"],
  [" ", " "],
  ["é", "é"],
  ["日", "日"],
  ["😀", "😀"],
  ["\r", "enter"],
  ["\n", "ctrl-j"],
  ["\t", "tab"],
  ["\x7f", "backspace"],
  ["\x08", "backspace"],
  ["\x03", "ctrl-c"],
  ["\x1a", "ctrl-z"],
  ["\0", "ctrl-space"],
  ["\x1c", "ctrl-\\"],
  ["\x1b", "esc"],
  // Classic sequences, normal and application mode.
  ["\x1b[A", "up"],
  ["\x1bOB", "down"],
  ["\x1b[C", "right"],
  ["\x1bOD", "left"],
  ["\x1b[H", "home"],
  ["\x1b[F", "end"],
  ["\x1b[1~", "home"],
  ["\x1b[8~", "end"],
  ["\x1b[2~", "insert"],
  ["\x1b[3~", "delete"],
  ["\x1b[5~", "pageup"],
  ["\x1b[6~", "pagedown"],
  ["\x1bOP", "f1"],
  ["\x1b[[A", "f1"],
  ["\x1b[11~", "f1"],
  ["\x1b[15~", "f5"],
  ["\x1b[24~", "f12"],
  ["\x1bOM", "enter"],
  ["\x1bOq", "1"],
  // With modifiers.
  ["\x1b[Z", "shift-tab"],
  ["\x1b[1;5D", "ctrl-left"],
  ["\x1b[1;2A", "shift-up"],
  ["\x1b[1;8A", "ctrl-alt-shift-up"],
  ["\x1b[1;2P", "shift-f1"],
  ["\x1b[1;5R", "ctrl-f3"],
  ["\x1b[3;5~", "ctrl-delete"],
  ["\x1bO5A", "ctrl-up"],
  ["\x1b[a", "shift-up"],
  ["\x1bx", "alt-x"],
  ["\x1bX", "alt-X"],
  ["\x1b ", "alt-space"],
  ["\x1bé", "alt-é"],
  ["\x1b\r", "alt-enter"],
  ["\x1b\x7f", "alt-backspace"],
  ["\x1b\x01", "ctrl-alt-a"],
  ["\x1b[", "alt-["],
  ["\x1bO", "alt-O"],
  ["\x1bP", "alt-P"],
  ["\x1b]", "alt-]"],
  // CSI u.
  ["\x1b[97u", "a"],
  ["\x1b[97;2u", "A"],
  ["\x1b[49:33;2u", "!"],
  ["\x1b[97;5u", "ctrl-a"],
  ["\x1b[97;6u", "ctrl-shift-a"],
  ["\x1b[97;3u", "alt-a"],
  ["\x1b[97;9u", "super-a"],
  ["\x1b[105;5u", "ctrl-i"],
  ["\x1b[32;5u", "ctrl-space"],
  ["\x1b[9;2u", "shift-tab"],
  ["\x1b[13u", "enter"],
  ["\x1b[13;5u", "ctrl-enter"],
  ["\x1b[27u", "esc"],
  ["\x1b[127;3u", "alt-backspace"],
  ["\x1b[57414u", "enter"],
  ["\x1b[57400;129u", "1"],
  ["\x1b[57376u", "f13"],
  ["\x1b[97;65u", "a"], // caps lock is no modifier
  // xterm's modifyOtherKeys.
  ["\x1b[27;5;105~", "ctrl-i"],
  ["\x1b[27;6;65~", "ctrl-shift-a"],
  ["\x1b[27;2;65~", "A"],
  ["\x1b[27;5;13~", "ctrl-enter"],
];

Deno.test("KeyDecoder names every key of the table", () => {
  for (const [input, name] of TABLE) assert.deepEqual(names(input), [name], JSON.stringify(input));
});

Deno.test("KeyDecoder gives text for keys that type something, and only for those", () => {
  assert.deepEqual(decode("é"), [{ type: "key", key: "é", text: "é" }]);
  assert.deepEqual(decode("\x1b[97;2u"), [{ type: "key", key: "A", text: "A" }]);
  for (const input of ["\r", "\x1bx", "\x1b[97;5u", "\x01", "\x1b[A"]) {
    assert.ok(!("text" in decode(input)[0]!), JSON.stringify(input));
  }
});

Deno.test("KeyDecoder splits a read with many keys", () => {
  assert.deepEqual(names("a\x1b[A\x03\x1b\x1bx\x1b[15~\x1b[1;5D\x1b[9;2u\r"), [
    "a",
    "up",
    "ctrl-c",
    "esc",
    "alt-x",
    "f5",
    "ctrl-left",
    "shift-tab",
    "enter",
  ]);
});

Deno.test("timeout() resolves a lone ESC, and nothing else", () => {
  const decoder = new KeyDecoder();
  assert.deepEqual(decoder.feed(encode("\x1b")), []);
  assert.equal(decoder.pending, true);
  assert.deepEqual(decoder.timeout(), [{ type: "key", key: "esc" }]);
  assert.equal(decoder.pending, false);
  assert.deepEqual(decoder.timeout(), []);
  decoder.feed(encode("\x1b[1;"));
  assert.equal(decoder.pending, false);
  assert.deepEqual(decoder.timeout(), []);
  assert.deepEqual(decoder.feed(encode("5D")), [{ type: "key", key: "ctrl-left" }]);
});

Deno.test("KeyDecoder decodes bracketed paste as one event", () => {
  assert.deepEqual(decode("\x1b[200~one\rtwo\r\nthree\x1b[A\x1b[201~x"), [
    { type: "paste", text: "one\ntwo\nthree\x1b[A" },
    { type: "key", key: "x", text: "x" },
  ]);
  const long = decode(`\x1b[200~${"x".repeat(MAX_PASTE + 10)}\x1b[201~`);
  assert.equal((long[0] as { text: string }).text.length, MAX_PASTE);
});

Deno.test("KeyDecoder decodes the mouse", () => {
  const plain = { type: "mouse", shift: false, alt: false, ctrl: false } as const;
  assert.deepEqual(decode("\x1b[<0;1;1M\x1b[<0;3;4m\x1b[<32;5;6M\x1b[<64;1;2M\x1b[<65;1;2M"), [
    { ...plain, x: 0, y: 0, button: "left", action: "press" },
    { ...plain, x: 2, y: 3, button: "left", action: "release" },
    { ...plain, x: 4, y: 5, button: "left", action: "drag" },
    { ...plain, x: 0, y: 1, button: "none", action: "wheel-up" },
    { ...plain, x: 0, y: 1, button: "none", action: "wheel-down" },
  ]);
  assert.deepEqual(decode("\x1b[<22;1;1M"), [
    { ...plain, x: 0, y: 0, button: "right", action: "press", shift: true, ctrl: true },
  ]);
  // The encoding before SGR, from a terminal that knows no better.
  assert.deepEqual(decode("\x1b[M !!q"), [
    { ...plain, x: 0, y: 0, button: "left", action: "press" },
    { type: "key", key: "q", text: "q" },
  ]);
  assert.deepEqual(decode("\x1b[<35;1;1M\x1b[<66;1;1M\x1b[<0;0;0M\x1b[<;M"), []);
});

Deno.test("KeyDecoder swallows the terminal's answers as reports, never as keys", () => {
  const replies: [string, string, string][] = [
    ["\x1b[?64;1;2;22c", "da1", "?64;1;2;22"],
    ["\x1b]11;rgb:0000/0000/0000\x1b\\", "osc", "11;rgb:0000/0000/0000"],
    ["\x1b]11;rgb:ff/ff/ff\x07", "osc", "11;rgb:ff/ff/ff"],
    ["\x1bP1$r0;38:2::1:2:3m\x1b\\", "decrqss", "1$r0;38:2::1:2:3m"],
    ["\x1bP>|tmux 3.3a\x1b\\", "xtversion", "tmux 3.3a"],
    ["\x1b[?2026;2$y", "csi", "?2026;2$y"],
    ["\x1b[12;40R", "csi", "12;40R"],
    ["\x1b[I", "focus-in", ""],
    ["\x1b[O", "focus-out", ""],
  ];
  for (const [input, kind, text] of replies) {
    assert.deepEqual(decode(input), [{ type: "report", kind, text }], JSON.stringify(input));
  }
});

Deno.test("KeyDecoder does not lose the keyboard to a broken sequence", () => {
  assert.deepEqual(names("\x1b[" + "1;".repeat(5000) + "A" + "q"), ["q"]);
  assert.deepEqual(names("\x1b]" + "x".repeat(9000) + "\x07q"), ["q"]);
  // Someone typing after alt-]: the next control key ends the string that never was one.
  assert.deepEqual(names("\x1b]hello\x03q"), ["ctrl-c", "q"]);
  assert.deepEqual(names("\x1b[1\x1b[A"), ["up"]);
  assert.deepEqual(names("\x1b]11;rgb\x1b[A"), ["up"]);
  assert.deepEqual(names("\x1b[97;5:3u"), []); // a key that went up
});

Deno.test("KeyDecoder leaves out bytes that are no text", () => {
  assert.deepEqual(names(new Uint8Array([0xff, 0x80, 0xc3, 0x61])), ["a"]);
  assert.deepEqual(names(new Uint8Array([0xed, 0xa0, 0x80, 0x62])), ["b"]);
  assert.deepEqual(names(new Uint8Array([0xc2, 0x9b, 0x41])), ["A"]);
});

Deno.test("any split of the input gives the same events", () => {
  const piece = fc.oneof(
    fc.constantFrom(...TABLE.map(([input]) => input)),
    fc.constantFrom("\x1b[200~pa\x1b[20ste\x1b[201~", "\x1b[<0;10;20M", "\x1b[M !!"),
    fc.constantFrom("\x1b]11;rgb:1/2/3\x1b\\", "\x1bP>|x\x1b\\", "\x1b[?1;2c"),
    fc.string({ unit: "binary" }),
  ).map(encode);
  const raw = fc.uint8Array({ maxLength: 12 });
  const stream = fc.array(fc.oneof(piece, raw), { maxLength: 12 }).map((parts) =>
    new Uint8Array(parts.flatMap((part) => [...part]))
  );
  fc.assert(
    fc.property(stream, fc.array(fc.nat(200), { maxLength: 20 }), (bytes, cuts) => {
      const whole = decode(bytes);
      const decoder = new KeyDecoder();
      const edges = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length];
      edges.sort((a, b) => a - b);
      const parts = edges.slice(1).flatMap((end, i) => decoder.feed(bytes.slice(edges[i], end)));
      assert.deepEqual([...parts, ...decoder.timeout()], whole);
    }),
    { numRuns: 3000 },
  );
});
