/** Screens as text and as SVG, recordings, and a terminal that plays a script. */

import assert from "node:assert/strict";
import {
  Grid,
  keyBytes,
  KeyDecoder,
  makeTheme,
  pictureSvg,
  pictureText,
  recorded,
  Recording,
  Region,
  ScriptedIo,
  StyleTable,
} from "../../src/tui/mod.ts";
import { COMMANDS } from "../../src/dashboard/commands/table.ts";

function drawn(depth: "none" | "truecolor", background: "dark" | "light" = "dark"): Grid {
  const grid = new Grid(12, 2, new StyleTable(makeTheme({ depth, background })));
  const region = Region.of(grid);
  region.put(0, 0, "a<b>&", "bad");
  region.put(6, 0, "日本", "text");
  region.put(0, 1, "bar", "bar");
  return grid;
}

Deno.test("a screen as text has no blanks at the ends of its rows", () => {
  assert.equal(pictureText(drawn("none")), "a<b>& 日本\nbar\n");
});

Deno.test("a screen as SVG: escaped, coloured by the theme, wide characters in two cells", () => {
  const svg = pictureSvg(drawn("truecolor"));
  assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="116\.8" height="52"/);
  assert.match(svg, /fill="#ff635c" font-weight="bold">a&lt;b&gt;&amp;<\/text>/);
  assert.match(svg, /<text x="58\.4" y="21\.5" textLength="33\.6" fill="#d8dadf">日本</);
  assert.match(svg, /<rect x="8" y="26" width="25\.2" height="18" fill="#2e3136"\/>/);
  assert.match(
    pictureSvg(drawn("truecolor", "light")),
    /<rect width="116\.8" height="52" fill="#ffffff"/,
  );
  // Without colours reversal is what is left.
  const plain = pictureSvg(drawn("none"));
  assert.match(plain, /fill="#16181d" font-weight="bold">a&lt;/);
  for (const tag of ["svg", "text"]) {
    const opened = svg.match(new RegExp(`<${tag}[ >]`, "g"))?.length;
    assert.equal(opened, svg.match(new RegExp(`</${tag}>`, "g"))?.length);
  }
});

Deno.test("asciicast v2: a header, then events with seconds since the first", () => {
  const recording = new Recording({ cols: 80, rows: 24 }, { title: "t" });
  recording.output(1000, "\x1b[mé");
  recording.resize(1500.0004, { cols: 80, rows: 24 });
  recording.resize(1500.0004, { cols: 40, rows: 12 });
  recording.marker(2000, "here");
  assert.deepEqual(recording.text.trimEnd().split("\n").map((line) => JSON.parse(line)), [
    { version: 2, width: 80, height: 24, title: "t" },
    [0, "o", "\x1b[mé"],
    [0.5, "r", "40x12"],
    [1, "m", "here"],
  ]);
});

Deno.test("what is recorded of a terminal is what was written to it, whole characters at a time", () => {
  const io = new ScriptedIo({ cols: 10, rows: 2 });
  const recording = new Recording(io.size());
  const { write } = recorded(io, recording);
  const bytes = new TextEncoder().encode("aé");
  write(bytes.subarray(0, 2));
  write(bytes.subarray(2));
  assert.deepEqual(
    recording.text.trimEnd().split("\n").slice(1).map((line) => JSON.parse(line)[2]),
    ["a", "é"],
  );
});

Deno.test("a scripted terminal: timers run at their times, in their order", async () => {
  const io = new ScriptedIo({ cols: 10, rows: 2 });
  const seen: string[] = [];
  io.timer(20, () => seen.push(`b ${io.now()}`));
  io.timer(10, () => {
    seen.push(`a ${io.now()}`);
    io.timer(10, () => seen.push(`c ${io.now()}`));
  });
  io.timer(15, () => seen.push("never"))();
  void io.read().then((bytes) => seen.push(`read ${bytes}`));
  await io.play([
    { type: "wait", ms: 20 },
    { type: "input", bytes: "k" },
    { type: "call", run: () => seen.push(`now ${io.now()}`) },
  ], () => false);
  assert.deepEqual(seen, ["a 10", "b 20", "c 20", "read 107", "now 20"]);
});

Deno.test("keyBytes is the counterpart of the decoder, for every key that a command has", () => {
  const names = [
    ...COMMANDS.flatMap((command) => command.keys),
    ..."aZ0/é日".split(""),
    ...[
      "insert",
      "f5",
      "f12",
      "ctrl-left",
      "ctrl-shift-up",
      "alt-x",
      "shift-f3",
      "ctrl-alt-delete",
    ],
  ];
  for (const name of names) {
    const bytes = keyBytes(name);
    assert.ok(bytes !== undefined, name);
    const decoder = new KeyDecoder();
    const events = [...decoder.feed(new TextEncoder().encode(bytes)), ...decoder.timeout()];
    const keys = events.map((event) => event.type === "key" ? event.key : event.type);
    assert.deepEqual(keys, [name === "space" ? " " : name], name);
  }
  for (const name of ["", "hyper-x", "f99", "ctrl-", "nothing"]) {
    assert.equal(keyBytes(name), undefined, name);
  }
});
