import assert from "node:assert/strict";
import fc from "fast-check";
import { EventHash } from "../../src/base/event_log.ts";

type Event = [number, number, number];

function digest(events: readonly Event[]): string {
  const hash = new EventHash();
  for (const [x, y, z] of events) hash.mix(x, y, z);
  return hash.digest();
}

const events = fc.array(fc.tuple(fc.integer(), fc.integer(), fc.integer()), {
  minLength: 2,
  maxLength: 20,
});

Deno.test("the same events give the same digest of 16 hex digits", () => {
  fc.assert(fc.property(events, (list) => {
    assert.equal(digest(list), digest(list));
    assert.match(digest(list), /^[0-9a-f]{16}$/);
  }));
});

Deno.test("one bit changed anywhere in any event shows in the digest", () => {
  fc.assert(fc.property(events, fc.nat(), fc.nat(2), fc.nat(31), (list, at, word, bit) => {
    const changed = list.map((e) => [...e] as Event);
    changed[at % list.length][word] ^= 1 << bit;
    assert.notEqual(digest(changed), digest(list));
  }));
});

Deno.test("events in another order, one more or one less: another digest", () => {
  fc.assert(fc.property(events, (list) => {
    const [a, b, ...rest] = list;
    fc.pre(a.join() !== b.join());
    assert.notEqual(digest([b, a, ...rest]), digest(list));
    assert.notEqual(digest(list.slice(1)), digest(list));
    assert.notEqual(digest([...list, [0, 0, 0]]), digest(list));
  }));
});

Deno.test("reading the digest changes nothing", () => {
  const hash = new EventHash();
  hash.mix(1, 2, 3);
  hash.digest();
  hash.mix(4, 5, 6);
  assert.equal(hash.digest(), digest([[1, 2, 3], [4, 5, 6]]));
  assert.equal(hash.count, 2);
});

Deno.test("times that differ by a nanosecond, or by 2^32 of them, are told apart", () => {
  const at = (time: number) => {
    const hash = new EventHash();
    hash.mixAt(time, 7);
    return hash.digest();
  };
  const distinct = new Set([at(0), at(1), at(2 ** 32), at(2 ** 32 + 1), at(2 ** 33), at(2 ** 52)]);
  assert.equal(distinct.size, 6);
});

Deno.test("texts are told apart, also where only the border between two of them moved", () => {
  const of = (...texts: string[]) => {
    const hash = new EventHash();
    for (const text of texts) hash.mixText(text);
    return hash.digest();
  };
  assert.notEqual(of("ab", "c"), of("a", "bc"));
  assert.notEqual(of("ab"), of("ba"));
  assert.equal(of("ab", "c"), of("ab", "c"));
});
