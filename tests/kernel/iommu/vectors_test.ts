import assert from "node:assert/strict";
import type { IntelDriver } from "../../../src/kernel/iommu/intel/driver.ts";
import { formatLogLine } from "../../../src/kernel/dmesg.ts";
import { FrameUse } from "../../../src/kernel/mm/frames.ts";
import { iommu_option, IOMMU_OPTION_PERSISTENT } from "../../../src/uapi/iommufd.ts";
import { agawToLevels, agawToWidth, widthToAgaw } from "../../../src/uapi/vtd_regs.ts";
import { KernelRig, NIC, NIC_SID } from "../rig.ts";

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

/** A fault of the NIC: what the record's 128 bits say before the kernel reads it, and its log line. */
interface FaultCase {
  readonly name: string;
  readonly write: boolean;
  readonly iova: number;
  readonly prepare: (rig: KernelRig) => void;
  /** High and low 64 bits. */
  readonly record: [string, string];
  readonly line: string;
}

function onDomain(rig: KernelRig, fill: (domain: ReturnType<KernelRig["domain"]>) => void): void {
  const group = rig.dev(NIC).group;
  assert.ok(group !== undefined);
  assert.equal(group.claim("test", () => false), 0);
  const domain = rig.domain();
  fill(domain);
  assert.equal(group.attach(domain), 0);
}

const DEVICE = "Request device [3a:00.0]";
const FAULTS: FaultCase[] = [
  {
    name: "the root entry is not present",
    write: true,
    iova: 0x1000,
    prepare: (rig) => {
      const unit = unitOf(rig);
      rig.machine.memory.store(unit.root, 0x3a * 4, 0);
      unit.invalidation.contextGlobal();
    },
    record: ["0x8000000100003a00", "0x0000000000001000"],
    line: `[DMA Write NO_PASID] ${DEVICE} fault addr 0x1000 [fault reason 0x01] ` +
      "Present bit in root entry is clear",
  },
  {
    name: "the context entry is not present: the device is blocked",
    write: false,
    iova: 0xdeadb123,
    prepare: (rig) => assert.equal(rig.dev(NIC).group?.claim("test", () => false), 0),
    record: ["0xc000000200003a00", "0x00000000deadb000"],
    line: `[DMA Read NO_PASID] ${DEVICE} fault addr 0xdeadb000 [fault reason 0x02] ` +
      "Present bit in context entry is clear",
  },
  {
    name: "the context entry has a width the unit cannot walk",
    write: false,
    iova: 0x2000,
    prepare: (rig) => {
      const unit = unitOf(rig);
      unit.contexts.clear(NIC_SID, 0);
      assert.ok(unit.contexts.set(NIC_SID, 0, { pgd: 0x1234, agaw: 5, did: 9, dirty: false }));
    },
    record: ["0xc000000300003a00", "0x0000000000002000"],
    line: `[DMA Read NO_PASID] ${DEVICE} fault addr 0x2000 [fault reason 0x03] ` +
      "Invalid context entry",
  },
  {
    name: "the IOVA is wider than the tables",
    write: true,
    iova: 2 ** 48,
    prepare: (rig) => onDomain(rig, () => {}),
    record: ["0x8000000400003a00", "0x0001000000000000"],
    line: `[DMA Write NO_PASID] ${DEVICE} fault addr 0x1000000000000 [fault reason 0x04] ` +
      "Access beyond MGAW",
  },
  {
    name: "a write where only reading is mapped",
    write: true,
    iova: 0xdeadb123,
    prepare: (rig) => onDomain(rig, (d) => assert.equal(d.map(0xdeadb, 0x500, 1, 1), 0)),
    record: ["0x8000000500003a00", "0x00000000deadb000"],
    line: `[DMA Write NO_PASID] ${DEVICE} fault addr 0xdeadb000 [fault reason 0x05] ` +
      "PTE Write access is not set",
  },
  {
    name: "a read where nothing is mapped",
    write: false,
    iova: 0xdeadb123,
    prepare: (rig) => onDomain(rig, () => {}),
    record: ["0xc000000600003a00", "0x00000000deadb000"],
    line: `[DMA Read NO_PASID] ${DEVICE} fault addr 0xdeadb000 [fault reason 0x06] ` +
      "PTE Read access is not set",
  },
  {
    name: "a table pointer that leads out of memory",
    write: false,
    iova: 0x3000,
    prepare: (rig) =>
      onDomain(rig, (d) => {
        assert.equal(d.map(3, 0x500, 1, 3), 0);
        // 0x70000000 is a hole in this machine's memory.
        rig.machine.memory.store(d.table.pgd, 0, 0x70000003);
      }),
    record: ["0xc000000700003a00", "0x0000000000003000"],
    line: `[DMA Read NO_PASID] ${DEVICE} fault addr 0x3000 [fault reason 0x07] ` +
      "Next page table ptr is invalid",
  },
  {
    name: "reserved bits in an entry",
    write: false,
    iova: 0x3000,
    prepare: (rig) =>
      onDomain(rig, (d) => {
        assert.equal(d.map(3, 0x500, 1, 3), 0);
        rig.machine.memory.store(d.table.pgd, 1, 0x80000);
      }),
    record: ["0xc000000c00003a00", "0x0000000000003000"],
    line: `[DMA Read NO_PASID] ${DEVICE} fault addr 0x3000 [fault reason 0x0c] ` +
      "non-zero reserved fields in PTE",
  },
];

for (const { name, write, iova, prepare, record, line } of FAULTS) {
  Deno.test(`fault: ${name}: the record's 128 bits and the line in the log`, () => {
    const rig = new KernelRig();
    prepare(rig);
    assert.ok(rig.kernel.pages.useOf(unitOf(rig).root) === FrameUse.iommuTable);
    const [hi, lo] = [Math.floor(iova / 2 ** 32), iova >>> 0];
    assert.ok(rig.unit.translate(NIC_SID, hi, lo, write) < 0);
    const base = rig.unit.regBase + 0x200;
    const word = (offset: number) =>
      rig.machine.bus.read32(base + offset).toString(16).padStart(8, "0");
    assert.deepEqual(["0x" + word(12) + word(8), "0x" + word(4) + word(0)], record);
    rig.run(1);
    assert.equal(rig.log.at(-1), "DMAR: " + line);
    // The kernel has cleared the record: the next fault finds room.
    assert.equal(rig.machine.bus.read32(base + 12) >>> 31, 0);
    assert.match(formatLogLine(rig.lines.at(-1)!), /^\[ +\d+\.\d{6}\] DMAR: /);
  });
}
