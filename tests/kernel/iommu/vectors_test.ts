import assert from "node:assert/strict";
import type { IntelDriver } from "../../../src/kernel/iommu/intel/driver.ts";
import { iommu_option, IOMMU_OPTION_PERSISTENT } from "../../../src/uapi/iommufd.ts";
import {
  agawToLevels,
  agawToWidth,
  DMAR_CAP_REG,
  widthToAgaw,
} from "../../../src/uapi/vtd_regs.ts";
import { KernelRig, NIC_SID } from "../rig.ts";

/** The computed vectors of FACTS 10.4, on the bytes the kernel leaves in memory and registers. */

/** 64 bits at a word of a frame. */
function entry(rig: KernelRig, pfn: number, word: number): string {
  const { memory } = rig.machine;
  const hex = (n: number) => (n >>> 0).toString(16).padStart(8, "0");
  return "0x" + hex(memory.load(pfn, word + 1)) + hex(memory.load(pfn, word));
}

function unitOf(rig: KernelRig) {
  return (rig.kernel.intel as IntelDriver).units[0];
}

Deno.test("a context entry for root 0x12345000, DID 5, four levels", () => {
  const rig = new KernelRig({ memory: 512 * 1048576 });
  const unit = unitOf(rig);
  assert.ok(unit.contexts.set(NIC_SID, 0, { pgd: 0x12345, agaw: 2, did: 5, dirty: false }));
  const table = rig.contextTableOf(NIC_SID >> 8);
  assert.equal(entry(rig, table, 0), "0x0000000012345001");
  assert.equal(entry(rig, table, 2), "0x0000000000000502");
});

Deno.test("a root entry is the context table's address and the present bit", () => {
  const rig = new KernelRig();
  const unit = unitOf(rig);
  const table = rig.contextTableOf(0x3a);
  assert.equal(
    entry(rig, unit.root, 0x3a * 4),
    "0x" + (table * 4096 + 1).toString(16).padStart(16, "0"),
  );
  assert.equal(entry(rig, unit.root, 0x3a * 4 + 2), "0x0000000000000000");
});

Deno.test("a pass-through entry, DID 1, AW 2: hardware takes any IOVA for the address itself", () => {
  const rig = new KernelRig();
  assert.ok(rig.translate(NIC_SID, 0x123) < 0);
  const table = rig.contextTableOf(NIC_SID >> 8), { memory } = rig.machine;
  [0x9, 0, 0x102, 0].forEach((word, i) => memory.store(table, (NIC_SID & 0xff) * 4 + i, word));
  unitOf(rig).invalidation.contextGlobal();
  unitOf(rig).invalidation.iotlbGlobal();
  for (const page of [0, 0x123, 0x3fff]) assert.equal(rig.translate(NIC_SID, page, true), page);
});

Deno.test("leaves and table pointers have the bits they should, SNP once coherency is enforced", () => {
  const rig = new KernelRig();
  const domain = rig.domain();
  const { table } = domain;
  assert.equal(domain.map(0x10, 0xabcde, 1, 3), 0);
  assert.equal(domain.enforceCacheCoherency(), true);
  assert.equal(domain.map(0x11, 0xabcde, 1, 3), 0);
  // 2 MiB at IOVA 2 MiB, to 0x40000000.
  assert.equal(domain.map(512, 0x40000, 512, 3), 0);
  const [, , directory, leaves] = table.tables();
  assert.equal(entry(rig, leaves, 0x10 * 2), "0x00000000abcde003");
  assert.equal(entry(rig, leaves, 0x11 * 2), "0x00000000abcde803");
  assert.equal(entry(rig, directory, 2), "0x0000000040000883");
  assert.equal(entry(rig, directory, 0), "0x" + (leaves * 4096 + 3).toString(16).padStart(16, "0"));
});

Deno.test("IOVAs find their entries by nine bits a level", () => {
  const rig = new KernelRig();
  const at = (iova: number): number[] => {
    const domain = rig.domain();
    assert.equal(domain.map(Math.floor(iova / 4096), 0x1234, 1, 3), 0);
    return domain.table.tables().map((pfn) => {
      for (let i = 0; i < 512; i++) if (rig.machine.memory.load(pfn, i * 2) !== 0) return i;
      return -1;
    });
  };
  assert.deepEqual(at(0x7f12345678), [0, 508, 145, 325]);
  assert.deepEqual(at(0x8000000000), [1, 0, 0, 0]);
});

Deno.test("the first address behind a whole table below the top is in the top's second entry", () => {
  for (const [sagaw, iova] of [[0b0010, 2 ** 30], [0b0100, 2 ** 39], [0b1000, 2 ** 48]]) {
    const rig = new KernelRig({ profile: "intel-scalable", vtd: { sagaw } });
    const domain = rig.domain();
    assert.equal(domain.map(iova / 4096, 0x1234, 1, 3), 0);
    const { memory } = rig.machine;
    const present = [0, 1, 2].map((i) => memory.load(domain.table.tables()[0], i * 2) & 3);
    assert.deepEqual(present, [0, 3, 0], `SAGAW ${sagaw}`);
  }
});

Deno.test("CAP.ND 0 to 6: a unit has 16 to 65536 domain ids, and hands out no more", () => {
  const counts = [16, 64, 256, 1024, 4096, 16384, 65536];
  for (const [nd, domains] of counts.entries()) {
    const rig = new KernelRig({ vtd: { domains } });
    assert.equal(rig.unit.read32(DMAR_CAP_REG) & 7, nd);
    const unit = unitOf(rig);
    assert.equal(unit.cap.domains, domains);
    if (domains > 256) continue;
    let last = 0;
    for (let did = unit.allocDid(); did >= 0; did = unit.allocDid()) last = did;
    assert.equal(last, domains - 1);
  }
});

Deno.test("widths, agaws and levels", () => {
  for (const [width, agaw, levels] of [[39, 1, 3], [48, 2, 4], [57, 3, 5]]) {
    assert.equal(widthToAgaw(width), agaw);
    assert.equal(agawToLevels(agaw), levels);
    assert.equal(agawToWidth(agaw), width);
  }
});

Deno.test("OPTION(PERSISTENT, SET, 1) is these 24 bytes", () => {
  const bytes = iommu_option.encode({
    size: iommu_option.size,
    option_id: IOMMU_OPTION_PERSISTENT,
    op: 0,
    val64: 1n,
  });
  const hex = [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  assert.equal(hex, "180000000200000000000000000000000100000000000000");
});
