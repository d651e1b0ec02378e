import type { EventHash } from "../../base/event_log.ts";
import type { EventQueue } from "../../base/event_queue.ts";
import { AMDVI_REGISTER_BYTES } from "../../uapi/amdvi_regs.ts";
import {
  AMDVI_CODE,
  DEV_TAB_HARDWARE_ERROR,
  EVENT_MASTER_ABORT_WORD1,
  EVENT_PE_WORD1,
  EVENT_PR_WORD1,
  EVENT_RW_WORD1,
  EVENT_RZ_WORD1,
  FAULT_BEYOND_DEVICE_TABLE,
  FAULT_BEYOND_TABLES,
  FAULT_DEVICE_TABLE_MEMORY,
  FAULT_ILLEGAL_DTE,
  FAULT_INTERRUPT_RANGE,
  FAULT_NO_TRANSLATION,
  FAULT_PAGE_TABLE_MEMORY,
  FAULT_PERMISSION,
  FAULT_RESERVED,
  FAULT_SKIPPED_LEVEL,
  ILLEGAL_DEV_TABLE_ENTRY,
  IO_PAGE_FAULT,
  PAGE_TAB_HARDWARE_ERROR,
} from "../../uapi/amdvi_queues.ts";
import { DTE_WORDS } from "../../uapi/amdvi_tables.ts";
import type { Mmio } from "../bus.ts";
import { DMA_MASTER_ABORT, type Remapper, Route } from "../dma_port.ts";
import type { Memory } from "../memory.ts";
import { DMA_INTERRUPT, inInterruptRange } from "../interrupt_range.ts";
import { RamMap } from "../ram_map.ts";
import type { AmdviCapability } from "./capability.ts";
import { CommandBuffer } from "./command_buffer.ts";
import { Commands } from "./commands.ts";
import { DeviceCache } from "./device_cache.ts";
import { ACCESS_READ, ACCESS_WRITE, DeviceEntry, DeviceKind } from "./device_entry.ts";
import { EventLog } from "./event_log.ts";
import { Registers } from "./registers.ts";
import { Status } from "./status.ts";
import { Tlb, TLB_DENIED, TLB_MISS } from "./tlb.ts";
import { exceedsTables, Walker } from "./walker.ts";

export interface AmdviOptions {
  /** `ivhd0`. */
  name: string;
  /** Physical byte address of the register window. */
  regBase: number;
  memory: Memory;
  queue: EventQueue;
  hash: EventHash;
  capability: AmdviCapability;
  /** Entries of the TLB: a power of two up to 65536; 1024 unless said. */
  tlbEntries?: number;
}

/**
 * An AMD IOMMU with version 1 tables. It knows what its registers say, what lies in memory, and
 * what it has cached of it; a kexec changes none of the three. A device's DeviceID is its source
 * id. Guest tables, interrupt remapping, the exclusion range and HyperTransport's special
 * addresses are not modelled.
 */
export class AmdviUnit implements Remapper, Mmio {
  readonly name: string;
  readonly regBase: number;
  readonly regSize = AMDVI_REGISTER_BYTES;
  readonly memory: Memory;
  readonly capability: AmdviCapability;
  readonly deviceCache = new DeviceCache();
  readonly tlb: Tlb;
  readonly events: EventLog;
  readonly commands: CommandBuffer;
  readonly status: Status;
  /** Of the last successful access: `untranslated` also where V = 0 let it pass. */
  route = Route.translated;
  /** Called for each interrupt of event log or completion wait that is let out. */
  onInterrupt: (() => void) | undefined;
  /** Table walks made so far. */
  walks = 0;
  #registers: Registers;
  #queue: EventQueue;
  #hash: EventHash;
  #ram: RamMap;
  #walker: Walker;
  #device = new DeviceEntry();

  constructor(options: AmdviOptions) {
    const { memory, queue, hash, capability } = options;
    this.name = options.name;
    this.regBase = options.regBase;
    this.memory = memory;
    this.capability = capability;
    this.tlb = new Tlb(options.tlbEntries ?? 1024);
    this.status = new Status(() => this.onInterrupt?.());
    this.events = new EventLog(memory, queue, hash, this.status);
    const commands = new Commands(memory, this.deviceCache, this.tlb, this.status, capability);
    this.commands = new CommandBuffer(memory, commands, this.events);
    this.#registers = new Registers(capability, this.commands, this.events, this.status);
    this.#queue = queue;
    this.#hash = hash;
    this.#ram = new RamMap(memory.ranges);
    this.#walker = new Walker(memory);
  }

  /** IommuEn: requests go through the device table. */
  get translationEnabled(): boolean {
    return this.#registers.enabled;
  }

  /** Frame of the device table in force, and the DeviceIDs it has entries for. */
  get deviceTablePfn(): number {
    return this.#registers.tablePfn;
  }

  get deviceTableEntries(): number {
    return this.#registers.tableEntries;
  }

  read32(offset: number): number {
    return this.#registers.read32(offset) >>> 0;
  }

  write32(offset: number, value: number): void {
    this.#registers.write32(offset, value | 0);
    // The head says what a write of the tail did.
    this.#hash.mixAt(this.#queue.now, this.regBase | 0);
    this.#hash.mix(offset, value, this.#registers.read32(offset) ^ this.commands.ring.head);
  }

  /**
   * Translates one access inside one 4 KiB page: a frame number, a code of amdvi_queues.ts
   * (`-(0x200 | n)`), DMA_INTERRUPT, or DMA_MASTER_ABORT for an address that leads to no memory.
   */
  translate(sid: number, hi: number, lo: number, write: boolean): number {
    const interrupt = inInterruptRange(hi, lo);
    if (interrupt && write) return DMA_INTERRUPT;
    if (!this.#registers.enabled) {
      this.route = Route.untranslated;
      return frameOf(hi, lo);
    }
    const device = this.#device;
    if (!this.deviceCache.load(sid, device)) {
      const n = this.#readDevice(sid, hi, lo, write);
      if (n !== 0) return -(AMDVI_CODE | n);
    }
    if (interrupt) return this.#pageFault(FAULT_INTERRUPT_RANGE, sid, hi, lo, write);
    const need = write ? ACCESS_WRITE : ACCESS_READ;
    switch (device.kind) {
      case DeviceKind.tables:
        break;
      case DeviceKind.forward:
        this.route = Route.untranslated;
        return frameOf(hi, lo);
      case DeviceKind.passthrough:
        if ((device.permission & need) === 0) {
          return this.#pageFault(FAULT_PERMISSION, sid, hi, lo, write);
        }
        this.route = Route.passthrough;
        return frameOf(hi, lo);
      case DeviceKind.noTranslation:
        return this.#pageFault(FAULT_NO_TRANSLATION, sid, hi, lo, write);
      default:
        return this.#illegal(sid, hi, lo, write);
    }
    if ((device.permission & need) === 0) {
      return this.#pageFault(FAULT_PERMISSION, sid, hi, lo, write);
    }
    if (exceedsTables(device.mode, hi, lo)) {
      return this.#pageFault(FAULT_BEYOND_TABLES, sid, hi, lo, write);
    }
    let pfn = this.tlb.lookup(device.domain, hi, lo, need);
    if (pfn === TLB_MISS) pfn = this.#walk(hi, lo, need);
    else if (pfn === TLB_DENIED) pfn = -FAULT_PERMISSION;
    if (pfn < 0 && pfn !== DMA_MASTER_ABORT) {
      return this.#pageFault(-pfn, sid, hi, lo, write);
    }
    this.route = Route.translated;
    return pfn;
  }

  #walk(hi: number, lo: number, need: number): number {
    const walker = this.#walker, { root, mode, domain } = this.#device;
    this.walks++;
    const pfn = walker.walk(root, mode, hi, lo, need);
    if (pfn >= 0) this.tlb.fill(domain, hi, lo, pfn, walker.pageBits, walker.permission);
    return pfn;
  }

  /** Fills {@link #device} from memory: 0, or n of the fault that is logged. */
  #readDevice(sid: number, hi: number, lo: number, write: boolean): number {
    if (sid >= this.#registers.tableEntries) {
      const flags = write ? EVENT_RW_WORD1 : 0;
      this.events.record(IO_PAGE_FAULT, sid, flags, hi, lo);
      return FAULT_BEYOND_DEVICE_TABLE;
    }
    const at = sid * DTE_WORDS;
    const pfn = this.#registers.tablePfn + (at >>> 10), word = at & 1023;
    if (!this.#ram.has(pfn)) {
      const flags = EVENT_MASTER_ABORT_WORD1 | (write ? EVENT_RW_WORD1 : 0);
      const low = (pfn << 12) | (word << 2);
      this.events.record(DEV_TAB_HARDWARE_ERROR, sid, flags, pfn >>> 20, low);
      return FAULT_DEVICE_TABLE_MEMORY;
    }
    this.#device.read(this.memory, pfn, word, this.capability.levels);
    this.deviceCache.store(sid, this.#device);
    return 0;
  }

  #illegal(sid: number, hi: number, lo: number, write: boolean): number {
    const flags = (this.#device.kind === DeviceKind.reserved ? EVENT_RZ_WORD1 : 0) |
      (write ? EVENT_RW_WORD1 : 0);
    this.events.record(ILLEGAL_DEV_TABLE_ENTRY, sid, flags, hi, lo);
    return -(AMDVI_CODE | FAULT_ILLEGAL_DTE);
  }

  /** A fault under a usable device table entry. Page faults honour SA and SE. */
  #pageFault(n: number, sid: number, hi: number, lo: number, write: boolean): number {
    const device = this.#device;
    const flags = device.domain | (write ? EVENT_RW_WORD1 : 0);
    if (n === FAULT_PAGE_TABLE_MEMORY) {
      const { pfn, word } = this.#walker;
      const low = (pfn << 12) | (word << 2), kind = flags | EVENT_MASTER_ABORT_WORD1;
      this.events.record(PAGE_TAB_HARDWARE_ERROR, sid, kind, pfn >>> 20, low);
    } else if (device.quiet) {
      this.events.suppress();
    } else {
      if (device.quietens) this.deviceCache.quieten(sid);
      this.events.record(IO_PAGE_FAULT, sid, flags | pageFlags(n), hi, lo);
    }
    return -(AMDVI_CODE | n);
  }
}

/** PR, PE and RZ of a page fault. */
function pageFlags(n: number): number {
  if (n === FAULT_PERMISSION) return EVENT_PR_WORD1 | EVENT_PE_WORD1;
  if (n === FAULT_RESERVED) return EVENT_PR_WORD1 | EVENT_RZ_WORD1;
  return n === FAULT_SKIPPED_LEVEL ? EVENT_PR_WORD1 : 0;
}

/** An address that is passed on as it stands. */
function frameOf(hi: number, lo: number): number {
  return (hi >>> 0) < 0x800 ? (hi << 20) | (lo >>> 12) : DMA_MASTER_ABORT;
}
