import assert from "node:assert/strict";
import type { FaultCase } from "./vtd.ts";
import { HOLE } from "./vtd.ts";

const HOLE_ENTRY = BigInt(HOLE) << 12n | 1n;

/** Every reason of legacy mode that a program, or a kernel's mistake, can bring about. */
export const LEGACY: FaultCase[] = [
  {
    reason: 0x01,
    name: "the root entry is not present",
    prepare: (at) => at.store(...at.root, 0n),
    write: true,
    iova: 0x1000,
    text: "Present bit in root entry is clear",
  },
  {
    reason: 0x02,
    name: "the context entry is not present: the device is blocked",
    prepare: (at) => at.rig.dev().group?.detach(),
    write: false,
    iova: 0xdeadb123,
    text: "Present bit in context entry is clear",
  },
  {
    reason: 0x03,
    name: "the context entry has a width the unit cannot walk",
    prepare: (at) => at.change(at.context[0], at.context[1] + 1, (v) => v & ~7n | 5n),
    write: false,
    iova: 0x2000,
    text: "Invalid context entry",
  },
  {
    reason: 0x04,
    name: "the IOVA is wider than the tables",
    prepare: () => {},
    write: true,
    iova: 2 ** 48,
    text: "Access beyond MGAW",
  },
  {
    reason: 0x05,
    name: "a write where only reading is mapped",
    prepare: (at) => assert.equal(at.domain.map(0xdeadb, 0x500, 1, 1), 0),
    write: true,
    iova: 0xdeadb123,
    text: "PTE Write access is not set",
  },
  {
    reason: 0x06,
    name: "a read where nothing is mapped",
    prepare: () => {},
    write: false,
    iova: 0xdeadb123,
    text: "PTE Read access is not set",
  },
  {
    reason: 0x07,
    name: "a table pointer that leads out of memory",
    prepare(at) {
      assert.equal(at.domain.map(3, 0x500, 1, 3), 0);
      at.store(at.domain.pgd, 0, BigInt(HOLE) << 12n | 3n);
    },
    write: false,
    iova: 0x3000,
    text: "Next page table ptr is invalid",
  },
  {
    reason: 0x08,
    name: "the root table lies out of memory",
    prepare: (at) => at.setRoot(HOLE << 12),
    write: true,
    iova: 0x4000,
    text: "Root table address invalid",
  },
  {
    reason: 0x09,
    name: "the context table lies out of memory",
    prepare: (at) => at.store(...at.root, HOLE_ENTRY),
    write: true,
    iova: 0x4000,
    text: "Context table ptr is invalid",
  },
  {
    reason: 0x0a,
    name: "reserved bits in the root entry",
    prepare: (at) => at.change(...at.root, (v) => v | 2n),
    write: false,
    iova: 0x5000,
    text: "non-zero reserved fields in RTP",
  },
  {
    reason: 0x0b,
    name: "reserved bits in the context entry",
    prepare: (at) => at.change(...at.context, (v) => v | 0x10n),
    write: false,
    iova: 0x5000,
    text: "non-zero reserved fields in CTP",
  },
  {
    reason: 0x0b,
    name: "a domain id the unit does not tell apart",
    prepare: (at) => at.change(at.context[0], at.context[1] + 1, (v) => v | 0x1000n << 8n),
    write: false,
    iova: 0x5000,
    vtd: { domains: 256 },
    text: "non-zero reserved fields in CTP",
  },
  {
    reason: 0x0c,
    name: "reserved bits in a page-table entry",
    prepare(at) {
      assert.equal(at.domain.map(3, 0x500, 1, 3), 0);
      at.change(at.domain.pgd, 0, (v) => v | 1n << 51n);
    },
    write: false,
    iova: 0x3000,
    text: "non-zero reserved fields in PTE",
  },
  {
    reason: 0x0e,
    name: "a page that leads into the interrupt range",
    prepare: (at) => assert.equal(at.domain.map(3, 0xfee00, 1, 3), 0),
    write: true,
    iova: 0x3000,
    text: "Output address in the interrupt address range",
  },
  {
    reason: 0x87,
    name: "a read from the interrupt range",
    prepare: (at) => assert.equal(at.domain.map(0xfee00, 0x500, 1, 3), 0),
    write: false,
    iova: 0xfee00123,
    text: "Address in the interrupt address range",
  },
  {
    reason: 0x31,
    name: "a request with a PASID",
    prepare: () => {},
    write: true,
    iova: 0x6000,
    pasid: 0x12345,
    text: "SM: TTM 0 for request with PASID",
  },
];
