import assert from "node:assert/strict";
import { PAGE_WORDS } from "../../../src/base/units.ts";
import { findWrongWord, writePattern } from "../../../src/userspace/guest/pattern.ts";
import { Rig } from "../../machine/devices/rig.ts";

const PAGE = 0x8000, OTHER = 0x9000, WORD = 0x12345678;

/** What may happen to a word. */
const DAMAGE: readonly ((word: number) => number)[] = [
  (word) => word ^ 1,
  (word) => ~word,
  // Together with its neighbour this may be a double that does not equal itself, or one of zero.
  () => 0xffffffff,
  () => 0,
  () => 0x80000000,
];

Deno.test("a wrong word of a page is found wherever it is, and nothing else", () => {
  const rig = new Rig();
  for (const damage of DAMAGE) {
    for (const index of [0, 1, 2, 3, 63, 64, 65, 510, 511, 512, 1000, 1022, 1023]) {
      const at = PAGE + 4 * index;
      writePattern(rig, PAGE, WORD);
      assert.equal(findWrongWord(rig, PAGE, WORD), -1);
      rig.store32(at, damage(rig.load32(at)) >>> 0);
      assert.equal(findWrongWord(rig, PAGE, WORD), at);
    }
  }
});

Deno.test("no piece of 64 bytes passes for another page's, nor for its own page's moved on", () => {
  const rig = new Rig();
  const piece = new Uint32Array(16);
  // The last two begin at the same place of the noise, or next to it.
  for (const word of [WORD ^ 0x55aa, WORD + 512, WORD + 1]) {
    for (let from = 0; from < PAGE_WORDS; from += 16) {
      writePattern(rig, PAGE, WORD);
      writePattern(rig, OTHER, word);
      rig.loadWords(OTHER + 4 * from, piece);
      rig.storeWords(PAGE + 4 * from, piece);
      const found = findWrongWord(rig, PAGE, WORD);
      assert.ok(found >= PAGE + 4 * from && found < PAGE + 4 * (from + 16), `${word}, ${from}`);
    }
  }
  for (const by of [1, 2, 16, 64, 512]) {
    writePattern(rig, PAGE, WORD);
    rig.loadWords(PAGE + 4 * by, piece);
    rig.storeWords(PAGE, piece);
    assert.notEqual(findWrongWord(rig, PAGE, WORD), -1, `moved on by ${by}`);
  }
});
