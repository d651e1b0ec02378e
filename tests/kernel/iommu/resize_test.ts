import assert from "node:assert/strict";
import type { PagingDomain } from "../../../src/kernel/iommu/domain.ts";
import { largestLeaf } from "../../../src/kernel/iommu/resize.ts";
import { EOPNOTSUPP } from "../../../src/uapi/errno.ts";
import { KernelRig, NIC, NIC_SID } from "../rig.ts";

/**
 * Pages in use change their size (seed lines 2769-2776, FACTS 4.3): at every store the device gets
 * where it got before, and the unit finds no two sizes for one address.
 */

const READ = 1, RW = 3;
const LARGE = 512, HUGE = 512 * 512;
/** Pages that are looked at: the ends and the inside of the first, and one further on. */
const LOOKED_AT = [0, 1, 511, 512, 1023];

/** A device on a domain with pages from `PAGE` on, mapped with no larger ones than `largest`. */
function inUse(
  profile: string,
  largest: number,
  maps: [page: number, count: number, prot: number][],
) {
  const rig = new KernelRig({ image: "redrive-replace", profile });
  const { group } = rig.dev(NIC);
  assert.ok(group !== undefined);
  const domain = group.ops.allocPaging(rig.dev(NIC), {}) as PagingDomain;
  assert.equal(typeof domain.limitPages(largest), "object");
  const first = HUGE;
  for (const [page, count, prot] of maps) {
    assert.equal(domain.map(page, first + page, count, prot), 0);
  }
  assert.equal(group.claim("owner", () => false), 0);
  assert.equal(group.attach(domain), 0);
  return { rig, domain, first };
}

/** Changes the limit with the device at work; what it reached besides what it should. */
function limitWatched(rig: KernelRig, domain: PagingDomain, first: number, largest: number) {
  const { memory } = rig.machine;
  const store = memory.store.bind(memory);
  const wrong: string[] = [];
  let half = false, stores = 0;
  const look = () => {
    for (const page of LOOKED_AT) {
      const frame = rig.translate(NIC_SID, page, false);
      if (frame !== first + page) wrong.push(`page ${page} led to ${frame} after store ${stores}`);
    }
  };
  look();
  memory.store = (pfn, word, value) => {
    store(pfn, word, value);
    stores++;
    // A 64-bit store is two here: nobody sees between them. Of a table that nobody walks, a few will do.
    half = !half;
    if (!half && (stores < 40 || stores % 64 < 6)) look();
  };
  const done = domain.limitPages(largest);
  memory.store = store;
  look();
  return { done, wrong };
}

const sizeOf = (rig: KernelRig, { radix }: PagingDomain) =>
  radix === undefined ? -1 : largestLeaf(rig.machine.memory, radix);

for (const profile of ["intel-legacy", "intel-scalable", "arm-smmuv3-bbml1", "arm-smmuv3-bbml2"]) {
  Deno.test(`${profile}: joined and split again, and the device notices nothing`, () => {
    const { rig, domain, first } = inUse(profile, 1, [[0, 2 * LARGE, RW]]);
    const { costs } = rig.kernel, tables = costs.tables;
    assert.equal(sizeOf(rig, domain), 1);
    const up = limitWatched(rig, domain, first, HUGE);
    assert.deepEqual(up.wrong, []);
    assert.ok(typeof up.done === "object" && up.done.joined === 2 && up.done.split === 0);
    assert.equal(sizeOf(rig, domain), LARGE);
    assert.equal(costs.tables, tables - 2, "their tables are free");
    assert.ok(domain.pageSizes >= 2 ** 21);
    const down = limitWatched(rig, domain, first, 1);
    assert.deepEqual(down.wrong, []);
    assert.ok(typeof down.done === "object" && down.done.joined === 0 && down.done.split === 2);
    assert.equal(sizeOf(rig, domain), 1);
    assert.equal(costs.tables, tables);
    assert.deepEqual([costs.leavesJoined, costs.leavesSplit], [2, 2]);
    assert.equal(domain.map(4 * LARGE, first + 4 * LARGE, LARGE, RW), 0);
    assert.equal(sizeOf(rig, domain), 1, "what is mapped later goes by it as well");
    assert.equal(domain.unmap(0, 2 * LARGE), 2 * LARGE);
  });

  Deno.test(`${profile}: what is not one page is not made one`, () => {
    const { rig, domain } = inUse(profile, 1, [
      [0, 300, RW],
      [300, 212, READ],
      [LARGE, LARGE - 1, RW],
      [2 * LARGE, LARGE, READ],
      [3 * LARGE + 1, LARGE - 1, RW],
    ]);
    // Frames that do not lie as the IOVAs do.
    assert.equal(domain.map(4 * LARGE, HUGE + 4 * LARGE + 1, LARGE, RW), 0);
    const done = domain.limitPages(HUGE);
    assert.ok(typeof done === "object");
    assert.equal(done.joined, 1, "of one kind, whole and aligned");
    for (const page of [0, 299, 300, LARGE, 2 * LARGE, 3 * LARGE + 1]) {
      assert.equal(domain.translate(page), HUGE + page);
    }
    assert.equal(domain.translate(2 * LARGE - 1), -1);
    assert.equal(domain.translate(4 * LARGE), HUGE + 4 * LARGE + 1);
    assert.equal(rig.translate(NIC_SID, 2 * LARGE, true) < 0, true, "read-only as before");
  });
}

Deno.test("a GiB: joined in two steps, split in two, by as many stores as there are entries", () => {
  for (const profile of ["intel-legacy", "arm-smmuv3-bbml2"]) {
    const { rig, domain, first } = inUse(profile, 1, [[0, HUGE, RW]]);
    const up = limitWatched(rig, domain, first, HUGE);
    assert.deepEqual(up.wrong, []);
    assert.ok(typeof up.done === "object");
    assert.deepEqual([up.done.joined, up.done.written], [513, 513]);
    assert.equal(sizeOf(rig, domain), HUGE);
    const down = domain.limitPages(LARGE);
    assert.ok(typeof down === "object" && down.split === 1);
    assert.equal(sizeOf(rig, domain), LARGE);
  }
});

Deno.test("without break-before-make support a page in use stays as it is, and the log says so", () => {
  const { rig, domain, first } = inUse("arm-smmuv3-bbml0", 1, [[0, LARGE * 2, RW]]);
  const { done, wrong } = limitWatched(rig, domain, first, LARGE);
  assert.equal(done, -EOPNOTSUPP);
  assert.deepEqual(wrong, []);
  assert.equal(sizeOf(rig, domain), 1);
  assert.ok(rig.log.some((line) => line.includes("a page in use cannot change its size")));
  // Nobody has one cached that is on another domain.
  rig.dev(NIC).group?.detach();
  assert.equal(typeof domain.limitPages(LARGE), "object");
  assert.equal(sizeOf(rig, domain), LARGE);
});

Deno.test("a split without memory leaves what is mapped mapped", () => {
  const { rig, domain, first } = inUse("intel-legacy", HUGE, [[0, 4 * LARGE, RW]]);
  rig.kernel.pages.tableLimit = rig.kernel.costs.tables + 2;
  const rc = domain.limitPages(1);
  assert.ok(typeof rc === "number" && rc < 0);
  for (let page = 0; page < 4 * LARGE; page += 100) {
    assert.equal(rig.translate(NIC_SID, page, true), first + page);
  }
});
