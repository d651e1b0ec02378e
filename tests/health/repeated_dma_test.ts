import assert from "node:assert/strict";
import fc from "fast-check";
import { ms } from "../../src/base/units.ts";
import { Ledger } from "../../src/health/ledger.ts";
import type { IncidentSink } from "../../src/health/meters.ts";
import { Meters } from "../../src/health/meters.ts";
import { DmaPort, type Remapper } from "../../src/machine/dma_port.ts";
import { LastAccess } from "../../src/machine/last_access.ts";
import { GRANU_DOMAIN } from "../../src/uapi/vtd_regs.ts";
import { Bench } from "../machine/vtd/bench.ts";

const FRAMES = [0x100, 0x101], GUESTS = ["one", "two"];

/** Two devices behind one unit, and all that is noted of them. `short`: what repeats itself goes the short way. */
class Rig implements IncidentSink {
  readonly bench = new Bench();
  readonly meters = new Meters();
  readonly ledger = new Ledger(this.bench.memory);
  readonly ports: DmaPort[] = [];
  readonly told: string[] = [];
  readonly #tops: number[] = [];
  #sent = 0;

  constructor(short: boolean) {
    const { memory, queue, hash, unit } = this.bench, last = new LastAccess();
    this.meters.start(queue, this.ledger);
    this.meters.sink = this;
    const asked: Remapper = {
      translate: (...request) => unit.translate(...request),
      get route() {
        return unit.route;
      },
    };
    for (let fn = 0; fn < 2; fn++) {
      const port = new DmaPort(fn, 0x300 + fn, memory, queue, hash, this.meters, last);
      port.busMaster = true;
      port.remapper = short ? unit : asked;
      this.ports.push(port);
      this.#tops.push(this.bench.attach({ did: fn + 5 }, port.sid));
      this.give(fn, fn);
      this.map(fn, 0, FRAMES[fn], 3);
      this.map(fn, 1, FRAMES[1 - fn], 3);
      this.meters.setGuest(fn, this.ledger.numberOf(GUESTS[fn]));
    }
    this.bench.enable();
  }

  give(guest: number, frame: number): void {
    this.ledger.mapped(GUESTS[guest], frame, [{ pfn: FRAMES[frame], count: 1 }]);
  }

  map(fn: number, page: number, pfn: number, rights: number): void {
    this.bench.map(this.#tops[fn], BigInt(page) << 12n, BigInt(pfn) << 12n | BigInt(rights));
  }

  dma(fn: number, write: boolean, page: number, word: number): boolean {
    const words = new Uint32Array(4).fill(write ? ++this.#sent : 0), lo = page << 12 | word * 4;
    const ok = write ? this.ports[fn].write(0, lo, words, 4) : this.ports[fn].read(0, lo, words, 4);
    this.told.push(`${ok} ${words.join(" ")}`);
    return ok;
  }

  /** Everything that anybody can see. */
  get state() {
    const { bench: { memory, hash, unit, queue }, meters, ledger, told } = this;
    const seen = meters.all.map((m) => [
      ...[m.reads, m.writes, m.bytes, m.lastDone, m.lastTried, m.lastBad, m.busySince],
      ...[m.longestGap, m.stray, m.blocked, m.faultCount, m.starved, m.isStarved, m.stopped],
      ...[m.rate(queue.now), ...m.recent(queue.now, 8)],
    ]);
    const frames = FRAMES.map((pfn) => [...memory.frameBytes(pfn)].join());
    const written = FRAMES.map((pfn) => memory.isWritten(pfn));
    const damage = GUESTS.map((guest) => ledger.check(guest));
    return { seen, frames, written, damage, told, hash: hash.digest(), walks: unit.walks > 0 };
  }

  fault(): void {
    this.told.push("fault");
  }
  stray(): void {
    this.told.push("stray");
  }
  untranslated(): void {}
  stopped(): void {
    this.told.push("stopped");
  }
  asked(): void {}
  unasked(): void {}
  done(fn: number, pfn: number): void {
    this.told.push(`done ${fn} ${pfn}`);
  }
  executed(): void {}
  restarted(): void {}
}

const bit = fc.nat(1);
const STEPS: Record<string, [weight: number, run: (rig: Rig, a: number, b: number) => void]> = {
  starved: [1, (rig, fn) => rig.meters.starved(fn)],
  work: [1, (rig, fn, b) => rig.meters.work(fn, b === 1)],
  later: [2, ({ bench }, a) => bench.queue.runUntil(bench.queue.now + (a === 0 ? 1000 : 25 * ms))],
  tells: [1, (rig, a) => rig.meters.tellsDone = a === 1],
  master: [1, (rig, fn, b) => rig.ports[fn].busMaster = b === 1],
  moves: [1, (rig, fn, b) => rig.map(fn, 0, FRAMES[b], 3)],
  readOnly: [1, (rig, fn) => rig.map(fn, 0, FRAMES[fn], 1)],
  flush: [1, ({ bench }, fn) => void bench.flushIotlb(GRANU_DOMAIN, fn + 5)],
  given: [1, (rig, guest, frame) => rig.give(guest, frame)],
  released: [1, (rig, guest) => rig.ledger.release(GUESTS[guest])],
  guest: [1, (rig, fn, guest) => rig.meters.setGuest(fn, rig.ledger.numberOf(GUESTS[guest]))],
  seal: [1, (rig, guest) => rig.ledger.seal(GUESTS[guest])],
  unseal: [1, (rig, guest) => rig.ledger.unseal(GUESTS[guest])],
};
const step = fc.oneof(
  ...Object.entries(STEPS).map(([name, [weight]]) => ({
    weight,
    arbitrary: fc.tuple(fc.constant(name), bit, bit),
  })),
);
/** The same access again and again, with something in between. */
const burst = fc.record({
  fn: bit,
  write: fc.boolean(),
  page: bit,
  word: fc.nat(1000),
  between: fc.array(fc.option(step), { maxLength: 4 }),
});

Deno.test("DMA that repeats itself leaves behind what it would have the long way", () => {
  fc.assert(
    fc.property(fc.array(burst, { maxLength: 20, size: "max" }), (bursts) => {
      const [short, long] = [true, false].map((how) => {
        const rig = new Rig(how);
        rig.meters.tellsDone = false;
        for (const { fn, write, page, word, between } of bursts) {
          rig.dma(fn, write, page, word);
          between.forEach((each, i) => {
            if (each !== null) STEPS[each[0]][1](rig, each[1], each[2]);
            rig.dma(fn, write, page, word + i);
          });
        }
        return rig.state;
      });
      assert.deepEqual(short, long);
    }),
    { numRuns: 100 },
  );
});

Deno.test("a repeated access is not looked at again, and is counted when somebody looks", () => {
  const rig = new Rig(true), { meters } = rig;
  meters.tellsDone = false;
  const done = meters.done;
  let looked = 0;
  meters.done = function (...access) {
    looked++;
    return done.apply(this, access);
  };
  for (let i = 0; i < 16; i++) assert.ok(rig.dma(0, true, 0, i * 4));
  assert.equal(looked, 1);
  rig.bench.queue.runUntil(25 * ms);
  assert.deepEqual(meters.get(0).recent(25 * ms, 2), [16, 0]);
  assert.deepEqual([meters.get(0).writes, meters.get(0).bytes], [16, 256]);
  rig.dma(1, true, 0, 0);
  rig.dma(0, true, 0, 0);
  rig.dma(0, false, 0, 0);
  rig.bench.queue.runUntil(26 * ms);
  rig.dma(0, false, 0, 0);
  assert.equal(looked, 5, "another device, direction, time");
});
