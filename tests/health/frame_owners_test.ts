import assert from "node:assert/strict";
import fc from "fast-check";
import { FrameOwners } from "../../src/health/frame_owners.ts";

const CHUNK = 1 << 18, FRAMES = 3 * CHUNK + 2;

/** Frames at both sides of where chunks meet: all that can go wrong shows there. */
const edge = fc.tuple(fc.nat(3), fc.integer({ min: -2, max: 2 }))
  .map(([chunk, off]) => Math.min(FRAMES - 1, Math.max(0, chunk * CHUNK + off)));
const steps = fc.array(
  fc.record({
    op: fc.constantFrom("give", "give", "drop", "release"),
    from: edge,
    to: edge,
    number: fc.integer({ min: 1, max: 3 }),
  }),
  { maxLength: 8 },
);

Deno.test("who has a frame, and who had it, is what a list of all frames says", () => {
  const model = new Int16Array(FRAMES);
  fc.assert(
    fc.property(steps, edge, edge, (list, one, other) => {
      const owners = new FrameOwners(FRAMES);
      model.fill(0);
      for (const { op, from, to, number } of list) {
        const [first, end] = from < to ? [from, to] : [to, from + 1];
        if (op === "give") {
          owners.set(first, end - first, number);
          model.fill(number, first, end);
          continue;
        }
        if (op === "drop") owners.set(first, end - first, 0);
        else owners.release(first, end - first, number);
        for (let i = first; i < end; i++) {
          if (op === "drop" || model[i] === number) model[i] = -Math.abs(model[i]!);
        }
      }
      for (let chunk = 0; chunk <= 3; chunk++) {
        for (let at = chunk * CHUNK - 3; at < chunk * CHUNK + 3; at++) {
          if (at >= 0 && at < FRAMES) assert.equal(owners.entry(at), model[at], `frame ${at}`);
        }
      }
      assert.equal(owners.entry(FRAMES), 0, "nobody has what is not there");
      const [first, end] = one < other ? [one, other] : [other, one + 1];
      const even = (pfn: number) => pfn % 2 === 0;
      const found = owners.firstOfOthers(first, end - first, 2, even);
      const expected = model.subarray(first, end).findIndex((owner, i) =>
        owner > 0 && owner !== 2 && even(first + i)
      );
      assert.equal(found, expected < 0 ? -1 : first + expected);
      const sampled = new Uint16Array(40);
      owners.sample(0, 19999, sampled.subarray(0, 39));
      assert.ok(sampled.subarray(0, 39).every((o, i) => o === Math.max(0, model[i * 19999]!)));
    }),
    { numRuns: 25 },
  );
});
