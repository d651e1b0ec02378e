import assert from "node:assert/strict";
import { formatSize, formatTime, hex, pagesOf } from "../../src/base/units.ts";

Deno.test("sizes are read in binary units", () => {
  const texts = [0, 17, 4096, 1536, 64 * 2 ** 20, 1.5 * 2 ** 30, 2 ** 40].map(formatSize);
  assert.deepEqual(texts, ["0 B", "17 B", "4 KiB", "1.5 KiB", "64 MiB", "1.5 GiB", "1 TiB"]);
});

Deno.test("durations are read in the unit that suits them", () => {
  const texts = [17, 200_000, 1_500, 2_340_000, 412_000_000, 1_250_000_000].map(formatTime);
  assert.deepEqual(texts, ["17 ns", "200 us", "1.5 us", "2.34 ms", "412.0 ms", "1.250 s"]);
});

Deno.test("numbers and bigints print alike in hex; a part of a page needs a page", () => {
  assert.equal(hex(0x1f3000), "0x1f3000");
  assert.equal(hex(2n ** 64n - 1n), "0xffffffffffffffff");
  assert.deepEqual([0, 1, 4096, 4097].map(pagesOf), [0, 1, 1, 2]);
});
