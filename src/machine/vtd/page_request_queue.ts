import type { EventHash } from "../../base/event_log.ts";
import type { EventQueue } from "../../base/event_queue.ts";
import * as pr from "../../uapi/vtd_page_requests.ts";
import type { PageRequest } from "../ats.ts";
import type { Mmio } from "../bus.ts";
import type { Memory } from "../memory.ts";
import { RamMap } from "../ram_map.ts";
import { InterruptGate } from "./interrupt_gate.ts";

/**
 * The page request queue: a ring of 32-byte descriptors in physical memory. Hardware writes at the
 * tail, software reads up to there and moves the head. PRS.PPR is set with a request that is written,
 * and an interrupt goes out when it was clear before. A request that finds the ring full sets PRO and
 * is lost, and so are all that follow until software has cleared PRO.
 *
 * Nothing turns the queue on or off: it lies where PQA says, from one kernel to the next.
 */
export class PageRequestQueue implements Mmio {
  /** PECTL, PEDATA, PEADDR and PEUADDR. */
  readonly gate: InterruptGate;
  /** Requests written, and lost by overflow, since power-on. */
  written = 0;
  lost = 0;
  #ram: RamMap;
  #head = 0;
  #tail = 0;
  #addressLow = 0;
  #addressHigh = 0;
  #pending = false;
  #overflow = false;

  /** `interrupt`: called for each interrupt that goes out. */
  constructor(
    readonly memory: Memory,
    readonly queue: EventQueue,
    readonly hash: EventHash,
    interrupt: () => void,
  ) {
    this.#ram = new RamMap(memory.ranges);
    this.gate = new InterruptGate(interrupt);
  }

  /** False for a request that was lost. */
  push(request: PageRequest): boolean {
    const { sid, pasid, hi, lo, write, group, last } = request;
    this.hash.mixAt(this.queue.now, (group << 16) | sid);
    this.hash.mix(lo, hi, pasid);
    const next = (this.#tail + pr.PAGE_REQ_BYTES) % this.#bytes;
    const pfn = this.#base + (this.#tail >>> 12);
    if (this.#overflow || next === this.#head || this.#base < 0 || !this.#ram.has(pfn)) {
      this.#overflow = true;
      this.lost++;
      this.#raise();
      return false;
    }
    const word = (this.#tail & 0xfff) >>> 2;
    const { memory } = this;
    const tagged = pasid >= 0;
    memory.store(
      pfn,
      word,
      pr.PAGE_REQ_TYPE | (tagged ? pr.PAGE_REQ_PASID_PRESENT : 0) | sid << pr.PAGE_REQ_RID_SHIFT,
    );
    memory.store(pfn, word + 1, tagged ? pasid : 0);
    memory.store(
      pfn,
      word + 2,
      (lo & ~0xfff) | group << pr.PAGE_REQ_PRGI_SHIFT_WORD2 | (last ? pr.PAGE_REQ_LPIG_WORD2 : 0) |
        (write ? pr.PAGE_REQ_WRITE_WORD2 : pr.PAGE_REQ_READ_WORD2),
    );
    memory.store(pfn, word + 3, hi);
    for (let i = 4; i < 8; i++) memory.store(pfn, word + i, 0);
    this.#tail = next;
    this.written++;
    this.#raise();
    return true;
  }

  #raise(): void {
    if (this.#pending) return;
    this.#pending = true;
    this.gate.raise();
  }

  get #base(): number {
    const high = this.#addressHigh >>> 0;
    return high < 0x800 ? (high << 20) | (this.#addressLow >>> 12) : -1;
  }

  get #bytes(): number {
    return 4096 << (this.#addressLow & pr.DMA_PQA_PQS_MASK);
  }

  read32(offset: number): number {
    switch (offset) {
      case pr.DMAR_PQH_REG:
        return this.#head;
      case pr.DMAR_PQT_REG:
        return this.#tail;
      case pr.DMAR_PQA_REG:
        return this.#addressLow;
      case pr.DMAR_PQA_REG + 4:
        return this.#addressHigh;
      case pr.DMAR_PRS_REG:
        return (this.#pending ? pr.DMA_PRS_PPR : 0) | (this.#overflow ? pr.DMA_PRS_PRO : 0);
      default:
        return this.gate.read32(offset - pr.DMAR_PECTL_REG);
    }
  }

  write32(offset: number, value: number): void {
    switch (offset) {
      case pr.DMAR_PQH_REG:
        this.#head = value & pr.DMA_PQ_OFFSET_MASK;
        return;
      case pr.DMAR_PQT_REG:
        this.#tail = value & pr.DMA_PQ_OFFSET_MASK;
        return;
      case pr.DMAR_PQA_REG:
        this.#addressLow = value & (~0xfff | pr.DMA_PQA_PQS_MASK);
        return;
      case pr.DMAR_PQA_REG + 4:
        this.#addressHigh = value;
        return;
      case pr.DMAR_PRS_REG:
        if ((value & pr.DMA_PRS_PPR) !== 0) this.#pending = false;
        if ((value & pr.DMA_PRS_PRO) !== 0) this.#overflow = false;
        if (!this.#pending) this.gate.withdraw();
        return;
      default:
        return this.gate.write32(offset - pr.DMAR_PECTL_REG, value);
    }
  }
}
