import assert from "node:assert/strict";
import { MiB, PAGE_SIZE } from "../../../src/base/units.ts";
import { firmwareRegions } from "../../../src/kernel/iommu/reserved.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import type { PciDev } from "../../../src/kernel/pci/pci.ts";
import { EINVAL } from "../../../src/uapi/errno.ts";
import { KernelRig, NIC, NIC_SID, NVME_SID } from "../rig.ts";

const RMRR = { base: 32 * MiB, size: 3 * PAGE_SIZE };
const FIRST = RMRR.base / PAGE_SIZE, PAGES = RMRR.size / PAGE_SIZE;

/** A machine whose firmware keeps three pages for the network card. */
function rig(profile = "intel-legacy"): KernelRig {
  return new KernelRig({
    profile,
    devices: [
      {
        id: "nic0",
        bdf: "3a:00.0",
        model: "nic",
        interval: 200_000,
        packetBytes: 256,
        rmrr: RMRR,
      },
      { id: "nvme0", bdf: "3b:00.0", model: "nvme", latency: 1_000_000 },
    ],
  });
}

/** Pages around the region as a device's DMA finds them: a frame, or -1. */
function seen(r: KernelRig, sid: number): number[] {
  return Array.from({ length: PAGES + 2 }, (_, i) => r.translate(sid, FIRST - 1 + i, true))
    .map((pfn) => Math.max(pfn, -1));
}

const OPEN = [-1, FIRST, FIRST + 1, FIRST + 2, -1];
const SHUT = [-1, -1, -1, -1, -1];

for (const profile of ["intel-legacy", "intel-scalable", "arm-smmuv3-bbml0", "amd"]) {
  Deno.test(`${profile}: what firmware reserves for a device is mapped 1:1 in its default domain (FACTS 3.6)`, () => {
    const r = rig(profile);
    assert.deepEqual([seen(r, NIC_SID), seen(r, NVME_SID)], [OPEN, SHUT]);
    for (let i = 0; i < PAGES; i++) assert.equal(r.kernel.pages.useOf(FIRST + i), FrameUse.none);
    assert.equal(r.kernel.pages.useOf(FIRST - 1), FrameUse.free);
    assert.ok(r.log.some((line) => /reserves .*0x2000000.*0x2002fff.*0000:3a:00.0/i.test(line)));
  });

  Deno.test(`${profile}: a device that firmware wants mapped cannot be blocked, so nobody can own it (FACTS 1.5)`, () => {
    const r = rig(profile);
    const { group } = r.dev(NIC);
    assert.equal(group?.claim("somebody", () => false), -EINVAL);
    assert.deepEqual([group.owned, group.domain === group.defaultDomain], [false, true]);
    assert.deepEqual(seen(r, NIC_SID), OPEN);
    const line = `pci ${NIC}: Firmware has requested this device have a 1:1 IOMMU mapping`;
    assert.ok(r.log.some((text) => text.startsWith(line)));
  });
}

Deno.test("the next kernel keeps out of the region and maps it again", () => {
  const r = rig();
  r.liveUpdate();
  assert.deepEqual([seen(r, NIC_SID), seen(r, NVME_SID)], [OPEN, SHUT]);
  for (let i = 0; i < PAGES; i++) assert.equal(r.kernel.pages.useOf(FIRST + i), FrameUse.none);
});

/** Classes of devices, and whether they may be taken off their mapping. */
const CLASSES: { what: string; classCode: number; kind: string }[] = [
  { what: "network card", classCode: 0x020000, kind: "direct" },
  { what: "graphics", classCode: 0x030000, kind: "direct-relaxable" },
  { what: "USB controller", classCode: 0x0c0330, kind: "direct-relaxable" },
  { what: "another serial bus", classCode: 0x0c0500, kind: "direct" },
];

Deno.test("USB and graphics are exempt (FACTS 1.5, 3.6)", () => {
  const { pci } = rig().dev(NIC);
  for (const { what, classCode, kind } of CLASSES) {
    const dev = { pci, sid: NIC_SID, classCode } as PciDev;
    const last = BigInt(RMRR.base + RMRR.size - 1);
    assert.deepEqual(firmwareRegions(dev), [{ start: BigInt(RMRR.base), last, kind }], what);
  }
});
