import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type DmaObserver,
  DmaPort,
  type Remapper,
  type Route,
} from "../../src/machine/dma_port.ts";
import {
  DMA_GCMD_SRTP,
  DMA_GCMD_TE,
  DMAR_GCMD_REG,
  GRANU_DOMAIN,
  GRANU_GLOBAL,
  GRANU_PAGE,
} from "../../src/uapi/vtd_regs.ts";
import { Bench } from "./vtd/bench.ts";

const DEVICES = 2, PAGES = 3;
/** So few that the devices' pages push each other out. */
const IOTLB_ENTRIES = 2;

/** Two devices with a domain each behind one unit. `forgetful`: their ports have to ask each time. */
class Ports implements DmaObserver {
  readonly bench = new Bench({}, undefined, IOTLB_ENTRIES);
  readonly ports: DmaPort[] = [];
  readonly tops: number[] = [];
  readonly routes: Route[] = [];

  constructor(forgetful: boolean) {
    const { memory, queue, hash, unit } = this.bench;
    const asked: Remapper = {
      translate: (...request) => unit.translate(...request),
      get route() {
        return unit.route;
      },
    };
    for (let fn = 0; fn < DEVICES; fn++) {
      const port = new DmaPort(fn, 0x300 + fn, memory, queue, hash, this);
      port.busMaster = true;
      port.remapper = forgetful ? asked : unit;
      this.ports.push(port);
      this.tops.push(this.bench.attach({ did: fn + 5 }, port.sid));
    }
    this.bench.enable();
  }

  done(...[, , , , , , route]: Parameters<DmaObserver["done"]>): void {
    this.routes.push(route);
  }
  again(): boolean {
    return true;
  }
  failed(): void {}
  work(): void {}
  starved(): void {}
}

const fn = fc.nat(DEVICES - 1), page = fc.nat(PAGES - 1);
/** R and W of a leaf, and which of two frames. */
const leaf = fc.constantFrom(3, 7, 3, 7, 2, 5, 0);
const step = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constant("access" as const), fn, page, fc.nat(1)) },
  // A leaf changes, and nobody tells the unit.
  { weight: 2, arbitrary: fc.tuple(fc.constant("map" as const), fn, page, leaf) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("context" as const), fn, fc.nat(1), fc.nat(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("flush" as const), fn, page, fc.nat(3)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("te" as const), fc.nat(1), fc.nat(0), fc.nat(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("master" as const), fn, fc.nat(1), fc.nat(0)) },
);

function run(on: Ports, [op, a, b, c]: typeof step extends fc.Arbitrary<infer T> ? T : never) {
  const { bench, ports, tops } = on;
  if (op === "access") return ports[a].access(0, b << 12 | 0x40, 64, c === 1);
  if (op === "map") {
    const pfn = 0x100 + b * 2 + (c >> 2);
    return bench.map(tops[a], BigInt(b) << 12n, BigInt(pfn) << 12n | BigInt(c & 3));
  }
  if (op === "context") return bench.attach({ did: a + 5, tt: b * 2, asr: tops[a] }, ports[a].sid);
  if (op === "te") {
    return bench.unit.write32(DMAR_GCMD_REG, a === 0 ? 0 : DMA_GCMD_TE | DMA_GCMD_SRTP);
  }
  if (op === "master") return void (ports[a].busMaster = b === 1);
  if (c === 3) return bench.flushContext(GRANU_GLOBAL);
  return bench.flushIotlb([GRANU_GLOBAL, GRANU_DOMAIN, GRANU_PAGE][c], a + 5, BigInt(b) << 12n);
}

Deno.test("a port that remembers gives the answers the unit would, after whatever happened", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const remembering = new Ports(false), forgetful = new Ports(true);
      for (const each of steps) assert.equal(run(remembering, each), run(forgetful, each));
      assert.deepEqual(remembering.routes, forgetful.routes);
      assert.equal(remembering.bench.hash.digest(), forgetful.bench.hash.digest());
    }),
    { numRuns: 250 },
  );
});

/** Two words each: quiet and signalling NaNs, what V8 takes for a hole, -0, infinity, a denormal. */
const BITS = [
  [0, 0x7ff80000],
  [1, 0x7ff00000],
  [0xfff7ffff, 0xfff7ffff],
  [0xffffffff, 0xffffffff],
  [0, 0x80000000],
  [0, 0xfff00000],
  [1, 0],
  [0xdeadbeef, 0x7ff4dead],
];

Deno.test("a burst carries every bit, wherever its buffer and its target lie", () => {
  const { ports: [port], bench, tops } = new Ports(false), { memory } = bench;
  bench.map(tops[0], 0n, 0x100000n | 3n);
  const room = new Uint32Array(4 + 16), pattern = BITS.flat();
  for (let round = 0; round < 3000; round++) {
    const offset = round & 1, words = 16 - (round >> 1 & 1), start = round % 5;
    const buffer = round % 3 === 0 ? room.subarray(offset, offset + 16) : new Uint32Array(16);
    buffer.forEach((_, i) => buffer[i] = pattern[(i + round * 2) % 16]);
    bench.queue.runUntil(round);
    for (let i = 0; i < 4; i++) assert.ok(port.write(0, (i * 16 + start) * 4, buffer, words));
    for (let i = 0; i < 4 * 16; i++) {
      if (i % 16 >= words) continue;
      assert.equal(memory.load(0x100, start + i) >>> 0, buffer[i % 16], `round ${round}`);
    }
  }
});
