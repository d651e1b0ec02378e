import assert from "node:assert/strict";
import { HeapArray } from "../../../src/kernel/mm/kasan.ts";
import { KernelRig } from "../rig.ts";

const rig = new KernelRig();
const { kernel } = rig;

/** What was said since, without what does not belong to it. */
function said(run: () => void): string[] {
  const before = rig.lines.length;
  run();
  return rig.lines.slice(before).map((line) => line.text);
}

Deno.test("what is inside is nobody's business", () => {
  const array = HeapArray.alloc(kernel, "quiet", 4096)!;
  assert.deepEqual(said(() => array.store64(4088, 2 ** 40 + 5, "f")), []);
  assert.equal(rig.machine.memory.read64(array.address + 4088), 2 ** 40 + 5);
  assert.deepEqual(said(() => array.bytes(4096, "f")), []);
});

Deno.test("the first store beyond the end is told of, and goes where it goes", () => {
  const array = HeapArray.alloc(kernel, "kho_mems", 4096)!;
  const lines = said(() => {
    for (let i = 0; i < 514; i++) array.store64(i * 8, i + 1, "save_pte_pages");
  });
  assert.deepEqual(lines, [
    "BUG: KASAN: slab-out-of-bounds in save_pte_pages",
    "Write of size 8, 0 bytes to the right of the 4096-byte kho_mems",
  ]);
  assert.equal(rig.machine.memory.read64(array.address + 4096 + 8), 514);
});

Deno.test("use after free, and freeing twice", () => {
  const array = HeapArray.alloc(kernel, "gone", 4096)!;
  array.free("f");
  assert.deepEqual(said(() => array.bytes(16, "g")), []);
  assert.deepEqual(said(() => array.store64(8, 1, "g")), [
    "BUG: KASAN: slab-use-after-free in g",
    "Write of size 8, 8 bytes inside of the freed 4096-byte gone",
  ]);
  assert.deepEqual(said(() => array.free("h")), [
    "BUG: KASAN: double-free in h",
    "the 4096-byte gone was freed before",
  ]);
});

Deno.test("a variable nobody set has whatever lies on the stack", () => {
  let value = -1;
  const lines = said(() => value = kernel.kasan.uninitialised("did_old", 0xffff, "zap"));
  assert.deepEqual(lines, [
    "BUG: KMSAN: uninit-value in zap",
    "local variable did_old was never set",
  ]);
  assert.ok(value >= 0 && value <= 0xffff);
});
