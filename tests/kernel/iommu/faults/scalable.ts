import assert from "node:assert/strict";
import { type FaultCase, HOLE, type Tables } from "./vtd.ts";

const HOLE_ENTRY = BigInt(HOLE) << 12n | 1n;
const MAPPED = 0x3000, MAPPED_N = 0x3000n;
/** First-level leaf: P, RW, US. */
const LEAF = 0x500n << 12n | 7n;

const map = (at: Tables, prot = 3, pfn = 0x500) =>
  assert.equal(at.domain.map(MAPPED >> 12, pfn, 1, prot), 0);

/** Puts a domain under PASID 70 of the NIC. */
const onPasid = (at: Tables) =>
  assert.equal(at.rig.dev().group?.attachPasid(70, at.rig.domain()), 0);

const write = true, iova = MAPPED;

/** Every reason of scalable mode that a program, or a kernel's mistake, can bring about. */
export const SCALABLE: FaultCase[] = [
  {
    reason: 0x30,
    name: "a table mode the unit lacks",
    prepare: (at) => at.setRoot(at.unit.root << 12 | 3 << 10),
    write,
    iova,
    text: "SM: Invalid Root Table Address",
  },
  {
    reason: 0x38,
    name: "the root table lies out of memory",
    prepare: (at) => at.setRoot(HOLE << 12 | 1 << 10),
    write: false,
    iova,
    text: "SM: Error attempting to access Root Entry",
  },
  {
    reason: 0x39,
    name: "half of the root entry is not present",
    prepare: () => {},
    write,
    iova,
    sid: 0x3a80,
    text: "SM: Present bit in Root Entry is clear",
  },
  {
    reason: 0x3a,
    name: "reserved bits in the root entry",
    prepare: (at) => at.change(...at.root, (v) => v | 4n),
    write,
    iova,
    text: "SM: Non-zero reserved field set in Root Entry",
  },
  {
    reason: 0x40,
    name: "the context table lies out of memory",
    prepare: (at) => at.store(...at.root, HOLE_ENTRY),
    write: false,
    iova,
    text: "SM: Error attempting to access Context Entry",
  },
  {
    reason: 0x41,
    name: "the context entry is not present",
    prepare: (at) => at.unit.contexts.clearDevice(0x3a00),
    write,
    iova,
    text: "SM: Present bit in Context Entry is clear",
  },
  {
    reason: 0x42,
    name: "reserved bits in the context entry: device-TLBs, which there are none of",
    vtd: { pageRequests: false },
    prepare: (at) => at.change(...at.context, (v) => v | 4n),
    write,
    iova,
    text: "SM: Non-zero reserved field set in the Context Entry",
  },
  {
    reason: 0x43,
    name: "a PASID directory larger than the unit's PASIDs",
    prepare: (at) => at.change(...at.context, (v) => v | 7n << 9n),
    write,
    iova,
    vtd: { pasidBits: 15 },
    text: "SM: Invalid Context Entry",
  },
  {
    reason: 0x45,
    name: "a PASID where the context entry lets none in",
    prepare: (at) => at.change(...at.context, (v) => v & ~8n),
    write,
    iova,
    pasid: 70,
    text: "SM: PASID Enable field in Context Entry is clear",
  },
  {
    reason: 0x46,
    name: "a PASID beyond the directory",
    prepare: () => {},
    write: false,
    iova,
    pasid: 0x8000,
    text: "SM: PASID is larger than the max in Context Entry",
  },
  {
    reason: 0x48,
    name: "requests without a PASID are sent by one beyond the directory",
    prepare: (at) => at.store(at.context[0], at.context[1] + 1, 0xfffffn),
    write,
    iova,
    text: "SM: RID_PASID field error in Context-Entry",
  },
  {
    reason: 0x50,
    name: "the directory lies out of memory",
    prepare: (at) => at.change(...at.context, (v) => v & 0xfffn | BigInt(HOLE) << 12n),
    write,
    iova,
    pasid: 1,
    text: "SM: Error attempting to access the PASID Directory Entry",
  },
  {
    reason: 0x51,
    name: "a PASID in whose part of the directory nobody ever was",
    prepare: () => {},
    write,
    iova: 0x123456789abc,
    pasid: 0x7fff,
    text: "SM: Present bit in Directory Entry is clear",
  },
  {
    reason: 0x52,
    name: "reserved bits in the directory entry",
    prepare: (at) => at.change(...at.directory(0), (v) => v | 4n),
    write,
    iova,
    text: "SM: Non-zero reserved field set in PASID Directory Entry",
  },
  {
    reason: 0x58,
    name: "the PASID table lies out of memory",
    prepare(at) {
      onPasid(at);
      at.store(...at.directory(70), HOLE_ENTRY);
    },
    write,
    iova,
    pasid: 70,
    text: "SM: Error attempting to access PASID Table Entry",
  },
  {
    reason: 0x59,
    name: "a blocked device",
    prepare: (at) => at.rig.dev().group?.detach(),
    write,
    iova,
    text: "SM: Present bit in PASID Table Entry is clear",
  },
  {
    reason: 0x59,
    name: "a PASID without a domain",
    prepare: onPasid,
    write: false,
    iova: 0xdeadb123,
    pasid: 71,
    text: "SM: Present bit in PASID Table Entry is clear",
  },
  {
    reason: 0x5a,
    name: "reserved bits in the PASID entry",
    prepare: (at) => at.change(...at.entry(0), (v) => v | 0x20n),
    write,
    iova,
    text: "SM: Non-zero reserved field set in PASID Table Entry",
  },
  {
    reason: 0x5b,
    name: "nested translation, which the unit lacks",
    prepare: (at) => at.change(...at.entry(0), (v) => v & ~0x1c0n | 3n << 6n),
    write,
    iova,
    vtd: { nested: false },
    text: "SM: Invalid Scalable-Mode PASID Table Entry",
  },
  {
    reason: 0x70,
    name: "a first-level table out of memory",
    prepare(at) {
      const [top] = at.firstLevel(MAPPED_N, LEAF);
      at.store(top, 0, BigInt(HOLE) << 12n | 7n);
    },
    write,
    iova,
    text: "SM: Error attempting to access first-level paging entry",
  },
  {
    reason: 0x71,
    name: "a first-level entry is not present",
    prepare: (at) => void at.firstLevel(MAPPED_N, 0n),
    write,
    iova,
    text: "SM: Present bit in first-level paging entry is clear",
  },
  {
    reason: 0x72,
    name: "reserved bits in a first-level entry",
    prepare: (at) => void at.firstLevel(MAPPED_N, LEAF | 1n << 51n),
    write,
    iova,
    text: "SM: Non-zero reserved field set in first-level paging entry",
  },
  {
    reason: 0x73,
    name: "the first-level top table lies out of memory",
    prepare(at) {
      at.firstLevel(MAPPED_N, LEAF);
      at.store(at.entry(0)[0], at.entry(0)[1] + 2, BigInt(HOLE) << 12n);
    },
    write: false,
    iova,
    text: "SM: Error attempting to access FL-PML4 entry",
  },
  {
    reason: 0x74,
    name: "a guest's top table beyond the width of the second level",
    prepare(at) {
      at.nested(MAPPED_N, LEAF, [], 1);
      at.store(at.entry(0)[0], at.entry(0)[1] + 2, 1n << 39n);
    },
    write,
    iova,
    text: "SM: First-level entry address beyond MGAW in Nested translation",
  },
  {
    reason: 0x75,
    name: "a guest's top table that may not be read",
    prepare: (at) => at.nested(MAPPED_N, LEAF, [2]),
    write,
    iova,
    text: "SM: Read permission error in FL-PML4 entry in Nested translation",
  },
  {
    reason: 0x76,
    name: "a guest's last table that may not be read",
    prepare: (at) => at.nested(MAPPED_N, LEAF, [3, 3, 3, 2]),
    write: false,
    iova,
    text: "SM: Read permission error in first-level paging entry in Nested translation",
  },
  {
    reason: 0x77,
    name: "a guest's table in which no access can be noted",
    prepare(at) {
      assert.equal(at.domain.map(0x500, 0x500, 1, 3), 0);
      at.nested(MAPPED_N, LEAF, [3, 3, 3, 1]);
    },
    write: false,
    iova,
    text: "SM: Write permission error in first-level paging entry in Nested translation",
  },
  {
    reason: 0x79,
    name: "a guest's page that the host does not map",
    prepare: (at) => at.nested(MAPPED_N, LEAF),
    write,
    iova,
    text: "SM: Read/Write permission error in second-level paging entry",
  },
  {
    reason: 0x78,
    name: "a second-level table out of memory",
    prepare(at) {
      map(at);
      at.store(at.domain.pgd, 0, BigInt(HOLE) << 12n | 3n);
    },
    write,
    iova,
    text: "SM: Error attempting to access second-level paging entry",
  },
  {
    reason: 0x79,
    name: "nothing is mapped",
    prepare: () => {},
    write: false,
    iova: 0xdeadb123,
    text: "SM: Read/Write permission error in second-level paging entry",
  },
  {
    reason: 0x79,
    name: "nothing is mapped for a PASID",
    prepare: onPasid,
    write: true,
    iova: 0xdeadb123,
    pasid: 70,
    text: "SM: Read/Write permission error in second-level paging entry",
  },
  {
    reason: 0x7a,
    name: "reserved bits in a second-level entry",
    prepare(at) {
      map(at);
      at.change(at.domain.pgd, 0, (v) => v | 1n << 51n);
    },
    write,
    iova,
    text: "SM: Non-zero reserved field set in second-level paging entry",
  },
  {
    reason: 0x7b,
    name: "the second-level top table lies out of memory",
    prepare: (at) => at.change(...at.entry(0), (v) => v & 0xfffn | BigInt(HOLE) << 12n),
    write,
    iova,
    text: "SM: Invalid second-level page table pointer",
  },
  {
    reason: 0x80,
    name: "an address that is not canonical",
    prepare: (at) => void at.firstLevel(MAPPED_N, LEAF),
    write,
    iova: 2 ** 47,
    text: "SM: Address in first-level translation is not canonical",
  },
  {
    reason: 0x81,
    name: "a first-level entry for supervisors only",
    prepare: (at) => void at.firstLevel(MAPPED_N, LEAF & ~4n),
    write,
    iova,
    text: "SM: U/S set 0 for first-level translation with user privilege",
  },
  {
    reason: 0x83,
    name: "passing through, beyond the host's addresses",
    prepare: (at) => at.store(...at.entry(0), 4n << 6n | 1n),
    write,
    iova: 2 ** 43,
    text: "SM: Address beyond the DMA hardware max",
  },
  {
    reason: 0x84,
    name: "the IOVA is wider than the tables",
    prepare: () => {},
    write: false,
    iova: 2 ** 57,
    text: "SM: Second-level entry address beyond the max",
  },
  {
    reason: 0x85,
    name: "a write where only reading is mapped",
    prepare: (at) => map(at, 1),
    write: true,
    iova,
    text: "SM: No write permission for Write/AtomicOp request",
  },
  {
    reason: 0x85,
    name: "a write to a first-level page for reading",
    prepare: (at) => void at.firstLevel(MAPPED_N, LEAF & ~2n),
    write: true,
    iova,
    text: "SM: No write permission for Write/AtomicOp request",
  },
  {
    reason: 0x86,
    name: "a read where only writing is mapped",
    prepare: (at) => map(at, 2),
    write: false,
    iova,
    text: "SM: No read permission for Read/AtomicOp request",
  },
  {
    reason: 0x87,
    name: "a read from the interrupt range",
    prepare: () => {},
    write: false,
    iova: 0xfee00000,
    text: "Address in the interrupt address range",
  },
  {
    reason: 0x87,
    name: "a page that leads into the interrupt range",
    prepare: (at) => map(at, 3, 0xfeeff),
    write: true,
    iova,
    text: "Address in the interrupt address range",
  },
];
