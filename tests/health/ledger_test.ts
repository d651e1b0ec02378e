import assert from "node:assert/strict";
import fc from "fast-check";
import { GiB, MiB, TiB } from "../../src/base/units.ts";
import { Ledger } from "../../src/health/ledger.ts";
import { Memory } from "../../src/machine/memory.ts";

const make = (size = 16 * MiB) => new Ledger(new Memory([{ start: 0, size }]));
const frames = (...pfns: number[]) => pfns.map((pfn) => ({ pfn, count: 1 }));

Deno.test("the first frames a guest reaches are its own", () => {
  const ledger = make();
  ledger.mapped("a", 0, frames(10, 11));
  ledger.mapped("b", 4, frames(20));
  assert.equal(ledger.ownerName(11), "a");
  assert.equal(ledger.ownerName(20), "b");
  assert.equal(ledger.ownerName(12), undefined);
  assert.equal(ledger.ownerNumber(10), ledger.numberOf("a"));
  assert.notEqual(ledger.numberOf("a"), ledger.numberOf("b"));
  assert.equal(ledger.numberOf("nobody"), 0);
  assert.equal(ledger.pagesOf("b"), 1);
  assert.deepEqual(ledger.guests, ["a", "b"]);
});

Deno.test("a page that turns up elsewhere is damage, and the guest's at both places", () => {
  const ledger = make();
  ledger.mapped("a", 0, frames(10, 11));
  ledger.mapped("a", 0, frames(10, 11));
  assert.deepEqual(ledger.misplaced("a"), []);
  ledger.mapped("a", 1, frames(30));
  ledger.mapped("a", 0, frames(31));
  const moved = { guest: "a", gpa: 4096, pfn: 30, what: "moved" };
  assert.deepEqual(ledger.misplaced("a"), [moved], "the first of them");
  assert.equal(ledger.ownerName(11), "a");
  assert.equal(ledger.ownerName(30), "a");
});

Deno.test("a frame that two guests reach is damage to the second", () => {
  const ledger = make();
  ledger.mapped("a", 0, frames(10, 11));
  ledger.mapped("b", 0, frames(20, 11));
  assert.deepEqual(ledger.misplaced("a"), []);
  assert.deepEqual(ledger.misplaced("b"), [
    { guest: "b", gpa: 4096, pfn: 11, what: "shared", other: "a" },
  ]);
});

Deno.test("a frame a guest was moved away from may be another's", () => {
  const ledger = make();
  ledger.mapped("a", 0, frames(10));
  ledger.mapped("a", 0, frames(12));
  ledger.mapped("b", 0, frames(10));
  assert.deepEqual(ledger.misplaced("b"), []);
  assert.equal(ledger.ownerName(10), "b");
  ledger.release("a");
  assert.equal(ledger.ownerName(10), "b");
});

Deno.test("a released guest owns nothing, and comes back under its number", () => {
  const ledger = make();
  ledger.mapped("a", 0, frames(10, 11));
  ledger.mapped("a", 0, frames(12));
  const number = ledger.numberOf("a");
  ledger.seal("a");
  ledger.release("a");
  for (const pfn of [10, 11, 12]) assert.equal(ledger.ownerNumber(pfn), 0);
  assert.deepEqual([10, 40].map((pfn) => ledger.formerOwner(pfn)), ["a", undefined]);
  assert.equal(ledger.sealed, false);
  assert.deepEqual(ledger.guests, []);
  ledger.mapped("a", 0, frames(40));
  assert.deepEqual(ledger.misplaced("a"), [], "a fresh start");
  assert.equal(ledger.numberOf("a"), number);
  assert.doesNotThrow(() => ledger.release("nobody"));
});

Deno.test("a page that somebody else changed under the seal is found", () => {
  const ledger = make();
  ledger.mapped("a", 0, frames(10, 11, 12));
  ledger.memory.store(11, 7, 1);
  ledger.seal("a");
  assert.equal(ledger.check("a"), undefined);
  ledger.memory.store(11, 7, 2);
  assert.deepEqual(ledger.check("a"), { guest: "a", gpa: 4096, pfn: 11, what: "overwritten" });
  ledger.memory.store(11, 7, 1);
  assert.equal(ledger.check("a"), undefined, "as it was");
});

Deno.test("what the guest's devices wrote under the seal is theirs", () => {
  const ledger = make();
  ledger.mapped("a", 0, frames(10, 11));
  ledger.seal("a");
  ledger.dmaWrote(10);
  ledger.memory.store(10, 0, 5);
  assert.equal(ledger.check("a"), undefined);
  ledger.memory.store(11, 0, 5);
  assert.equal(ledger.check("a")?.pfn, 11);
});

Deno.test("what a device wrote before the seal excuses nothing after it", () => {
  const ledger = make();
  ledger.mapped("a", 0, frames(10));
  ledger.mapped("b", 0, frames(20));
  ledger.seal("a");
  ledger.dmaWrote(20);
  ledger.memory.store(20, 0, 5);
  ledger.seal("b");
  ledger.memory.store(20, 0, 6);
  assert.equal(ledger.check("b")?.pfn, 20);
});

Deno.test("a guest that runs again may write where it likes", () => {
  const ledger = make();
  ledger.mapped("a", 0, frames(10));
  ledger.seal("a");
  assert.ok(ledger.isSealed("a") && ledger.sealed);
  ledger.unseal("a");
  assert.ok(!ledger.isSealed("a") && !ledger.sealed);
  ledger.memory.store(10, 0, 5);
  assert.equal(ledger.check("a"), undefined);
});

Deno.test("a page that comes under the seal later is judged from then on", () => {
  const ledger = make();
  ledger.memory.store(11, 0, 9);
  ledger.mapped("a", 0, frames(10));
  ledger.seal("a");
  ledger.mapped("a", 1, frames(11));
  ledger.mapped("a", 6, frames(12));
  assert.equal(ledger.check("a"), undefined);
  ledger.memory.store(11, 0, 8);
  assert.equal(ledger.check("a")?.gpa, 4096);
});

Deno.test("any page stays under the seal as it is, and no changed word goes unseen", () => {
  const word = fc.oneof(fc.constantFrom(0, -1, 0x80000000, 0x7fffffff), fc.integer());
  const page = fc.array(word, { minLength: 1, maxLength: 1024 });
  fc.assert(
    fc.property(page, fc.nat(1023), fc.integer({ min: 1, max: 0xffffffff }), (words, at, flip) => {
      const ledger = make();
      words.forEach((w, i) => ledger.memory.store(10, i, w));
      ledger.mapped("a", 0, frames(10));
      ledger.seal("a");
      assert.equal(ledger.check("a"), undefined);
      const before = ledger.memory.load(10, at);
      ledger.memory.store(10, at, before ^ flip);
      assert.equal(ledger.check("a")?.what, "overwritten");
      ledger.memory.store(10, at, before);
      assert.equal(ledger.check("a"), undefined);
    }),
  );
});

Deno.test("zeros written to memory nobody ever wrote are no change", () => {
  const ledger = make();
  ledger.mapped("a", 0, frames(10));
  ledger.seal("a");
  ledger.memory.fillFrames(10, 1, 0);
  assert.equal(ledger.check("a"), undefined);
});

Deno.test("many guests keep their frames apart", () => {
  const ledger = make(64 * MiB);
  const guests = Array.from({ length: 100 }, (_, i) => `vm${i}`);
  guests.forEach((g, i) =>
    ledger.mapped(g, i, frames(...Array.from({ length: 100 }, (_, j) => j * 100 + i)))
  );
  for (let pfn = 0; pfn < 10000; pfn++) assert.equal(ledger.ownerName(pfn), `vm${pfn % 100}`);
  for (const g of guests) ledger.seal(g);
  ledger.memory.store(4217, 0, 1);
  const damaged = guests.filter((g) => ledger.check(g) !== undefined);
  assert.deepEqual(damaged, ["vm17"]);
  for (const g of guests.slice(0, 50)) ledger.release(g);
  assert.equal(ledger.ownerName(4217), undefined);
  assert.equal(ledger.ownerName(4277), "vm77");
});

Deno.test("a terabyte that nobody wrote costs next to nothing", () => {
  const ledger = make(2 * TiB);
  const start = performance.now();
  const pfn = (GiB / 4096) * 512 + 5, count = TiB / 4096;
  ledger.mapped("a", 1 << 20, [{ pfn, count }]);
  ledger.seal("a");
  assert.equal(ledger.check("a"), undefined);
  assert.equal(ledger.memory.readable(pfn), undefined, "nothing was made");
  assert.deepEqual([pfn - 1, pfn, pfn + count - 1, pfn + count].map((f) => ledger.ownerName(f)), [
    undefined,
    "a",
    "a",
    undefined,
  ]);
  ledger.release("a");
  assert.equal(ledger.formerOwner(pfn + count - 1), "a");
  assert.ok(performance.now() - start < 1000);
});
