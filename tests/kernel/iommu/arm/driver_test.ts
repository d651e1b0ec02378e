import assert from "node:assert/strict";
import type { SmmuDriver } from "../../../../src/kernel/iommu/arm/driver.ts";
import type { SmmuDomain } from "../../../../src/kernel/iommu/arm/domain.ts";
import { findProfile } from "../../../../src/machine/profile.ts";
import * as R from "../../../../src/uapi/smmuv3_regs.ts";
import {
  iommu_hw_info_arm_smmuv3,
  IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
} from "../../../../src/uapi/iommufd.ts";
import {
  C_BAD_STREAMID,
  F_TLB_CONFLICT,
  F_TRANSLATION,
  SMMU_GLOBAL_ABORT,
} from "../../../../src/uapi/smmuv3_queues.ts";
import { code } from "../../../machine/smmuv3/bench.ts";
import { KernelRig, NIC_SID } from "../../rig.ts";

const driverOf = (rig: KernelRig) => rig.kernel.iommuDriver as SmmuDriver;

function attached(rig: KernelRig): SmmuDomain {
  rig.dev().group!.claim("owner", () => false);
  const domain = driverOf(rig).allocPaging(rig.dev(), {}) as SmmuDomain;
  rig.dev().group!.attach(domain);
  return domain;
}

Deno.test("SMMUv3: the unit translates before the first device is probed", () => {
  const rig = new KernelRig({ profile: "arm-smmuv3-bbml2" });
  const [unit] = rig.machine.smmus;
  assert.equal(unit.translationEnabled, true);
  assert.equal(rig.kernel.intel, undefined);
  const lines = rig.log.filter((l) => l.startsWith("arm-smmu-v3"));
  assert.deepEqual(lines, [
    "arm-smmu-v3 arm-smmu-v3.0.auto: ias 42-bit, oas 42-bit, bbml 2",
  ]);
});

Deno.test("SMMUv3: a StreamID nobody knows is aborted, and the log says which", () => {
  const rig = new KernelRig({ profile: "arm-smmuv3-bbml0" });
  assert.equal(rig.translate(0x4200, 5), code(C_BAD_STREAMID));
  assert.ok(rig.translate(0x3a08, 5) < 0, "its bus has entries, and they abort");
  rig.run(1000);
  const events = rig.log.filter((l) => l.includes("event"));
  assert.deepEqual(events, [
    "arm-smmu-v3 arm-smmu-v3.0.auto: event 0x02 received:",
    "arm-smmu-v3 arm-smmu-v3.0.auto: event: C_BAD_STREAMID client: 0000:42:00.0 sid: 0x4200 " +
    "ssid: 0x0 iova: 0x0 ipa: 0x0",
  ]);
});

Deno.test("SMMUv3: a translation fault is four qwords and a line in words", () => {
  const rig = new KernelRig({ profile: "arm-smmuv3-bbml0" });
  attached(rig);
  rig.translate(NIC_SID, 0x92, true);
  rig.run(1000);
  const at = rig.log.findIndex((l) => l.endsWith("event 0x10 received:"));
  const prefix = "arm-smmu-v3 arm-smmu-v3.0.auto: ";
  assert.deepEqual(rig.log.slice(at + 1, at + 7).map((l) => l.replace(prefix, "").trim()), [
    "0x00003a0000000010",
    "0x0000028000000000",
    "0x0000000000092000",
    "0x0000000000092000",
    "event: F_TRANSLATION client: 0000:3a:00.0 sid: 0x3a00 ssid: 0x0 iova: 0x92000 ipa: 0x92000",
    'event: unpriv data write s2 "nothing is mapped there"',
  ]);
});

Deno.test("SMMUv3: more events than the queue holds are noticed, and later ones come again", () => {
  const rig = new KernelRig({ profile: "arm-smmuv3-bbml0" });
  attached(rig);
  for (let i = 0; i < 200; i++) rig.translate(NIC_SID, 0x92 + i);
  rig.run(1000);
  assert.ok(rig.log.some((l) => l.endsWith("EVTQ overflow detected -- events lost")));
  const [unit] = rig.machine.smmus;
  assert.equal([...unit.events.pending()].length, 0);
  const before = unit.events.recorded;
  rig.translate(NIC_SID, 0x92);
  assert.equal(unit.events.recorded, before + 1);
  rig.run(1000);
  assert.equal([...unit.events.pending()].length, 0);
});

Deno.test("SMMUv3: a command the unit refuses is skipped, and said", () => {
  const rig = new KernelRig({ profile: "arm-smmuv3-bbml0" });
  const domain = attached(rig);
  const { bus, memory } = rig.machine;
  const [{ regBase, commands }] = driverOf(rig).smmus;
  const prod = bus.read32(regBase + R.SMMU_CMDQ_PROD);
  domain.map(16, 0x900, 1, 3);
  rig.translate(NIC_SID, 16);
  // The next command is not what the driver meant by the time the unit gets to it.
  const store = memory.store.bind(memory);
  memory.store = (pfn, word, value) => {
    const first = pfn === commands.pfn && word === (prod % 2 ** commands.bits) * 4;
    if (first) memory.store = store;
    store(pfn, word, first ? 0xff : value);
  };
  domain.unmap(16, 1);
  assert.ok(rig.log.some((l) => /CMDQ error \(cons 0x[0-9a-f]{8}\): Illegal command/.test(l)));
  assert.ok(!rig.log.some((l) => l.includes("CMD_SYNC timeout")), "the queue went on");
  assert.equal(rig.translate(NIC_SID, 16), 0x900, "the flush is what was lost");
});

Deno.test("SMMUv3: hardware information is the registers as they are", () => {
  const rig = new KernelRig({ profile: "arm-smmuv3-bbml2" });
  const info = driverOf(rig).hwInfo(rig.dev());
  assert.equal(info.type, IOMMU_HW_INFO_TYPE_ARM_SMMUV3);
  assert.equal(info.data.length, 40);
  const { idr3, idr5, aidr } = iommu_hw_info_arm_smmuv3.decode(info.data);
  assert.equal((idr3 >>> R.IDR3_BBML_SHIFT) & R.IDR3_BBML_MASK, 2);
  assert.equal(R.SMMU_ADDRESS_BITS[idr5 & R.IDR5_OAS_MASK], 42);
  assert.equal(aidr, 2);
});

Deno.test("SMMUv3: the doorbell window is reserved", () => {
  const rig = new KernelRig({ profile: "arm-smmuv3-bbml0" });
  assert.deepEqual(driverOf(rig).reservedRegions(rig.dev()), [
    { start: 0x8000000n, last: 0x80fffffn, kind: "sw-msi" },
  ]);
});

for (
  const [profile, conflict] of [["arm-smmuv3-bbml0", true], ["arm-smmuv3-bbml2", false]] as const
) {
  Deno.test(`SMMUv3: a block that is cut under way, ${profile}`, () => {
    const rig = new KernelRig({ profile });
    const domain = attached(rig);
    domain.map(512, 0x800, 512, 3);
    assert.equal(rig.translate(NIC_SID, 600), 0x858);
    // What the driver does: the unit never sees two sizes.
    domain.unmap(513, 1);
    assert.equal(rig.translate(NIC_SID, 600), 0x858);
    // What it must not do below level 2: a table over a block that is cached.
    domain.map(1024, 0xa00, 512, 3);
    assert.equal(rig.translate(NIC_SID, 1030), 0xa06);
    const { invalidate } = domain.table;
    Object.assign(domain.table, { invalidate: () => {}, breakFirst: false });
    domain.table.unmap(1025, 1, []);
    Object.assign(domain.table, { invalidate });
    assert.equal(rig.translate(NIC_SID, 1030), conflict ? code(F_TLB_CONFLICT) : 0xa06);
  });
}

Deno.test("SMMUv3: one that is found running is told to abort before it is turned off", () => {
  const rig = new KernelRig({ profile: "arm-smmuv3-bbml0" });
  attached(rig).map(16, 0x900, 8, 3);
  const seen: number[] = [];
  rig.activate();
  rig.load();
  rig.jump(() => {
    // As after a crash: nobody shut the unit down.
    const [unit] = rig.machine.smmus;
    unit.write32(R.SMMU_CR0, R.CR0_CMDQEN | R.CR0_EVENTQEN | R.CR0_SMMUEN);
    const write = unit.write32.bind(unit);
    unit.write32 = (offset, value) => {
      write(offset, value);
      if (!unit.translationEnabled) seen.push(rig.translate(NIC_SID, 0x999));
    };
  });
  assert.ok(rig.log.some((l) => l.endsWith("SMMU currently enabled! Resetting...")));
  assert.ok(seen.length > 5);
  assert.deepEqual([...new Set(seen)], [code(SMMU_GLOBAL_ABORT)]);
});

Deno.test("SMMUv3: a unit without memory for its tables aborts everything", () => {
  const rig = new KernelRig({
    profile: "arm-smmuv3-bbml0",
    beforeBoot: (r) => r.chooser.failWhen = (point) => point === "fault:alloc_pages",
  });
  assert.equal(rig.dev().group, undefined);
  assert.equal(rig.translate(NIC_SID, 0x999), code(SMMU_GLOBAL_ABORT));
});

Deno.test("SMMUv3: eight bits of StreamID are a linear table, and devices beyond it have no group", () => {
  const base = findProfile("arm-smmuv3-bbml0")!;
  assert.ok(base.smmu !== undefined);
  const rig = new KernelRig({
    profile: "arm-smmuv3-bbml0",
    smmu: { streamBits: 8 },
    devices: [
      { id: "near", bdf: "00:03.0", model: "nic", interval: 200_000, packetBytes: 256 },
      { id: "far", bdf: "01:00.0", model: "nic", interval: 200_000, packetBytes: 256 },
    ],
  });
  const [near, far] = rig.kernel.pci.devices;
  assert.ok(near.group !== undefined && far.group === undefined);
  near.group.claim("owner", () => false);
  const domain = driverOf(rig).allocPaging(near, {}) as SmmuDomain;
  domain.map(16, 0x900, 1, 3);
  assert.equal(near.group.attach(domain), 0);
  assert.equal(rig.translate(near.sid, 16), 0x900);
  assert.equal(rig.translate(far.sid, 16), code(C_BAD_STREAMID));
  assert.ok(rig.translate(near.sid + 8, 16) < 0);
});

for (
  const smmu of [{ rangeInvalidation: false }, { outputBits: 32 }, { outputBits: 36 }] as const
) {
  Deno.test(`SMMUv3: maps, blocks and flushes with ${JSON.stringify(smmu)}`, () => {
    const rig = new KernelRig({ profile: "arm-smmuv3-bbml1", smmu });
    const domain = attached(rig);
    for (const count of [1, 40, 512, 1024 + 7]) {
      assert.equal(domain.map(1024, 0x400, count, 3), 0);
      assert.equal(rig.translate(NIC_SID, 1024 + count - 1), 0x400 + count - 1);
      assert.equal(rig.translate(NIC_SID, 1024), 0x400);
      assert.equal(domain.unmap(1024, count), count);
      assert.ok(rig.translate(NIC_SID, 1024 + count - 1) < 0);
      assert.ok(rig.translate(NIC_SID, 1024) < 0);
    }
    assert.equal(domain.map(domain.lastPage, 0x900, 1, 3), 0);
    assert.equal(rig.translate(NIC_SID, domain.lastPage), 0x900);
  });
}

for (
  const [profile, kinds] of [
    ["arm-smmuv3-bbml0", ["invalid", "table"]],
    ["arm-smmuv3-bbml1", ["invalid", "table"]],
    ["arm-smmuv3-bbml2", ["table"]],
  ] as const
) {
  Deno.test(`SMMUv3: what the entry of a block goes through when it is cut, ${profile}`, () => {
    const rig = new KernelRig({ profile });
    const domain = attached(rig);
    domain.map(512, 0x800, 512, 3);
    const { memory } = rig.machine;
    const level2 = memory.load(domain.pgd, 0) >>> 12;
    const seen: string[] = [];
    const store = memory.store.bind(memory);
    memory.store = (pfn, word, value) => {
      store(pfn, word, value);
      if (pfn !== level2 || word !== 2) return;
      seen.push((value & 1) === 0 ? "invalid" : (value & 2) !== 0 ? "table" : "block");
      // An access at any moment finds one translation, or none; never two sizes of it.
      const met = rig.translate(NIC_SID, 600);
      assert.ok(
        met === 0x858 || (met === code(F_TRANSLATION) && seen.at(-1) === "invalid"),
        `${met}`,
      );
    };
    domain.unmap(513, 1);
    memory.store = store;
    assert.deepEqual(seen, kinds);
    assert.equal(rig.translate(NIC_SID, 600), 0x858);
  });
}
