import {
  DMA_GCMD_QIE,
  DMA_GCMD_SRTP,
  DMA_GCMD_TE,
  DMA_GSTS_QIES,
  DMA_GSTS_RTPS,
  DMA_GSTS_TES,
  DMA_PMEN_EPM,
  DMA_PMEN_PRS,
  DMAR_CAP_REG,
  DMAR_CCMD_REG,
  DMAR_ECAP_REG,
  DMAR_FEADDR_REG,
  DMAR_FECTL_REG,
  DMAR_FEDATA_REG,
  DMAR_FEUADDR_REG,
  DMAR_FSTS_REG,
  DMAR_GCMD_REG,
  DMAR_GSTS_REG,
  DMAR_IOTLB_REG,
  DMAR_IVA_REG,
  DMAR_PMEN_REG,
  DMAR_RTADDR_REG,
  DMAR_VER_REG,
} from "../../uapi/vtd_regs.ts";
import { DMAR_PEUADDR_REG, DMAR_PQH_REG } from "../../uapi/vtd_page_requests.ts";
import { DMAR_IEUADDR_REG, DMAR_IQH_REG } from "../../uapi/vtd_queue.ts";
import { DMA_RTADDR_SMT, DMA_RTADDR_TTM_MASK } from "../../uapi/vtd_scalable.ts";
import type { Mmio } from "../bus.ts";
import { capRegister, ecapRegister, FRO, IRO, type VtdCapability } from "./capability.ts";
import type { FaultRecorder } from "./faults.ts";
import type { ContextCommand, IotlbCommand } from "./invalidation.ts";
import type { PageRequestQueue } from "./page_request_queue.ts";
import type { InvalidationQueue } from "./queue.ts";

/** Version 1.0. */
const VERSION = 0x10;
const IVA = IRO * 16 + DMAR_IVA_REG;
const IOTLB = IRO * 16 + DMAR_IOTLB_REG;
const FRCD = FRO * 16;

/** What becomes of a request. */
export const enum Mode {
  /** TE is off: addresses are used as they stand. */
  off,
  legacy,
  scalable,
  /** SRTP latched a table mode that the unit lacks. */
  unknown,
}

/**
 * The register file (FACTS 3.3). Every command completes within the write that gives it.
 *
 * GCMD is write-only. TE and QIE are levels: each write carries them, and software that forgets
 * one turns translation or the invalidation queue off. SRTP is one-shot: it latches RTADDR, its
 * table mode included, and RTPS stays set from then on. A write that carries all of them latches
 * first. Bits of features the unit lacks are ignored.
 */
export class Registers implements Mmio {
  mode = Mode.off;
  /** The same as `mode` being legacy: the question that every request asks. */
  legacy = false;
  /** Frame of the root table as SRTP latched it; -1 when it lies beyond 8 TiB. */
  root = 0;
  #rootSet = false;
  #latched = Mode.legacy;
  #rtaddrMask: number;
  #rtaddrLow = 0;
  #rtaddrHigh = 0;
  #protected = 0;
  #cap: [number, number];
  #ecap: [number, number];

  constructor(
    capability: VtdCapability,
    readonly context: ContextCommand,
    readonly iotlb: IotlbCommand,
    readonly faults: FaultRecorder,
    readonly queue: InvalidationQueue | undefined,
    readonly requests?: PageRequestQueue,
  ) {
    this.#rtaddrMask = capability.scalable ? ~0xfff | DMA_RTADDR_TTM_MASK : ~0xfff;
    this.#cap = capRegister(capability);
    this.#ecap = ecapRegister(capability);
  }

  read32(offset: number): number {
    const record = (offset - FRCD) >> 2;
    if (record >= 0) return record < this.faults.words ? this.faults.readWord(record) : 0;
    if (isOfQueue(offset)) return this.queue?.read32(offset) ?? 0;
    if (isOfRequests(offset)) return this.requests?.read32(offset) ?? 0;
    switch (offset) {
      case DMAR_VER_REG:
        return VERSION;
      case DMAR_CAP_REG:
        return this.#cap[0];
      case DMAR_CAP_REG + 4:
        return this.#cap[1];
      case DMAR_ECAP_REG:
        return this.#ecap[0];
      case DMAR_ECAP_REG + 4:
        return this.#ecap[1];
      case DMAR_GSTS_REG:
        return (this.mode !== Mode.off ? DMA_GSTS_TES : 0) | (this.#rootSet ? DMA_GSTS_RTPS : 0) |
          (this.queue?.enabled === true ? DMA_GSTS_QIES : 0);
      case DMAR_RTADDR_REG:
        return this.#rtaddrLow;
      case DMAR_RTADDR_REG + 4:
        return this.#rtaddrHigh;
      case DMAR_CCMD_REG:
        return this.context.low;
      case DMAR_CCMD_REG + 4:
        return this.context.high;
      case DMAR_FSTS_REG:
        return this.faults.status;
      case DMAR_FECTL_REG:
      case DMAR_FEDATA_REG:
      case DMAR_FEADDR_REG:
      case DMAR_FEUADDR_REG:
        return this.faults.gate.read32(offset - DMAR_FECTL_REG);
      case DMAR_PMEN_REG:
        return this.#protected;
      case IOTLB + 4:
        return this.iotlb.high;
      default:
        return 0;
    }
  }

  write32(offset: number, value: number): void {
    const record = (offset - FRCD) >> 2;
    if (record >= 0) {
      if (record < this.faults.words) this.faults.writeWord(record, value);
      return;
    }
    if (isOfQueue(offset)) return this.queue?.write32(offset, value);
    if (isOfRequests(offset)) return this.requests?.write32(offset, value);
    switch (offset) {
      case DMAR_GCMD_REG:
        return this.#command(value);
      case DMAR_RTADDR_REG:
        // The table mode in bits 10 and 11 belongs to scalable mode; elsewhere it reads 0.
        this.#rtaddrLow = value & this.#rtaddrMask;
        return;
      case DMAR_RTADDR_REG + 4:
        this.#rtaddrHigh = value;
        return;
      case DMAR_CCMD_REG:
        this.context.low = value;
        return;
      case DMAR_CCMD_REG + 4:
        return this.context.writeHigh(value);
      case DMAR_FSTS_REG:
        return this.faults.writeStatus(value);
      case DMAR_FECTL_REG:
      case DMAR_FEDATA_REG:
      case DMAR_FEADDR_REG:
      case DMAR_FEUADDR_REG:
        return this.faults.gate.write32(offset - DMAR_FECTL_REG, value);
      case DMAR_PMEN_REG:
        // No protected region exists (CAP has neither PLMR nor PHMR): the status just follows.
        this.#protected = (value & DMA_PMEN_EPM) !== 0 ? DMA_PMEN_EPM | DMA_PMEN_PRS : 0;
        return;
      case IVA:
        this.iotlb.addressLow = value;
        return;
      case IVA + 4:
        this.iotlb.addressHigh = value;
        return;
      case IOTLB + 4:
        return this.iotlb.writeHigh(value);
    }
  }

  #command(value: number): void {
    if ((value & DMA_GCMD_SRTP) !== 0) {
      const high = this.#rtaddrHigh >>> 0;
      this.root = high < 0x800 ? (high << 20) | (this.#rtaddrLow >>> 12) : -1;
      this.#rootSet = true;
      const mode = this.#rtaddrLow & DMA_RTADDR_TTM_MASK;
      this.#latched = mode === 0
        ? Mode.legacy
        : mode === DMA_RTADDR_SMT
        ? Mode.scalable
        : Mode.unknown;
    }
    this.mode = (value & DMA_GCMD_TE) !== 0 ? this.#latched : Mode.off;
    this.legacy = this.mode === Mode.legacy;
    if (this.queue === undefined) return;
    const queued = (value & DMA_GCMD_QIE) !== 0;
    this.context.refused = this.iotlb.refused = queued;
    this.queue.scalable = this.#latched === Mode.scalable;
    this.queue.enable(queued);
  }
}

/** IQH … IEUADDR. */
function isOfQueue(offset: number): boolean {
  return offset >= DMAR_IQH_REG && offset <= DMAR_IEUADDR_REG;
}

/** PQH … PEUADDR. */
function isOfRequests(offset: number): boolean {
  return offset >= DMAR_PQH_REG && offset <= DMAR_PEUADDR_REG;
}
