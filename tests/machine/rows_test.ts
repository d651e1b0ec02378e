import assert from "node:assert/strict";
import fc from "fast-check";
import { MiB } from "../../src/base/units.ts";
import { Memory } from "../../src/machine/memory.ts";
import { valuesInARow, writeRow } from "../../src/machine/rows.ts";

const PFN = 3;

/** The same as valuesInARow, value by value. */
function counted(values: readonly bigint[], index: number, step: bigint): number {
  let n = 1;
  if (values[index] >= 2n ** 51n) return 1;
  while (index + n < 512 && values[index + n] === values[index] + BigInt(n) * step) n++;
  return n;
}

/** A value to begin with, near what 32 and 51 bits end at as well. */
const first = fc.oneof(
  fc.bigInt({ min: 0n, max: 1000n }),
  fc.bigInt({ min: 2n ** 32n - 600n, max: 2n ** 32n }),
  fc.bigInt({ min: 2n ** 51n - 10n, max: 2n ** 51n + 10n }),
  fc.bigInt({ min: 2n ** 63n, max: 2n ** 64n - 1n }),
);

Deno.test("a row ends with the frame, and before the first value that is not the next one", () => {
  const memory = new Memory([{ start: 0, size: MiB }]);
  const values = new BigUint64Array(512), words = new Uint32Array(values.buffer);
  fc.assert(
    fc.property(
      first,
      fc.constantFrom(1n, 4096n, 2n ** 21n, 2n ** 39n),
      fc.array(fc.tuple(fc.nat(511), fc.nat(63)), { maxLength: 2 }),
      fc.nat(511),
      (from, step, flips, index) => {
        for (let i = 0; i < 512; i++) values[i] = from + BigInt(i) * step;
        for (const [at, bit] of flips) values[at] ^= 1n << BigInt(bit);
        words.forEach((word, i) => memory.store(PFN, i, word));
        const found = valuesInARow(memory, PFN, index, Number(step));
        assert.equal(found, counted([...values], index, step));
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("where nothing was written, and beyond what a double adds exactly, nothing is in a row", () => {
  const memory = new Memory([{ start: 0, size: MiB }]);
  assert.equal(valuesInARow(memory, PFN, 0, 1), 1);
  writeRow(memory, PFN, 0, 0, 512);
  assert.equal(valuesInARow(memory, PFN, 0, 2 ** 48), 1);
});

Deno.test("a row that was written is one, and touches nothing beside it", () => {
  const memory = new Memory([{ start: 0, size: MiB }]);
  for (let word = 0; word < 1024; word++) memory.store(PFN, word, -1);
  writeRow(memory, PFN, 5, 70_000, 12);
  assert.equal(valuesInARow(memory, PFN, 5, 1), 12);
  assert.equal(memory.read64(PFN * 4096 + 16 * 8), 70_011);
  const untouched = [9, 34].map((word) => memory.load(PFN, word));
  assert.deepEqual(untouched, [-1, -1]);
});
