import assert from "node:assert/strict";
import { MiB } from "../../../src/base/units.ts";
import { PROFILES } from "../../../src/machine/profile.ts";
import { Bench } from "../bench.ts";
import { FIXED, fixed, RW } from "../requests.ts";

/** IOMMUs whose drivers answer EOPNOTSUPP to a persistent id (seed lines 589-621). */
const NAMES = PROFILES.filter((p) => p.smmu !== undefined || p.amdvi !== undefined).map((p) =>
  p.name
);

for (const profile of NAMES) {
  Deno.test(`${profile}: a persistent iommufd can be made and filled; no device gets onto it`, () => {
    const bench = new Bench("rfc-v1", { profile });
    bench.warm();
    const before = bench.fingerprint;
    const fd = bench.persistent();
    const ioas = bench.ioas(fd);
    const file = bench.file("ram", 2 * MiB);
    const request = {
      flags: FIXED | RW,
      ioas_id: ioas,
      fd: file,
      length: BigInt(2 * MiB),
      iova: 0n,
    };
    assert.equal(bench.mapFile(fd, request).rc, "ok");
    const { cdev, dev } = bench.bound(fd);
    const bound = bench.fingerprint;
    assert.equal(bench.attach(cdev, ioas).rc, "EOPNOTSUPP");
    assert.equal(bench.hwptAlloc(fd, dev, ioas).rc, "EOPNOTSUPP");
    assert.equal(bench.fingerprint, bound, "refusing changed nothing");
    assert.deepEqual(bench.complaints, [], "the device is blocked, in hardware too");
    for (const open of [cdev, fd, file]) bench.sys.close(open);
    assert.equal(bench.unlink("ram"), "ok");
    assert.equal(bench.fingerprint, before);
  });

  Deno.test(`${profile}: an ordinary iommufd works: attach, replace, detach, and nothing is left`, () => {
    const bench = new Bench("rfc-v1", { profile });
    bench.warm();
    const before = bench.fingerprint;
    const fd = bench.iommufd();
    const [one, two] = [bench.ioas(fd), bench.ioas(fd)];
    const va = bench.anon(2 * MiB);
    assert.equal(bench.map(fd, fixed(one, va, 2 * MiB, 0)).rc, "ok");
    assert.equal(bench.map(fd, fixed(two, va, MiB, 16 * MiB)).rc, "ok");
    const { cdev } = bench.attached(fd, one);
    const other = bench.attached(fd, one, 1);
    assert.ok(bench.frame(0, 0x3000) > 0);
    assert.equal(bench.frame(1, 0x3000), bench.frame(0, 0x3000));
    assert.equal(bench.attach(cdev, two).rc, "ok");
    assert.equal(bench.frame(0, 0x3000), -1);
    assert.ok(bench.frame(0, 16 * MiB) > 0);
    assert.deepEqual(bench.complaints, []);
    assert.equal(bench.detach(cdev), "ok");
    assert.deepEqual(bench.complaints, []);
    for (const open of [cdev, other.cdev, fd]) bench.sys.close(open);
    bench.sys.munmap(va, 2 * MiB);
    assert.equal(bench.fingerprint, before);
    assert.deepEqual(bench.complaints, []);
  });
}
