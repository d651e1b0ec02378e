import * as N from "../../../src/uapi/nvme_regs.ts";
import type { GuestCpu } from "../../../src/userspace/guest/cpu.ts";

const ADMIN_SQ = 0x1000, ADMIN_CQ = 0x2000;
/** Room for 64 entries each. */
export const IO_SQ = 0x3000, IO_CQ = 0x4000;

export interface Completion {
  cid: number;
  status: number;
  result: number;
  sqHead: number;
}

interface Queue {
  sq: number;
  cq: number;
  entries: number;
  tail: number;
  head: number;
  phase: number;
}

/** Memory and registers, and time that passes. */
interface Hands extends GuestCpu {
  run(ns: number): void;
}

/** Drives a controller by hand, one entry at a time: what a driver does, without a mind. */
export class NvmeHost {
  #queues = new Map<number, Queue>();

  constructor(readonly rig: Hands, readonly bar: number) {}

  /** Enables the controller with admin queues of 8 entries. */
  enable(): void {
    const { rig, bar } = this;
    rig.store32(bar + N.NVME_REG_AQA, 7 | 7 << 16);
    rig.store32(bar + N.NVME_REG_ASQ, ADMIN_SQ);
    rig.store32(bar + N.NVME_REG_ACQ, ADMIN_CQ);
    for (let i = 0; i < 8 * 16; i += 4) rig.store32(ADMIN_CQ + i, 0);
    this.#add(0, ADMIN_SQ, ADMIN_CQ, 8);
    rig.store32(bar + N.NVME_REG_CC, N.NVME_CC_EN | 6 << 16 | 4 << 20);
  }

  /** Enables the controller and creates I/O queue pair 1. */
  start(entries = 16): void {
    this.enable();
    for (let i = 0; i < entries * 16; i += 4) this.rig.store32(IO_CQ + i, 0);
    this.admin(N.NVME_ADMIN_CREATE_CQ, IO_CQ, 1 | (entries - 1) << 16, 1);
    this.admin(N.NVME_ADMIN_CREATE_SQ, IO_SQ, 1 | (entries - 1) << 16, 1 | 1 << 16);
    this.#add(1, IO_SQ, IO_CQ, entries);
  }

  /** Sends an admin command and waits for its completion. */
  admin(opcode: number, prp1: number, cdw10: number, cdw11 = 0, nsid = 0): Completion {
    this.submit(0, opcode, 0, { nsid, prp1, cdw10, cdw11 });
    this.ring(0);
    this.rig.run(100_000);
    const [completion] = this.reap(0);
    return completion;
  }

  /** Writes a submission entry; {@link ring} tells the controller. */
  submit(
    qid: number,
    opcode: number,
    cid: number,
    o: { nsid?: number; prp1?: number; prp2?: number; cdw10?: number; cdw11?: number; n?: number },
  ): void {
    const q = this.#queue(qid), at = q.sq + q.tail * 64;
    for (let i = 0; i < 64; i += 4) this.rig.store32(at + i, 0);
    this.rig.store32(at, opcode | cid << 16);
    this.rig.store32(at + 4, o.nsid ?? 1);
    this.rig.store32(at + 24, o.prp1 ?? 0);
    this.rig.store32(at + 32, o.prp2 ?? 0);
    this.rig.store32(at + 40, o.cdw10 ?? 0);
    this.rig.store32(at + 44, o.cdw11 ?? 0);
    this.rig.store32(at + 48, (o.n ?? 1) - 1);
    q.tail = (q.tail + 1) % q.entries;
  }

  ring(qid: number): void {
    this.rig.store32(this.bar + N.sqDoorbell(qid), this.#queue(qid).tail);
  }

  /** Takes new completions, `limit` at most, and moves the head doorbell. */
  reap(qid: number, limit = Infinity): Completion[] {
    const q = this.#queue(qid), found: Completion[] = [];
    while (found.length < limit) {
      const at = q.cq + q.head * 16, word = this.rig.load32(at + 12);
      if (((word >>> 16) & 1) !== q.phase) break;
      found.push({
        cid: word & 0xffff,
        status: word >>> 17,
        result: this.rig.load32(at),
        sqHead: this.rig.load32(at + 8) & 0xffff,
      });
      q.head = (q.head + 1) % q.entries;
      if (q.head === 0) q.phase ^= 1;
    }
    if (found.length > 0) this.rig.store32(this.bar + N.cqDoorbell(qid), q.head);
    return found;
  }

  #add(qid: number, sq: number, cq: number, entries: number): void {
    this.#queues.set(qid, { sq, cq, entries, tail: 0, head: 0, phase: 1 });
  }

  #queue(qid: number): Queue {
    const queue = this.#queues.get(qid);
    if (queue === undefined) throw new Error(`no queue ${qid}`);
    return queue;
  }
}
