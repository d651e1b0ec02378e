import assert from "node:assert/strict";
import type { HeritableDomain } from "../../../src/kernel/iommu/succession.ts";
import { KernelRig, NIC, NIC_SID, NVME, NVME_SID } from "../rig.ts";

/**
 * A device is switched from the previous kernel's tables to its heir's while it does DMA: at every
 * single store, its requests find the old tables or the new ones (FACTS 4.2, 4.3).
 */

const PAGE = 16;

/** Both devices under one persistent domain, handed over; and what the heir maps for them. */
function handedOver(profile: string, image = "redrive-replace", next = image, pages = 8) {
  const rig = new KernelRig({ image, profile });
  const owner = Symbol("owner");
  const allocate = (name: string, more: { persistentId?: number }) => {
    const { group } = rig.dev(name);
    const domain = group?.ops.allocPaging(rig.dev(name), more);
    assert.ok(typeof domain === "object", `no domain: ${domain}`);
    return domain as HeritableDomain;
  };
  const old = allocate(NIC, { persistentId: 1 });
  old.persistentOwner = 1;
  // As far into a large page as the IOVA, so that there can be large ones.
  const first = (rig.kernel.guestmemfs?.base ?? 0) / 4096 + PAGE;
  old.map(PAGE, first, pages, 3);
  for (const name of [NIC, NVME]) {
    const group = rig.dev(name).group;
    assert.equal(group?.claim(owner, () => false), 0);
    assert.equal(group?.attach(old), 0);
  }
  rig.liveUpdate(next);
  for (const name of [NIC, NVME]) assert.equal(rig.dev(name).group?.claim(owner, () => true), 0);
  return { rig, first, allocate };
}

/** Attaches, and looks at both devices at each store: what they reached besides what they should. */
function attachWatched(rig: KernelRig, name: string, domain: HeritableDomain, first: number) {
  const { memory } = rig.machine;
  const store = memory.store.bind(memory);
  const wrong: string[] = [];
  let stores = 0, half = false;
  memory.store = (pfn, word, value) => {
    store(pfn, word, value);
    stores++;
    // A 64-bit store is two here, the upper half first or last: nobody sees between them.
    half = !half;
    if (half) return;
    for (const [sid, who] of [[NIC_SID, "nic"], [NVME_SID, "nvme"]] as const) {
      const frame = rig.translate(sid, PAGE + 1, true);
      if (frame !== first + 1) wrong.push(`${who} reached ${frame} after store ${stores}`);
    }
  };
  const rc = rig.dev(name).group?.attach(domain);
  memory.store = store;
  return { rc, wrong, stores };
}

/** Both devices go over to the new tables under the old ones' id, and no request notices. */
function assertSwitched(
  rig: Parameters<typeof attachWatched>[0],
  fresh: HeritableDomain,
  first: number,
  id: number,
): void {
  for (const name of [NIC, NVME]) {
    const { rc, wrong } = attachWatched(rig, name, fresh, first);
    assert.equal(rc, 0);
    assert.deepEqual(wrong, [], name);
  }
  assert.equal(fresh.did, id, "under the id of before");
  assert.ok(rig.log.some((l) => l.includes(`${NVME}: tables swapped`)), rig.log.join("\n"));
}

const PROFILES = ["intel-legacy", "intel-scalable", "arm-smmuv3-bbml0", "arm-smmuv3-bbml2"];

for (const profile of PROFILES) {
  Deno.test(`${profile}: switched device by device, no request is ever refused or led elsewhere`, () => {
    const { rig, first, allocate } = handedOver(profile);
    const fresh = allocate(NIC, { persistentId: 2 });
    fresh.map(PAGE, first, 8, 3);
    const id = (rig.dev(NIC).group?.domain as HeritableDomain).did;
    assertSwitched(rig, fresh, first, id);
  });

  Deno.test(`${profile}: equal tables are gone on with, and not one store is made`, () => {
    const { rig, first, allocate } = handedOver(profile, "redrive");
    const fresh = allocate(NIC, { persistentId: 2 });
    fresh.map(PAGE, first, 8, 3);
    const root = (rig.dev(NIC).group?.domain as HeritableDomain).pgd;
    const tables = rig.kernel.costs.tables;
    for (const name of [NIC, NVME]) {
      const group = rig.dev(name).group;
      const { memory } = rig.machine;
      const store = memory.store.bind(memory);
      let stores = 0;
      memory.store = (pfn, word, value) => {
        stores++;
        store(pfn, word, value);
      };
      assert.equal(group?.attach(fresh), 0);
      memory.store = store;
      assert.equal(group?.domain, fresh);
      if (profile.startsWith("intel-legacy")) assert.equal(stores, 0);
    }
    assert.equal(fresh.pgd, root);
    assert.ok(rig.kernel.costs.tables < tables, "the ones it was made with are gone");
    assert.equal(rig.translate(NIC_SID, PAGE + 1, true), first + 1);
  });
}

Deno.test("where both devices would not see the same the id is not shared, and the log says so", () => {
  const { rig, first, allocate } = handedOver("intel-legacy");
  const fresh = allocate(NIC, { persistentId: 2 });
  fresh.map(PAGE, first + 64, 8, 3);
  assert.equal(rig.dev(NIC).group?.attach(fresh), 0);
  assert.notEqual(fresh.did, (rig.dev(NVME).group?.domain as HeritableDomain).did);
  assert.ok(rig.log.some((l) => l.includes(`${NIC}: another id, its entry was gone for a moment`)));
  assert.equal(rig.translate(NIC_SID, PAGE + 1, true), first + 65);
  assert.equal(rig.translate(NVME_SID, PAGE + 1, true), first + 1, "the other one as before");
});

for (const profile of ["intel-legacy", "arm-smmuv3-bbml2"]) {
  Deno.test(`${profile}: where sizes may change, large pages for the same under the id of small ones`, () => {
    const pages = 512 * 3;
    const { rig, first, allocate } = handedOver(
      profile,
      "redrive-replace-4k",
      "redrive-replace",
      pages,
    );
    const old = rig.dev(NIC).group?.domain as HeritableDomain;
    const fresh = allocate(NIC, { persistentId: 2 });
    fresh.map(PAGE, first, pages, 3);
    assert.ok(fresh.pages.length < old.pages.length, "larger pages need fewer tables");
    const id = old.did;
    assertSwitched(rig, fresh, first, id);
  });
}

Deno.test("an SMMU that cannot change a page's size under way keeps the old tables, by name", () => {
  const { rig, first, allocate } = handedOver("arm-smmuv3-bbml1");
  const fresh = allocate(NIC, { persistentId: 2 });
  const large = Math.ceil(first / 512) * 512;
  fresh.map(0, large, 512, 3);
  assert.ok((rig.dev(NIC).group?.attach(fresh) ?? 0) < 0);
  assert.ok(
    rig.log.some((l) => /differ at IOVA 0x0: page size; such tables cannot be switched/.test(l)),
    rig.log.join("\n"),
  );
  assert.equal(rig.translate(NIC_SID, PAGE + 1, true), first + 1);
});
