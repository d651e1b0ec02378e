import assert from "node:assert/strict";
import { framesByHand } from "../../bench/frames/by_hand.ts";
import { FRAMES } from "../../bench/frames/frames.ts";
import { frameBenchmarks } from "../../bench/frames/ours.ts";
import { GROUPS } from "../../bench/pairs.ts";

Deno.test("both sides of the frames draw as many, each changing what it is said to change", () => {
  const divisor = 20;
  const byHand = framesByHand(divisor), ours = frameBenchmarks(divisor);
  const names = GROUPS.find((group) => group.name === "frames")!.pairs.map((pair) => pair.name);
  assert.deepEqual(Object.keys(byHand).sort(), names.toSorted());
  assert.deepEqual(Object.keys(ours).sort(), names.toSorted());
  for (const name of names) {
    assert.equal(byHand[name]!(), FRAMES / divisor, name);
    assert.equal(ours[name]!(), FRAMES / divisor, name);
  }
});
