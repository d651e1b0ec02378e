import assert from "node:assert/strict";
import { PAGE_SIZE } from "../../src/base/units.ts";
import { Bus } from "../../src/machine/bus.ts";
import { GuestFault, GuestMemory } from "../../src/machine/guest_memory.ts";
import { Memory } from "../../src/machine/memory.ts";
import { readRun, writeRun } from "../../src/userspace/guest/runs.ts";

/** A guest whose pages lie apart from each other in memory. */
function makeGuest() {
  const memory = new Memory([{ start: 0, size: 64 * PAGE_SIZE }]);
  const guest = new GuestMemory("vm0", memory, new Bus(), { mapped: () => {} });
  guest.addRam(0, [{ pfn: 9, count: 1 }, { pfn: 4, count: 1 }, { pfn: 20, count: 2 }]);
  return { memory, guest };
}

const counting = (words: number) => Uint32Array.from({ length: words }, (_, i) => 0xfffffff0 + i);

Deno.test("words moved together are those moved one by one, few or many, on whatever page", () => {
  const { memory, guest } = makeGuest();
  for (const [gpa, words] of [[0x0, 1], [0x104, 32], [0x1f80, 32], [0x2000, 1024], [0x3010, 300]]) {
    const into = new Uint32Array(words).fill(7);
    guest.loadWords(gpa, into);
    assert.ok(into.every((word) => word === 0), "never written");
    guest.storeWords(gpa, counting(words));
    guest.loadWords(gpa, into);
    assert.deepEqual(into, counting(words));
    for (let i = 0; i < words; i++) assert.equal(guest.load32(gpa + i * 4) >>> 0, into[i]);
  }
  assert.equal(memory.load(9, 0x104 / 4) >>> 0, 0xfffffff0);
  assert.equal(memory.load(21, 0x10 / 4) >>> 0, 0xfffffff0);
  assert.throws(() => guest.loadWords(0x4000, new Uint32Array(1)), GuestFault);
  assert.throws(() => guest.storeWords(0x4000, new Uint32Array(1)), GuestFault);
});

Deno.test("a run of words goes across pages, and is as long as it is asked for", () => {
  const { guest } = makeGuest();
  for (
    const [gpa, words] of [[0x0, 5], [0xff0, 8], [0xf00, 2000], [0x20, 5], [0x40, 9], [0x0, 5]]
  ) {
    writeRun(guest, gpa, counting(words));
    assert.deepEqual(readRun(guest, gpa, words).subarray(0, words), counting(words));
    assert.equal(guest.load32(gpa + (words - 1) * 4) >>> 0, (0xfffffff0 + words - 1) >>> 0);
  }
});
