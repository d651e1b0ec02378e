import type { Chooser } from "../../../src/base/choice.ts";
import { SCALABLE_CAPABILITY, type VtdCapability } from "../../../src/machine/vtd/capability.ts";
import * as qi from "../../../src/uapi/vtd_queue.ts";
import * as regs from "../../../src/uapi/vtd_regs.ts";
import * as sm from "../../../src/uapi/vtd_scalable.ts";
import { Bench, indexAt, SID } from "./bench.ts";

/** First-level leaf and table bits: P, RW, US. */
export const FL = 7n, FL_P = 1n, FL_W = 2n, FL_US = 4n, FL_A = 0x20n, FL_D = 0x40n;
/** Second-level accessed and dirty. */
export const SL_A = 0x100n, SL_D = 0x200n;

export interface PasidFields {
  pgtt?: number;
  did?: number;
  aw?: number;
  flpm?: number;
  slade?: boolean;
  fpd?: boolean;
  top?: number;
  /** Nested: guest frame of the first-level table; `top` is that of the second level. */
  guestTop?: number;
}

/** A unit in scalable mode, and the stores that fill its tables and its queue. */
export class ScalableBench extends Bench {
  /** Frame of the invalidation queue, of one page, and the byte offset of its tail. */
  readonly queueFrame: number;
  tail = 0;
  wide = true;

  constructor(capability: Partial<VtdCapability> = {}, chooser?: Chooser, iotlbEntries = 1024) {
    super({ ...SCALABLE_CAPABILITY, faultRecords: 32, ...capability }, chooser, iotlbEntries);
    this.queueFrame = this.frame();
  }

  /** The half of a root entry that a device belongs to, as an index of 64-bit words. */
  rootHalf(sid: number): number {
    return sid >> 7;
  }

  override contextTable(half: number): number {
    const entry = this.load(this.root, half);
    if (entry !== 0n) return Number(entry >> 12n);
    const table = this.frame();
    this.store(this.root, half, BigInt(table) << 12n | 1n);
    return table;
  }

  /** Stores a context entry's four 64-bit words. */
  storeScalable(sid: number, ...words: bigint[]): void {
    const table = this.contextTable(this.rootHalf(sid));
    words.forEach((w, i) => this.store(table, (sid & 0x7f) * 4 + i, w));
  }

  /** A context entry with PASIDE and a directory of 2^13 PASIDs; returns the directory's frame. */
  device(sid = SID, flags = 0n, ridPasid = 0n, pdts = 0n, directory = this.frame()): number {
    const low = BigInt(directory) << 12n | pdts << 9n | 1n | BigInt(sm.SM_CONTEXT_PASIDE) | flags;
    this.storeScalable(sid, low, ridPasid, 0n, 0n);
    return directory;
  }

  /** The PASID table under a directory, made on first use. */
  pasidTable(directory: number, pasid: number): number {
    const index = pasid >> 6, page = directory + (index >> 9);
    const entry = this.load(page, index & 511);
    if (entry !== 0n) return Number(entry >> 12n);
    const table = this.frame();
    this.store(page, index & 511, BigInt(table) << 12n | 1n);
    return table;
  }

  storePasid(directory: number, pasid: number, ...words: bigint[]): void {
    const table = this.pasidTable(directory, pasid);
    for (let i = 0; i < 8; i++) this.store(table, (pasid & 63) * 8 + i, words[i] ?? 0n);
  }

  /** Puts a PASID under tables; second level, 4 levels, DID 5 unless said. Returns their frame. */
  pasid(directory: number, pasid: number, fields: PasidFields = {}): number {
    const { pgtt = 2, did = 5, aw = 2, flpm = 0, slade = false, fpd = false } = fields;
    const top = fields.top ?? this.frame();
    const pointer = BigInt(top) << 12n;
    const low = BigInt(pgtt) << 6n | (slade ? 0x200n : 0n) | BigInt(aw) << 2n | (fpd ? 2n : 0n) |
      1n;
    const second = pgtt === 1 ? low : low | pointer;
    const first = (pgtt === 1 ? pointer : BigInt(fields.guestTop ?? 0) << 12n) |
      (pgtt === 1 || pgtt === 3 ? BigInt(flpm) << 2n : 0n);
    this.storePasid(directory, pasid, second, BigInt(did), first);
    return top;
  }

  /** A device whose PASID 0 leads to tables; returns their frame. */
  simple(fields: PasidFields = {}, sid = SID): number {
    return this.pasid(this.device(sid), 0, fields);
  }

  /** Stores a first-level leaf, making the tables above it. */
  mapFirst(top: number, iova: bigint, leaf: bigint, level = 1, levels = 4): void {
    let table = top;
    for (let l = levels; l > level; l--) {
      let entry = this.load(table, indexAt(iova, l));
      if (entry === 0n) {
        entry = BigInt(this.frame()) << 12n | FL;
        this.store(table, indexAt(iova, l), entry);
      }
      table = Number(entry >> 12n & 0xfffffffffn);
    }
    this.store(table, indexAt(iova, level), leaf);
  }

  /** The entry at a level on the way of an address. */
  entryAt(top: number, iova: bigint, level: number, levels = 4): bigint {
    let table = top;
    for (let l = levels; l > level; l--) {
      table = Number(this.load(table, indexAt(iova, l)) >> 12n & 0xfffffffffn);
    }
    return this.load(table, indexAt(iova, level));
  }

  override setRoot(pfn: number, mode = sm.DMA_RTADDR_SMT): void {
    const on = this.unit.read32(regs.DMAR_GSTS_REG) & (regs.DMA_GSTS_TES | regs.DMA_GSTS_QIES);
    this.unit.write32(regs.DMAR_RTADDR_REG, pfn << 12 | mode);
    this.unit.write32(regs.DMAR_RTADDR_REG + 4, pfn >>> 20);
    this.unit.write32(regs.DMAR_GCMD_REG, on | regs.DMA_GCMD_SRTP);
  }

  override enable(): void {
    this.setRoot(this.root);
    this.command(regs.DMA_GCMD_TE);
  }

  /** Sets GCMD bits, keeping TE and QIE as they are. */
  command(set: number, clear = 0): void {
    const on = this.unit.read32(regs.DMAR_GSTS_REG) & (regs.DMA_GSTS_TES | regs.DMA_GSTS_QIES);
    this.unit.write32(regs.DMAR_GCMD_REG, on & ~clear | set);
  }

  /** Turns the queue on: one page, 32-byte descriptors unless said. */
  startQueue(wide = true): void {
    this.wide = wide;
    this.tail = 0;
    this.unit.write32(qi.DMAR_IQT_REG, 0);
    this.unit.write32(qi.DMAR_IQA_REG, this.queueFrame << 12 | (wide ? qi.DMA_IQA_DW : 0));
    this.unit.write32(qi.DMAR_IQA_REG + 4, this.queueFrame >>> 20);
    this.command(regs.DMA_GCMD_QIE);
  }

  /** Puts descriptors into the queue and writes the tail once. */
  submit(...descriptors: bigint[][]): void {
    for (const words of descriptors) {
      const size = this.wide ? 4 : 2;
      for (let i = 0; i < size; i++) {
        this.store(this.queueFrame, this.tail / 8 + i, words[i] ?? 0n);
      }
      this.tail = (this.tail + size * 8) % 4096;
    }
    this.unit.write32(qi.DMAR_IQT_REG, this.tail);
  }

  get head(): number {
    return this.unit.read32(qi.DMAR_IQH_REG);
  }

  /** One DMA with a PASID. */
  dmaPasid(pasid: number, iova: bigint, kind: "read" | "write" = "write", sid = SID): number {
    const hi = Number(BigInt.asIntN(32, iova >> 32n)), lo = Number(iova & 0xffffffffn) | 0;
    return this.unit.translatePasid(sid, pasid, hi, lo, kind === "write");
  }
}

/** Descriptors as 64-bit words (FACTS 3.4). */
export const desc = {
  context: (gran: number, did = 0, sid = 0, fm = 0) => [
    1n | BigInt(gran) << 4n | BigInt(did) << 16n | BigInt(sid) << 32n | BigInt(fm) << 48n,
  ],
  iotlb: (gran: number, did = 0, iova = 0n, am = 0) => [
    2n | BigInt(gran) << 4n | BigInt(did) << 16n,
    iova | BigInt(am),
  ],
  wait: (address: bigint, status: number, flags = qi.QI_IWD_STATUS_WRITE) => [
    5n | BigInt(flags) | BigInt(status) << 32n,
    address,
  ],
  pasidIotlb: (gran: number, did: number, pasid: number, iova = 0n, am = 0) => [
    6n | BigInt(gran) << 4n | BigInt(did) << 16n | BigInt(pasid) << 32n,
    BigInt.asUintN(64, iova) | BigInt(am),
  ],
  pasidCache: (gran: number, did = 0, pasid = 0) => [
    7n | BigInt(gran) << 4n | BigInt(did) << 16n | BigInt(pasid) << 32n,
  ],
};
