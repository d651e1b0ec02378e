import assert from "node:assert/strict";
import fc from "fast-check";
import { MiB } from "../../../src/base/units.ts";
import { Bitmap } from "../../../src/kernel/fs/guestmemfs/bitmap.ts";
import { Memory } from "../../../src/machine/memory.ts";

/** Across the end of a page: the 100 words before it hold bits 0 to 3199. */
const ADDRESS = 8192 - 400, BITS = 3300;

const step = fc.record({
  first: fc.integer({ min: 0, max: BITS - 1 }),
  count: fc.oneof(fc.nat(3), fc.constantFrom(31, 32, 33, 64), fc.nat(BITS)),
  on: fc.boolean(),
});

Deno.test("runs of bits are set and found as single ones are", () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 8 }),
      fc.nat(BITS),
      fc.nat(BITS),
      (steps, from, end) => {
        const bits = new Bitmap(new Memory([{ start: 0, size: MiB }]), ADDRESS);
        const model = new Array<boolean>(BITS + 32).fill(false);
        for (const { first, count, on } of steps) {
          const n = Math.min(count, BITS - first);
          bits.set(first, n, on);
          model.fill(on, first, first + n);
        }
        assert.deepEqual(model.map((_, i) => bits.has(i)), model);
        for (const on of [true, false]) {
          const found = model.findIndex((bit, i) => i >= from && i < end && bit === on);
          assert.equal(bits.next(from, end, on), found < 0 ? end : found);
        }
      },
    ),
    { numRuns: 60 },
  );
});
