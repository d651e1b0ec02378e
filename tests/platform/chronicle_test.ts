import assert from "node:assert/strict";
import { Chronicle } from "../../src/platform/chronicle.ts";

Deno.test("Chronicle: no program outlives its kernel, each has its own time", () => {
  let now = 0, runs = true;
  const chronicle = new Chronicle(() => now);
  const at = (time: number, tell: () => void) => {
    now = time;
    tell();
  };
  chronicle.begins();
  at(10, () => chronicle.isReady());
  at(20, () => chronicle.starts("vm0"));
  at(30, () => chronicle.lookAt(() => runs));
  at(40, () => chronicle.leaves());
  at(50, () => chronicle.begins());
  at(60, () => chronicle.starts("vm0"));
  runs = false;
  at(70, () => chronicle.lookAt(() => runs));
  at(80, () => chronicle.lookAt(() => runs));
  assert.deepEqual(chronicle.reigns, [
    { from: 0, ready: 10, left: 40 },
    { from: 50, ready: -1, left: -1 },
  ]);
  assert.deepEqual(chronicle.livesOf("vm0"), [{ from: 20, to: 50 }, { from: 60, to: 70 }]);
  assert.deepEqual(chronicle.livesOf("vm1"), []);
});
