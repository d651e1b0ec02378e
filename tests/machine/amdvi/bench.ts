import { EventHash } from "../../../src/base/event_log.ts";
import { EventQueue } from "../../../src/base/event_queue.ts";
import { MiB } from "../../../src/base/units.ts";
import {
  type AmdviCapability,
  DEFAULT_AMDVI_CAPABILITY,
} from "../../../src/machine/amdvi/capability.ts";
import { AmdviUnit } from "../../../src/machine/amdvi/unit.ts";
import { Memory } from "../../../src/machine/memory.ts";
import * as q from "../../../src/uapi/amdvi_queues.ts";
import * as regs from "../../../src/uapi/amdvi_regs.ts";

/** DeviceID of 03:00.0. */
export const SID = 0x300;
/** Entry bits: PR, IR, IW. */
export const PR = 1n, IR = 1n << 61n, IW = 1n << 62n, RW = IR | IW;

export interface DeviceFields {
  root?: number;
  mode?: number;
  domain?: number;
  /** IR and IW. */
  rights?: bigint;
  /** Bits of qwords 0 and 1 to flip. */
  flip0?: bigint;
  flip1?: bigint;
}

/** NextLevel. */
export function next(level: number): bigint {
  return BigInt(level) << 9n;
}

/** The four qwords of a device table entry: 4 levels, domain 5 unless said. */
export function deviceEntry(f: DeviceFields): bigint[] {
  const { root = 0, mode = 4, domain = 5, rights = RW, flip0 = 0n, flip1 = 0n } = f;
  const word0 = 3n | BigInt(mode) << 9n | BigInt(root) << 12n | rights;
  return [word0 ^ flip0, BigInt(domain) ^ flip1, 0n, 0n];
}

/** log2 of the entries of command buffer and event log. */
const LENGTH = 8n;
const ENTRIES = 1 << Number(LENGTH);

/**
 * One AMD IOMMU over 64 MiB of RAM with a hole at 640 KiB, a device table for all 65536 devices,
 * and the few stores that fill its tables.
 */
export class Bench {
  readonly memory = new Memory([
    { start: 0, size: 0xa0000 },
    { start: 0x100000, size: 63 * MiB },
  ]);
  readonly queue = new EventQueue();
  readonly hash = new EventHash();
  readonly unit: AmdviUnit;
  interrupts = 0;
  readonly devices = 0x200;
  readonly commandFrame: number;
  readonly eventFrame: number;
  #nextFrame = 0x1000;

  constructor(capability: Partial<AmdviCapability> = {}, tlbEntries = 1024) {
    this.unit = new AmdviUnit({
      name: "ivhd0",
      regBase: 0xfd200000,
      memory: this.memory,
      queue: this.queue,
      hash: this.hash,
      capability: { ...DEFAULT_AMDVI_CAPABILITY, ...capability },
      tlbEntries,
    });
    this.unit.onInterrupt = () => this.interrupts++;
    this.commandFrame = this.frame();
    this.eventFrame = this.frame();
    this.write64(regs.AMDVI_DEVICE_TABLE, BigInt(this.devices) << 12n | 0x1ffn);
    this.write64(regs.AMDVI_COMMAND_BASE, BigInt(this.commandFrame) << 12n | LENGTH << 56n);
    this.write64(regs.AMDVI_EVENT_BASE, BigInt(this.eventFrame) << 12n | LENGTH << 56n);
  }

  /** Turns everything on. */
  enable(): this {
    const on = regs.CONTROL_IOMMU_EN | regs.CONTROL_EVENT_LOG_EN | regs.CONTROL_EVENT_INT_EN |
      regs.CONTROL_COMPLETION_INT_EN | regs.CONTROL_COMMAND_EN;
    this.unit.write32(regs.AMDVI_CONTROL, on);
    return this;
  }

  /** Changes one bit of the control register. */
  control(bit: number, on: boolean): void {
    const before = this.unit.read32(regs.AMDVI_CONTROL);
    this.unit.write32(regs.AMDVI_CONTROL, on ? before | bit : before & ~bit);
  }

  /** A zeroed frame. */
  frame(): number {
    this.memory.fillFrames(this.#nextFrame, 1, 0);
    return this.#nextFrame++;
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

  storeDevice(entry: bigint[], sid = SID): void {
    entry.forEach((qword, i) => this.store(this.devices, sid * 4 + i, qword));
  }

  /** Puts a device under new tables; returns the frame of the first. */
  attach(fields: DeviceFields = {}, sid = SID): number {
    const root = fields.root ?? this.frame();
    this.storeDevice(deviceEntry({ ...fields, root }), sid);
    return root;
  }

  /** Finds the table at `level` for an address, making those above it. */
  table(root: number, levels: number, iova: bigint, level: number): number {
    let table = root;
    for (let l = levels; l > level; l--) {
      const index = indexAt(iova, l);
      let entry = this.load(table, index);
      if (entry === 0n) {
        entry = BigInt(this.frame()) << 12n | next(l - 1) | PR | RW;
        this.store(table, index, entry);
      }
      table = Number(entry >> 12n & 0xffffffffffn);
    }
    return table;
  }

  /** Stores a leaf: level 1 of 4 levels unless said. */
  map(root: number, iova: bigint, leaf: bigint, level = 1, levels = 4): void {
    this.store(this.table(root, levels, iova, level), indexAt(iova, level), leaf);
  }

  /** Puts one command into the buffer and lets the unit run. */
  command(opcode: number, words: [number, number, number, number]): void {
    const tail = this.unit.read32(regs.AMDVI_COMMAND_TAIL);
    const [w0, w1, w2, w3] = words;
    this.memory.store(this.commandFrame, tail / 4, w0);
    this.memory.store(this.commandFrame, tail / 4 + 1, w1 | opcode << 28);
    this.memory.store(this.commandFrame, tail / 4 + 2, w2);
    this.memory.store(this.commandFrame, tail / 4 + 3, w3);
    this.unit.write32(regs.AMDVI_COMMAND_TAIL, (tail + 16) % (16 * ENTRIES));
  }

  invalidateDevice(sid = SID): void {
    this.command(q.INVALIDATE_DEVTAB_ENTRY, [sid, 0, 0, 0]);
  }

  /** `log2`: of the 4 KiB pages around the address. */
  invalidatePages(domain: number, iova: bigint, log2 = 0): void {
    const ones = log2 === 0 ? 0n : ((1n << BigInt(log2 - 1)) - 1n) << 12n;
    const cleared = iova & ~((4096n << BigInt(log2)) - 1n);
    const address = (log2 === 0 ? iova & ~0xfffn : cleared | ones) | (log2 === 0 ? 0n : 1n);
    const low = Number(address & 0xffffffffn), high = Number(address >> 32n);
    this.command(q.INVALIDATE_IOMMU_PAGES, [0, domain, low, high]);
  }

  invalidateDomain(domain: number): void {
    const [low, high] = q.INVALIDATE_ALL_PAGES;
    this.command(q.INVALIDATE_IOMMU_PAGES, [0, domain, low | 1, high]);
  }

  /** One DMA: the frame or a negative code. */
  dma(iova: bigint, kind: "read" | "write" = "write", sid = SID): number {
    const hi = Number(iova >> 32n) | 0, lo = Number(iova & 0xffffffffn) | 0;
    return this.unit.translate(sid, hi, lo, kind === "write");
  }

  /** The two qwords of a record, read from memory as software would. */
  record(index = 0): bigint[] {
    return [this.load(this.eventFrame, index * 2), this.load(this.eventFrame, index * 2 + 1)];
  }

  /** The events that wait, as their codes. */
  events(): number[] {
    return [...this.unit.events.pending()].map((e) => e.code);
  }
}

export function indexAt(iova: bigint, level: number): number {
  return Number(iova >> BigInt(12 + 9 * (level - 1)) & 511n);
}

/** The code translate() gives for a fault. */
export function code(n: number): number {
  return -(0x200 | n);
}
