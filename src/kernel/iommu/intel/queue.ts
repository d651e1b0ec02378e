import { PAGE_SIZE } from "../../../base/units.ts";
import type { Memory } from "../../../machine/memory.ts";
import * as pr from "../../../uapi/vtd_page_requests.ts";
import * as qi from "../../../uapi/vtd_queue.ts";
import * as V from "../../../uapi/vtd_regs.ts";
import type { Dmesg } from "../../dmesg.ts";
import { IOMMU_NO_PASID } from "./contexts.ts";
import { type Invalidation, pageAddress } from "./invalidation.ts";

/** What the queue needs of its unit. */
export interface QueueUnit {
  readonly name: string;
  read(offset: number): number;
  write(offset: number, value: number): void;
  write64(offset: number, low: number, high: number): void;
  command(set: number, clear?: number): void;
}

const STATUS_DONE = 2;

/**
 * By the invalidation queue: one page of descriptors, 16 bytes each, or 32 where scalable mode
 * wants them wide. Every request is followed by a WAIT that stores its status in memory, and has
 * been carried out on return.
 */
export class QueueInvalidation implements Invalidation {
  #tail = 0;

  /** `pfn`: the page of the ring; `statusPfn`: where the WAITs write. `wide`: scalable mode. */
  constructor(
    readonly unit: QueueUnit,
    readonly memory: Memory,
    readonly dmesg: Dmesg,
    readonly pfn: number,
    readonly statusPfn: number,
    readonly wide: boolean,
  ) {
    this.#enable();
  }

  get #bytes(): number {
    return this.wide ? 32 : 16;
  }

  #enable(): void {
    const { unit, pfn } = this;
    this.#tail = 0;
    unit.command(0, V.DMA_GSTS_QIES);
    unit.write(qi.DMAR_IQT_REG, 0);
    unit.write64(
      qi.DMAR_IQA_REG,
      ((pfn << 12) | (this.wide ? qi.DMA_IQA_DW : 0)) >>> 0,
      pfn >>> 20,
    );
    unit.command(V.DMA_GCMD_QIE);
  }

  contextGlobal(): void {
    this.#submit(qi.QI_CC_TYPE | V.GRANU_GLOBAL << qi.QI_GRAN_SHIFT);
  }

  contextDevice(sid: number, oldDid: number): void {
    const low = qi.QI_CC_TYPE | V.GRANU_DEVICE << qi.QI_GRAN_SHIFT | oldDid << qi.QI_DID_SHIFT;
    this.#submit(low, sid);
  }

  pasidGlobal(): void {
    if (this.wide) this.#submit(qi.QI_PC_TYPE | qi.QI_PC_GLOBAL << qi.QI_GRAN_SHIFT);
  }

  pasid(oldDid: number, pasid: number): void {
    const low = qi.QI_PC_TYPE | qi.QI_PC_PASID_SEL << qi.QI_GRAN_SHIFT | oldDid << qi.QI_DID_SHIFT;
    this.#submit(low, pasid);
  }

  iotlbGlobal(): void {
    this.#submit(qi.QI_IOTLB_TYPE | V.GRANU_GLOBAL << qi.QI_GRAN_SHIFT);
  }

  iotlbDomain(did: number): void {
    this.#submit(qi.QI_IOTLB_TYPE | V.GRANU_DOMAIN << qi.QI_GRAN_SHIFT | did << qi.QI_DID_SHIFT);
  }

  iotlbPages(did: number, page: number, order: number): void {
    const low = qi.QI_IOTLB_TYPE | V.GRANU_PAGE << qi.QI_GRAN_SHIFT | did << qi.QI_DID_SHIFT;
    this.#submit(low, 0, ...pageAddress(page, order));
  }

  deviceTlb(sid: number, pasid: number, page: number, order: number): void {
    // Below its size an address tells the size; S says that it does.
    const first = page - page % 2 ** order;
    const at = order === 0 ? first : first + 2 ** (order - 1) - 1;
    const low = ((at % 1048576) * PAGE_SIZE) >>> 0, high = Math.floor(at / 1048576);
    const sized = (flag: number) => low | (order === 0 ? 0 : flag);
    if (pasid === IOMMU_NO_PASID) {
      this.#submit(qi.QI_DIOTLB_TYPE, sid, sized(pr.QI_DEV_IOTLB_SIZE_WORD2), high);
    } else {
      const type = qi.QI_DEIOTLB_TYPE | sid << pr.QI_DEV_EIOTLB_SID_SHIFT;
      this.#submit(type, pasid, sized(pr.QI_DEV_EIOTLB_SIZE_WORD2), high);
    }
  }

  respond(sid: number, pasid: number | undefined, grpid: number, code: number): void {
    const tagged = pasid === undefined ? 0 : pr.QI_PGRP_PASID_PRESENT;
    const low = pr.QI_PGRP_RESP_TYPE | tagged | code << pr.QI_PGRP_CODE_SHIFT |
      sid << pr.QI_PGRP_RID_SHIFT;
    const group = pr.QI_PGRP_LPIG_WORD2 | grpid << pr.QI_PGRP_IDX_SHIFT_WORD2;
    this.#submit(low, pasid ?? 0, group);
  }

  #submit(w0: number, w1 = 0, w2 = 0, w3 = 0): void {
    const { memory, statusPfn } = this;
    memory.store(statusPfn, 0, 0);
    this.#put(w0, w1, w2, w3);
    const wait = qi.QI_IWD_TYPE | qi.QI_IWD_STATUS_WRITE;
    this.#put(wait, STATUS_DONE, (statusPfn << 12) >>> 0, statusPfn >>> 20);
    this.unit.write(qi.DMAR_IQT_REG, this.#tail);
    if (memory.load(statusPfn, 0) === STATUS_DONE) return;
    // A descriptor hardware does not take must not block the ones to come.
    const at = this.unit.read(qi.DMAR_IQH_REG).toString(16);
    this.dmesg.err(`DMAR: ${this.unit.name}: VT-d detected Invalidation Queue Error at 0x${at}`);
    this.#enable();
    this.unit.write(V.DMAR_FSTS_REG, qi.DMA_FSTS_IQE);
  }

  #put(w0: number, w1: number, w2: number, w3: number): void {
    const { memory, pfn } = this;
    const word = this.#tail / 4;
    memory.store(pfn, word, w0);
    memory.store(pfn, word + 1, w1);
    memory.store(pfn, word + 2, w2);
    memory.store(pfn, word + 3, w3);
    for (let i = 4; i < this.#bytes / 4; i++) memory.store(pfn, word + i, 0);
    this.#tail = (this.#tail + this.#bytes) % PAGE_SIZE;
  }
}
