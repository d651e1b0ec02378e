import assert from "node:assert/strict";
import fc from "fast-check";
import { EventQueue } from "../../src/base/event_queue.ts";
import { MiB, ms } from "../../src/base/units.ts";
import { Ledger } from "../../src/health/ledger.ts";
import { BUCKET, type DmaIncident, Meter, MeterTable } from "../../src/health/meter.ts";
import { BUCKETS } from "../../src/health/rings.ts";
import { type IncidentSink, Meters } from "../../src/health/meters.ts";
import { DMA_BUS_MASTER_OFF, DMA_MASTER_ABORT, Route } from "../../src/machine/dma_port.ts";
import { Memory } from "../../src/machine/memory.ts";
import { DMA_INTERRUPT } from "../../src/machine/interrupt_range.ts";

const OWN = 10, OTHERS = 20, NOBODYS = 30;

/** Meters with a clock to set, a guest that owns a frame, and everything the sink was told. */
class Bench implements IncidentSink {
  executed(): void {}
  restarted(): void {}
  readonly queue = new EventQueue();
  readonly ledger = new Ledger(new Memory([{ start: 0, size: MiB }]));
  readonly meters = new Meters();
  readonly told: string[] = [];
  readonly incidents: DmaIncident[] = [];

  constructor() {
    this.meters.start(this.queue, this.ledger);
    this.meters.sink = this;
    this.ledger.mapped("mine", 0, [{ pfn: OWN, count: 1 }]);
    this.ledger.mapped("other", 0, [{ pfn: OTHERS, count: 1 }]);
    this.meters.setGuest(0, this.ledger.numberOf("mine"));
  }

  get meter(): Meter {
    return this.meters.get(0);
  }

  at(now: number): this {
    this.queue.runUntil(now);
    return this;
  }

  success(pfn = OWN, route = Route.translated, write = true): this {
    this.meters.done(0, write, 0, pfn * 4096, pfn, 64, route);
    return this;
  }

  failure(code: number): this {
    this.meters.failed(0, true, 1, 0x2000, code);
    return this;
  }

  work(busy: boolean): this {
    this.meters.work(0, busy);
    return this;
  }

  fault(incident: DmaIncident): void {
    this.told.push("fault");
    this.incidents.push(incident);
  }
  stray(incident: DmaIncident): void {
    this.told.push("stray");
    this.incidents.push(incident);
  }
  untranslated(): void {
    this.told.push("untranslated");
  }
  stopped(): void {
    this.told.push("stopped");
  }
  asked(): void {
    this.told.push("asked");
  }
  unasked(): void {
    this.told.push("unasked");
  }
  done(): void {
    this.told.push("done");
  }
}

Deno.test("a device with nothing to do has no gap", () => {
  const b = new Bench();
  b.at(10).work(true).at(20).success().work(false);
  assert.equal(b.meter.longestGap, 10);
  assert.equal(b.at(900).meter.openGap(900), 0);
  b.work(true).at(905).success().work(false);
  assert.equal(b.meter.longestGap, 10, "880 ns in between do not count");
});

Deno.test("a gap is open from the last success, or from when work came up", () => {
  const b = new Bench();
  b.work(true).at(100).success();
  assert.equal(b.meter.openGap(250), 150);
  b.work(false).at(400).work(true);
  assert.equal(b.meter.openGap(450), 50);
  b.at(600).success();
  assert.equal(b.meter.longestGap, 200);
  assert.equal(b.meter.longestGapEnd, 600);
});

Deno.test("failures do not end a gap, and losing the work does", () => {
  const b = new Bench();
  b.work(true).at(10).success().at(50).failure(-5).at(90).failure(DMA_BUS_MASTER_OFF);
  assert.equal(b.meter.openGap(90), 80);
  b.at(110).work(false);
  assert.equal(b.meter.longestGap, 100);
  assert.equal(b.meter.openGap(500), 0);
});

Deno.test("the time before the first success is a gap too", () => {
  const b = new Bench();
  b.at(100).work(true).at(180).success();
  assert.equal(b.meter.longestGap, 80);
});

Deno.test("telling a busy device that it has work changes nothing", () => {
  const b = new Bench();
  b.work(true).at(70).work(true);
  assert.equal(b.meter.openGap(100), 100);
});

Deno.test("work that ends with a try was done, work that just ends was taken away", () => {
  const b = new Bench();
  b.work(true).at(10).success().work(false);
  b.at(20).work(true).at(30).failure(-5).work(false);
  b.at(40).work(false);
  assert.equal(b.meter.stopped, 0);
  b.at(50).work(true).at(60).success().at(61).work(false);
  assert.equal(b.meter.stopped, 1);
  assert.deepEqual(b.told, ["done", "fault", "done", "stopped"]);
});

Deno.test("a full ring is flagged until something comes through or room is made", () => {
  const b = new Bench();
  b.work(true).success().work(false);
  b.meters.starved(0);
  b.meters.starved(0);
  assert.equal(b.meter.starved, 2);
  assert.ok(b.meter.isStarved);
  b.success();
  assert.ok(!b.meter.isStarved);
  b.meters.starved(0);
  b.work(true);
  assert.ok(!b.meter.isStarved);
  assert.equal(b.meter.faultCount, 0);
});

Deno.test("faults are counted by reason", () => {
  const b = new Bench();
  b.at(7).failure(-5).failure(-5).failure(-2);
  assert.equal(b.meter.faultCount, 3);
  assert.deepEqual([...b.meter.faults], [[5, 2], [2, 1]]);
  assert.equal(b.meter.lastBad, 7);
  const first = { time: 7, fn: 0, write: true, iova: 0x100002000, pfn: -1, code: -5 };
  assert.deepEqual(b.meter.firstFault, first);
  assert.deepEqual(b.incidents[0], first);
});

Deno.test("a refusal by an IOMMU of any kind is a fault", () => {
  const b = new Bench();
  b.failure(-0x110).failure(-0x202);
  assert.deepEqual([...b.meter.faults], [[0x110, 1], [0x202, 1]]);
  assert.deepEqual([b.meter.faultCount, b.meter.aborted], [2, 0]);
});

Deno.test("with bus mastering off an access is blocked, not faulting, and is told all the same", () => {
  const b = new Bench();
  b.failure(DMA_BUS_MASTER_OFF);
  assert.equal(b.meter.blocked, 1);
  assert.equal(b.meter.faultCount + b.meter.aborted, 0);
  assert.equal(b.meter.lastBad, -1);
  assert.equal(b.meter.firstFault, undefined);
  assert.deepEqual(b.told, ["fault"]);
});

Deno.test("an address without memory behind it is an abort", () => {
  const b = new Bench();
  b.at(3).failure(DMA_MASTER_ABORT);
  assert.equal(b.meter.aborted, 1);
  assert.equal(b.meter.faultCount + b.meter.blocked, 0);
  assert.equal(b.meter.lastBad, 3);
});

Deno.test("an interrupt message is no DMA", () => {
  const b = new Bench();
  b.failure(DMA_INTERRUPT);
  const { faultCount, blocked, aborted, lastBad } = b.meter;
  assert.deepEqual([faultCount, blocked, aborted, lastBad], [0, 0, 0, -1]);
  assert.deepEqual(b.told, []);
});

Deno.test("own memory is fine, anybody else's is stray", () => {
  const b = new Bench();
  b.success(OWN);
  assert.equal(b.meter.stray, 0);
  b.at(5).success(OTHERS).success(NOBODYS, Route.translated, false);
  assert.equal(b.meter.stray, 2);
  assert.equal(b.meter.firstStray?.pfn, OTHERS);
  assert.equal(b.meter.lastBad, 5);
  assert.deepEqual([b.meter.writes, b.meter.reads, b.meter.bytes], [2, 1, 192]);
  b.meters.setGuest(0, 0);
  b.success(NOBODYS);
  assert.equal(b.meter.stray, 2, "a device of nobody's in memory of nobody's");
  b.meters.setGuest(0, -1);
  b.success(NOBODYS);
  assert.equal(b.meter.stray, 3, "a device whose guest has no memory yet");
});

Deno.test("a stray write excuses no change under the seal", () => {
  const b = new Bench();
  b.ledger.seal("other");
  b.success(OTHERS);
  b.ledger.memory.store(OTHERS, 0, 1);
  assert.equal(b.ledger.check("other")?.what, "overwritten");
  b.ledger.seal("mine");
  b.success(OWN);
  b.ledger.memory.store(OWN, 0, 1);
  assert.equal(b.ledger.check("mine"), undefined);
});

Deno.test("only an access with translation off is untranslated", () => {
  const b = new Bench();
  for (const route of [Route.translated, Route.passthrough, Route.direct]) b.success(OWN, route);
  assert.equal(b.meter.untranslated, 0);
  b.success(OWN, Route.untranslated);
  assert.equal(b.meter.untranslated, 1);
  assert.deepEqual(b.told, ["done", "done", "done", "untranslated", "done"]);
});

const times = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.nat(BUCKET * 2) },
    { weight: 1, arbitrary: fc.nat(BUCKET * BUCKETS * 2) },
  ),
  { maxLength: 200 },
).map((steps) => {
  let now = 0;
  return steps.map((step) => now += step);
});

Deno.test("the history holds just the accesses of its window, by bucket", () => {
  fc.assert(
    fc.property(times, fc.nat(BUCKET * BUCKETS * 2), (all, later) => {
      const table = new MeterTable(), meter = new Meter(table, 2);
      table.reach(2);
      for (const t of all) table.count(2, t);
      const now = (all.at(-1) ?? 0) + later;
      const last = Math.floor(now / BUCKET);
      const expected = Array.from({ length: BUCKETS }, (_, i) => {
        const bucket = last - BUCKETS + 1 + i;
        return all.filter((t) => Math.floor(t / BUCKET) === bucket).length;
      });
      assert.deepEqual(meter.recent(now, BUCKETS), expected);
      assert.deepEqual(meter.recent(now, 3), expected.slice(-3));
    }),
  );
});

Deno.test("the rate is what full buckets of the last 100 ms say", () => {
  fc.assert(
    fc.property(times, fc.nat(BUCKET * 10), (all, later) => {
      const table = new MeterTable(), meter = new Meter(table, 2);
      table.reach(2);
      for (const t of all) table.count(2, t);
      const now = (all.at(-1) ?? 0) + later;
      const end = Math.floor(now / BUCKET) * BUCKET, start = Math.max(0, end - 5 * BUCKET);
      const count = all.filter((t) => t >= start && t < end).length;
      const expected = end === start ? 0 : count / ((end - start) / 1e9);
      assert.ok(Math.abs(meter.rate(now) - expected) < 1e-6);
    }),
  );
});

Deno.test("a steady device has its rate from the start", () => {
  const table = new MeterTable(), meter = new Meter(table, 2);
  table.reach(2);
  for (let t = 0; t < 500 * ms; t += ms) {
    table.count(2, t);
    if (t >= BUCKET) assert.equal(meter.rate(t), 1000, `at ${t}`);
  }
  assert.equal(meter.rate(1000 * ms), 0, "silence");
});

Deno.test("page requests are counted, and the longest wait that ended with an answer", () => {
  const bench = new Bench(), { meters, meter } = bench;
  for (const wait of [300, 700, 200]) {
    meters.asked(0);
    meters.answered(0, wait);
  }
  meters.asked(0);
  meters.answered(0, -1);
  meters.unasked(0);
  assert.deepEqual([meter.pageRequests, meter.pagesAnswered, meter.longestWait], [4, 3, 700]);
  assert.deepEqual(bench.told, ["asked", "asked", "asked", "asked", "unasked"]);
});
