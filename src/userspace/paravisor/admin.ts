import { PAGE_SIZE } from "../../base/units.ts";
import * as N from "../../uapi/nvme_regs.ts";
import { type GuestCpu, highWord, lowWord } from "../guest/cpu.ts";
import { NAMESPACE } from "../guest/nvme_setup.ts";
import { pagesOf } from "./prp.ts";
import { CompletionRing, SubmissionRing } from "./ring.ts";

/** I/O queue pairs the played controller has. */
const MAX_QUEUES = 4;
/** Bytes in a block, as a power of two. */
const BLOCK_SHIFT = 12;

interface Answer {
  readonly status: number;
  readonly result?: number;
}

const OK: Answer = { status: N.NVME_SC_SUCCESS };

/** Admin commands of the played controller: who it is, and its queues. */
export class AdminCommands {
  constructor(
    readonly cpu: GuestCpu,
    readonly blocks: number,
    readonly sq: Map<number, { readonly ring: SubmissionRing; readonly cq: number }>,
    readonly cq: Map<number, CompletionRing>,
  ) {}

  run(entry: readonly number[]): Answer {
    switch (entry[N.SQE_OPCODE_CID] & 0xff) {
      case N.NVME_ADMIN_IDENTIFY:
        return this.#identify(entry);
      case N.NVME_ADMIN_SET_FEATURES:
      case N.NVME_ADMIN_GET_FEATURES: {
        const known = (entry[N.SQE_CDW10] & 0xff) === N.NVME_FEAT_NUM_QUEUES;
        const pairs = MAX_QUEUES - 1;
        return known ? { ...OK, result: pairs << 16 | pairs } : { status: N.NVME_SC_INVALID_FIELD };
      }
      case N.NVME_ADMIN_CREATE_CQ:
        return this.#create(entry, this.cq, (id, gpa, entries) => {
          this.cq.set(id, new CompletionRing(this.cpu, gpa, entries));
        });
      case N.NVME_ADMIN_CREATE_SQ: {
        const cq = entry[N.SQE_CDW11] >>> 16;
        if (cq === 0 || !this.cq.has(cq)) return { status: N.NVME_SC_CQ_INVALID };
        return this.#create(entry, this.sq, (id, gpa, entries) => {
          this.sq.set(id, { ring: new SubmissionRing(this.cpu, gpa, entries), cq });
        });
      }
      case N.NVME_ADMIN_DELETE_SQ:
        return this.#delete(entry, this.sq);
      case N.NVME_ADMIN_DELETE_CQ:
        return this.#delete(entry, this.cq);
      default:
        return { status: N.NVME_SC_INVALID_OPCODE };
    }
  }

  #identify(entry: readonly number[]): Answer {
    const page = pagesOf(this.cpu, entry, PAGE_SIZE)?.[0];
    if (page === undefined) return { status: N.NVME_SC_PRP_OFFSET_INVALID };
    const cns = entry[N.SQE_CDW10] & 0xff;
    if (cns === N.NVME_ID_CNS_NS && entry[N.SQE_NSID] !== NAMESPACE) {
      return { status: N.NVME_SC_INVALID_NS };
    }
    const words = new Map<number, number>();
    if (cns === N.NVME_ID_CNS_NS) {
      for (const at of [0, 8, 16]) {
        words.set(N.NVME_ID_NS_NSZE + at, lowWord(this.blocks));
        words.set(N.NVME_ID_NS_NSZE + at + 4, highWord(this.blocks));
      }
      words.set(N.NVME_ID_NS_LBAF0, BLOCK_SHIFT << 16);
    } else if (cns === N.NVME_ID_CNS_CTRL) {
      words.set(0, N.NVME_VENDOR | N.NVME_VENDOR << 16);
      words.set(N.NVME_ID_CTRL_SQES, 0x4466);
      words.set(N.NVME_ID_CTRL_NN, 1);
    } else return { status: N.NVME_SC_INVALID_FIELD };
    for (let at = 0; at < PAGE_SIZE; at += 4) this.cpu.store32(page + at, words.get(at) ?? 0);
    return OK;
  }

  #create(
    entry: readonly number[],
    taken: ReadonlyMap<number, unknown>,
    make: (id: number, gpa: number, entries: number) => void,
  ): Answer {
    const id = entry[N.SQE_CDW10] & 0xffff, entries = (entry[N.SQE_CDW10] >>> 16) + 1;
    if (id === 0 || id > MAX_QUEUES || taken.has(id)) return { status: N.NVME_SC_QID_INVALID };
    if (entries < 2 || entries > N.NVME_MAX_QUEUE_ENTRIES) return { status: N.NVME_SC_QUEUE_SIZE };
    make(id, entry[N.SQE_PRP1] + entry[N.SQE_PRP1 + 1] * 4294967296, entries);
    return OK;
  }

  #delete(entry: readonly number[], from: Map<number, unknown>): Answer {
    const id = entry[N.SQE_CDW10] & 0xffff;
    return id !== 0 && from.delete(id) ? OK : { status: N.NVME_SC_QID_INVALID };
  }
}
