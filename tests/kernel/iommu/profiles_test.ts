import assert from "node:assert/strict";
import { readUnits } from "../../../src/health/readers.ts";
import type { PagingDomain } from "../../../src/kernel/iommu/domain.ts";
import { SmmuDomain } from "../../../src/kernel/iommu/arm/domain.ts";
import { AmdDomain } from "../../../src/kernel/iommu/amd/domain.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import { PROFILES } from "../../../src/machine/profile.ts";
import * as E from "../../../src/uapi/errno.ts";
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
} from "../../../src/uapi/iommufd.ts";
import { KernelRig, NIC, NIC_SID, NVME, NVME_SID } from "../rig.ts";

/** Machines whose IOMMU has no persistence: their drivers are held to the same. */
const NAMES = PROFILES.filter((p) => p.smmu !== undefined || p.amdvi !== undefined).map((p) =>
  p.name
);
const RW = 3;
const OWNER = Symbol("owner");

function domain(rig: KernelRig, device = NIC): PagingDomain {
  const made = rig.kernel.iommuDriver?.allocPaging(rig.dev(device), {});
  assert.ok(typeof made === "object", `allocPaging: ${made}`);
  return made;
}

/** A device that a user has, on a domain of its own. */
function attached(rig: KernelRig, device = NIC): PagingDomain {
  const group = rig.dev(device).group!;
  assert.equal(group.claim(OWNER, () => false), 0);
  const made = domain(rig, device);
  assert.equal(group.attach(made), 0);
  return made;
}

Deno.test("there are an SMMUv3 of each BBML and an AMD IOMMU", () => {
  assert.deepEqual(NAMES, ["arm-smmuv3-bbml0", "arm-smmuv3-bbml1", "arm-smmuv3-bbml2", "amd"]);
});

for (const profile of NAMES) {
  Deno.test(`${profile}: a device goes from default domain to blocked, to one domain, to another`, () => {
    const rig = new KernelRig({ profile });
    const group = rig.dev().group!;
    assert.ok(rig.translate(NIC_SID, 16) < 0, "the default domain maps nothing");
    assert.equal(group.claim(OWNER, () => false), 0);
    const one = domain(rig), two = domain(rig);
    assert.notEqual(one.did, two.did);
    assert.equal(one.map(16, 0x900, 8, RW), 0);
    assert.equal(two.map(16, 0xa00, 8, RW), 0);
    assert.ok(rig.translate(NIC_SID, 16) < 0, "blocked");
    assert.equal(group.attach(one), 0);
    assert.equal(rig.translate(NIC_SID, 17), 0x901);
    assert.ok(rig.translate(NVME_SID, 17) < 0, "the other device is not on it");
    assert.equal(group.attach(two), 0);
    assert.equal(rig.translate(NIC_SID, 17), 0xa01, "nothing of the old domain is remembered");
    group.detach();
    assert.ok(rig.translate(NIC_SID, 17) < 0);
    group.release();
    assert.ok(rig.translate(NIC_SID, 17) < 0);
  });

  Deno.test(`${profile}: an id that is used again brings nothing of its past with it`, () => {
    const rig = new KernelRig({ profile });
    const first = attached(rig);
    first.map(16, 0x900, 8, RW);
    assert.equal(rig.translate(NIC_SID, 17), 0x901);
    rig.dev().group!.detach();
    first.free();
    const second = domain(rig);
    assert.equal(second.did, first.did);
    rig.dev().group!.attach(second);
    assert.ok(rig.translate(NIC_SID, 17) < 0, "nothing is mapped there yet");
    second.map(16, 0xa00, 8, RW);
    assert.equal(rig.translate(NIC_SID, 17), 0xa01);
  });

  Deno.test(`${profile}: two devices on one domain see the same`, () => {
    const rig = new KernelRig({ profile });
    const shared = attached(rig);
    const other = rig.dev(NVME).group!;
    other.claim(OWNER, () => false);
    assert.equal(other.attach(shared), 0);
    shared.map(32, 0x900, 4, RW);
    for (const sid of [NIC_SID, NVME_SID]) assert.equal(rig.translate(sid, 33), 0x901);
    shared.unmap(32, 4);
    for (const sid of [NIC_SID, NVME_SID]) assert.ok(rig.translate(sid, 33) < 0);
  });

  Deno.test(`${profile}: permissions are what was asked for`, () => {
    const rig = new KernelRig({ profile });
    const d = attached(rig);
    assert.equal(d.map(16, 0x900, 1, 1), 0);
    assert.equal(d.map(17, 0x901, 1, 2), 0);
    const seen = (page: number, write: boolean) => rig.translate(NIC_SID, page, write) >= 0;
    assert.deepEqual([seen(16, false), seen(16, true)], [true, false]);
    assert.deepEqual([seen(17, false), seen(17, true)], [false, true]);
    assert.equal(d.map(18, 0x902, 1, 0), -E.EINVAL);
  });

  Deno.test(`${profile}: blocks of 2 MiB and 1 GiB, and what is left of one that is cut`, () => {
    const rig = new KernelRig({ profile });
    const d = attached(rig);
    const before = rig.kernel.pages.freePages;
    // 1 GiB, 2 MiB and 5 pages, all physically aligned alike.
    assert.equal(d.map(2 ** 18, 2 ** 18, 2 ** 18 + 512 + 5, RW), 0);
    assert.equal(before - rig.kernel.pages.freePages, 2, "one table for 2 MiB, one for 4 KiB");
    const pages = [0, 1, 511, 512, 2 ** 18 - 1, 2 ** 18, 2 ** 18 + 511, 2 ** 18 + 516];
    for (const i of pages) assert.equal(rig.translate(NIC_SID, 2 ** 18 + i), 2 ** 18 + i);
    assert.ok(rig.translate(NIC_SID, 2 ** 19 + 517) < 0);
    // One page out of the middle of the gigabyte.
    assert.equal(d.unmap(2 ** 18 + 700, 1), 1);
    assert.equal(before - rig.kernel.pages.freePages, 4, "the block became two levels of tables");
    for (const i of [0, 699, 701, 1024, 2 ** 18 - 1]) {
      assert.equal(rig.translate(NIC_SID, 2 ** 18 + i), 2 ** 18 + i, `page ${i}`);
    }
    assert.ok(rig.translate(NIC_SID, 2 ** 18 + 700) < 0);
    assert.equal(d.unmap(2 ** 18, 2 ** 18 + 517), 2 ** 18 + 516);
    for (const i of pages) assert.ok(rig.translate(NIC_SID, 2 ** 18 + i) < 0);
    // A gigabyte takes the place of the tables that are empty now.
    assert.equal(d.map(2 ** 18, 2 ** 18, 2 ** 18, RW), 0);
    assert.equal(rig.translate(NIC_SID, 2 ** 18 + 700), 2 ** 18 + 700);
    d.unmap(2 ** 18, 2 ** 18);
    assert.equal(before - rig.kernel.pages.freePages, 2, "those that were not wholly covered");
  });

  Deno.test(`${profile}: EEXIST over a live mapping changes nothing; beyond the tables is EINVAL`, () => {
    const rig = new KernelRig({ profile });
    const d = attached(rig);
    d.map(20, 0x900, 4, RW);
    assert.equal(d.map(16, 0xa00, 8, RW), -E.EEXIST);
    assert.equal(rig.translate(NIC_SID, 20), 0x900);
    assert.ok(rig.translate(NIC_SID, 16) < 0);
    assert.equal(d.map(d.lastPage, 0x900, 2, RW), -E.EINVAL);
    assert.equal(d.map(d.lastPage, 0x900, 1, RW), 0);
    assert.equal(d.translate(d.lastPage), 0x900);
    assert.equal(d.unmap(d.lastPage, 1), 1);
    assert.equal(d.unmap(d.lastPage, 1), 0);
  });

  Deno.test(`${profile}: without memory for a table nothing stays mapped, and nothing is lost`, () => {
    const rig = new KernelRig({ profile });
    const d = attached(rig);
    const before = rig.kernel.pages.freePages;
    let left = 2;
    rig.chooser.failWhen = (point) => point.startsWith("fault:alloc_page") && left-- <= 0;
    assert.equal(d.map(512 - 16, 0x900, 32, RW), -E.ENOMEM);
    rig.chooser.failWhen = () => false;
    for (let page = 496; page < 528; page++) assert.ok(rig.translate(NIC_SID, page) < 0);
    d.map(0, 0x800, 1, RW);
    d.free();
    assert.ok(rig.kernel.pages.freePages > before, "its tables came back");
    rig.chooser.failWhen = (point) => point.startsWith("fault:alloc_page");
    assert.equal(rig.kernel.iommuDriver?.allocPaging(rig.dev(), {}), -E.ENOMEM);
  });

  Deno.test(`${profile}: an invalidation that is left out would be seen`, () => {
    const rig = new KernelRig({ profile });
    const d = attached(rig);
    assert.ok(d instanceof SmmuDomain || d instanceof AmdDomain);
    d.map(16, 0x900, 1, RW);
    assert.equal(rig.translate(NIC_SID, 16), 0x900);
    d.table.unmap(16, 1, []);
    assert.equal(rig.translate(NIC_SID, 16), 0x900, "the TLB goes on answering");
    d.map(16, 0x900, 1, RW);
    d.unmap(16, 1);
    assert.ok(rig.translate(NIC_SID, 16) < 0);
  });

  Deno.test(`${profile}: over random maps and unmaps hardware, driver and health's reader agree`, () => {
    const rig = new KernelRig({ profile });
    const d = attached(rig);
    const before = rig.kernel.pages.freePages;
    const model = new Map<number, number>();
    let state = 12345;
    const random = (bound: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % bound;
    };
    for (let step = 0; step < 120; step++) {
      const page = random(6) * 512 + [0, 0, 1, 511, random(512)][random(5)];
      const count = [1, 3, 512, 1024, 600][random(5)];
      const free = Array.from({ length: count }, (_, i) => page + i).every((p) => !model.has(p));
      if (random(2) === 0) {
        const pfn = random(2) === 0 ? 0x800 + page % 512 : 0x700 + random(256);
        assert.equal(d.map(page, pfn, count, RW), free ? 0 : -E.EEXIST);
        for (let i = 0; free && i < count; i++) model.set(page + i, pfn + i);
      } else {
        let there = 0;
        for (let i = 0; i < count; i++) if (model.delete(page + i)) there++;
        assert.equal(d.unmap(page, count), there);
      }
      const [reader] = readUnits(rig.machine);
      const context = reader.live.contexts.find((c) => c.sid === NIC_SID)!;
      for (let i = 0; i < 40; i++) {
        const at = random(4200), pfn = model.get(at) ?? -1;
        assert.equal(
          Math.max(-1, rig.translate(NIC_SID, at, true)),
          pfn,
          `step ${step} page ${at}`,
        );
        assert.equal(d.translate(at), pfn);
        assert.equal(reader.lookUp(context, at)?.pfn ?? -1, pfn);
      }
    }
    d.unmap(0, 8192);
    rig.dev().group!.detach();
    d.free();
    assert.equal(rig.kernel.pages.freePages, before + (d instanceof SmmuDomain ? 8 : 1));
  });

  Deno.test(`${profile}: no domain survives a kexec: EOPNOTSUPP, as for what else it cannot`, () => {
    const rig = new KernelRig({ profile });
    const ask = (options: { persistentId?: number; flags?: number }) =>
      rig.kernel.iommuDriver?.allocPaging(rig.dev(), options);
    assert.equal(ask({ persistentId: 1 }), -E.EOPNOTSUPP);
    // Tables of stage 2 are what is nested upon; AMD's would need guest tables (FACTS 4.4).
    const parent = { flags: IOMMU_HWPT_ALLOC_NEST_PARENT };
    assert.equal(typeof ask(parent), profile === "amd" ? "number" : "object");
    if (profile === "amd") assert.equal(ask(parent), -E.EOPNOTSUPP);
    else {
      const one = new KernelRig({ profile, smmu: { stage1: false } });
      assert.equal(one.kernel.iommuDriver?.allocPaging(one.dev(), parent), -E.EOPNOTSUPP);
    }
    assert.equal(ask({ flags: IOMMU_HWPT_ALLOC_DIRTY_TRACKING }), -E.EOPNOTSUPP);
  });

  Deno.test(`${profile}: a domain belongs to one unit`, () => {
    const rig = new KernelRig({ profile }), other = new KernelRig({ profile });
    const foreign = domain(other);
    assert.equal(rig.kernel.iommuDriver?.attach(foreign, rig.dev()), -E.EINVAL);
    assert.ok(rig.translate(NIC_SID, 16) < 0);
  });

  Deno.test(`${profile}: across a kexec no device reaches memory, and the next kernel starts over`, () => {
    const rig = new KernelRig({ profile });
    const d = attached(rig);
    d.map(16, 0x900, 8, RW);
    assert.equal(rig.translate(NIC_SID, 16), 0x900);
    rig.liveUpdate("rfc-v1", () => {
      for (const fn of rig.machine.functions) assert.equal(fn.port.busMaster, false);
    });
    assert.ok(rig.translate(NIC_SID, 16) < 0, "neither tables nor caches of before are in force");
    assert.equal(rig.dev().group?.held, false);
    const again = attached(rig);
    again.map(16, 0xa00, 8, RW);
    assert.equal(rig.translate(NIC_SID, 16), 0xa00);
  });

  Deno.test(`${profile}: a fault that repeats does not flood the log`, () => {
    const rig = new KernelRig({ profile });
    attached(rig);
    const faults = () => rig.log.filter((l) => /F_TRANSLATION|IO_PAGE_FAULT/.test(l)).length;
    for (let i = 0; i < 30; i++) {
      assert.ok(rig.translate(NIC_SID, 0x40 + i, true) < 0);
      rig.run(1000);
    }
    assert.equal(faults(), 10);
    rig.run(6e9);
    rig.translate(NIC_SID, 0x80);
    rig.run(1000);
    assert.equal(faults(), 11);
    assert.ok(rig.log.some((l) => l.endsWith("20 events suppressed")));
  });

  Deno.test(`${profile}: whichever allocation fails at boot, the kernel comes up and nothing passes`, () => {
    for (let fail = 0; fail < 14; fail++) {
      let left = fail, fired = false;
      const rig = new KernelRig({
        profile,
        beforeBoot: (r) =>
          r.chooser.failWhen = (point) => {
            if (!point.startsWith("fault:alloc_page") || fired || left-- > 0) return false;
            return fired = true;
          },
      });
      assert.equal(rig.kernel.ready, true, `allocation ${fail}`);
      for (const dev of rig.kernel.pci.devices) {
        if (dev.group === undefined) {
          // Without a group there is no driver, and the device may not do DMA.
          assert.equal(rig.machine.functions[0].port.busMaster, false);
        } else assert.ok(rig.translate(dev.sid, 0x999) < 0, `allocation ${fail}`);
      }
      const [reader] = readUnits(rig.machine);
      for (const pfn of reader.live.tables) {
        assert.equal(rig.kernel.pages.useOf(pfn), FrameUse.iommuTable);
      }
    }
  });
}
