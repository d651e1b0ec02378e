import assert from "node:assert/strict";
import fc from "fast-check";
import { Bus, type Mmio } from "../../src/machine/bus.ts";

/** Registers that tell whose they are and which. */
class Target implements Mmio {
  readonly written: number[] = [];
  constructor(readonly id: number) {}
  read32(offset: number): number {
    return this.id << 16 | offset;
  }
  write32(offset: number): void {
    this.written.push(offset);
  }
}

const steps = fc.array(
  fc.record({ target: fc.nat(7), slot: fc.nat(9), log: fc.nat(3), map: fc.boolean() }),
  { maxLength: 40 },
);

Deno.test("windows that do not overlap answer where they are, and nobody elsewhere", () => {
  fc.assert(fc.property(steps, (list) => {
    const bus = new Bus(), targets = Array.from({ length: 8 }, (_, i) => new Target(i));
    const model = new Map<number, { start: number; size: number }>();
    for (const { target, slot, log, map } of list) {
      const start = 2 ** 33 + slot * 64, size = 8 << log;
      const taken = [...model].some(([id, w]) => id !== target && w.start === start);
      if (map && !taken) {
        bus.map(start, size, targets[target]);
        model.set(target, { start, size });
      } else if (!map) {
        bus.unmap(targets[target]);
        model.delete(target);
      }
    }
    for (let at = 2 ** 33 - 8; at < 2 ** 33 + 648; at += 4) {
      const found = [...model].find(([, w]) => at >= w.start && at < w.start + w.size);
      const expected = found === undefined ? 0xffffffff : found[0] << 16 | at - found[1].start;
      assert.equal(bus.read32(at), expected >>> 0);
    }
  }));
});

Deno.test("of two windows at one place the one that begins last answers", () => {
  const bus = new Bus(), [wide, narrow] = [new Target(1), new Target(2)];
  bus.map(0x1000, 0x1000, wide);
  bus.map(0x1800, 0x100, narrow);
  assert.deepEqual([0x17fc, 0x1800, 0x1900].map((at) => bus.read32(at) >>> 16), [1, 2, 1]);
  bus.write32(0x1904, 1);
  assert.deepEqual([wide.written, narrow.written], [[0x904], []]);
});
