import assert from "node:assert/strict";
import { PAGE_SIZE } from "../../../src/base/units.ts";
import { HELD } from "../../../src/kernel/iommu/core.ts";
import type { IntelDriver } from "../../../src/kernel/iommu/intel/driver.ts";
import { memOfPages } from "../../../src/kernel/iommu/keyed.ts";
import { INTEL_COMPATIBLE } from "../../../src/kernel/iommu/intel/serialise.ts";
import { readBootParams } from "../../../src/kernel/kho/boot_params.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import * as E from "../../../src/uapi/errno.ts";
import { PCI_COMMAND_MASTER } from "../../../src/uapi/pci_regs.ts";
import { DMAR_GCMD_REG } from "../../../src/uapi/vtd_regs.ts";
import { KernelRig, NIC, NIC_SID, NVME, NVME_SID } from "../rig.ts";
import {
  assertNothingStale,
  claimed,
  CONTEXT_NOT_PRESENT,
  mapping,
  never,
  READ_DENIED,
  ROOT_NOT_PRESENT,
  WRITE_DENIED,
} from "./driver_rig.ts";

Deno.test("shutdown without a dump turns translation off: the next kernel expects it so", () => {
  // FACTS 3.7.
  const rig = new KernelRig();
  rig.persistentDevice();
  rig.load();
  rig.jump(() => assert.equal(rig.unit.translationEnabled, false));
  assert.equal(rig.unit.translationEnabled, true, "and the next kernel turns it on");
  assert.equal(rig.dev().group?.held, false);
});

Deno.test("shutdown with a dump keeps the devices in it going and blocks all others", () => {
  const rig = new KernelRig();
  const { first } = rig.persistentDevice(NIC);
  const group = claimed(rig, NVME);
  group.attach(mapping(rig, 0x500, NVME));
  assert.equal(rig.translate(NVME_SID, 16), 0x500);
  rig.liveUpdate("rfc-v1", () => {
    assert.equal(rig.unit.translationEnabled, true);
    assert.equal(rig.translate(NIC_SID, 18), first + 2);
    assert.equal(rig.translate(NVME_SID, 16), CONTEXT_NOT_PRESENT);
  });
});

/** Looks at the unit after every store to its registers. */
function watchRegisters(rig: KernelRig, look: (offset: number) => void): void {
  const { bus } = rig.machine;
  const unit = rig.unit;
  bus.unmap(unit);
  bus.map(unit.regBase, unit.regSize, {
    read32: (offset) => unit.read32(offset),
    write32: (offset, value) => {
      unit.write32(offset, value);
      look(offset);
    },
  });
}

Deno.test("from dump to heir the device's DMA never stops, strays or goes untranslated", () => {
  const rig = new KernelRig();
  const { first } = rig.persistentDevice(NIC);
  rig.activate();
  rig.load();
  let looks = 0;
  watchRegisters(rig, () => {
    looks++;
    assert.equal(rig.unit.translationEnabled, true, "TE was cleared");
    assert.equal(rig.translate(NIC_SID, 16, true), first);
    assert.equal(rig.translate(NIC_SID, 23), first + 7);
  });
  const kernel = rig.jump();
  assert.ok(looks > 4);
  assert.equal(rig.translate(NIC_SID, 20, true), first + 4);
  const group = kernel.pci.find(NIC)?.group;
  assert.equal(group?.held, true);
  assert.ok(rig.log.includes("DMAR: dmar0: adopted, translation stays on"));
  // The heir takes it over; still the same tables.
  assert.equal(group?.claim("heir", (domain) => domain.persistentOwner === 1), 0);
  assert.equal(rig.translate(NIC_SID, 20, true), first + 4);
});

Deno.test("adopted tables belong to the new kernel, and it can change them", () => {
  const rig = new KernelRig();
  const { domain, first } = rig.persistentDevice(NIC);
  const before = domain.table.tables();
  rig.liveUpdate();
  const driver = rig.kernel.intel as IntelDriver;
  const restored = driver.persistent.get(1);
  assert.ok(restored !== undefined);
  assert.deepEqual(restored.table.tables(), before);
  assert.deepEqual([restored.did, restored.agaw], [domain.did, domain.agaw]);
  for (const pfn of [...before, ...driver.units[0].contexts.tables()]) {
    assert.equal(rig.kernel.pages.useOf(pfn), FrameUse.iommuTable);
  }
  for (let i = 0; i < 8; i++) assert.equal(restored.translate(16 + i), first + i);
  assert.equal(restored.unmap(16, 8), 8);
  assert.equal(rig.translate(NIC_SID, 16), READ_DENIED);
  assert.equal(restored.map(2 ** 27, first, 1, 3), 0);
  assert.equal(rig.translate(NIC_SID, 2 ** 27), first);
});

Deno.test("the DID of an adopted domain is not given to a new one", () => {
  const rig = new KernelRig();
  const { domain } = rig.persistentDevice(NIC);
  rig.liveUpdate();
  const dids = Array.from({ length: 8 }, () => rig.domain().did);
  assert.ok(!dids.includes(domain.did));
});

Deno.test("a device handed over twice still reaches the same memory", () => {
  const rig = new KernelRig();
  const { first } = rig.persistentDevice(NIC);
  for (let i = 0; i < 3; i++) {
    rig.liveUpdate();
    assert.equal(rig.translate(NIC_SID, 19, true), first + 3);
    assert.equal(rig.dev().group?.held, true);
  }
});

/** Hands over with the tree changed in place on its way. */
function handOverWith(change: (text: string, dt: Uint8Array) => void) {
  const rig = new KernelRig();
  const { first } = rig.persistentDevice(NIC);
  rig.activate();
  rig.load();
  watchRegisters(rig, () => assert.equal(rig.unit.translationEnabled, true, "TE was cleared"));
  const { memory } = rig.machine;
  rig.jump(() => {
    const params = readBootParams(memory);
    assert.ok(params !== undefined);
    const dt = memory.read(params.dt, params.dtSize);
    change(new TextDecoder("latin1").decode(dt), dt);
    memory.write(params.dt, dt);
    assert.equal(rig.translate(NIC_SID, 16, true), first, "until the new kernel acts");
  });
  return rig;
}

/** Replaces the number behind the first property of this value. */
function poke(dt: Uint8Array, from: number, to: number): void {
  const bytes = (n: number) => {
    const b = new Uint8Array(8);
    new DataView(b.buffer).setBigUint64(0, BigInt(n), true);
    return b;
  };
  const at = new TextDecoder("latin1").decode(dt)
    .indexOf(new TextDecoder("latin1").decode(bytes(from)));
  assert.ok(at >= 0);
  dt.set(bytes(to), at);
}

/** Where a number stands for the last time, behind an offset. */
function lastOf(dt: Uint8Array, value: number, from: number): number {
  const view = new DataView(dt.buffer, dt.byteOffset);
  for (let at = dt.length - 8; at >= from; at--) {
    if (view.getBigUint64(at, true) === BigInt(value)) return at;
  }
  throw new Error(`no ${value} in the tree`);
}

Deno.test("handover data that cannot be used: everything is blocked, and translation stays on", () => {
  const cases: [string, (text: string, dt: Uint8Array) => void][] = [
    ["another version", (text, dt) => {
      dt[text.indexOf(INTEL_COMPATIBLE) + INTEL_COMPATIBLE.length - 1]++;
    }],
    ["no KHO tree at all", (_, dt) => dt.fill(0)],
    ["another unit's registers", (_, dt) => poke(dt, 0xfed90000, 0xfed91000)],
  ];
  for (const [what, change] of cases) {
    const rig = handOverWith(change);
    assert.equal(rig.unit.translationEnabled, true, what);
    assert.ok(rig.translate(NIC_SID, 16, true) < 0, what);
    assert.ok(rig.translate(NIC_SID, 16) < 0, what);
    assert.equal(rig.dev().group?.held, false, what);
    assert.ok(rig.log.some((l) => /nothing usable was handed over: blocking/.test(l)), what);
    assertNothingStale(rig);
    // The device can be used afresh.
    assert.equal(claimed(rig).attach(mapping(rig, 0x500)), 0);
    assert.equal(rig.translate(NIC_SID, 16), 0x500);
  }
});

Deno.test("a root table other than the one in force is not adopted", () => {
  const rig = new KernelRig();
  rig.persistentDevice(NIC);
  const unit = (rig.kernel.intel as IntelDriver).units[0];
  const root = unit.root * PAGE_SIZE;
  rig.activate();
  rig.load();
  rig.jump(() => {
    const params = readBootParams(rig.machine.memory);
    assert.ok(params !== undefined);
    const dt = rig.machine.memory.read(params.dt, params.dtSize);
    const name = new TextDecoder("latin1").decode(dt).indexOf("units");
    const tail = dt.subarray(name);
    poke(tail, root, root + PAGE_SIZE);
    rig.machine.memory.write(params.dt, dt);
  });
  assert.ok(rig.log.includes("DMAR: dmar0: root table is not the one handed over"));
  assert.equal(rig.unit.translationEnabled, true);
  assert.ok(rig.translate(NIC_SID, 16) < 0);
});

Deno.test("a domain whose tables are not preserved is not adopted: its devices are blocked", () => {
  const rig = handOverWith((text, dt) => {
    // The domain's persistent id: 0 is none.
    const at = text.indexOf("intel-iommu", text.indexOf("intel-iommu-v0") - 100);
    poke(dt.subarray(at), 1, 0);
  });
  assert.ok(rig.log.some((l) => /cannot be restored/.test(l)));
  assert.equal(rig.dev().group?.held, false);
  assert.equal(rig.unit.translationEnabled, true);
  assert.equal(rig.translate(NIC_SID, 16), READ_DENIED, "the default domain");
  assertNothingStale(rig);
});

Deno.test("a device that went away between dump and jump is not waited for", () => {
  // Its process died: the device was detached and the page tables freed, but the dump is in the image.
  const rig = new KernelRig();
  const { domain } = rig.persistentDevice(NIC);
  const group = rig.dev().group;
  rig.activate();
  rig.load();
  rig.jump(() => {}, () => {
    group?.detach();
    domain.free();
    group?.release();
  });
  assert.equal(rig.dev().group?.held, false);
  assert.equal(rig.translate(NIC_SID, 16), READ_DENIED, "the default domain");
  assert.ok(rig.log.includes("DMAR: domain 1 cannot be restored"));
});

Deno.test("of a domain's devices only those that are still on it are held for an heir", () => {
  const rig = new KernelRig();
  const { domain, first } = rig.persistentDevice(NIC);
  const nvme = claimed(rig, NVME);
  assert.equal(nvme.attach(domain), 0);
  rig.activate();
  rig.load();
  rig.jump(() => {}, () => nvme.detach());
  assert.deepEqual(rig.kernel.pci.devices.map((d) => d.group?.held), [true, false]);
  assert.equal(rig.translate(NIC_SID, 16), first);
  assert.equal(rig.translate(NVME_SID, 16), READ_DENIED);
});

Deno.test("a page table other than the one hardware walks is not adopted", () => {
  const rig = new KernelRig();
  const { domain } = rig.persistentDevice(NIC);
  const pgd = domain.table.pgd * PAGE_SIZE;
  const other = domain.table.tables()[1] * PAGE_SIZE;
  rig.activate();
  rig.load();
  rig.jump(() => {
    const { memory } = rig.machine;
    const params = readBootParams(memory);
    const dt = memory.read(params?.dt ?? 0, params?.dtSize ?? 0);
    const at = new TextDecoder("latin1").decode(dt).indexOf("domains");
    // In "mem" the page is part of a range: what is changed is "pgd".
    poke(dt.subarray(lastOf(dt, pgd, at)), pgd, other);
    memory.write(params?.dt ?? 0, dt);
  });
  assert.equal(rig.dev().group?.held, false);
  assert.ok(rig.translate(NIC_SID, 16) < 0);
});

Deno.test("a kernel without KHO is refused; by kexec_load(2) nothing goes along, and devices are silenced", () => {
  const rig = new KernelRig();
  rig.persistentDevice(NIC);
  rig.dev().setCommand(PCI_COMMAND_MASTER, 0);
  rig.activate();
  assert.equal(rig.load("mainline"), -E.ENOEXEC);
  assert.ok(rig.log.some((line) => /mainline is refused, .*: it does not read kho-v1/.test(line)));
  assert.equal(rig.kernel.kexec.load("mainline"), 0);
  rig.jump(() => {
    assert.equal(rig.unit.translationEnabled, false);
    assert.equal(rig.dev().busMaster, false);
  });
});

Deno.test("mainline clears translation, and in that window an IOVA is taken for an address", () => {
  // FACTS 3.3, 3.7: the open window. Only a kernel that hands over to anybody lets it come to that.
  const rig = new KernelRig({ image: "rfc-v1+G11" });
  rig.persistentDevice(NIC);
  rig.activate();
  rig.load("mainline");
  const enabled: boolean[] = [], reached: number[] = [];
  watchRegisters(rig, (offset) => {
    if (offset !== DMAR_GCMD_REG) return;
    enabled.push(rig.unit.translationEnabled);
    reached.push(rig.translate(NIC_SID, 16, true));
  });
  rig.jump(() => {
    enabled.length = 0;
    reached.length = 0;
  });
  const window = enabled.indexOf(false);
  assert.ok(window >= 0);
  assert.equal(reached[window], 16, "frame 16, not the guest's");
  assert.equal(rig.unit.translationEnabled, true, "on again in the end");
  assert.equal(rig.translate(NIC_SID, 16, true), WRITE_DENIED);
  assert.ok(
    rig.log.some((l) => /Translation was enabled for dmar0 but we are not in kdump/.test(l)),
  );
});

Deno.test("without memory for a root table a unit is not used, and the kernel boots", () => {
  const rig = new KernelRig({
    beforeBoot: (r) => {
      r.chooser.failWhen = (point) =>
        point === "fault:alloc_page" &&
        (r.lines.at(-1)?.text.startsWith("DMAR: dmar0: reg_base_addr") ?? false);
    },
  });
  assert.ok(rig.log.includes("DMAR: dmar0: no memory for a root table"));
  assert.ok(rig.kernel.ready);
  assert.equal(rig.dev().group, undefined);
  assert.equal(rig.kernel.intel?.allocPaging(rig.dev(), {}), -E.EINVAL);
  assert.equal(rig.activate(), 1, "there is nothing of it to hand over");
});

Deno.test("without memory even for an empty root table, an unusable handover blocks everything", () => {
  const rig = new KernelRig();
  rig.persistentDevice(NIC);
  rig.activate();
  rig.load();
  watchRegisters(rig, () => assert.equal(rig.unit.translationEnabled, true, "TE was cleared"));
  rig.jump(() => {
    const params = readBootParams(rig.machine.memory);
    rig.machine.memory.write(params?.dt ?? 0, new Uint8Array(params?.dtSize ?? 0));
    rig.chooser.failWhen = (point) =>
      point === "fault:alloc_page" && /was handed over: blocking$/.test(rig.log.at(-1) ?? "");
  });
  assert.ok(rig.log.includes("DMAR: dmar0: no memory for a root table"));
  assert.equal(rig.translate(NIC_SID, 16, true), -8, "root table address invalid");
  assert.equal(rig.dev().group, undefined);
  assert.ok(rig.kernel.ready);
});

Deno.test("a device for which no context table can be had gets no group and leaves nothing behind", () => {
  const probe = (fail: boolean) =>
    new KernelRig({
      beforeBoot: (r) => {
        let visits = 0;
        r.chooser.failWhen = (point) => {
          // The second page after the bus scan: a default domain's top table, then a context table.
          const scanned = r.lines.at(-1)?.text.startsWith("pci 0000:3b:00.0: [") ?? false;
          return fail && point === "fault:alloc_page" && scanned && ++visits === 2;
        };
      },
    });
  const rig = probe(true), good = probe(false);
  assert.equal(rig.dev(NIC).group, undefined);
  assert.ok(rig.dev(NVME).group !== undefined);
  assert.ok(rig.log.some((l) => /iommu: 0000:3a:00\.0: no domain/.test(l)));
  assert.equal(rig.translate(NIC_SID, 16), ROOT_NOT_PRESENT);
  // Neither page nor DID is lost: two pages fewer are in use than where all went well.
  assert.equal(rig.kernel.pages.freePages, good.kernel.pages.freePages + 2);
  assert.equal(rig.domain(0, NVME).did, 2);
});

Deno.test("a held group is HELD by nobody a program could name", () => {
  const rig = new KernelRig();
  rig.persistentDevice(NIC);
  rig.liveUpdate();
  const { group } = rig.dev();
  assert.equal(group?.claim(Symbol("held"), never), -E.EPERM);
  assert.equal(typeof HELD, "symbol");
});

Deno.test("pages of tables are handed over as few ranges, each page once", () => {
  assert.deepEqual(memOfPages([7, 5, 6, 9, 1]), [
    { address: PAGE_SIZE, length: PAGE_SIZE },
    { address: 5 * PAGE_SIZE, length: 3 * PAGE_SIZE },
    { address: 9 * PAGE_SIZE, length: PAGE_SIZE },
  ]);
  assert.deepEqual(memOfPages([]), []);
});
