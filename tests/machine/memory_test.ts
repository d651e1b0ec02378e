import assert from "node:assert/strict";
import fc from "fast-check";
import { GiB, KiB, MiB, PAGE_SIZE, TiB } from "../../src/base/units.ts";
import { Memory } from "../../src/machine/memory.ts";

const flat = (size: number) => new Memory([{ start: 0, size }]);

Deno.test("what is written is read back, wherever pages and chunks end", () => {
  // Around the border of two 1 GiB chunks, and around plain page borders.
  const memory = flat(GiB + 64 * KiB);
  const places = fc.constantFrom(0, PAGE_SIZE, 5 * PAGE_SIZE, GiB - 3 * PAGE_SIZE, GiB);
  const write = fc.record({
    at: fc.tuple(places, fc.nat(3 * PAGE_SIZE)).map(([a, b]) => a + b),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 3 * PAGE_SIZE, size: "max" }),
  });
  const model = new Map<number, number>();
  fc.assert(
    fc.property(fc.array(write, { maxLength: 4 }), write, (writes, window) => {
      for (const { at, bytes } of writes) {
        memory.write(at, bytes);
        bytes.forEach((b, i) => model.set(at + i, b));
      }
      const got = memory.read(window.at, window.bytes.length);
      got.forEach((b, i) => assert.equal(b, model.get(window.at + i) ?? 0));
    }),
    { numRuns: 50 },
  );
});

Deno.test("words and bytes are two views of one memory, little-endian", () => {
  const memory = flat(MiB);
  memory.store(3, 5, 0x11223344);
  assert.deepEqual([...memory.read(3 * PAGE_SIZE + 20, 4)], [0x44, 0x33, 0x22, 0x11]);
  memory.write(3 * PAGE_SIZE + 24, Uint8Array.of(0xff, 0xff, 0xff, 0xff));
  assert.equal(memory.load(3, 6), -1);
  assert.equal(memory.frameBytes(3)[20], 0x44);
});

Deno.test("64-bit values up to 2^53 - 1 survive memory", () => {
  const memory = flat(MiB);
  fc.assert(fc.property(fc.maxSafeNat(), (value) => {
    memory.write64(0x2ff8, value);
    assert.equal(memory.read64(0x2ff8), value);
  }));
  memory.write64(0x1000, 0x123456789a);
  assert.equal(memory.load(1, 0), 0x3456789a);
  assert.equal(memory.load(1, 1), 0x12);
});

Deno.test("a terabyte of memory costs nothing until it is touched", () => {
  const memory = flat(TiB);
  assert.equal(memory.frames, 2 ** 28);
  assert.equal(memory.load(2 ** 28 - 1, 1023), 0);
  assert.deepEqual(memory.read(TiB - 8, 8), new Uint8Array(8));
  for (let chunk = 0; chunk < 1024; chunk++) {
    assert.equal(memory.readable(chunk << 18), undefined);
  }
  memory.store(2 ** 28 - 1, 1023, 7);
  assert.equal(memory.load(2 ** 28 - 1, 1023), 7);
  const made = Array.from({ length: 1024 }, (_, c) => memory.readable(c << 18)).filter(Boolean);
  assert.equal(made.length, 1);
});

Deno.test("looking at memory does not count as writing to it", () => {
  const memory = flat(MiB);
  memory.load(3, 0);
  memory.read(0, MiB);
  memory.frameBytes(9);
  memory.readable(3);
  assert.deepEqual([...memory.writtenRuns()], []);
});

Deno.test("written runs are exactly the frames that were written, in order", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ pfn: fc.nat(60), count: fc.integer({ min: 1, max: 6 }) })),
      (writes) => {
        const memory = flat(MiB);
        const model = new Set<number>();
        for (const { pfn, count } of writes) {
          // Zeros written are written too.
          memory.write(pfn * PAGE_SIZE + 100, new Uint8Array(count * PAGE_SIZE - 200));
          for (let i = 0; i < count; i++) model.add(pfn + i);
        }
        const runs = [...memory.writtenRuns()];
        const frames = runs.flatMap(({ pfn, count }) =>
          Array.from({ length: count }, (_, i) => pfn + i)
        );
        assert.deepEqual(frames, [...model].sort((a, b) => a - b));
        for (const [i, run] of runs.entries()) {
          assert.ok(i === 0 || runs[i - 1].pfn + runs[i - 1].count < run.pfn, "runs are maximal");
        }
        for (let pfn = 0; pfn < 70; pfn++) assert.equal(memory.isWritten(pfn), model.has(pfn));
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("clearing frames leaves zeros, counts no new frame as written, and touches no other", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(70), { maxLength: 20 }),
      fc.nat(60),
      fc.integer({ min: 1, max: 10 }),
      (marked, first, count) => {
        // Across the border of two chunks.
        const memory = flat(GiB + MiB), at = GiB / PAGE_SIZE - 30;
        for (const pfn of marked) memory.fillFrames(at + pfn, 1, 7);
        const before = [...memory.writtenRuns()];
        memory.clearFrames(at + first, count);
        assert.deepEqual([...memory.writtenRuns()], before);
        for (let pfn = 0; pfn < 75; pfn++) {
          const kept = marked.includes(pfn) && !(pfn >= first && pfn < first + count);
          assert.equal(memory.load(at + pfn, 0), kept ? 7 : 0);
          assert.equal(memory.load(at + pfn, 1023), kept ? 7 : 0);
        }
      },
    ),
    { numRuns: 20 },
  );
});

Deno.test("frames are filled with any word, bit by bit", () => {
  // Twice side by side these are plain numbers, the smallest ones, -0, infinity and NaNs of all kinds.
  const words = [0, 1, 0x6b6b6b6b, 0x00200063, 0x80000000, 0x7ff00000, 0x7ff00001, 0x7ff80000];
  words.push(0x7fffffff, 0xfff00001, 0xfff80000, 0xffffffff, -1, -2);
  const memory = flat(2 * GiB);
  // The first GiB is of another kind than those behind it.
  for (const pfn of [3, GiB / PAGE_SIZE + 3]) {
    for (const word of words) {
      memory.fillFrames(pfn, 2, word);
      const filled = memory.readable(pfn)!.subarray(memory.base(pfn), memory.base(pfn + 2));
      assert.ok(filled.every((found) => found === word >>> 0), word.toString(16));
      assert.deepEqual([memory.load(pfn - 1, 1023), memory.load(pfn + 2, 0)], [0, 0]);
    }
    memory.clearFrames(pfn, 1);
    assert.deepEqual([memory.load(pfn, 0), memory.load(pfn, 1023), memory.load(pfn + 1, 0)], [
      0,
      0,
      -2,
    ]);
  }
});

Deno.test("filling frames goes across a chunk's border and no further", () => {
  const memory = flat(GiB + MiB);
  const border = GiB / PAGE_SIZE;
  memory.fillFrames(border - 2, 4, 0x6b6b6b6b);
  for (const pfn of [border - 2, border - 1, border, border + 1]) {
    assert.equal(memory.load(pfn, 0), 0x6b6b6b6b);
    assert.equal(memory.load(pfn, 1023), 0x6b6b6b6b);
    assert.equal(memory.isWritten(pfn), true);
  }
  assert.equal(memory.load(border - 3, 1023), 0);
  assert.equal(memory.load(border + 2, 0), 0);
  assert.deepEqual([memory.isWritten(border - 3), memory.isWritten(border + 2)], [false, false]);
});

Deno.test("a PC's memory has holes, and what lies in one is no RAM", () => {
  const memory = new Memory([
    { start: 0, size: 0xa0000 },
    { start: MiB, size: 3 * GiB - MiB },
    { start: 4 * GiB, size: GiB },
  ]);
  const ram = [0, 0x9f, 0x100, 3 * GiB / PAGE_SIZE - 1, 4 * GiB / PAGE_SIZE];
  const hole = [0xa0, 0xff, 3 * GiB / PAGE_SIZE, 4 * GiB / PAGE_SIZE - 1, 5 * GiB / PAGE_SIZE];
  assert.deepEqual(ram.map((pfn) => memory.isRam(pfn)), ram.map(() => true));
  assert.deepEqual(hole.map((pfn) => memory.isRam(pfn)), hole.map(() => false));
  assert.equal(memory.size, 0xa0000 + 3 * GiB - MiB + GiB);
  assert.equal(memory.frames, 5 * GiB / PAGE_SIZE);
});

Deno.test("a write beyond the end of memory is a bug of the emulator", () => {
  const memory = flat(GiB);
  assert.throws(() => memory.store(GiB / PAGE_SIZE, 0, 1), /beyond physical memory/);
  assert.throws(() => memory.store(-1, 0, 1), /beyond physical memory/);
});

Deno.test("of much memory neighbouring chunks keep their frames apart, as words and as bytes", () => {
  const memory = new Memory([{ start: 0, size: 44 * GiB }]);
  const last = 44 * GiB / PAGE_SIZE - 1, frames = [0, GiB / PAGE_SIZE, 9 * GiB / PAGE_SIZE, last];
  frames.forEach((pfn, i) => memory.store(pfn, 5, i + 1));
  memory.write(2 * GiB, Uint8Array.of(7, 8));
  assert.deepEqual(frames.map((pfn) => memory.load(pfn, 5)), [1, 2, 3, 4]);
  assert.deepEqual(frames.map((pfn) => memory.frameBytes(pfn)[20]), [1, 2, 3, 4]);
  assert.deepEqual(frames.map((pfn) => memory.readableWide(pfn)!.length), [
    2 ** 27,
    2 ** 27,
    2 ** 27,
    2 ** 27,
  ]);
  assert.deepEqual([...memory.read(2 * GiB, 2)], [7, 8]);
  assert.equal(memory.load(10 * GiB / PAGE_SIZE, 5), 0);
});
