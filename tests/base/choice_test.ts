import assert from "node:assert/strict";
import fc from "fast-check";
import { FailNth, Recorder, Replay, SeededChooser } from "../../src/base/choice.ts";

function draw(chooser: SeededChooser, point: string, bound: number, times: number): number[] {
  return Array.from({ length: times }, () => chooser.pick(point, bound));
}

Deno.test("a pick is an integer from 0 to the bound, both possible", () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(2 ** 31 - 1), fc.string(), (seed, bound, point) => {
      for (const n of draw(new SeededChooser(seed), "x" + point, bound, 20)) {
        assert.ok(Number.isInteger(n) && n >= 0 && n <= bound);
      }
    }),
    { numRuns: 200 },
  );
  const seen = new Set(draw(new SeededChooser(1), "boot:page", 7, 400));
  assert.deepEqual([...seen].sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
});

Deno.test("the picks of a point spread evenly over its values", () => {
  const counts = new Array(10).fill(0);
  for (const n of draw(new SeededChooser(42), "sched:next", 9, 10_000)) counts[n]++;
  for (const c of counts) assert.ok(c > 850 && c < 1150, `1000 expected, ${c} seen`);
});

Deno.test("the same seed decides the same, another seed differently", () => {
  const a = draw(new SeededChooser(7), "boot:page", 1000, 50);
  assert.deepEqual(draw(new SeededChooser(7), "boot:page", 1000, 50), a);
  assert.notDeepEqual(draw(new SeededChooser(8), "boot:page", 1000, 50), a);
});

Deno.test("a decision added at one point leaves the decisions of all others as they were", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 60 }), (order) => {
      const mixed = new SeededChooser(3);
      const got: Record<string, number[]> = { a: [], b: [], c: [] };
      for (const point of order) got[point].push(mixed.pick(point, 99));
      for (const point of ["a", "b", "c"]) {
        const alone = draw(new SeededChooser(3), point, 99, got[point].length);
        assert.deepEqual(got[point], alone);
      }
    }),
  );
});

Deno.test("points of different names do not decide alike", () => {
  const chooser = new SeededChooser(3);
  assert.notDeepEqual(draw(chooser, "a", 99, 30), draw(chooser, "b", 99, 30));
});

Deno.test("a fault point stays quiet unless it is armed, and fires once, at the visit asked for", () => {
  const chooser = new SeededChooser(1);
  assert.deepEqual(draw(chooser, "fault:alloc_page", 1, 100), new Array(100).fill(0));
  chooser.arm("fault:alloc_page", 3);
  assert.deepEqual(draw(chooser, "fault:other", 1, 3), [0, 0, 0]);
  assert.deepEqual(draw(chooser, "fault:alloc_page", 1, 5), [0, 0, 1, 0, 0]);
  chooser.arm("fault:alloc_page");
  assert.deepEqual(draw(chooser, "fault:alloc_page", 1, 2), [1, 0]);
});

Deno.test("visiting fault points does not disturb seeded decisions", () => {
  const plain = new SeededChooser(5), visited = new SeededChooser(5);
  visited.pick("fault:alloc_page", 1);
  assert.deepEqual(draw(visited, "boot:page", 99, 20), draw(plain, "boot:page", 99, 20));
});

Deno.test("FailNth fails the n-th fault point visited, whichever it is, and decides 0 elsewhere", () => {
  const chooser = new FailNth(3);
  const visits = ["fault:a", "boot:page", "fault:b", "sched:next", "fault:a", "fault:a"];
  assert.deepEqual(visits.map((p) => chooser.pick(p, 5)), [0, 0, 0, 0, 1, 0]);
  assert.equal(chooser.fired, true);
  assert.equal(chooser.hits, 4);
  const quiet = new FailNth(3);
  quiet.pick("fault:a", 1);
  assert.equal(quiet.fired, false);
});

Deno.test("a recorded run can be made again without the chooser that made it", () => {
  const recorder = new Recorder(new SeededChooser(11));
  const asked: [string, number][] = [["a", 9], ["b", 1], ["a", 9], ["fault:x", 1], ["c", 0]];
  const first = asked.map(([p, b]) => recorder.pick(p, b));
  const replay = new Replay(recorder.decisions);
  assert.deepEqual(asked.map(([p, b]) => replay.pick(p, b)), first);
});

Deno.test("a replay stops where the run asks for something else than was recorded", () => {
  const decisions = [{ point: "a", bound: 9, value: 4 }];
  assert.throws(() => new Replay(decisions).pick("b", 9), /asked for b \(0\.\.9\), recorded a/);
  assert.throws(() => new Replay(decisions).pick("a", 8), /asked for a \(0\.\.8\)/);
  const replay = new Replay(decisions);
  assert.equal(replay.pick("a", 9), 4);
  assert.throws(() => replay.pick("a", 9), /recorded nothing more/);
});
