import assert from "node:assert/strict";
import fc from "fast-check";
import { EmulatorBug } from "../../src/base/assert.ts";
import { GiB, MiB, PAGE_SIZE, PAGE_WORDS } from "../../src/base/units.ts";
import { Bus } from "../../src/machine/bus.ts";
import { GuestMemory } from "../../src/machine/guest_memory.ts";
import { Memory } from "../../src/machine/memory.ts";
import { MemoryPool, nextWritten } from "../../src/machine/memory_pool.ts";

const FRAMES = 32;
const flat = (pool: MemoryPool, frames = FRAMES) =>
  new Memory([{ start: 0, size: frames * PAGE_SIZE }], pool);

/** Every way there is to put something into a frame. */
const WAYS: readonly ((memory: Memory, pfn: number) => void)[] = [
  (memory, pfn) => memory.store(pfn, 1023, -1),
  (memory, pfn) => memory.writable(pfn).fill(7, memory.base(pfn), memory.base(pfn) + PAGE_WORDS),
  (memory, pfn) => memory.writableWide(pfn)[memory.wideBase(pfn) + 511] = 1.5,
  (memory, pfn) => memory.fillFrames(pfn, 1, 0x6b6b6b6b),
  (memory, pfn) => memory.write(pfn * PAGE_SIZE + 4095, Uint8Array.of(9)),
  (memory, pfn) => memory.write64(pfn * PAGE_SIZE + 8, 2 ** 52),
  (memory, pfn) => {
    memory.store(0, 0, 5);
    memory.copyFrame(0, pfn);
  },
];

Deno.test("memory that others have had is as new, however they wrote to it and whatever their size", () => {
  const write = fc.record({ way: fc.constantFrom(...WAYS), pfn: fc.nat(FRAMES - 1) });
  const machine = fc.record({
    frames: fc.integer({ min: 1, max: FRAMES }),
    writes: fc.array(write, { minLength: 1, maxLength: 12 }),
  });
  fc.assert(
    fc.property(fc.array(machine, { minLength: 1, maxLength: 5 }), (machines) => {
      const pool = new MemoryPool();
      for (const { frames, writes } of machines) {
        const memory = flat(pool, frames);
        memory.store(0, 0, 0);
        assert.deepEqual([...memory.writtenRuns()], [{ pfn: 0, count: 1 }]);
        assert.ok(memory.read(0, memory.size).every((byte) => byte === 0));
        assert.equal(memory.readable(0)?.length, frames * PAGE_WORDS);
        for (const { way, pfn } of writes) way(memory, pfn % frames);
        // A store beyond the end, a bug, must not reach what the buffer has there.
        memory.store(frames, 0, 1);
        memory.dispose();
        const buffer = pool.take(frames * PAGE_SIZE);
        assert.ok(new Uint8Array(buffer.bytes).every((byte) => byte === 0));
        assert.ok(buffer.written.every((byte) => byte === 0));
        pool.give(buffer);
      }
    }),
    { numRuns: 30 },
  );
});

Deno.test("the next written frame is found near and far, and none beyond the end", () => {
  const frame = fc.nat(299);
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 3 }), frame, fc.nat(300), (frames, from, end) => {
      const written = new Uint8Array(300);
      for (const i of frames) written[i] = 1;
      const expected = written.subarray(from, Math.max(from, end)).indexOf(1);
      const found = nextWritten(written, from, Math.max(from, end));
      assert.equal(found, expected < 0 ? Math.max(from, end) : from + expected);
    }),
    { numRuns: 300 },
  );
});

Deno.test("one machine after the other takes the same bytes, the smallest that are enough", () => {
  const pool = new MemoryPool();
  const bytesOf = (frames: number) => {
    const memory = flat(pool, frames);
    memory.store(0, 0, 1);
    return { memory, bytes: memory.readable(0)?.buffer };
  };
  const made = [8, 32, 16].map(bytesOf);
  for (const { memory } of made) memory.dispose();
  assert.equal(pool.space, 56 * PAGE_SIZE);
  assert.equal(pool.resident, 3 * PAGE_SIZE);
  const again = [8, 9, 17, 4].map((frames) => bytesOf(frames).bytes);
  assert.deepEqual(again.slice(0, 3), [made[0].bytes, made[2].bytes, made[1].bytes]);
  assert.equal(again[3]?.byteLength, 4 * PAGE_SIZE, "none was left");
});

Deno.test("no more waits than the host has pages and the collector patience for", () => {
  const limit = { resident: 20 * PAGE_SIZE, space: 64 * PAGE_SIZE };
  const pool = new MemoryPool(limit);
  const used = (frames: number, written: number) => {
    const memory = flat(pool, frames);
    memory.fillFrames(0, written, 1);
    return memory;
  };
  const cases: readonly [machines: readonly Memory[], resident: number, space: number][] = [
    [[used(16, 6), used(16, 6), used(16, 6)], 18, 48],
    // The oldest goes: three times 6 and 4 are more than 20; then three buffers fit, not four.
    [[used(16, 4), used(16, 4), used(16, 4), used(40, 1)], 5, 56],
    // Alone it is too much.
    [[used(32, 21), used(65, 1)], 0, 0],
  ];
  for (const [machines, resident, space] of cases) {
    for (const memory of machines) memory.dispose();
    assert.deepEqual([pool.resident / PAGE_SIZE, pool.space / PAGE_SIZE], [resident, space]);
    pool.take(0);
    while (pool.space > 0) pool.take(0);
  }
});

Deno.test("frames that the host has pages for are counted once, whoever wrote to them", () => {
  const pool = new MemoryPool();
  for (const [first, count] of [[0, 4], [2, 4], [0, 6], [20, 1]]) {
    const memory = flat(pool);
    memory.fillFrames(first, count, 1);
    memory.dispose();
  }
  assert.equal(pool.resident, 7 * PAGE_SIZE);
});

Deno.test("memory that is gone answers nobody, and a guest's processor neither", () => {
  const pool = new MemoryPool(), memory = flat(pool);
  const guest = new GuestMemory("vm0", memory, new Bus(), { mapped: () => {} });
  guest.addRam(0, [{ pfn: 4, count: 2 }]);
  guest.store32(0x10, 7);
  assert.equal(guest.load32(0x10), 7);
  memory.dispose();
  const looks: Record<string, () => unknown> = {
    load: () => memory.load(4, 4),
    store: () => memory.store(4, 4, 1),
    readable: () => memory.readable(4),
    readableWide: () => memory.readableWide(4),
    writable: () => memory.writable(4),
    writableWide: () => memory.writableWide(4),
    clearFrame: () => memory.clearFrame(4),
    clearFrames: () => memory.clearFrames(4, 1),
    fillFrames: () => memory.fillFrames(4, 1, 1),
    copyFrame: () => memory.copyFrame(4, 5),
    frameBytes: () => memory.frameBytes(4),
    read: () => memory.read(0x4000, 4),
    write: () => memory.write(0x4000, Uint8Array.of(1)),
    isWritten: () => memory.isWritten(4),
    writtenRuns: () => [...memory.writtenRuns()],
    load32: () => guest.load32(0x10),
    store32: () => guest.store32(0x10, 1),
  };
  for (const [name, look] of Object.entries(looks)) {
    assert.throws(look, (e) => e instanceof EmulatorBug && /is gone/.test(e.message), name);
  }
  memory.dispose();
  assert.equal(pool.space, FRAMES * PAGE_SIZE, "given back once");
});

Deno.test("buffers of a large machine serve the next one too, large or small, cleared", () => {
  const pool = new MemoryPool();
  for (const size of [257 * GiB, 300 * GiB, 2 * MiB]) {
    const memory = new Memory([{ start: 0, size }], pool), frames = GiB / PAGE_SIZE;
    // In the first GiB, and behind the border of others.
    const written = [1, 511, 7 * frames, 256 * frames - 1].filter((pfn) => pfn < memory.frames);
    for (const pfn of written) {
      assert.deepEqual([memory.load(pfn, 5), memory.isWritten(pfn)], [0, false]);
      memory.store(pfn, 5, 7);
      memory.clearFrame(pfn);
      memory.write(pfn * PAGE_SIZE, Uint8Array.of(3));
      assert.deepEqual([memory.load(pfn, 5), memory.load(pfn, 0)], [0, 3]);
    }
    memory.dispose();
    assert.equal(pool.space, 3 * GiB);
  }
});
