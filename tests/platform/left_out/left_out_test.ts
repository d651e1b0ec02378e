import assert from "node:assert/strict";
import { ms, PAGE_SIZE } from "../../../src/base/units.ts";
import type { DmarDomain } from "../../../src/kernel/iommu/intel/domain.ts";
import { BUFFER, IOVA, type Kind, PAGES, PASID, Scene } from "./scene.ts";

/**
 * Each invalidation that a driver owes the hardware, left out once: a device then reaches a frame
 * through a translation of the past, and health says which and where. With the driver as it is, the
 * same sequence of events leads to nothing.
 */

const LEGACY: Kind = { name: "VT-d by registers", profile: "intel-legacy" };
const QUEUED: Kind = {
  name: "VT-d by queue",
  profile: "intel-legacy",
  vtd: { queuedInvalidation: true },
};
const SCALABLE: Kind = { name: "VT-d in scalable mode", profile: "intel-scalable" };
const SMMU: Kind = { name: "SMMUv3", profile: "arm-smmuv3-bbml0" };
const AMD: Kind = { name: "AMD-Vi", profile: "amd" };
const whole = (kind: Kind): Kind => ({
  ...kind,
  name: `${kind.name} without page-selective invalidation`,
  vtd: { ...kind.vtd, pageSelective: false },
});

interface Owed {
  readonly what: string;
  /** The machine, and the invalidations by their names in its driver. */
  readonly on: readonly (readonly [Kind, ...names: string[]])[];
  /** What happens; `leaveOut` does what it is given without the invalidations. */
  run(scene: Scene, leaveOut: (what: () => void) => void): void;
  /** The first page of the card's memory by which it strays. */
  readonly page: number;
}

const OWED: Owed[] = [
  {
    what: "after pages are unmapped: their translations",
    on: [
      [LEGACY, "iotlbPages"],
      [QUEUED, "iotlbPages"],
      [SCALABLE, "iotlbPages"],
      [whole(LEGACY), "iotlbDomain"],
      [whole(QUEUED), "iotlbDomain"],
      [whole(SCALABLE), "iotlbDomain"],
      [SMMU, "invalidatePages"],
      [AMD, "invalidatePages"],
    ],
    run(scene, leaveOut) {
      const ioas = scene.ioas();
      scene.attach(scene.nic0, ioas);
      scene.receive();
      leaveOut(() => scene.unmap(ioas, BUFFER, 1));
      scene.give();
      scene.run(4 * ms);
    },
    page: BUFFER,
  },
  {
    what: "after a device's entry leads elsewhere: the entry",
    on: [
      [LEGACY, "contextDevice"],
      [QUEUED, "contextDevice"],
      [SCALABLE, "pasid"],
      [SMMU, "invalidateSte"],
      [AMD, "invalidateDevice"],
    ],
    run(scene, leaveOut) {
      const first = scene.ioas(), second = scene.ioas();
      const nic1 = scene.bench.bound(scene.fd, 1, scene.vm0.sys).cdev;
      const tables = scene.tables(first);
      scene.attach(scene.nic0, tables);
      scene.receive();
      leaveOut(() => scene.attach(scene.nic0, second));
      // The first page table goes on, with another device and for another guest.
      const va = scene.memoryOfVm1();
      scene.unmap(first, 0, PAGES);
      scene.map(first, va, PAGES * PAGE_SIZE);
      scene.attach(nic1, tables);
      scene.run(4 * ms);
    },
    page: 0,
  },
  {
    what: "before a domain's id is used again: what is cached under it",
    on: [
      // Before a domain ends all of its pages are unmapped: that alone would do.
      [LEGACY, "iotlbDomain", "iotlbPages"],
      [QUEUED, "iotlbDomain", "iotlbPages"],
      [SCALABLE, "iotlbDomain", "iotlbPages"],
      [SMMU, "invalidateVmid", "invalidatePages"],
      [AMD, "invalidateDomain", "invalidatePages"],
    ],
    run(scene, leaveOut) {
      const first = scene.ioas();
      scene.attach(scene.nic0, first);
      scene.receive();
      const { did } = scene.domainOf(0);
      // Both by the device that leaves and by the domain that ends.
      leaveOut(() => scene.detach(scene.nic0));
      scene.unmap(first, 0, PAGES);
      scene.attach(scene.nic0, scene.ioas(BUFFER + 1));
      assert.equal(scene.domainOf(0).did, did);
      scene.give();
      scene.run(4 * ms);
    },
    page: BUFFER,
  },
  {
    what: "when a kernel starts over with fresh tables: everything",
    on: [
      [LEGACY, "contextGlobal", "iotlbGlobal"],
      [LEGACY, "iotlbGlobal"],
      [QUEUED, "contextGlobal", "iotlbGlobal"],
      [QUEUED, "iotlbGlobal"],
      [SCALABLE, "contextGlobal", "pasidGlobal", "iotlbGlobal"],
      [SCALABLE, "iotlbGlobal"],
      [SMMU, "invalidateAll"],
      [AMD, "invalidateAll"],
    ],
    run(scene, leaveOut) {
      scene.attach(scene.nic0, scene.ioas());
      scene.receive();
      const { did } = scene.domainOf(0);
      const ring = scene.vm0.frame(scene.va[0]);
      leaveOut(() => scene.restart(ring));
      scene.attach(scene.nic0, scene.ioas());
      assert.equal(scene.domainOf(0).did, did);
      scene.start();
    },
    page: 0,
  },
];

/** A domain for a PASID, with vm0's memory in it; the buffer's page can be another one. */
function pasidDomain(scene: Scene, buffer = BUFFER): DmarDomain {
  const domain = scene.kernel.intel!.allocPaging(scene.dev(0), {}) as DmarDomain;
  for (let page = 0; page < PAGES; page++) {
    mapPinned(scene, domain, page, scene.va[page === BUFFER ? buffer : page]);
  }
  return domain;
}

/** Maps a page of vm0's VMM as iommufd does it: pinned. */
function mapPinned(scene: Scene, domain: DmarDomain, page: number, va: number): void {
  const pfn = scene.vm0.frame(va);
  scene.kernel.userPages.pin(pfn);
  assert.equal(domain.map(IOVA / PAGE_SIZE + page, pfn, 1, 3), 0);
}

function unmapPinned(scene: Scene, domain: DmarDomain, page: number, pages: number): void {
  const first = IOVA / PAGE_SIZE + page;
  const frames = Array.from({ length: pages }, (_, i) => domain.translate(first + i));
  domain.unmap(first, pages);
  for (const pfn of frames) scene.kernel.userPages.unpin(pfn);
}

const OWED_FOR_PASIDS: Owed[] = [
  {
    what: "after pages of a PASID's domain are unmapped: their translations",
    on: [[SCALABLE, "iotlbPages"]],
    run(scene, leaveOut) {
      const domain = pasidDomain(scene);
      assert.equal(scene.dev(0).group!.attachPasid(PASID, domain), 0);
      scene.tagged();
      scene.receive();
      leaveOut(() => unmapPinned(scene, domain, BUFFER, 1));
      scene.give();
      scene.run(4 * ms);
    },
    page: BUFFER,
  },
  ...(["replacePasid", "detachPasid"] as const).map((how): Owed => ({
    what: `after a PASID's entry is changed by ${how}: the entry`,
    on: [[SCALABLE, "pasid"]],
    run(scene, leaveOut) {
      const group = scene.dev(0).group!;
      const first = pasidDomain(scene), second = pasidDomain(scene);
      assert.equal(group.attachPasid(PASID, first), 0);
      scene.tagged();
      scene.receive();
      leaveOut(() => {
        if (how === "replacePasid") assert.equal(group.replacePasid(PASID, second), 0);
        else group.detachPasid(PASID);
      });
      const va = scene.memoryOfVm1();
      unmapPinned(scene, first, 0, PAGES);
      for (let i = 0; i < PAGES; i++) mapPinned(scene, first, i, va + i * PAGE_SIZE);
      scene.run(4 * ms);
    },
    page: 0,
  })),
  {
    what: "before a domain id that only a PASID had is used again: what is cached under it",
    on: [[SCALABLE, "iotlbDomain"]],
    run(scene, leaveOut) {
      const group = scene.dev(0).group!;
      const first = pasidDomain(scene);
      assert.equal(group.attachPasid(PASID, first), 0);
      scene.tagged();
      scene.receive();
      const frames = scene.va.map((va) => scene.vm0.frame(va));
      leaveOut(() => {
        group.detachPasid(PASID);
        first.free();
      });
      for (const pfn of frames) scene.kernel.userPages.unpin(pfn);
      const second = pasidDomain(scene, BUFFER + 1);
      assert.equal(second.did, first.did);
      assert.equal(group.attachPasid(PASID, second), 0);
      scene.give();
      scene.run(4 * ms);
    },
    page: BUFFER,
  },
];

for (const { what, on, run, page } of [...OWED, ...OWED_FOR_PASIDS]) {
  for (const [kind, ...names] of on) {
    Deno.test(`${kind.name}: ${what} (${names.join(", ")})`, async (t) => {
      await t.step("left out: the device reaches another guest's memory", () => {
        const scene = new Scene(kind);
        run(scene, (part) => scene.front.without(names, part));
        assert.ok(scene.front.swallowed > 0, "it was asked for");
        scene.expectStray(page);
      });
      await t.step("with the driver as it is: nothing", () => {
        const scene = new Scene(kind);
        run(scene, (part) => part());
        assert.equal(scene.front.swallowed, 0);
        scene.expectNothing();
      });
    });
  }
}
