import assert from "node:assert/strict";
import { MiB } from "../../src/base/units.ts";
import { Ledger } from "../../src/health/ledger.ts";
import { Memory } from "../../src/machine/memory.ts";

function make() {
  const memory = new Memory([{ start: 0, size: 16 * MiB }]);
  const ledger = new Ledger(memory);
  return { memory, ledger, programs: ledger.programMemory };
}

Deno.test("memory of a program is whose processor reaches it, until it reaches it no more", () => {
  const { ledger, programs } = make();
  programs.set("pv0", 7, 100);
  programs.set("pv0", 8, 100);
  assert.equal(ledger.ownerName(100), "pv0");
  programs.set("pv0", 7, 101);
  assert.equal(ledger.ownerName(100), "pv0", "the other page still leads there");
  programs.set("pv0", 8, -1);
  assert.equal(ledger.ownerName(100), undefined);
  assert.equal(ledger.ownerName(101), "pv0");
  programs.release("pv0");
  assert.equal(ledger.ownerName(101), undefined);
});

Deno.test("frames that are its guest's RAM too come and go with the guest", () => {
  const { ledger, programs } = make();
  ledger.mapped("pv0", 0, [{ pfn: 100, count: 1 }]);
  programs.set("pv0", 7, 100);
  programs.set("pv0", 8, 101);
  ledger.mapped("pv0", 1, [{ pfn: 101, count: 1 }]);
  programs.set("pv0", 7, -1);
  programs.set("pv0", 8, -1);
  assert.deepEqual([100, 101].map((pfn) => ledger.ownerName(pfn)), ["pv0", "pv0"]);
});

Deno.test("after a kexec its memory is its own until a processor takes the frame into use", () => {
  const { memory, ledger, programs } = make();
  programs.set("pv0", 7, 100);
  programs.set("pv0", 8, 101);
  programs.jumped();
  assert.deepEqual([100, 101].map((pfn) => ledger.ownerName(pfn)), ["pv0", "pv0"]);
  memory.fillFrames(101, 4, 0);
  assert.deepEqual([100, 101].map((pfn) => ledger.ownerName(pfn)), ["pv0", undefined]);
  assert.deepEqual([100, 101, 102].map((pfn) => ledger.formerOwner(pfn)), [
    undefined,
    "pv0",
    undefined,
  ]);
  // It comes back and finds one of its pages.
  programs.set("pv0", 20, 100);
  programs.set("pv0", 20, -1);
  assert.equal(ledger.ownerName(100), undefined);
});

Deno.test("a page that the kernel moves is nobody's where it was", () => {
  const { ledger } = make();
  ledger.mapped("pv0", 4, [{ pfn: 100, count: 2 }]);
  ledger.migrated("pv0", 101, 300);
  assert.deepEqual([100, 101, 300].map((pfn) => ledger.ownerName(pfn)), ["pv0", undefined, "pv0"]);
  assert.deepEqual(ledger.misplaced("pv0"), [], "its processor was told: no damage");
  ledger.mapped("pv0", 5, [{ pfn: 300, count: 1 }]);
  assert.deepEqual(ledger.misplaced("pv0"), []);
});
