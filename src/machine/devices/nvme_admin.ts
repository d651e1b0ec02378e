import * as N from "../../uapi/nvme_regs.ts";
import type { NvmeCommand } from "./nvme_command.ts";
import { identifyController, identifyNamespace, NVME_NAMESPACE } from "./nvme_identify.ts";
import type { NvmeMedium } from "./nvme_medium.ts";
import { CompletionQueue, SubmissionQueue } from "./nvme_queue.ts";
import type { NvmeTransfer } from "./nvme_transfer.ts";

/** I/O queue pairs the controller has. */
export const MAX_IO_QUEUES = 8;

/** The controller's queues by identifier; 0 is the admin queue. */
export class NvmeQueues {
  readonly submission: (SubmissionQueue | undefined)[] = new Array(MAX_IO_QUEUES + 1)
    .fill(undefined);
  readonly completion: (CompletionQueue | undefined)[] = new Array(MAX_IO_QUEUES + 1)
    .fill(undefined);

  clear(): void {
    this.submission.fill(undefined);
    this.completion.fill(undefined);
  }
}

/** Executes admin commands: identification, features, making and deleting I/O queues. */
export class NvmeAdmin {
  readonly #page = new Uint32Array(1024);

  /** `drop`: gives up a finished command whose completion queue is deleted. */
  constructor(
    readonly name: string,
    readonly queues: NvmeQueues,
    readonly transfer: NvmeTransfer,
    readonly medium: NvmeMedium,
    readonly drop: (command: NvmeCommand) => void,
  ) {}

  /** Returns the status and sets the command's result. */
  execute(command: NvmeCommand): number {
    command.result = 0;
    switch (command.opcode) {
      case N.NVME_ADMIN_IDENTIFY:
        return this.#identify(command.entry);
      case N.NVME_ADMIN_CREATE_CQ:
        return this.#createCompletion(command.entry);
      case N.NVME_ADMIN_CREATE_SQ:
        return this.#createSubmission(command.entry);
      case N.NVME_ADMIN_DELETE_CQ:
        return this.#deleteCompletion(command.entry[N.SQE_CDW10] & 0xffff);
      case N.NVME_ADMIN_DELETE_SQ:
        return this.#deleteSubmission(command.entry[N.SQE_CDW10] & 0xffff);
      case N.NVME_ADMIN_SET_FEATURES:
      case N.NVME_ADMIN_GET_FEATURES:
        if ((command.entry[N.SQE_CDW10] & 0xff) !== N.NVME_FEAT_NUM_QUEUES) {
          return N.NVME_SC_INVALID_FIELD;
        }
        // Whatever is asked for, all pairs are there; both numbers are zero-based.
        command.result = (MAX_IO_QUEUES - 1) << 16 | (MAX_IO_QUEUES - 1);
        return N.NVME_SC_SUCCESS;
      default:
        return N.NVME_SC_INVALID_OPCODE;
    }
  }

  #identify(entry: Uint32Array): number {
    const page = this.#page.fill(0);
    const cns = entry[N.SQE_CDW10] & 0xff;
    if (cns === N.NVME_ID_CNS_CTRL) {
      identifyController(page, this.name);
    } else if (cns === N.NVME_ID_CNS_NS) {
      if (entry[N.SQE_NSID] !== NVME_NAMESPACE) return N.NVME_SC_INVALID_NS;
      identifyNamespace(page, this.medium.blocks, this.medium.written);
    } else if (cns === N.NVME_ID_CNS_NS_ACTIVE_LIST) {
      if (entry[N.SQE_NSID] < NVME_NAMESPACE) page[0] = NVME_NAMESPACE;
    } else {
      return N.NVME_SC_INVALID_FIELD;
    }
    const status = this.transfer.resolve(entry, page.length * 4);
    return status !== N.NVME_SC_SUCCESS ? status : this.transfer.sendWords(page);
  }

  /** Checks what both kinds of queue have in common. */
  #checkNew(entry: Uint32Array, taken: readonly unknown[]): number {
    const qid = entry[N.SQE_CDW10] & 0xffff, entries = (entry[N.SQE_CDW10] >>> 16) + 1;
    if (qid === 0 || qid > MAX_IO_QUEUES || taken[qid] !== undefined) return N.NVME_SC_QID_INVALID;
    if (entries < 2 || entries > N.NVME_MAX_QUEUE_ENTRIES) return N.NVME_SC_QUEUE_SIZE;
    if ((entry[N.SQE_CDW11] & N.NVME_QUEUE_PHYS_CONTIG) === 0) return N.NVME_SC_INVALID_FIELD;
    if ((entry[N.SQE_PRP1] & 0xfff) !== 0) return N.NVME_SC_PRP_OFFSET_INVALID;
    return N.NVME_SC_SUCCESS;
  }

  #createCompletion(entry: Uint32Array): number {
    const status = this.#checkNew(entry, this.queues.completion);
    if (status !== N.NVME_SC_SUCCESS) return status;
    const qid = entry[N.SQE_CDW10] & 0xffff, entries = (entry[N.SQE_CDW10] >>> 16) + 1;
    this.queues.completion[qid] = new CompletionQueue(
      qid,
      entry[N.SQE_PRP1 + 1],
      entry[N.SQE_PRP1],
      entries,
    );
    return N.NVME_SC_SUCCESS;
  }

  #createSubmission(entry: Uint32Array): number {
    const status = this.#checkNew(entry, this.queues.submission);
    if (status !== N.NVME_SC_SUCCESS) return status;
    const cqid = entry[N.SQE_CDW11] >>> 16;
    const completions = cqid === 0 ? undefined : this.queues.completion[cqid];
    if (completions === undefined) return N.NVME_SC_CQ_INVALID;
    const qid = entry[N.SQE_CDW10] & 0xffff, entries = (entry[N.SQE_CDW10] >>> 16) + 1;
    completions.users++;
    this.queues.submission[qid] = new SubmissionQueue(
      qid,
      entry[N.SQE_PRP1 + 1],
      entry[N.SQE_PRP1],
      entries,
      completions,
    );
    return N.NVME_SC_SUCCESS;
  }

  #deleteSubmission(qid: number): number {
    const queue = qid === 0 ? undefined : this.queues.submission[qid];
    if (queue === undefined) return N.NVME_SC_QID_INVALID;
    queue.deleted = true;
    queue.completions.users--;
    this.queues.submission[qid] = undefined;
    return N.NVME_SC_SUCCESS;
  }

  #deleteCompletion(qid: number): number {
    const queue = qid === 0 ? undefined : this.queues.completion[qid];
    if (queue === undefined) return N.NVME_SC_QID_INVALID;
    if (queue.users > 0) return N.NVME_SC_INVALID_QUEUE_DELETION;
    for (let c = queue.takeWaiting(); c !== undefined; c = queue.takeWaiting()) this.drop(c);
    this.queues.completion[qid] = undefined;
    return N.NVME_SC_SUCCESS;
  }
}
