import assert from "node:assert/strict";
import fc from "fast-check";
import { CellScanner, cellWidth, textWidth, truncate, wrap } from "../../src/tui/mod.ts";
import { PIECES } from "./helpers.ts";

/** Cells of a text as "drawn" strings, a width behind each that is not 1. */
function cells(text: string): string[] {
  const scanner = new CellScanner();
  scanner.start(text);
  const found: string[] = [];
  while (scanner.next()) {
    const drawn = String.fromCodePoint(scanner.code) + scanner.marks;
    found.push(scanner.width === 1 ? drawn : `${drawn}:${scanner.width}`);
  }
  return found;
}

Deno.test("cellWidth() knows narrow, wide and zero-width code points", () => {
  const widths: [string, number][] = [
    ["a", 1],
    ["é", 1],
    ["─", 1],
    ["█", 1],
    ["⣿", 1],
    ["…", 1],
    ["日", 2],
    ["한", 2],
    ["ｆ", 2],
    ["😀", 2],
    ["⌚", 2],
    ["\u{2b820}", 2],
    ["\u0301", 0],
    ["\u200d", 0],
    ["\ufe0f", 0],
    ["\u1161", 0],
    ["\u3099", 0],
  ];
  for (const [char, width] of widths) {
    assert.equal(cellWidth(char.codePointAt(0)!), width, JSON.stringify(char));
  }
});

Deno.test("CellScanner keeps marks with their base, at most two", () => {
  assert.deepEqual(cells("e\u0301x"), ["é", "x"]);
  assert.deepEqual(cells("x\u20ddy"), ["x\u20dd", "y"]);
  assert.deepEqual(cells("q" + "\u0316\u0317\u0318\u0319".repeat(9)), ["q\u0316\u0317"]);
  assert.deepEqual(cells("\u0301a"), ["a"]);
  assert.deepEqual(cells("\u1112\u1161\u11ab"), ["한:2"]);
});

Deno.test("CellScanner reduces what terminals disagree about", () => {
  assert.deepEqual(cells("👨\u200d👩\u200d👧!"), ["👨:2", "!"]);
  assert.deepEqual(cells("👍🏽!"), ["👍:2", "!"]);
  assert.deepEqual(cells("🇩🇪"), ["D", "E"]);
  assert.deepEqual(cells("❤\ufe0f!"), ["❤", "!"]);
  assert.deepEqual(cells("a\u200bb\ufeffc"), ["a", "b", "c"]);
});

Deno.test("CellScanner replaces control characters, overrides and broken text", () => {
  assert.deepEqual(cells("\x1b[2J"), ["␛", "[", "2", "J"]);
  assert.deepEqual(cells("a\tb\nc\x7f"), ["a", " ", "b", "␊", "c", "␡"]);
  assert.deepEqual(cells("\x9b\u202e\u2028\ud800"), [
    "\ufffd",
    "\ufffd",
    "\ufffd",
    "\ufffd",
  ]);
  assert.deepEqual(cells("\u00ad"), ["-"]);
});

Deno.test("CellScanner never yields anything that a terminal could obey", () => {
  const any = fc.oneof(
    fc.string({ unit: "binary", maxLength: 30 }),
    fc.array(fc.constantFrom(...PIECES)).map((parts) => parts.join("")),
    fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  );
  fc.assert(
    fc.property(any, (text) => {
      // deno-lint-ignore no-control-regex
      assert.doesNotMatch(cells(text).join(""), /[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/);
      assert.equal(
        textWidth(text),
        cells(text).reduce((n, c) => n + (c.endsWith(":2") ? 2 : 1), 0),
      );
    }),
    { numRuns: 2000 },
  );
});

Deno.test("truncate() never exceeds the width and never splits a wide character", () => {
  assert.equal(truncate("日本語", 5), "日本");
  assert.equal(truncate("abc", 3), "abc");
  assert.equal(truncate("abc", 0), "");
  const text = fc.array(fc.constantFrom(...PIECES)).map((parts) => parts.join(""));
  fc.assert(fc.property(text, fc.integer({ min: 0, max: 20 }), (text, width) => {
    assert.ok(textWidth(truncate(text, width)) <= width);
  }));
});

Deno.test("wrap() breaks at spaces, keeps line ends and splits long words", () => {
  assert.deepEqual(wrap("one two three\nfour", 8), ["one two", "three", "four"]);
  assert.deepEqual(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
  assert.deepEqual(wrap("", 5), [""]);
  assert.deepEqual(wrap("abc", 0), []);
  assert.deepEqual(wrap("日", 1), []);
  const text = fc.array(fc.constantFrom(...PIECES)).map((parts) => parts.join(" "));
  fc.assert(fc.property(text, fc.integer({ min: 0, max: 20 }), (text, width) => {
    for (const line of wrap(text, width)) assert.ok(textWidth(line) <= width);
  }));
});
