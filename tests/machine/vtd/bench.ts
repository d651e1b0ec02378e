import { type Chooser, SeededChooser } from "../../../src/base/choice.ts";
import { EventHash } from "../../../src/base/event_log.ts";
import { EventQueue } from "../../../src/base/event_queue.ts";
import { MiB } from "../../../src/base/units.ts";
import { DEFAULT_CAPABILITY, type VtdCapability } from "../../../src/machine/vtd/capability.ts";
import { VtdUnit } from "../../../src/machine/vtd/unit.ts";
import { Memory } from "../../../src/machine/memory.ts";
import * as regs from "../../../src/uapi/vtd_regs.ts";

/** Source id of 03:00.0. */
export const SID = 0x300;
/** Leaf bits. */
export const R = 1n, W = 2n, RW = 3n, PS = 0x80n;

export interface ContextFields {
  asr?: number;
  did?: number;
  aw?: number;
  tt?: number;
  fpd?: boolean;
}

/** One unit over 64 MiB of RAM with a hole at 640 KiB, and the few stores that fill its tables. */
export class Bench {
  readonly memory = new Memory([
    { start: 0, size: 0xa0000 },
    { start: 0x100000, size: 63 * MiB },
  ]);
  readonly queue = new EventQueue();
  readonly hash = new EventHash();
  readonly unit: VtdUnit;
  interrupts = 0;
  root: number;
  #nextFrame = 0x1000;

  constructor(
    capability: Partial<VtdCapability> = {},
    chooser: Chooser = new SeededChooser(1),
    iotlbEntries = 1024,
  ) {
    this.unit = new VtdUnit({
      name: "dmar0",
      regBase: 0xfed90000,
      memory: this.memory,
      queue: this.queue,
      hash: this.hash,
      chooser,
      capability: { ...DEFAULT_CAPABILITY, ...capability },
      iotlbEntries,
    });
    this.unit.onFault = () => this.interrupts++;
    this.root = this.frame();
  }

  /** A zeroed frame. */
  frame(): number {
    this.memory.fillFrames(this.#nextFrame, 1, 0);
    return this.#nextFrame++;
  }

  load(pfn: number, index: number): bigint {
    return BigInt(this.memory.load(pfn, index * 2) >>> 0) |
      BigInt(this.memory.load(pfn, index * 2 + 1) >>> 0) << 32n;
  }

  store(pfn: number, index: number, entry: bigint): void {
    this.memory.store(pfn, index * 2, Number(entry & 0xffffffffn));
    this.memory.store(pfn, index * 2 + 1, Number(entry >> 32n & 0xffffffffn));
  }

  /** The context table of a bus, made on first use. */
  contextTable(bus: number): number {
    const entry = this.load(this.root, bus * 2);
    if (entry !== 0n) return Number(entry >> 12n);
    const table = this.frame();
    this.store(this.root, bus * 2, BigInt(table) << 12n | 1n);
    return table;
  }

  storeContext(sid: number, low: bigint, high: bigint): void {
    const table = this.contextTable(sid >> 8);
    this.store(table, (sid & 255) * 2, low);
    this.store(table, (sid & 255) * 2 + 1, high);
  }

  /** Puts a device under tables; returns the frame of the top one. 4 levels, DID 5 unless said. */
  attach(fields: ContextFields = {}, sid = SID): number {
    const { did = 5, aw = 2, tt = 0, fpd = false } = fields;
    const asr = fields.asr ?? this.frame();
    const low = BigInt(asr) << 12n | BigInt(tt) << 2n | (fpd ? 2n : 0n) | 1n;
    this.storeContext(sid, low, BigInt(did) << 8n | BigInt(aw));
    return asr;
  }

  /** Finds the table at `level` for an address, making the ones above it. */
  table(top: number, levels: number, iova: bigint, level: number): number {
    let table = top;
    for (let l = levels; l > level; l--) {
      const index = indexAt(iova, l);
      let entry = this.load(table, index);
      if (entry === 0n) {
        entry = BigInt(this.frame()) << 12n | RW;
        this.store(table, index, entry);
      }
      table = Number(entry >> 12n & 0xfffffffffn);
    }
    return table;
  }

  /** Stores a leaf; level 1 of 4 levels unless said. */
  map(top: number, iova: bigint, leaf: bigint, level = 1, levels = 4): void {
    this.store(this.table(top, levels, iova, level), indexAt(iova, level), leaf);
  }

  /** Latches the root table and turns translation on. */
  enable(): void {
    this.setRoot(this.root);
    this.unit.write32(regs.DMAR_GCMD_REG, regs.DMA_GCMD_TE);
  }

  /** SRTP, with TE as it was. */
  setRoot(pfn: number): void {
    const on = this.unit.read32(regs.DMAR_GSTS_REG) & regs.DMA_GSTS_TES;
    this.unit.write32(regs.DMAR_RTADDR_REG, pfn << 12);
    this.unit.write32(regs.DMAR_RTADDR_REG + 4, pfn >>> 20);
    this.unit.write32(regs.DMAR_GCMD_REG, on | regs.DMA_GCMD_SRTP);
  }

  /** Register-based context-cache invalidation; returns the granularity performed. */
  flushContext(granularity: number, did = 0, sid = 0, fm = 0): number {
    const at = regs.DMAR_CCMD_REG;
    this.unit.write32(at, did | sid << 16);
    this.unit.write32(at + 4, regs.DMA_CCMD_ICC_HI | granularity << 29 | fm);
    return this.unit.read32(at + 4) >>> regs.DMA_CCMD_CAIG_SHIFT_HI & 3;
  }

  /** Register-based IOTLB invalidation; returns the granularity performed. */
  flushIotlb(granularity: number, did = 0, iova = 0n, am = 0): number {
    const ecap = regs.decodeEcap(this.unit.read32(regs.DMAR_ECAP_REG));
    const at = ecap.iotlbOffset * 16;
    this.unit.write32(at, Number(iova & 0xfffff000n) | am);
    this.unit.write32(at + 4, Number(iova >> 32n));
    this.unit.write32(at + 12, regs.DMA_TLB_IVT_HI | granularity << 28 | did);
    return this.unit.read32(at + 12) >>> regs.DMA_TLB_IAIG_SHIFT_HI & 3;
  }

  /** One DMA: the frame or a negative code. */
  dma(iova: bigint, kind: "read" | "write" = "write", sid = SID): number {
    const hi = Number(iova >> 32n) | 0, lo = Number(iova & 0xffffffffn) | 0;
    return this.unit.translate(sid, hi, lo, kind === "write");
  }

  /** Offset of a fault record's first word. */
  recordAt(index: number): number {
    const [low, high] = [regs.DMAR_CAP_REG, regs.DMAR_CAP_REG + 4].map((r) => this.unit.read32(r));
    return regs.decodeCap(low, high).faultRecordOffset * 16 + index * regs.DMAR_FRCD_SIZE;
  }

  /** A fault record as its two 64-bit words. */
  record(index: number): [bigint, bigint] {
    const at = this.recordAt(index);
    const words = [0, 4, 8, 12].map((o) => BigInt(this.unit.read32(at + o)));
    return [words[1] << 32n | words[0], words[3] << 32n | words[2]];
  }

  clearRecord(index: number): void {
    this.unit.write32(this.recordAt(index) + 12, regs.DMA_FRCD_F_WORD3);
  }
}

export function indexAt(iova: bigint, level: number): number {
  return Number(iova >> BigInt(12 + 9 * (level - 1)) & 511n);
}
