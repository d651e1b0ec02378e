import {
  CERROR_ILL,
  CERROR_NONE,
  CFGI_RANGE_ALL,
  CFGI_RANGE_MASK_WORD2,
  CFGI_SSID_SHIFT,
  CMD_ATC_INV,
  CMD_CFGI_CD,
  CMD_CFGI_CD_ALL,
  CMD_CFGI_STE,
  CMD_CFGI_STE_RANGE,
  CMD_PREFETCH_ADDR,
  CMD_PREFETCH_CONFIG,
  CMD_SYNC,
  CMD_TLBI_NH_ALL,
  CMD_TLBI_NH_ASID,
  CMD_TLBI_NH_VA,
  CMD_TLBI_NH_VAA,
  CMD_TLBI_NSNH_ALL,
  CMD_TLBI_S12_VMALL,
  CMD_TLBI_S2_IPA,
  SYNC_CS_IRQ,
  SYNC_CS_SEV,
  SYNC_CS_SHIFT,
  TLBI_NUM_SHIFT,
  TLBI_RANGE_MASK,
  TLBI_SCALE_SHIFT,
  TLBI_TG_4K,
  TLBI_TG_SHIFT_WORD2,
} from "../../uapi/smmuv3_queues.ts";
import type { SmmuCapability } from "./capability.ts";
import type { ConfigCache } from "./config_cache.ts";
import type { Tlb } from "./tlb.ts";
import {
  invalidateAsid,
  invalidateIpa,
  invalidateVa,
  invalidateVaAllAsids,
  invalidateVmid,
} from "./tlb_invalidation.ts";

/**
 * What each command does (FACTS 4.1). All complete at once, so that SYNC finds nothing to wait
 * for. CFGI commands never touch the TLB, nor TLBI commands the configuration. CFGI_STE takes the
 * stream's context descriptors with it. Leaf and TTL make no difference: only finished
 * translations are cached. Prefetches and ATC invalidations are accepted and do nothing: the unit
 * need not prefetch, and no device has an ATC.
 */
export class Commands {
  constructor(
    readonly streams: ConfigCache,
    readonly contexts: ConfigCache,
    readonly tlb: Tlb,
    readonly capability: SmmuCapability,
    /** Called by a SYNC that asks for an interrupt. */
    readonly syncInterrupt: () => void,
  ) {}

  /** Executes one command of four words. Returns CERROR_NONE or CERROR_ILL. */
  execute(w0: number, w1: number, w2: number, w3: number): number {
    const { tlb, capability } = this;
    const opcode = w0 & 0xff;
    if (isStage1(opcode) && !capability.stage1) return CERROR_ILL;
    if (isStage2(opcode) && !capability.stage2) return CERROR_ILL;
    const vmid = w1 & 0xffff;
    switch (opcode) {
      case CMD_PREFETCH_CONFIG:
      case CMD_PREFETCH_ADDR:
      case CMD_ATC_INV:
        return CERROR_NONE;
      case CMD_CFGI_STE:
        return this.#forgetStreams(w1, 1);
      case CMD_CFGI_STE_RANGE: {
        const range = w2 & CFGI_RANGE_MASK_WORD2;
        if (range === CFGI_RANGE_ALL) return this.#forgetStreams(0, 65536);
        const count = 2 ** (range + 1);
        return this.#forgetStreams((w1 >>> 0) - (w1 >>> 0) % count, count);
      }
      case CMD_CFGI_CD:
        this.contexts.forget(w1 >>> 0, w0 >>> CFGI_SSID_SHIFT);
        return CERROR_NONE;
      case CMD_CFGI_CD_ALL:
        this.contexts.forgetStreams(w1 >>> 0, 1);
        return CERROR_NONE;
      case CMD_TLBI_NH_ALL:
        invalidateVmid(tlb, this.#vmid(vmid), false);
        return CERROR_NONE;
      case CMD_TLBI_NH_ASID:
        invalidateAsid(tlb, this.#tag(w1));
        return CERROR_NONE;
      case CMD_TLBI_NH_VA:
        invalidateVa(tlb, this.#tag(w1), w3, w2, this.#pages(w0, w2));
        return CERROR_NONE;
      case CMD_TLBI_NH_VAA:
        invalidateVaAllAsids(tlb, this.#vmid(vmid), w3, w2, this.#pages(w0, w2));
        return CERROR_NONE;
      case CMD_TLBI_S12_VMALL:
        invalidateVmid(tlb, vmid, true);
        return CERROR_NONE;
      case CMD_TLBI_S2_IPA:
        invalidateIpa(tlb, vmid, w3 & 0xfffff, w2, this.#pages(w0, w2));
        return CERROR_NONE;
      case CMD_TLBI_NSNH_ALL:
        tlb.invalidateAll();
        return CERROR_NONE;
      case CMD_SYNC:
        return this.#sync((w0 >>> SYNC_CS_SHIFT) & 3);
      default:
        return CERROR_ILL;
    }
  }

  #forgetStreams(first: number, count: number): number {
    this.streams.forgetStreams(first >>> 0, count);
    this.contexts.forgetStreams(first >>> 0, count);
    return CERROR_NONE;
  }

  /** Without stage 2 there is one VMID, 0, whatever the command says. */
  #vmid(vmid: number): number {
    return this.capability.stage2 ? vmid : 0;
  }

  #tag(w1: number): number {
    return (w1 & 0xffff0000) | this.#vmid(w1 & 0xffff);
  }

  /** 4 KiB pages that a TLBI by address names; 0 for a granule the unit does not have. */
  #pages(w0: number, w2: number): number {
    const granule = (w2 >>> TLBI_TG_SHIFT_WORD2) & 3;
    if (granule === 0 || !this.capability.rangeInvalidation) return 1;
    if (granule !== TLBI_TG_4K) return 0;
    const num = (w0 >>> TLBI_NUM_SHIFT) & TLBI_RANGE_MASK;
    return (num + 1) * 2 ** ((w0 >>> TLBI_SCALE_SHIFT) & TLBI_RANGE_MASK);
  }

  #sync(signal: number): number {
    if (signal > SYNC_CS_SEV) return CERROR_ILL;
    if (signal === SYNC_CS_IRQ) this.syncInterrupt();
    return CERROR_NONE;
  }
}

function isStage1(opcode: number): boolean {
  return opcode === CMD_CFGI_CD || opcode === CMD_CFGI_CD_ALL ||
    (opcode >= CMD_TLBI_NH_ALL && opcode <= CMD_TLBI_NH_VAA);
}

function isStage2(opcode: number): boolean {
  return opcode === CMD_TLBI_S12_VMALL || opcode === CMD_TLBI_S2_IPA;
}
