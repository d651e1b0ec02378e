import assert from "node:assert/strict";
import { ColorProbe, KeyDecoder } from "../../src/tui/mod.ts";

function answer(bytes: string): ColorProbe {
  const probe = new ColorProbe();
  for (const event of new KeyDecoder().feed(new TextEncoder().encode(bytes))) {
    assert.equal(event.type, "report");
    if (event.type === "report") probe.take(event);
  }
  return probe;
}

Deno.test("ColorProbe understands what terminals answer", () => {
  const cases: [string, string, string][] = [
    // xterm, with everything
    [
      "\x1bP1$r0;38:2::1:2:3m\x1b\\\x1bP>|XTerm(379)\x1b\\\x1b]11;rgb:0000/0000/0000\x1b\\\x1b[?64;22c",
      "truecolor",
      "dark",
    ],
    // an xterm limited to its palette echoes an index
    ["\x1bP1$r0;38:5:16m\x1b\\\x1b[?64;22c", "256", "unknown"],
    ["\x1bP>|tmux 3.3a\x1b\\\x1b[?1;2c", "truecolor", "unknown"],
    ["\x1b]11;rgb:ff/fa/e0\x07\x1b[?62;c", "256", "light"],
    ["\x1b]11;garbage\x07\x1b[?62c", "256", "unknown"],
    ["\x1b[?6c", "16", "unknown"], // the Linux console
  ];
  for (const [bytes, depth, background] of cases) {
    const probe = answer(bytes);
    assert.deepEqual([probe.depth, probe.background, probe.done], [depth, background, true]);
  }
  assert.equal(answer("\x1b]11;rgb:0/0/0\x07").done, false);
});
