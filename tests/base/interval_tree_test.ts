import assert from "node:assert/strict";
import fc from "fast-check";
import { IntervalTree } from "../../src/base/interval_tree.ts";

interface Item<K> {
  readonly start: K;
  readonly last: K;
}

/**
 * Inserts and removes at random and compares every query with a search through a plain list.
 * `key` turns a small number into a key, ascending.
 */
function againstList<K extends number | bigint>(key: (n: number) => K): void {
  const steps = fc.array(
    fc.record({ start: fc.nat(60), length: fc.nat(25), remove: fc.boolean() }),
    { maxLength: 80 },
  );
  fc.assert(fc.property(steps, fc.nat(70), fc.nat(20), (list, from, width) => {
    const tree = new IntervalTree<K, Item<K>>();
    let model: Item<K>[] = [];
    for (const { start, length, remove } of list) {
      const victim = model[start % Math.max(1, model.length)];
      if (remove && victim !== undefined) {
        assert.equal(tree.remove(victim), true);
        model = model.filter((i) => i !== victim);
      } else {
        const item = { start: key(start), last: key(start + length) };
        tree.insert(item);
        model.push(item);
      }
      const a = key(from), b = key(from + width);
      const hits = model.filter((i) => i.start <= b && i.last >= a);
      const found = tree.overlapping(a, b);
      assert.equal(found.length, hits.length);
      assert.deepEqual(new Set(found), new Set(hits));
      assert.ok(found.every((i, n) => n === 0 || found[n - 1].start <= i.start));
      assert.equal(tree.first(a, b), found[0]);
      assert.equal(tree.size, model.length);
    }
    assert.deepEqual(new Set(tree), new Set(model));
    for (const item of model) assert.equal(tree.remove(item), true);
    assert.equal(tree.size, 0);
    assert.equal(tree.first(key(0), key(100)), undefined);
  }));
}

Deno.test("overlap queries find what a search through all intervals finds", () => {
  againstList((n) => n);
});

Deno.test("the same holds for 64-bit keys beyond what a number can hold", () => {
  againstList((n) => 2n ** 64n - 100n + BigInt(n));
});

Deno.test("both ends of an interval belong to it", () => {
  const tree = new IntervalTree<number, Item<number>>();
  const item = { start: 10, last: 20 };
  tree.insert(item);
  assert.equal(tree.first(20, 30), item);
  assert.equal(tree.first(0, 10), item);
  assert.equal(tree.first(21, 30), undefined);
  assert.equal(tree.first(0, 9), undefined);
  assert.equal(tree.first(14, 14), item);
});

Deno.test("of equal intervals the one that is meant is removed", () => {
  const tree = new IntervalTree<number, Item<number>>();
  const [a, b, c] = [1, 2, 3].map(() => ({ start: 5, last: 9 }));
  for (const i of [a, b, c]) tree.insert(i);
  assert.equal(tree.remove(b), true);
  assert.equal(tree.remove(b), false);
  assert.deepEqual(tree.items, [a, c]);
  assert.equal(tree.remove({ start: 5, last: 9 }), false);
});

Deno.test("a loop over the tree may remove what it meets", () => {
  const tree = new IntervalTree<number, Item<number>>();
  for (let i = 0; i < 10; i++) tree.insert({ start: i, last: i });
  for (const item of tree) tree.remove(item);
  assert.equal(tree.size, 0);
});
