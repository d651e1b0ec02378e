import assert from "node:assert/strict";
import fc from "fast-check";
import { EmulatorBug } from "../../src/base/assert.ts";
import { EventQueue } from "../../src/base/event_queue.ts";

/** The same queue as a sorted array: slow, and plainly right. */
class SortedArray {
  now = 0;
  ran = 0;
  #events: { time: number; argument: number }[] = [];

  constructor(readonly handler: (argument: number) => void) {}

  at(time: number, argument: number): void {
    const i = this.#events.findIndex((e) => e.time > time);
    this.#events.splice(i < 0 ? this.#events.length : i, 0, { time, argument });
  }

  step(): void {
    const event = this.#events.shift();
    if (event === undefined) return;
    this.now = event.time;
    this.ran++;
    this.handler(event.argument);
  }

  runUntil(time: number): void {
    while (this.nextTime <= time) this.step();
    this.now = Math.max(this.now, time);
  }

  get size(): number {
    return this.#events.length;
  }

  get nextTime(): number {
    return this.#events[0]?.time ?? Infinity;
  }
}

// Few different delays: many events at one time is what the order of arrival is about.
const delay = fc.nat(12);
const operations = fc.array(
  fc.oneof(
    {
      weight: 6,
      // `then`: delays of what the event's handler schedules.
      arbitrary: fc.record({
        op: fc.constant("at" as const),
        n: delay,
        then: fc.array(delay, { maxLength: 2 }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ op: fc.constant("step" as const) }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant("until" as const), n: fc.nat(8) }) },
  ),
  { maxLength: 600, size: "max" },
);

Deno.test("events run by time and, at one time, in the order they were scheduled", () => {
  fc.assert(
    fc.property(operations, (list) => {
      const queue = new EventQueue();
      const ran: number[][] = [], expected: number[][] = [];
      const delaysOf = (argument: number) => {
        const event = list[argument];
        return event?.op === "at" ? event.then : [];
      };
      const handler = queue.register((argument) => {
        ran.push([queue.now, argument, queue.size, queue.ran]);
        for (const n of delaysOf(argument)) queue.after(n, handler, ~argument);
        ran.push([queue.nextTime]);
      });
      const model = new SortedArray((argument) => {
        expected.push([model.now, argument, model.size, model.ran]);
        for (const n of delaysOf(argument)) model.at(model.now + n, ~argument);
        expected.push([model.nextTime]);
      });
      list.forEach((event, i) => {
        if (event.op === "at") {
          queue.after(event.n, handler, i);
          model.at(model.now + event.n, i);
        } else if (event.op === "step") {
          queue.step();
          model.step();
        } else {
          queue.runUntil(queue.now + event.n);
          model.runUntil(model.now + event.n);
        }
        assert.equal(queue.now, model.now);
        assert.equal(queue.size, model.size);
      });
      queue.runUntil(1e6);
      model.runUntil(1e6);
      assert.deepEqual(ran, expected);
    }),
    { numRuns: 60 },
  );
});

Deno.test("a queue of ten thousand events keeps every one of them", () => {
  const queue = new EventQueue();
  const times: number[] = [];
  const handler = queue.register(() => times.push(queue.now));
  for (let i = 0; i < 10_000; i++) queue.at((i * 7919) % 10_007, handler);
  assert.equal(queue.size, 10_000);
  queue.runUntil(10_007);
  assert.equal(times.length, 10_000);
  assert.ok(times.every((t, i) => i === 0 || times[i - 1] <= t));
});

Deno.test("what a handler schedules for now runs before time moves on, behind what waits", () => {
  const queue = new EventQueue();
  const ran: string[] = [];
  const late = queue.register((n) => ran.push(`late ${n} at ${queue.now}`));
  const first = queue.register(() => {
    ran.push("first");
    queue.after(0, late, 2);
  });
  queue.at(5, first);
  queue.at(5, late, 1);
  queue.runUntil(5);
  assert.deepEqual(ran, ["first", "late 1 at 5", "late 2 at 5"]);
});

Deno.test("runUntil runs what is due at that very time, stands there, and never goes back", () => {
  const queue = new EventQueue();
  let runs = 0;
  const handler = queue.register(() => runs++);
  queue.at(10, handler);
  queue.at(11, handler);
  queue.runUntil(10);
  assert.deepEqual([runs, queue.now, queue.nextTime], [1, 10, 11]);
  queue.runUntil(3);
  assert.equal(queue.now, 10);
  queue.runUntil(100);
  assert.deepEqual([runs, queue.now, queue.nextTime], [2, 100, Infinity]);
  assert.equal(queue.step(), false);
});

Deno.test("times beyond 2^32 nanoseconds keep their order to the nanosecond", () => {
  const queue = new EventQueue();
  const ran: number[] = [];
  const handler = queue.register((n) => ran.push(n));
  const hour = 3_600_000_000_000;
  queue.at(1000 * hour + 1, handler, 1);
  queue.at(1000 * hour, handler, 0);
  queue.at(2 ** 52, handler, 2);
  queue.runUntil(2 ** 53 - 1);
  assert.deepEqual(ran, [0, 1, 2]);
});

Deno.test("scheduling in the past is a bug of the emulator", () => {
  const queue = new EventQueue();
  const handler = queue.register(() => {});
  queue.runUntil(10);
  assert.throws(() => queue.at(9, handler), EmulatorBug);
  assert.throws(() => queue.at(NaN, handler), EmulatorBug);
});

Deno.test("a closed queue keeps its time and count, and runs nothing more", () => {
  const queue = new EventQueue();
  const handler = queue.register(() => {});
  for (const time of [1, 2, 3]) queue.at(time, handler);
  queue.step();
  queue.step();
  queue.close();
  assert.deepEqual([queue.now, queue.ran], [2, 2]);
  assert.throws(() => queue.step(), EmulatorBug);
  assert.throws(() => queue.runUntil(10), EmulatorBug);
});
