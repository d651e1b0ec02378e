import * as N from "../../uapi/nvme_regs.ts";
import { type GuestCpu, highWord, lowWord } from "./cpu.ts";
import { ADMIN_ENTRIES, type NvmeMemory } from "./nvme_memory.ts";
import { Stage, Word } from "./nvme_state.ts";
import { SLOT_BLOCKS } from "./nvme_workload.ts";
import type { StatePage } from "./state_page.ts";

/** The identifier of the driver's one I/O queue pair. */
export const IO_QUEUE = 1;
/** The namespace it uses. */
export const NAMESPACE = 1;

/**
 * Brings an NVMe controller up: enables it, then sends one admin command at a time, from
 * identifying the namespace to creating the I/O queues. How far it is stands in the state page.
 */
export class NvmeSetup {
  constructor(
    readonly cpu: GuestCpu,
    readonly state: StatePage,
    readonly memory: NvmeMemory,
    /** The address by which the controller reaches a page of the driver's memory. */
    readonly dma: (address: number) => number,
  ) {}

  /** Resets and enables the controller and sends the first command. */
  begin(): void {
    const { cpu, state, memory, dma } = this;
    const bar = state.getWide(Word.bar), sq = dma(memory.adminSq), cq = dma(memory.adminCq);
    cpu.store32(bar + N.NVME_REG_CC, 0);
    cpu.store32(bar + N.NVME_REG_AQA, ADMIN_ENTRIES - 1 | (ADMIN_ENTRIES - 1) << 16);
    cpu.store32(bar + N.NVME_REG_ASQ, lowWord(sq));
    cpu.store32(bar + N.NVME_REG_ASQ + 4, highWord(sq));
    cpu.store32(bar + N.NVME_REG_ACQ, lowWord(cq));
    cpu.store32(bar + N.NVME_REG_ACQ + 4, highWord(cq));
    const sizes = 6 << N.NVME_CC_IOSQES_SHIFT | 4 << N.NVME_CC_IOCQES_SHIFT;
    cpu.store32(bar + N.NVME_REG_CC, sizes | N.NVME_CC_EN);
    state.set(Word.adminPhase, 1);
    const status = cpu.load32(bar + N.NVME_REG_CSTS) & (N.NVME_CSTS_RDY | N.NVME_CSTS_CFS);
    if (status !== N.NVME_CSTS_RDY) {
      state.set(Word.stage, Stage.failed);
      return;
    }
    state.set(Word.stage, Stage.identify);
    this.#send(N.NVME_ADMIN_IDENTIFY, NAMESPACE, memory.buffer(0), N.NVME_ID_CNS_NS, 0);
  }

  /** Takes the completion that is waited for, if it is there, and goes on. True if it was. */
  poll(): boolean {
    const { cpu, state, memory } = this;
    const head = state.get(Word.adminHead), phase = state.get(Word.adminPhase);
    const entry = memory.adminCq + head * N.NVME_CQE_BYTES;
    const word = cpu.load32(entry + N.CQE_CID_STATUS * 4);
    if (((word >>> 16) & 1) !== phase) return false;
    const next = (head + 1) % ADMIN_ENTRIES;
    state.set(Word.adminHead, next);
    if (next === 0) state.set(Word.adminPhase, phase ^ 1);
    cpu.store32(state.getWide(Word.bar) + N.cqDoorbell(0), next);
    const status = word >>> 17;
    state.set(Word.lastStatus, status);
    if (status !== N.NVME_SC_SUCCESS) {
      state.add(Word.errors, 1);
      state.set(Word.stage, Stage.failed);
    } else {
      this.#advance();
    }
    return true;
  }

  #advance(): void {
    const { state, memory } = this;
    const stage = state.get(Word.stage), size = memory.entries - 1;
    state.set(Word.stage, stage + 1);
    switch (stage) {
      case Stage.identify:
        if (!this.#namespaceFits()) state.set(Word.stage, Stage.failed);
        else this.#send(N.NVME_ADMIN_SET_FEATURES, 0, 0, N.NVME_FEAT_NUM_QUEUES, 0);
        return;
      case Stage.setFeatures:
        return this.#send(
          N.NVME_ADMIN_CREATE_CQ,
          0,
          memory.cq,
          IO_QUEUE | size << 16,
          N.NVME_QUEUE_PHYS_CONTIG,
        );
      case Stage.createCq:
        return this.#send(
          N.NVME_ADMIN_CREATE_SQ,
          0,
          memory.sq,
          IO_QUEUE | size << 16,
          N.NVME_QUEUE_PHYS_CONTIG | IO_QUEUE << 16,
        );
      case Stage.createSq:
        state.set(Word.cqPhase, 1);
    }
  }

  /** Blocks must be pages, and there must be enough of them for every slot. */
  #namespaceFits(): boolean {
    const { cpu, state, memory } = this;
    const page = memory.buffer(0);
    const blocks = (cpu.load32(page + N.NVME_ID_NS_NSZE) >>> 0) +
      (cpu.load32(page + N.NVME_ID_NS_NSZE + 4) >>> 0) * 4294967296;
    const shift = (cpu.load32(page + N.NVME_ID_NS_LBAF0) >>> 16) & 0xff;
    return shift === 12 && blocks >= state.get(Word.firstLba) + memory.depth * SLOT_BLOCKS;
  }

  /** Sends an admin command whose data, if any, lies at `data` in the driver's memory. */
  #send(opcode: number, nsid: number, data: number, cdw10: number, cdw11: number): void {
    const { cpu, state, memory } = this;
    const tail = state.get(Word.adminTail);
    const entry = memory.adminSq + tail * N.NVME_SQE_BYTES;
    const address = data === 0 ? 0 : this.dma(data);
    for (let i = 0; i < N.NVME_SQE_BYTES; i += 4) cpu.store32(entry + i, 0);
    cpu.store32(entry + N.SQE_OPCODE_CID * 4, opcode | tail << 16);
    cpu.store32(entry + N.SQE_NSID * 4, nsid);
    cpu.store32(entry + N.SQE_PRP1 * 4, lowWord(address));
    cpu.store32(entry + N.SQE_PRP1 * 4 + 4, highWord(address));
    cpu.store32(entry + N.SQE_CDW10 * 4, cdw10);
    cpu.store32(entry + N.SQE_CDW11 * 4, cdw11);
    const next = (tail + 1) % ADMIN_ENTRIES;
    state.set(Word.adminTail, next);
    cpu.store32(state.getWide(Word.bar) + N.sqDoorbell(0), next);
  }
}
