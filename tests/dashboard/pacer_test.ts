import assert from "node:assert/strict";
import { Pacer } from "../../src/dashboard/pacer.ts";

class Counter {
  ns = 0;
  runs = 0;
  constructor(readonly cost: (ns: number) => void = () => {}) {}
  runFor(ns: number) {
    this.ns += ns;
    this.runs++;
    this.cost(ns);
  }
}

Deno.test("Pacer.frame() runs wall time times speed, from the second frame on", () => {
  const paced = new Counter();
  const pacer = new Pacer(() => 0);
  pacer.frame(paced, 1000, 2);
  assert.equal(paced.ns, 0);
  pacer.frame(paced, 1010, 2);
  assert.equal(paced.ns, 20e6);
  pacer.frame(paced, 1020, 1 / 16);
  assert.equal(paced.ns, 20e6 + 625_000);
});

Deno.test("Pacer.frame() does not catch up on a terminal that was stopped", () => {
  const paced = new Counter();
  const pacer = new Pacer(() => 0);
  pacer.frame(paced, 0, 1);
  pacer.frame(paced, 60_000, 1);
  assert.equal(paced.ns, 100e6);
});

Deno.test("Pacer.frame() lets virtual time lag when emulation is slow, and tells the pace", () => {
  let clock = 0;
  // A machine on which a virtual millisecond takes two real ones.
  const paced = new Counter((ns) => clock += ns * 2 / 1e6);
  const pacer = new Pacer(() => clock);
  for (let now = 0; now <= 1000; now += 50) pacer.frame(paced, now, 1);
  assert.ok(paced.ns >= 20 * 12e6 && paced.ns <= 20 * 13e6, String(paced.ns));
  assert.ok(pacer.pace > 0.2 && pacer.pace < 0.3, String(pacer.pace));
  pacer.frame(paced, 1050, 1 / 8);
  assert.equal(pacer.pace, 0, "nothing is known of the new speed yet");
  pacer.rest();
  assert.equal(pacer.pace, 0);
});
