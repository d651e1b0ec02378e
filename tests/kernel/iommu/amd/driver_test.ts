import assert from "node:assert/strict";
import type { AmdDriver } from "../../../../src/kernel/iommu/amd/driver.ts";
import type { AmdDomain } from "../../../../src/kernel/iommu/amd/domain.ts";
import * as R from "../../../../src/uapi/amdvi_regs.ts";
import * as Q from "../../../../src/uapi/amdvi_queues.ts";
import { KernelRig, NIC_SID } from "../../rig.ts";

const driverOf = (rig: KernelRig) => rig.kernel.iommuDriver as AmdDriver;
const code = (n: number) => -(Q.AMDVI_CODE | n);

function attached(rig: KernelRig): AmdDomain {
  rig.dev().group!.claim("owner", () => false);
  const domain = driverOf(rig).allocPaging(rig.dev(), {}) as AmdDomain;
  rig.dev().group!.attach(domain);
  return domain;
}

Deno.test("AMD: a page fault is one line, with device, domain, address and flags", () => {
  const rig = new KernelRig({ profile: "amd" });
  const domain = attached(rig);
  rig.translate(NIC_SID, 0x92, true);
  rig.run(1000);
  const did = domain.did.toString(16).padStart(4, "0");
  assert.equal(
    rig.log.at(-1),
    `AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:3a:00.0 domain=0x${did} ` +
      "address=0x92000 flags=0x0020]",
  );
});

Deno.test("AMD: an address above 4 GiB is one number", () => {
  const rig = new KernelRig({ profile: "amd" });
  attached(rig);
  rig.translate(NIC_SID, 0x12345678, false);
  rig.run(1000);
  assert.match(rig.log.at(-1)!, /address=0x12345678000 flags=0x0000\]$/);
});

Deno.test("AMD: a device nobody knows cannot pass: its entry allows nothing", () => {
  const rig = new KernelRig({ profile: "amd" });
  assert.equal(rig.translate(0x3a08, 0x999), code(Q.FAULT_PERMISSION));
  assert.equal(rig.translate(0x4200, 0x999), code(Q.FAULT_BEYOND_DEVICE_TABLE));
});

Deno.test("AMD: an entry that is not an entry is printed", () => {
  const rig = new KernelRig({ profile: "amd" });
  attached(rig);
  const [iommu] = driverOf(rig).iommus;
  rig.machine.memory.store(iommu.root + (NIC_SID * 8 >>> 10), NIC_SID * 8 & 1023, 0x7f);
  iommu.commands.invalidateDevice(NIC_SID);
  assert.equal(rig.translate(NIC_SID, 0x92), code(Q.FAULT_ILLEGAL_DTE));
  rig.run(1000);
  const lines = rig.log.slice(-5);
  assert.match(
    lines[0],
    /Event logged \[ILLEGAL_DEV_TABLE_ENTRY device=0000:3a:00\.0 address=0x92000/,
  );
  assert.match(lines[1], /^AMD-Vi: DTE\[0\]: [0-9a-f]{8}0000007f$/);
});

Deno.test("AMD: after more events than the log holds it is started again", () => {
  const rig = new KernelRig({ profile: "amd" });
  attached(rig);
  for (let i = 0; i < 600; i++) rig.translate(NIC_SID, 0x92 + i);
  rig.run(1000);
  assert.ok(rig.log.includes("AMD-Vi: IOMMU Event log restarting"));
  const [unit] = rig.machine.amdvis;
  assert.equal(unit.events.running, true);
  const before = unit.events.recorded;
  rig.translate(NIC_SID, 0x92);
  assert.equal(unit.events.recorded, before + 1);
});

Deno.test("AMD: tables grow a level at a time as addresses need it, under a running device", () => {
  const rig = new KernelRig({ profile: "amd" });
  const domain = attached(rig);
  domain.map(16, 0x900, 1, 3);
  assert.equal(domain.table.mode, 3);
  assert.equal(rig.translate(NIC_SID, 16), 0x900);
  for (const [page, mode] of [[2 ** 27, 4], [2 ** 36, 5], [2 ** 45, 6]]) {
    assert.equal(rig.translate(NIC_SID, page), code(Q.FAULT_BEYOND_TABLES));
    assert.equal(domain.map(page, 0xa00, 4, 3), 0);
    assert.equal(domain.table.mode, mode);
    assert.equal(rig.translate(NIC_SID, page + 1), 0xa01);
    assert.equal(rig.translate(NIC_SID, 16), 0x900, "what was there stays");
  }
  const before = rig.kernel.pages.freePages;
  const { length } = domain.table.tables();
  rig.dev().group!.detach();
  domain.free();
  assert.equal(rig.kernel.pages.freePages, before + length);
});

Deno.test("AMD: a unit of four levels and without INVALIDATE_ALL", () => {
  const rig = new KernelRig({ profile: "amd", amdvi: { levels: 4, invalidateAll: false } });
  const domain = attached(rig);
  assert.equal(domain.lastPage, 2 ** 36 - 1);
  assert.equal(domain.map(2 ** 35, 0x900, 1, 3), 0);
  assert.equal(rig.translate(NIC_SID, 2 ** 35), 0x900);
  // What the unit had cached when it was turned on is gone all the same.
  const [unit] = rig.machine.amdvis;
  rig.liveUpdate();
  assert.equal([...unit.tlb.entries()].length, 0);
  assert.ok(rig.translate(NIC_SID, 2 ** 35) < 0);
});

Deno.test("AMD: flushes name exactly the power of two that is needed", () => {
  const rig = new KernelRig({ profile: "amd" });
  const domain = attached(rig);
  domain.map(0, 0x400, 64, 3);
  const [unit] = rig.machine.amdvis;
  const fill = () => {
    for (let page = 0; page < 64; page++) rig.translate(NIC_SID, page);
  };
  const left = () => [...unit.tlb.entries()].map((e) => e.page).sort((a, b) => a - b);
  for (
    const [page, count, from, to] of [[8, 1, 8, 9], [8, 2, 8, 10], [9, 2, 8, 12], [31, 2, 0, 64]]
  ) {
    fill();
    driverOf(rig).iommus[0].commands.invalidatePages(domain.did, page, count);
    const expected = Array.from({ length: 64 }, (_, i) => i).filter((p) => p < from || p >= to);
    assert.deepEqual(left(), expected, `${count} from ${page}`);
  }
});

Deno.test("AMD: a wrong command is a time-out, not a silent success", () => {
  const rig = new KernelRig({ profile: "amd" });
  const [iommu] = driverOf(rig).iommus;
  const { bus, memory } = rig.machine;
  const tail = bus.read32(iommu.regBase + R.AMDVI_COMMAND_TAIL);
  const store = memory.store.bind(memory);
  memory.store = (pfn, word, value) =>
    store(
      pfn,
      word,
      pfn === iommu.commands.pfn + (tail >>> 12) && word === (tail & 0xfff) / 4 + 1 ? 0 : value,
    );
  iommu.commands.invalidateDevice(NIC_SID);
  memory.store = store;
  assert.equal(rig.log.at(-1), "AMD-Vi: Completion-Wait loop timed out");
  rig.run(1000);
  assert.match(rig.log.at(-1)!, /Event logged \[ILLEGAL_COMMAND_ERROR address=0x[0-9a-f]+\]/);
});

Deno.test("AMD: interrupt window and HyperTransport's addresses are reserved", () => {
  const rig = new KernelRig({ profile: "amd" });
  assert.deepEqual(driverOf(rig).reservedRegions(rig.dev()), [
    { start: 0xfee00000n, last: 0xfeefffffn, kind: "msi" },
    { start: 0xfd00000000n, last: 0xffffffffffn, kind: "reserved" },
  ]);
});
