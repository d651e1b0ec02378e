import { STATUS_COMPLETION_INT } from "../../uapi/amdvi_regs.ts";
import {
  COMMAND_HARDWARE_ERROR,
  COMMAND_OPCODE_SHIFT_WORD1,
  COMPLETION_WAIT,
  COMPLETION_WAIT_I_WORD0,
  COMPLETION_WAIT_S_WORD0,
  ILLEGAL_COMMAND_ERROR,
  INVALIDATE_DEVTAB_ENTRY,
  INVALIDATE_INTERRUPT_TABLE,
  INVALIDATE_IOMMU_ALL,
  INVALIDATE_IOMMU_PAGES,
  INVALIDATE_IOTLB_PAGES,
  INVALIDATE_PAGES_GN_WORD2,
  INVALIDATE_PAGES_S_WORD2,
} from "../../uapi/amdvi_queues.ts";
import type { Memory } from "../memory.ts";
import { RamMap } from "../ram_map.ts";
import type { AmdviCapability } from "./capability.ts";
import type { DeviceCache } from "./device_cache.ts";
import type { Status } from "./status.ts";
import type { Tlb } from "./tlb.ts";

/** {@link Commands.execute}: done. Everything else is the event of an error. */
export const COMMAND_DONE = 0;

/**
 * What each command does. All complete at once, so that COMPLETION_WAIT finds nothing to wait
 * for. INVALIDATE_DEVTAB_ENTRY never touches translations, nor INVALIDATE_IOMMU_PAGES device
 * table entries. PDE makes no difference: only finished translations are cached. Interrupt tables
 * and device IOTLBs are not modelled; commands about them are accepted.
 */
export class Commands {
  #ram: RamMap;

  constructor(
    readonly memory: Memory,
    readonly devices: DeviceCache,
    readonly tlb: Tlb,
    readonly status: Status,
    readonly capability: AmdviCapability,
  ) {
    this.#ram = new RamMap(memory.ranges);
  }

  /** Executes one command of four words. Returns {@link COMMAND_DONE} or an event's code. */
  execute(w0: number, w1: number, w2: number, w3: number): number {
    switch (w1 >>> COMMAND_OPCODE_SHIFT_WORD1) {
      case COMPLETION_WAIT:
        return this.#completionWait(w0, w1, w2, w3);
      case INVALIDATE_DEVTAB_ENTRY:
        this.devices.invalidate(w0 & 0xffff);
        return COMMAND_DONE;
      case INVALIDATE_IOMMU_PAGES:
        return this.#invalidatePages(w1 & 0xffff, w2, w3);
      case INVALIDATE_IOTLB_PAGES:
      case INVALIDATE_INTERRUPT_TABLE:
        return COMMAND_DONE;
      case INVALIDATE_IOMMU_ALL:
        if (!this.capability.invalidateAll) return ILLEGAL_COMMAND_ERROR;
        this.devices.invalidateAll();
        this.tlb.invalidateAll();
        return COMMAND_DONE;
      default:
        return ILLEGAL_COMMAND_ERROR;
    }
  }

  #completionWait(w0: number, w1: number, w2: number, w3: number): number {
    if ((w0 & COMPLETION_WAIT_S_WORD0) !== 0) {
      const high = w1 & 0xfffff;
      const pfn = high < 0x800 ? (high << 20) | (w0 >>> 12) : 0x7fffffff;
      if (!this.#ram.has(pfn)) return COMMAND_HARDWARE_ERROR;
      const word = (w0 & 0xff8) >>> 2;
      this.memory.store(pfn, word, w2);
      this.memory.store(pfn, word | 1, w3);
    }
    if ((w0 & COMPLETION_WAIT_I_WORD0) !== 0) this.status.raise(STATUS_COMPLETION_INT);
    return COMMAND_DONE;
  }

  #invalidatePages(domain: number, low: number, high: number): number {
    if ((low & INVALIDATE_PAGES_GN_WORD2) !== 0) return ILLEGAL_COMMAND_ERROR;
    if ((low & INVALIDATE_PAGES_S_WORD2) === 0) {
      this.tlb.invalidatePage(domain, high, low);
      return COMMAND_DONE;
    }
    // With S the lowest clear bit of the address, from bit 12 on, is half the size.
    const page = (high >>> 0) * 1048576 + (low >>> 12);
    const pages = 2 ** (trailingOnes(low >>> 12, high) + 1);
    this.tlb.invalidatePages(domain, page - page % pages, pages);
    return COMMAND_DONE;
  }
}

/** `low`: 20 bits, `high`: the 32 above them. */
function trailingOnes(low: number, high: number): number {
  if (low !== 0xfffff) return 31 - Math.clz32(~low & -~low);
  return high === -1 ? 52 : 20 + 31 - Math.clz32(~high & -~high);
}
