import { PAGE_SIZE } from "../../../base/units.ts";
import {
  IOMMU_PGFAULT_PERM_READ,
  IOMMU_PGFAULT_PERM_WRITE,
  IOMMUFD_PAGE_RESP_SUCCESS,
} from "../../../uapi/iommufd.ts";
import * as pr from "../../../uapi/vtd_page_requests.ts";
import { DMA_FECTL_IM } from "../../../uapi/vtd_regs.ts";
import { FrameUse } from "../../mm/frames.ts";
import type { PageRequest } from "../page_requests.ts";
import type { IntelUnit } from "./unit.ts";

/** A group that was read and not answered. */
interface Open {
  readonly sid: number;
  readonly pasid: number | undefined;
  readonly grpid: number;
}

/**
 * A unit's page request queue: one page that hardware writes and this reads. It stays where it is
 * through a kexec: whatever a device asks for between two kernels lies there for the next one. What
 * was read and is not answered by then would be lost with its reader, so that it is answered with
 * SUCCESS: the device looks, finds the page still missing, and asks again.
 */
export class PageRequests {
  /** What was read and not answered, by group. */
  readonly #open = new Map<string, Open>();
  /** Requests of groups whose last one has not been read, by group. */
  readonly #partial = new Map<string, PageRequest[]>();

  private constructor(readonly unit: IntelUnit, readonly pfn: number) {}

  /** An empty queue; undefined without memory for it. */
  static start(unit: IntelUnit): PageRequests | undefined {
    const pfn = unit.kernel.pages.allocPage(FrameUse.kernel);
    if (pfn < 0) return undefined;
    unit.write(pr.DMAR_PQH_REG, 0);
    unit.write(pr.DMAR_PQT_REG, 0);
    unit.write64(pr.DMAR_PQA_REG, (pfn << 12) >>> 0, pfn >>> 20);
    unit.write(pr.DMAR_PRS_REG, pr.DMA_PRS_PPR | pr.DMA_PRS_PRO);
    return new PageRequests(unit, pfn);
  }

  /**
   * The queue of the previous kernel, with what is in it. It is not read before the first heir comes:
   * should it be full by then, hardware lets devices ask again. Undefined where hardware has another.
   */
  static adopt(unit: IntelUnit, pfn: number): PageRequests | undefined {
    const [low, high] = unit.kernel.machine.bus.read64(unit.regBase + pr.DMAR_PQA_REG);
    return low === (pfn << 12) >>> 0 && high === pfn >>> 20
      ? new PageRequests(unit, pfn)
      : undefined;
  }

  /** From here on the queue is read, beginning with what nobody heard of. */
  listen(): void {
    const { unit } = this;
    unit.kernel.machine.onPageRequest(unit.index, () => this.service());
    unit.write(pr.DMAR_PECTL_REG, 0);
    this.service();
  }

  /** Reads what there is and hands it to whoever has the device. */
  service(): void {
    const { unit } = this;
    // Cleared first: a request that comes now raises the interrupt again.
    unit.write(pr.DMAR_PRS_REG, pr.DMA_PRS_PPR);
    const tail = unit.read(pr.DMAR_PQT_REG);
    for (let head = unit.read(pr.DMAR_PQH_REG); head !== tail;) {
      const at = head;
      head = (head + pr.PAGE_REQ_BYTES) % PAGE_SIZE;
      unit.write(pr.DMAR_PQH_REG, head);
      this.#take(at / 4);
    }
    if ((unit.read(pr.DMAR_PRS_REG) & pr.DMA_PRS_PRO) === 0) return;
    // Hardware has answered what it dropped: of those groups there is nothing more to come.
    this.#partial.clear();
    unit.write(pr.DMAR_PRS_REG, pr.DMA_PRS_PRO);
    unit.kernel.dmesg.info(`DMAR: ${unit.name}: PRQ overflow cleared`);
  }

  #take(word: number): void {
    const { memory } = this.unit.kernel.machine;
    const [w0, w1, w2, w3] = [0, 1, 2, 3].map((i) => memory.load(this.pfn, word + i));
    const sid = w0 >>> pr.PAGE_REQ_RID_SHIFT;
    const grpid = (w2 >>> pr.PAGE_REQ_PRGI_SHIFT_WORD2) & pr.PRGI_MASK;
    const pasid = (w0 & pr.PAGE_REQ_PASID_PRESENT) === 0
      ? undefined
      : w1 & pr.PAGE_REQ_PASID_MASK_WORD1;
    const perm = ((w2 & pr.PAGE_REQ_READ_WORD2) === 0 ? 0 : IOMMU_PGFAULT_PERM_READ) |
      ((w2 & pr.PAGE_REQ_WRITE_WORD2) === 0 ? 0 : IOMMU_PGFAULT_PERM_WRITE);
    const addr = BigInt(w3 >>> 0) << 32n | BigInt((w2 & ~0xfff) >>> 0);
    const open: Open = { sid, pasid, grpid }, key = keyOf(open);
    const requests = [...this.#partial.get(key) ?? [], { perm, addr }];
    if ((w2 & pr.PAGE_REQ_LPIG_WORD2) === 0) {
      this.#partial.set(key, requests);
      return;
    }
    this.#partial.delete(key);
    this.#open.set(key, open);
    const respond = (code: number) => this.#respond(open, code);
    this.unit.kernel.iommu.pageRequest(sid, { pasid, grpid, requests, respond });
  }

  #respond(open: Open, code: number): void {
    const key = keyOf(open);
    // Answered already; the same index may stand for a later group by now.
    if (this.#open.get(key) !== open) return;
    this.#open.delete(key);
    const { sid, pasid, grpid } = open;
    this.unit.invalidation.respond(sid, pasid, grpid, code);
  }

  /** The group was read, or a part of it, and has no answer. */
  holds(sid: number, pasid: number | undefined, grpid: number): boolean {
    const key = keyOf({ sid, pasid, grpid });
    return this.#partial.has(key) || this.#open.has(key);
  }

  /** Before a kexec: nobody reads any more, and whoever waits for an answer asks again. */
  stop(): void {
    this.unit.write(pr.DMAR_PECTL_REG, DMA_FECTL_IM >>> 0);
    for (const open of [...this.#open.values()]) this.#respond(open, IOMMUFD_PAGE_RESP_SUCCESS);
  }
}

function keyOf({ sid, pasid, grpid }: Open): string {
  return `${sid} ${pasid} ${grpid}`;
}
