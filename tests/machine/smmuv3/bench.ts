import { EventHash } from "../../../src/base/event_log.ts";
import { EventQueue } from "../../../src/base/event_queue.ts";
import { MiB } from "../../../src/base/units.ts";
import { Memory } from "../../../src/machine/memory.ts";
import {
  DEFAULT_SMMU_CAPABILITY,
  type SmmuCapability,
} from "../../../src/machine/smmuv3/capability.ts";
import { SmmuUnit } from "../../../src/machine/smmuv3/unit.ts";
import * as q from "../../../src/uapi/smmuv3_queues.ts";
import * as regs from "../../../src/uapi/smmuv3_regs.ts";

/** StreamID of 03:00.0. */
export const SID = 0x300;
/** Descriptor bits: a usable page or block of each stage, a table. */
export const PAGE = 3n, BLOCK = 1n, TABLE = 3n, AF = 1n << 10n, NG = 1n << 11n;
export const S1_RW = AF | NG | 1n << 6n, S1_RO = S1_RW | 1n << 7n;
export const S2_RW = AF | 3n << 6n, S2_RO = AF | 1n << 6n, S2_WO = AF | 2n << 6n;
export const CONTIGUOUS = 1n << 52n, NT = 1n << 16n;

/** Both queues have 2^5 entries. */
const LOG2SIZE = 5n;

export interface Stage2Fields {
  vmid?: number;
  ttb?: bigint;
  t0sz?: number;
  sl0?: number;
  /** S2PS code. */
  ps?: number;
  /** Bits of qword 2 to flip. */
  flip?: bigint;
}

export interface ContextFields {
  asid?: number;
  ttb?: bigint;
  t0sz?: number;
  ips?: number;
  /** Bits of qword 0 to flip. */
  flip?: bigint;
}

/** The eight qwords of an STE for stage 2: 40-bit addresses from level 1 unless said. */
export function stage2Ste(f: Stage2Fields): bigint[] {
  const { vmid = 5, ttb = 0n, t0sz = 24, sl0 = 1, ps = 3, flip = 0n } = f;
  const vtcr = BigInt(t0sz) | BigInt(sl0) << 6n | BigInt(ps) << 16n;
  const word2 = BigInt(vmid) | vtcr << 32n | 1n << 51n | 1n << 58n;
  return [0xdn, 0n, word2 ^ flip, ttb, 0n, 0n, 0n, 0n];
}

/** The eight qwords of an STE for stage 1, with `bits` of SubstreamID. */
export function stage1Ste(contexts: bigint, bits = 0, dss = 0, vmid = 0): bigint[] {
  const word0 = 0xbn | contexts | BigInt(bits) << 59n;
  return [word0, BigInt(dss), BigInt(vmid), 0n, 0n, 0n, 0n, 0n];
}

/** The eight qwords of a context descriptor: 48-bit addresses unless said; R, A, AA64, EPD1. */
export function contextDescriptor(f: ContextFields): bigint[] {
  const { asid = 7, ttb = 0n, t0sz = 16, ips = 3, flip = 0n } = f;
  const flags = 1n << 30n | 1n << 31n | 1n << 41n | 1n << 45n | 1n << 46n | 1n << 47n;
  const word0 = BigInt(t0sz) | BigInt(ips) << 32n | flags | BigInt(asid) << 48n;
  return [word0 ^ flip, ttb, 0n, 0n, 0n, 0n, 0n, 0n];
}

/**
 * One SMMU over 64 MiB of RAM with a hole at 640 KiB, a linear stream table of 2^16 entries, and
 * the few stores that fill its tables.
 */
export class Bench {
  readonly memory = new Memory([
    { start: 0, size: 0xa0000 },
    { start: 0x100000, size: 63 * MiB },
  ]);
  readonly queue = new EventQueue();
  readonly hash = new EventHash();
  readonly unit: SmmuUnit;
  eventInterrupts = 0;
  errorInterrupts = 0;
  syncInterrupts = 0;
  readonly commandFrame: number;
  readonly eventFrame: number;
  /** Frame of the linear stream table: 4 MiB, aligned to it. */
  readonly streams = 0x800;
  #nextFrame = 0x1000;

  constructor(capability: Partial<SmmuCapability> = {}, tlbEntries = 1024) {
    this.unit = new SmmuUnit({
      name: "smmu0",
      regBase: 0x09050000,
      memory: this.memory,
      queue: this.queue,
      hash: this.hash,
      capability: { ...DEFAULT_SMMU_CAPABILITY, ...capability },
      tlbEntries,
    });
    this.unit.onEvent = () => this.eventInterrupts++;
    this.unit.onError = () => this.errorInterrupts++;
    this.unit.onSync = () => this.syncInterrupts++;
    this.commandFrame = this.frame();
    this.eventFrame = this.frame();
    this.write64(regs.SMMU_STRTAB_BASE, BigInt(this.streams) << 12n);
    this.unit.write32(regs.SMMU_STRTAB_BASE_CFG, 16);
    this.write64(regs.SMMU_CMDQ_BASE, BigInt(this.commandFrame) << 12n | LOG2SIZE);
    this.write64(regs.SMMU_EVENTQ_BASE, BigInt(this.eventFrame) << 12n | LOG2SIZE);
    this.unit.write32(regs.SMMU_CR2, regs.CR2_RECINVSID);
    this.unit.write32(regs.SMMU_IRQ_CTRL, regs.IRQ_CTRL_EVENTQ | regs.IRQ_CTRL_GERROR);
    this.unit.write32(regs.SMMU_CR0, regs.CR0_EVENTQEN | regs.CR0_CMDQEN);
  }

  /** Turns translation on. */
  enable(): this {
    const on = this.unit.read32(regs.SMMU_CR0) | regs.CR0_SMMUEN;
    this.unit.write32(regs.SMMU_CR0, on);
    return this;
  }

  disable(): void {
    this.unit.write32(regs.SMMU_CR0, this.unit.read32(regs.SMMU_CR0) & ~regs.CR0_SMMUEN);
  }

  /** A zeroed frame; `count` of them side by side, aligned to their size. */
  frame(count = 1): number {
    this.#nextFrame = Math.ceil(this.#nextFrame / count) * count;
    const pfn = this.#nextFrame;
    this.memory.fillFrames(pfn, count, 0);
    this.#nextFrame += count;
    return pfn;
  }

  /** One 64-bit load or store of memory; the index counts qwords from the frame on. */
  load(pfn: number, index: number): bigint {
    const at = pfn + (index >> 9), word = (index & 511) * 2;
    return BigInt(this.memory.load(at, word) >>> 0) |
      BigInt(this.memory.load(at, word + 1) >>> 0) << 32n;
  }

  store(pfn: number, index: number, value: bigint): void {
    const at = pfn + (index >> 9), word = (index & 511) * 2;
    this.memory.store(at, word, Number(value & 0xffffffffn));
    this.memory.store(at, word + 1, Number(value >> 32n & 0xffffffffn));
  }

  write64(register: number, value: bigint): void {
    this.unit.write32(register, Number(value & 0xffffffffn));
    this.unit.write32(register + 4, Number(value >> 32n & 0xffffffffn));
  }

  storeSte(ste: bigint[], sid = SID): void {
    ste.forEach((qword, i) => this.store(this.streams, sid * 8 + i, qword));
  }

  /** Puts a stream under new stage-2 tables; returns the frame of the first. */
  attachStage2(fields: Stage2Fields = {}, sid = SID): number {
    const ttb = fields.ttb ?? BigInt(this.frame(fields.sl0 === 0 ? 16 : 2)) << 12n;
    this.storeSte(stage2Ste({ ...fields, ttb }), sid);
    return Number(ttb >> 12n);
  }

  /** Puts a stream under a new context descriptor and stage-1 tables. */
  attachStage1(fields: ContextFields = {}, sid = SID, vmid = 0): { table: number; cd: number } {
    const ttb = fields.ttb ?? BigInt(this.frame()) << 12n;
    const cd = this.frame();
    this.storeContext(cd, contextDescriptor({ ...fields, ttb }));
    this.storeSte(stage1Ste(BigInt(cd) << 12n, 0, 0, vmid), sid);
    return { table: Number(ttb >> 12n), cd };
  }

  storeContext(pfn: number, cd: bigint[], ssid = 0): void {
    cd.forEach((qword, i) => this.store(pfn, ssid * 8 + i, qword));
  }

  /** Finds the table at `level` for an address, making the ones below `from`. */
  table(first: number, from: number, iova: bigint, level: number): number {
    let table = first;
    for (let l = from; l < level; l++) {
      const index = indexAt(iova, l, l === from);
      let entry = this.load(table, index);
      if ((entry & 3n) !== 3n) {
        entry = BigInt(this.frame()) << 12n | TABLE;
        this.store(table, index, entry);
      }
      table = Number(entry >> 12n & 0xfffffffffn);
    }
    return table;
  }

  /** Stores a leaf: level 3 of tables from level 1 unless said. */
  map(first: number, iova: bigint, leaf: bigint, level = 3, from = 1): void {
    const index = indexAt(iova, level, level === from);
    this.store(this.table(first, from, iova, level), index, leaf);
  }

  /** Puts one command into the queue and lets the unit run. */
  command(low: bigint, high = 0n): void {
    const prod = this.unit.read32(regs.SMMU_CMDQ_PROD);
    const index = prod & ((1 << Number(LOG2SIZE)) - 1);
    this.store(this.commandFrame, index * 2, low);
    this.store(this.commandFrame, index * 2 + 1, high);
    this.unit.write32(regs.SMMU_CMDQ_PROD, (prod + 1) & ((2 << Number(LOG2SIZE)) - 1));
  }

  cfgiSte(sid = SID): void {
    this.command(BigInt(q.CMD_CFGI_STE) | BigInt(sid) << 32n, 1n);
    this.sync();
  }

  cfgiCd(sid = SID, ssid = 0): void {
    this.command(BigInt(q.CMD_CFGI_CD) | BigInt(ssid) << 12n | BigInt(sid) << 32n, 1n);
    this.sync();
  }

  /** Any TLBI: by VMID, ASID and address. */
  tlbi(opcode: number, vmid = 0, asid = 0, address = 0n): void {
    this.command(BigInt(opcode) | BigInt(vmid) << 32n | BigInt(asid) << 48n, address);
    this.sync();
  }

  sync(): void {
    this.command(BigInt(q.CMD_SYNC));
  }

  /** One DMA: the frame or a negative code. */
  dma(iova: bigint, kind: "read" | "write" = "write", sid = SID): number {
    const hi = Number(iova >> 32n) | 0, lo = Number(iova & 0xffffffffn) | 0;
    return this.unit.translate(sid, hi, lo, kind === "write");
  }

  /** One DMA with a SubstreamID. */
  dmaSubstream(ssid: number, iova: bigint, sid = SID): number {
    const hi = Number(iova >> 32n) | 0, lo = Number(iova & 0xffffffffn) | 0;
    return this.unit.translateSubstream(sid, ssid, hi, lo, true);
  }

  /** The four qwords of a record, read from memory as software would. */
  record(index = 0): bigint[] {
    return [0, 1, 2, 3].map((i) => this.load(this.eventFrame, index * 4 + i));
  }

  /** The events that wait, as their numbers. */
  events(): number[] {
    return [...this.unit.events.pending()].map((e) => e.event);
  }
}

/** Index in a table; of the first table, all the bits there are. */
export function indexAt(iova: bigint, level: number, first = false): number {
  const index = iova >> BigInt(12 + 9 * (3 - level));
  return Number(first ? index : index & 511n);
}

/** The code translate() gives for an event. */
export function code(event: number): number {
  return -(0x100 | event);
}
