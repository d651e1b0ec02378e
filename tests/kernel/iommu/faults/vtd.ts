import assert from "node:assert/strict";
import type { DmarDomain } from "../../../../src/kernel/iommu/intel/domain.ts";
import type { IntelDriver } from "../../../../src/kernel/iommu/intel/driver.ts";
import type { IntelUnit } from "../../../../src/kernel/iommu/intel/unit.ts";
import { DMA_GCMD_SRTP, DMAR_RTADDR_REG } from "../../../../src/uapi/vtd_regs.ts";
import type { VtdCapability } from "../../../../src/machine/vtd/capability.ts";
import { KernelRig, NIC, NIC_SID } from "../../rig.ts";

/** A page number where this machine has no memory. */
export const HOLE = 0x70000;

/** A request that cannot be served: what leads to it, and what is printed. */
export interface FaultCase {
  readonly reason: number;
  readonly name: string;
  /** Hands on the tables; the kernel is not told. */
  prepare(at: Tables): void;
  readonly write: boolean;
  readonly iova: number;
  readonly pasid?: number;
  /** The NIC's unless said. */
  readonly sid?: number;
  readonly vtd?: Partial<VtdCapability>;
  /** The text behind the reason. */
  readonly text: string;
}

/** A kernel with its NIC on a domain of its own, and the words of the tables hardware walks. */
export class Tables {
  readonly rig: KernelRig;
  readonly unit: IntelUnit;
  readonly domain: DmarDomain;

  constructor(readonly profile: string, vtd: Partial<VtdCapability> = {}) {
    const devices = [{
      id: "nic0",
      bdf: "3a:00.0",
      model: "nic",
      interval: 200_000,
      packetBytes: 256,
      pasidBits: 15,
    }] as const;
    this.rig = new KernelRig({ profile, vtd, devices });
    this.unit = (this.rig.kernel.intel as IntelDriver).units[0];
    this.domain = this.rig.domain();
    const { group } = this.rig.dev(NIC);
    assert.equal(group?.claim("test", () => false), 0);
    assert.equal(group?.attach(this.domain), 0);
  }

  get #memory() {
    return this.rig.machine.memory;
  }

  /** Changes 64 bits of a table: `index` counts entries of 8 bytes. */
  store(pfn: number, index: number, value: bigint): void {
    this.#memory.store(pfn, index * 2, Number(value & 0xffffffffn) | 0);
    this.#memory.store(pfn, index * 2 + 1, Number(value >> 32n & 0xffffffffn) | 0);
  }

  load(pfn: number, index: number): bigint {
    const word = (i: number) => BigInt(this.#memory.load(pfn, index * 2 + i) >>> 0);
    return word(0) | word(1) << 32n;
  }

  change(pfn: number, index: number, change: (value: bigint) => bigint): void {
    this.store(pfn, index, change(this.load(pfn, index)));
  }

  /** A page that is nobody's table yet. */
  page(): number {
    return this.rig.kernel.pages.allocPage(1);
  }

  /** The root table, and the index of the NIC's bus in it. */
  get root(): [pfn: number, index: number] {
    return [this.unit.root, 0x3a * 2];
  }

  /** What an entry leads to. */
  next([pfn, index]: [pfn: number, index: number]): number {
    return Number(this.load(pfn, index) >> 12n & 0xffffffffffn);
  }

  /** The NIC's context entry; devfn 0 is first in both modes. */
  get context(): [pfn: number, index: number] {
    return [this.next(this.root), 0];
  }

  /** Scalable mode: the directory entry and the table entry of a PASID. */
  directory(pasid: number): [pfn: number, index: number] {
    return [this.next(this.context), pasid >> 6];
  }

  entry(pasid: number): [pfn: number, index: number] {
    return [this.next(this.directory(pasid)), (pasid & 63) * 8];
  }

  /** The NIC's requests without a PASID go by first-level tables of four levels from here on. */
  firstLevel(iova: bigint, leaf: bigint, upper = 7n): number[] {
    const tables = Array.from({ length: 4 }, () => this.page());
    const index = (level: bigint) => Number(iova >> (3n + 9n * level) & 511n);
    for (let i = 0; i < 3; i++) {
      this.store(tables[i], index(4n - BigInt(i)), BigInt(tables[i + 1]) << 12n | upper);
    }
    this.store(tables[3], index(1n), leaf);
    const [pfn, at] = this.entry(0);
    this.store(pfn, at, 1n << 6n | 1n);
    this.store(pfn, at + 1, 9n);
    this.store(pfn, at + 2, BigInt(tables[0]) << 12n);
    return tables;
  }

  /**
   * The same tables as a guest's: over the domain's, where each is mapped to itself with `prot`,
   * top table first. `width`: AW of the second level, the domain's unless said.
   */
  nested(iova: bigint, leaf: bigint, prot: number[] = [], width = this.domain.agaw): void {
    const tables = this.firstLevel(iova, leaf);
    tables.forEach((pfn, i) => assert.equal(this.domain.map(pfn, pfn, 1, prot[i] ?? 3), 0));
    const [pfn, at] = this.entry(0);
    const low = 3n << 6n | BigInt(width) << 2n | 1n;
    this.store(pfn, at, BigInt(this.domain.pgd) << 12n | low);
  }

  /** Latches another root table, or another table mode. */
  setRoot(low: number): void {
    this.unit.write64(DMAR_RTADDR_REG, low >>> 0, 0);
    this.unit.command(DMA_GCMD_SRTP);
  }

  /** Hardware reads everything anew. */
  forget(): this {
    this.unit.flushAll();
    return this;
  }

  /** One access of a device; what becomes of it. */
  access(write: boolean, iova: number, pasid?: number, sid = NIC_SID): number {
    const hi = Math.floor(iova / 2 ** 32) | 0, lo = iova | 0;
    const { unit } = this.rig;
    return pasid === undefined
      ? unit.translate(sid, hi, lo, write)
      : unit.translatePasid(sid, pasid, hi, lo, write);
  }

  /** The first fault recording register: high and low 64 bits. */
  record(index = 0): [string, string] {
    const { unit, rig } = this;
    const base = unit.regBase + unit.cap.faultRecordOffset * 16 + index * 16;
    const word = (offset: number) =>
      rig.machine.bus.read32(base + offset).toString(16).padStart(8, "0");
    return [word(12) + word(8), word(4) + word(0)];
  }

  /** Lines about faults. */
  get lines(): string[] {
    return this.rig.log.filter((l) => l.includes("fault reason"));
  }
}

/** A fault record as FACTS 3.5 has it, in 64-bit arithmetic. */
export function recordOf(
  { reason, write, iova, pasid, sid = NIC_SID }: Omit<FaultCase, "name" | "prepare" | "text">,
): [string, string] {
  const tag = pasid === undefined ? 0n : 1n << 31n | BigInt(pasid) << 40n;
  const high = 1n << 63n | (write ? 0n : 1n << 62n) | BigInt(reason) << 32n | BigInt(sid) | tag;
  const hex = (n: bigint) => BigInt.asUintN(64, n).toString(16).padStart(16, "0");
  return [hex(high), hex(BigInt(iova) & ~0xfffn)];
}
