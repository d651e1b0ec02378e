import assert from "node:assert/strict";
import { devices } from "../../bench/ours/devices.ts";
import { GROUPS } from "../../bench/pairs.ts";

Deno.test("our side of the devices does what the pairs are called, the same each time", () => {
  const ours = devices(500);
  const names = GROUPS.find((group) => group.name === "devices")!.pairs.map((pair) => pair.name);
  assert.deepEqual(Object.keys(ours), names);
  for (const name of names) assert.equal(ours[name]!(), ours[name]!(), name);
});
