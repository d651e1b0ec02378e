import assert from "node:assert/strict";
import { PAGE_SIZE } from "../../../src/base/units.ts";
import type { IntelDriver } from "../../../src/kernel/iommu/intel/driver.ts";
import { contextDid } from "../../../src/machine/vtd/context_cache.ts";
import * as E from "../../../src/uapi/errno.ts";
import { KernelRig, NIC_SID, NVME_SID } from "../rig.ts";
import {
  assertNothingStale,
  claimed,
  CONTEXT_NOT_PRESENT,
  mapping,
  READ_DENIED,
  ROOT_NOT_PRESENT,
  WRITE_DENIED,
} from "./driver_rig.ts";

Deno.test("a cold boot turns translation on with every device on an empty domain of its own", () => {
  const rig = new KernelRig();
  assert.equal(rig.unit.translationEnabled, true);
  assert.equal(rig.translate(NIC_SID, 16), READ_DENIED);
  assert.equal(rig.translate(NVME_SID, 16, true), WRITE_DENIED);
  assert.equal(rig.translate(0x0100, 16), ROOT_NOT_PRESENT, "a source id nobody has");
  const dids = rig.kernel.pci.devices.map((d) => contextDid(rig.unit.contextCache.lookup(d.sid)));
  assert.equal(new Set(dids).size, 2);
  assertNothingStale(rig);
});

Deno.test("the context entry is the one of the real format", () => {
  // FACTS 10.4: lo = root | P, hi = DID << 8 | AW.
  const rig = new KernelRig();
  const domain = mapping(rig, 0x500);
  claimed(rig).attach(domain);
  const { memory } = rig.machine;
  const unit = (rig.kernel.intel as IntelDriver).units[0];
  const table = rig.contextTableOf(0x3a);
  assert.equal(memory.load(unit.root, 0x3a * 4), table * PAGE_SIZE | 1);
  const words = [0, 1, 2, 3].map((i) => memory.load(table, i));
  assert.deepEqual(words, [domain.table.pgd * PAGE_SIZE | 1, 0, domain.did << 8 | 2, 0]);
});

Deno.test("attach, detach and replace change what hardware does at once, and nothing stays cached", () => {
  const rig = new KernelRig();
  const group = claimed(rig);
  const read = (page = 16) => rig.translate(NIC_SID, page);
  assert.equal(read(), CONTEXT_NOT_PRESENT, "claimed: blocked");
  const a = mapping(rig, 0x500), b = mapping(rig, 0x900);
  assert.equal(group.attach(a), 0);
  assert.deepEqual([read(), read(17), group.domain], [0x500, 0x501, a]);
  // Replace without a detach between.
  assert.equal(group.attach(b), 0);
  assert.deepEqual([read(), read(17), group.domain], [0x900, 0x901, b]);
  assertNothingStale(rig);
  assert.equal(group.attach(a), 0);
  assert.equal(read(), 0x500);
  group.detach();
  assert.deepEqual([read(), group.domain.type], [CONTEXT_NOT_PRESENT, "blocking"]);
  assert.equal(group.attach(b), 0);
  group.release();
  assert.equal(read(), READ_DENIED, "the default domain is empty");
  assertNothingStale(rig);
  assert.equal(rig.translate(NVME_SID, 16), READ_DENIED, "the other device never noticed");
});

Deno.test("an unmapped page is gone for hardware before its frame can be used again", () => {
  for (const vtd of [{}, { pageSelective: false }, { maxAddressMask: 0 }, { cachingMode: true }]) {
    const rig = new KernelRig({ vtd });
    const domain = mapping(rig, 0x500);
    claimed(rig).attach(domain);
    for (let p = 16; p < 20; p++) assert.equal(rig.translate(NIC_SID, p, true), 0x500 + p - 16);
    assert.equal(domain.unmap(17, 2), 2);
    const now = [16, 17, 18, 19].map((p) => rig.translate(NIC_SID, p, true));
    assert.deepEqual(now, [0x500, WRITE_DENIED, WRITE_DENIED, 0x503]);
    assertNothingStale(rig);
  }
});

Deno.test("in caching mode what was absent a moment ago works as soon as it is mapped", () => {
  // FACTS 3.4: non-present to present needs an invalidation there.
  const rig = new KernelRig({ vtd: { cachingMode: true } });
  const group = claimed(rig);
  assert.equal(rig.translate(NIC_SID, 16), CONTEXT_NOT_PRESENT);
  const domain = mapping(rig, 0x500);
  assert.equal(group.attach(domain), 0);
  assert.equal(rig.translate(NIC_SID, 16), 0x500);
  assert.equal(rig.translate(NIC_SID, 40), READ_DENIED);
  assert.equal(domain.map(40, 0x700, 1, 3), 0);
  assert.equal(rig.translate(NIC_SID, 40), 0x700);
  assert.notEqual(domain.did, 0, "DID 0 is taken in caching mode");
});

Deno.test("a DID that was given back is handed out without anything left under it", () => {
  const rig = new KernelRig();
  const group = claimed(rig);
  const a = mapping(rig, 0x500);
  group.attach(a);
  assert.equal(rig.translate(NIC_SID, 16), 0x500);
  group.detach();
  a.free();
  const b = rig.domain();
  assert.equal(b.did, a.did);
  group.attach(b);
  assert.equal(rig.translate(NIC_SID, 16), READ_DENIED);
});

Deno.test("DIDs run out with ENOSPC, page tables with ENOMEM, and neither takes anything", () => {
  const rig = new KernelRig({ vtd: { domains: 16 } });
  const { intel, pages } = rig.kernel;
  const dids = new Set<number>();
  for (;;) {
    const domain = intel?.allocPaging(rig.dev(), {});
    if (typeof domain === "number") {
      assert.equal(domain, -E.ENOSPC);
      break;
    }
    dids.add((domain as ReturnType<typeof rig.domain>).did);
  }
  // 16 there are; 0 is never given out, and two belong to the default domains.
  assert.equal(dids.size, 13);
  assert.ok(!dids.has(0));
  const other = new KernelRig({ vtd: { domains: 16 } });
  const free = other.kernel.pages.freePages;
  for (let i = 0; i < 20; i++) {
    other.chooser.arm("fault:alloc_page");
    assert.equal(other.kernel.intel?.allocPaging(other.dev(), {}), -E.ENOMEM);
  }
  assert.equal(other.kernel.pages.freePages, free);
  assert.ok(other.domain().did > 0);
  assert.ok(pages.freePages > 0);
});

Deno.test("a faulting device is named in the log with address, kind and reason, the record cleared", () => {
  // FACTS 3.5.
  const rig = new KernelRig();
  rig.translate(NIC_SID, 0xdeadb, true);
  rig.run(0);
  assert.ok(rig.log.includes(
    "DMAR: [DMA Write NO_PASID] Request device [3a:00.0] fault addr 0xdeadb000 " +
      "[fault reason 0x05] PTE Write access is not set",
  ));
  const lines = rig.log.length;
  rig.run(1000);
  assert.equal(rig.log.length, lines, "reported once");
  rig.translate(NVME_SID, 0x12345678);
  rig.run(0);
  assert.ok(
    rig.log.at(-1)?.includes(
      "[DMA Read NO_PASID] Request device [3b:00.0] fault addr 0x12345678000",
    ),
  );
});

Deno.test("a device that faults without end fills ten lines in five seconds, not the log", () => {
  const rig = new KernelRig();
  const count = () => rig.log.filter((l) => l.includes("[DMA Write")).length;
  for (let i = 0; i < 100; i++) {
    rig.translate(NIC_SID, 0x1000 + i, true);
    rig.run(1000);
  }
  assert.equal(count(), 10);
  rig.run(5_000_000_000);
  rig.translate(NIC_SID, 0x9000, true);
  rig.run(0);
  assert.equal(count(), 11);
  assert.ok(rig.log.some((l) => /fault lines suppressed/.test(l)));
});
