/** The line editor: keys in, lines out. */

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  drawInput,
  editInput,
  Grid,
  inputOf,
  insertText,
  Region,
  StyleTable,
  type TextInput,
} from "../../src/tui/mod.ts";
import { pictureOf } from "./helpers.ts";

function press(input: TextInput, ...keys: string[]): TextInput {
  return keys.reduce((line, key) => {
    const text = [...key].length === 1 ? { text: key } : {};
    return editInput(line, { type: "key", key, ...text }) ?? line;
  }, input);
}

const show = ({ text, cursor }: TextInput) => `${text.slice(0, cursor)}|${text.slice(cursor)}`;

const CASES: [from: string, keys: string[], to: string][] = [
  ["ab", ["left", "x"], "ax|b"],
  ["ab", ["home", "delete", "right", "right"], "b|"],
  ["ab cd", ["ctrl-w"], "ab |"],
  ["ab cd", ["ctrl-left", "ctrl-k"], "ab |"],
  ["ab cd", ["home", "ctrl-right", "ctrl-u"], "| cd"],
  ["ab", ["backspace", "backspace", "backspace"], "|"],
  ["a👍b", ["left", "backspace"], "a|b"],
  ["a👍b", ["home", "right", "delete"], "a|b"],
  ["ab", ["f5", "up", "enter"], "ab|"],
];

for (const [from, keys, to] of CASES) {
  Deno.test(`editing: ${from} and ${keys.join(" ")}`, () => {
    assert.equal(show(press(inputOf(from), ...keys)), to);
  });
}

Deno.test("what is pasted becomes one line without control characters", () => {
  assert.equal(show(insertText(inputOf("a"), "b\n\tc\x1b[31md")), "ab c[31md|");
  assert.equal(insertText(inputOf("a"), "x".repeat(5000)).text, "a");
});

Deno.test("the cursor stays within the line, whatever is pressed", () => {
  const key = fc.oneof(
    fc.constantFrom("left", "right", "home", "end", "backspace", "delete", "ctrl-w", "ctrl-u"),
    fc.constantFrom("ctrl-k", "ctrl-left", "ctrl-right", "a", " ", "👍", "日"),
  );
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), fc.array(key), (from, keys) => {
    const { text, cursor } = press(inputOf(from), ...keys);
    assert.ok(cursor >= 0 && cursor <= text.length);
    assert.equal(text, text.toWellFormed());
  }));
});

Deno.test("a line that is too long is shown around the cursor", () => {
  const picture = (input: TextInput) => {
    const grid = new Grid(10, 1, new StyleTable());
    drawInput(Region.of(grid), ":", input);
    return [pictureOf(grid)[0], grid.cursor?.x];
  };
  assert.deepEqual(picture(inputOf("abc")), [":abc      ", 4]);
  assert.deepEqual(picture(inputOf("abcdefghijkl")), [":efghijkl ", 9]);
  assert.deepEqual(picture({ text: "abcdefghijkl", cursor: 0 }), [":abcdefghi", 1]);
});
