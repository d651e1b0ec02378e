import { PAGE_SIZE } from "../../base/units.ts";
import * as N from "../../uapi/nvme_regs.ts";
import type { GuestCpu } from "../guest/cpu.ts";
import { NAMESPACE } from "../guest/nvme_setup.ts";
import { AdminCommands } from "./admin.ts";
import type { DiskCommand } from "./disk.ts";
import { pagesOf } from "./prp.ts";
import { CompletionRing, type RingState, SubmissionRing } from "./ring.ts";

/** Where the guest's commands go. */
export interface Backend {
  readonly full: boolean;
  /** Physical address of a page of the guest's; undefined where it has none. */
  physical(gpa: number): number | undefined;
  submit(command: DiskCommand, tag: number): void;
  ring(): void;
}

/** A command of the guest's that the disk has: which queue it came from, and its identifier. */
interface Outstanding {
  readonly sq: number;
  readonly cid: number;
}

/** A completion that waits for room in the guest's queue. */
interface Waiting extends Outstanding {
  readonly status: number;
}

/** Everything the controller knows that is not in guest memory. */
export interface ControllerState {
  readonly registers: readonly (readonly [offset: number, value: number])[];
  readonly sq: readonly (readonly [id: number, ring: RingState, cq: number])[];
  readonly cq: readonly (readonly [id: number, ring: RingState])[];
  readonly outstanding: readonly (readonly [tag: number, sq: number, cid: number])[];
  readonly waiting: readonly Waiting[];
  readonly nextTag: number;
}

/** The NVMe controller that the guest sees: registers and queues are played, blocks are real. */
export class Controller {
  readonly #registers = new Map<number, number>();
  readonly #sq = new Map<number, { readonly ring: SubmissionRing; readonly cq: number }>();
  readonly #cq = new Map<number, CompletionRing>();
  readonly #outstanding = new Map<number, Outstanding>();
  #waiting: Waiting[] = [];
  #nextTag = 0;
  readonly #admin: AdminCommands;

  /** `cpu`: guest memory. `blocks`: size of the disk in blocks of 4 KiB. */
  constructor(readonly cpu: GuestCpu, readonly backend: Backend, readonly blocks: number) {
    this.#admin = new AdminCommands(cpu, blocks, this.#sq, this.#cq);
  }

  /** A register, by its offset in BAR 0. */
  load32(offset: number): number {
    switch (offset) {
      case N.NVME_REG_CAP:
        return N.NVME_CAP_LOW;
      case N.NVME_REG_CAP + 4:
        return N.NVME_CAP_HIGH;
      case N.NVME_REG_VS:
        return N.NVME_VS_1_4;
      default:
        return this.#registers.get(offset) ?? 0;
    }
  }

  store32(offset: number, value: number): void {
    if (offset >= N.NVME_REG_DBS) {
      const index = (offset - N.NVME_REG_DBS) / 4, qid = index >> 1;
      const cq = this.#cq.get(qid), sq = this.#sq.get(qid)?.ring;
      if (index & 1) { if (cq !== undefined && value < cq.entries) cq.head = value; }
      else if (sq !== undefined && value < sq.entries) sq.tail = value;
      return;
    }
    const before = this.load32(offset);
    this.#registers.set(offset, value >>> 0);
    if (offset !== N.NVME_REG_CC || ((value ^ before) & N.NVME_CC_EN) === 0) return;
    this.#reset();
    if (value & N.NVME_CC_EN) this.#enable();
  }

  #reset(): void {
    this.#sq.clear();
    this.#cq.clear();
    // What the disk still has of it is answered to nobody.
    this.#outstanding.clear();
    this.#waiting = [];
    this.#registers.set(N.NVME_REG_CSTS, 0);
  }

  #enable(): void {
    const aqa = this.load32(N.NVME_REG_AQA);
    const wide = (at: number) => this.load32(at) + this.load32(at + 4) * 4294967296;
    const entries = (aqa & 0xfff) + 1, completions = ((aqa >>> 16) & 0xfff) + 1;
    this.#sq.set(0, { ring: new SubmissionRing(this.cpu, wide(N.NVME_REG_ASQ), entries), cq: 0 });
    this.#cq.set(0, new CompletionRing(this.cpu, wide(N.NVME_REG_ACQ), completions));
    this.#registers.set(N.NVME_REG_CSTS, N.NVME_CSTS_RDY);
  }

  /** Takes up what the guest has asked for, as far as the disk has room. */
  step(): void {
    this.#postWaiting();
    let sent = 0;
    for (const [id, { ring }] of this.#sq) {
      while (!ring.empty && (id === 0 || !this.backend.full)) {
        const entry = ring.peek();
        ring.advance();
        if (id === 0) this.#complete({ sq: 0, cid: entry[0] >>> 16, ...this.#admin.run(entry) });
        else if (this.#start(id, entry)) sent++;
      }
    }
    if (sent > 0) this.backend.ring();
  }

  /** Hands a command on to the disk; one that makes no sense is answered at once. */
  #start(sq: number, entry: readonly number[]): boolean {
    const cid = entry[N.SQE_OPCODE_CID] >>> 16, opcode = entry[N.SQE_OPCODE_CID] & 0xff;
    const refuse = (status: number) => {
      this.#complete({ sq, cid, status });
      return false;
    };
    if (entry[N.SQE_NSID] !== NAMESPACE) return refuse(N.NVME_SC_INVALID_NS);
    if (opcode !== N.NVME_CMD_READ && opcode !== N.NVME_CMD_WRITE) {
      return refuse(N.NVME_SC_INVALID_OPCODE);
    }
    const lba = entry[N.SQE_CDW10] + entry[N.SQE_CDW11] * 4294967296;
    const blocks = (entry[N.SQE_CDW12] & 0xffff) + 1;
    if (lba + blocks > this.blocks) return refuse(N.NVME_SC_LBA_RANGE);
    const own = pagesOf(this.cpu, entry, blocks * PAGE_SIZE);
    if (own === undefined) return refuse(N.NVME_SC_PRP_OFFSET_INVALID);
    const pages = own.map((page) => this.backend.physical(page)).filter((p) => p !== undefined);
    if (pages.length < own.length) return refuse(N.NVME_SC_DATA_XFER_ERROR);
    const tag = this.#nextTag++;
    this.#outstanding.set(tag, { sq, cid });
    this.backend.submit({ opcode, lba, pages }, tag);
    return true;
  }

  /** The disk has answered a command. */
  done(tag: number, status: number): void {
    const command = this.#outstanding.get(tag);
    if (command === undefined) return;
    this.#outstanding.delete(tag);
    this.#complete({ ...command, status });
  }

  #complete(completion: Waiting & { readonly result?: number }): void {
    const { sq, cid, status, result = 0 } = completion;
    const queue = this.#sq.get(sq), cq = queue && this.#cq.get(queue.cq);
    if (queue === undefined || cq === undefined) return;
    if (cq.full || this.#waiting.length > 0) this.#waiting.push({ sq, cid, status });
    else cq.post(result, sq, queue.ring.head, cid, status);
  }

  #postWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const completion of waiting) this.#complete(completion);
  }

  save(): ControllerState {
    return {
      registers: [...this.#registers],
      sq: [...this.#sq].map(([id, { ring, cq }]) => [id, ring.save(), cq] as const),
      cq: [...this.#cq].map(([id, ring]) => [id, ring.save()] as const),
      outstanding: [...this.#outstanding].map(([tag, { sq, cid }]) => [tag, sq, cid] as const),
      waiting: this.#waiting,
      nextTag: this.#nextTag,
    };
  }

  /** Goes on where another one was saved. */
  restore(state: ControllerState): void {
    for (const [offset, value] of state.registers) this.#registers.set(offset, value);
    for (const [id, at, cq] of state.sq) {
      this.#sq.set(id, { ring: new SubmissionRing(this.cpu, at.gpa, at.entries, at), cq });
    }
    for (const [id, at] of state.cq) {
      this.#cq.set(id, new CompletionRing(this.cpu, at.gpa, at.entries, at));
    }
    for (const [tag, sq, cid] of state.outstanding) this.#outstanding.set(tag, { sq, cid });
    this.#waiting = [...state.waiting];
    this.#nextTag = state.nextTag;
  }
}
