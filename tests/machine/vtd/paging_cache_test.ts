import assert from "node:assert/strict";
import fc from "fast-check";
import { PagingCache } from "../../../src/machine/vtd/paging_cache.ts";

const did = fc.constantFrom(0, 1, 5, 0x8001, 0xffff);
/** Some pages share the 512 of an entry, some only the low bits of their number. */
const page = fc.constantFrom(0, 5, 511, 512, 1024, 2 ** 18, 2 ** 20, 2 ** 41, 2 ** 44 + 512)
  .chain((first) => fc.nat(3).map((more) => first + more));
const step = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant("fill" as const), did, page, fc.nat(2 ** 30)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("pages" as const), did, page, fc.nat(63)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("domain" as const), did, page, fc.nat(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("all" as const), did, page, fc.nat(0)) },
);

/** Two words of a page's address. */
const words = (page: number): [number, number] => [
  Math.floor(page / 2 ** 20) | 0,
  (page % 2 ** 20) << 12,
];

Deno.test("the paging-structure cache has the last that it was told, or nothing", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), did, page, (steps, d, p) => {
      const cache = new PagingCache(), told = new Map<string, number>();
      const key = (did: number, page: number) => `${did} ${Math.floor(page / 512)}`;
      for (const [op, did, page, n] of steps) {
        if (op === "all") cache.invalidateAll();
        else if (op === "domain") cache.invalidateDomain(did);
        else if (op === "pages") cache.invalidatePages(did, ...words(page), n);
        else cache.fill(...words(page), did, n, n & 3);
        if (op === "fill") told.set(key(did, page), n);
        for (const at of op === "fill" ? [] : [...told.keys()]) {
          const [ofDid, region] = at.split(" ").map(Number), size = 2 ** Math.max(0, n - 9);
          const near = Math.floor(region / size) === Math.floor(Math.floor(page / 512) / size);
          const gone = op === "all" || ofDid === did && (op === "domain" || near);
          if (gone) told.delete(at);
        }
      }
      const at = cache.find(...words(p), d), expected = told.get(key(d, p));
      if (at >= 0) {
        assert.deepEqual([cache.table(at), cache.permission(at)], [expected, expected! & 3]);
      }
      for (const { did, page, table, permission } of cache.entries()) {
        const n = told.get(key(did, page));
        assert.deepEqual([page % 512, table, permission], [0, n, n! & 3]);
        assert.ok(cache.find(...words(page), did) >= 0);
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("it grows with what is in use, up to a point", () => {
  const cache = new PagingCache(), domains = 8000;
  for (let did = 1; did <= domains; did++) cache.fill(0, 0x200000, did, did, 3);
  for (let did = 1; did <= domains; did++) {
    assert.equal(cache.table(cache.find(0, 0x3ff000, did)), did);
  }
  for (let region = 0; region < 100000; region++) cache.fill(region, 0, 1, region, 3);
  const kept = [...cache.entries()].length;
  assert.ok(kept > 16384 && kept <= 32768, `${kept} are kept`);
  cache.invalidateAll();
  assert.equal([...cache.entries()].length, 0);
});
