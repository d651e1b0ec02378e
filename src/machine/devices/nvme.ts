import { assert } from "../../base/assert.ts";
import { mix32 } from "../../base/choice.ts";
import * as N from "../../uapi/nvme_regs.ts";
import { PCI_CLASS_STORAGE_NVME } from "../../uapi/pci_regs.ts";
import type { Bus } from "../bus.ts";
import type { DmaPort } from "../dma_port.ts";
import { PciFunction } from "../pci/function.ts";
import { NvmeAdmin, NvmeQueues } from "./nvme_admin.ts";
import { NvmeCommand } from "./nvme_command.ts";
import { NVME_NAMESPACE } from "./nvme_identify.ts";
import { BLOCK_WORDS, NvmeMedium } from "./nvme_medium.ts";
import { CompletionQueue, SubmissionQueue } from "./nvme_queue.ts";
import { MAX_TRANSFER_PAGES, NvmeTransfer } from "./nvme_transfer.ts";

/** Commands the controller works on at a time, over all queues. */
const MAX_COMMANDS = 256;

/** A queue in host memory. */
export interface NvmeRing {
  readonly name: string;
  /** DMA address of the first entry. */
  readonly base: number;
  readonly entries: number;
  readonly head: number;
  readonly tail: number;
  readonly entryBytes: number;
}

export interface NvmeOptions {
  /** Least service time of a command in nanoseconds; the actual one is up to half as much more. */
  readonly latency: number;
  readonly seed: number;
  /** Capacity in blocks of 4 KiB; 1 GiB unless told. */
  readonly blocks?: number;
}

/**
 * An NVMe controller with one namespace. Commands are fetched when a doorbell rings, served side
 * by side for a time of their own each, moved page by page, and completed in the order in which
 * they finish. The medium outlives every reset.
 */
export class Nvme extends PciFunction {
  readonly medium: NvmeMedium;
  readonly options: NvmeOptions;
  /** Commands fetched, and completions written, over the controller's life. */
  fetched = 0;
  completed = 0;
  /** Commands whose data, fetch or completion met a DMA that failed. */
  dmaErrors = 0;
  /** Commands dropped by a reset or with their queue. */
  dropped = 0;

  readonly #queues = new NvmeQueues();
  readonly #transfer: NvmeTransfer;
  readonly #admin: NvmeAdmin;
  /** By slot, from the first; made when first needed. */
  readonly #commands: NvmeCommand[] = [];
  readonly #free = new Int32Array(MAX_COMMANDS);
  #freeCount = MAX_COMMANDS;
  /** Commands in service; those that only wait for room in their completion queue do not count. */
  #serving = 0;
  readonly #completion = new Uint32Array(N.NVME_CQE_BYTES / 4);
  readonly #kickEvent: number;
  readonly #serveEvent: number;
  #kicked = false;
  /** Which submission queue is asked first at the next kick. */
  #turn = 0;
  /** Counts resets, so that events of before are known. */
  #generation = 0;
  #cc = 0;
  #csts = 0;
  #aqa = 0;
  readonly #asq = new Uint32Array(2);
  readonly #acq = new Uint32Array(2);

  /** `bar0`: physical address of the registers. */
  constructor(name: string, port: DmaPort, systemBus: Bus, bar0: number, options: NvmeOptions) {
    const identity = {
      vendor: N.NVME_VENDOR,
      device: N.NVME_DEVICE,
      classCode: PCI_CLASS_STORAGE_NVME,
      bar0Size: N.NVME_BAR_SIZE,
      interruptPin: 1,
      msiVectors: 4,
    };
    super(name, identity, port, systemBus, bar0);
    const { latency, seed, blocks = 262144 } = options;
    assert(Number.isInteger(latency) && latency >= 1, `${name}: latency ${latency} ns`);
    this.options = options;
    this.medium = new NvmeMedium(mix32(seed, port.fn, 0x6e766d), blocks);
    this.#transfer = new NvmeTransfer(port);
    const drop = (command: NvmeCommand) => this.#drop(command);
    this.#admin = new NvmeAdmin(name, this.#queues, this.#transfer, this.medium, drop);
    for (let i = 0; i < MAX_COMMANDS; i++) this.#free[i] = MAX_COMMANDS - 1 - i;
    this.#kickEvent = port.queue.register((generation) => this.#kick(generation));
    this.#serveEvent = port.queue.register((argument) => this.#serve(argument));
  }

  /** Commands in service now. */
  get outstanding(): number {
    return this.#serving;
  }

  /** Its queues as it has them now, for whoever inspects it. */
  get rings(): NvmeRing[] {
    const base = ({ hi, lo }: { hi: number; lo: number }) => (hi >>> 0) * 4294967296 + (lo >>> 0);
    const { submission, completion } = this.#queues;
    return [
      ...submission.filter((q) => q !== undefined).map((q) => ({
        name: `SQ ${q.id}`,
        base: base(q),
        entries: q.entries,
        head: q.head,
        tail: q.tail,
        entryBytes: N.NVME_SQE_BYTES,
      })),
      ...completion.filter((q) => q !== undefined).map((q) => ({
        name: `CQ ${q.id}`,
        base: base(q),
        entries: q.entries,
        head: q.head,
        tail: q.tail,
        entryBytes: N.NVME_CQE_BYTES,
      })),
    ];
  }

  override read32(offset: number): number {
    switch (offset) {
      case N.NVME_REG_CAP:
        return N.NVME_CAP_LOW;
      case N.NVME_REG_CAP + 4:
        return N.NVME_CAP_HIGH;
      case N.NVME_REG_VS:
        return N.NVME_VS_1_4;
      case N.NVME_REG_CC:
        return this.#cc;
      case N.NVME_REG_CSTS:
        return this.#csts;
      case N.NVME_REG_AQA:
        return this.#aqa;
      case N.NVME_REG_ASQ:
      case N.NVME_REG_ASQ + 4:
        return this.#asq[(offset - N.NVME_REG_ASQ) >> 2];
      case N.NVME_REG_ACQ:
      case N.NVME_REG_ACQ + 4:
        return this.#acq[(offset - N.NVME_REG_ACQ) >> 2];
      default:
        return 0;
    }
  }

  override write32(offset: number, value: number): void {
    if (offset >= N.NVME_REG_DBS) {
      this.#doorbell((offset - N.NVME_REG_DBS) >>> 2, value & 0xffff);
      return;
    }
    switch (offset) {
      case N.NVME_REG_CC:
        this.#writeCc(value);
        break;
      case N.NVME_REG_AQA:
        this.#aqa = value & 0x0fff0fff;
        break;
      case N.NVME_REG_ASQ:
      case N.NVME_REG_ACQ:
        (offset === N.NVME_REG_ASQ ? this.#asq : this.#acq)[0] = value & ~0xfff;
        break;
      case N.NVME_REG_ASQ + 4:
      case N.NVME_REG_ACQ + 4:
        (offset === N.NVME_REG_ASQ + 4 ? this.#asq : this.#acq)[1] = value;
        break;
    }
  }

  protected override resetModel(): void {
    this.#resetController();
    this.#cc = this.#aqa = 0;
    this.#asq.fill(0);
    this.#acq.fill(0);
  }

  #writeCc(value: number): void {
    const before = this.#cc;
    this.#cc = value;
    const rising = value & ~before & N.NVME_CC_EN;
    if (rising) this.#enable();
    else if (before & ~value & N.NVME_CC_EN) this.#resetController();
    if ((value >>> N.NVME_CC_SHN_SHIFT) & 3) this.#csts |= N.NVME_CSTS_SHST_CMPLT;
  }

  #enable(): void {
    const entries = (this.#aqa & 0xfff) + 1, completions = (this.#aqa >>> 16) + 1;
    const pages = (this.#cc >>> N.NVME_CC_MPS_SHIFT) & 0xf;
    if (pages !== 0 || entries < 2 || completions < 2) {
      this.#csts |= N.NVME_CSTS_CFS;
      return;
    }
    const cq = new CompletionQueue(0, this.#acq[1], this.#acq[0], completions);
    cq.users = 1;
    this.#queues.completion[0] = cq;
    this.#queues.submission[0] = new SubmissionQueue(0, this.#asq[1], this.#asq[0], entries, cq);
    this.#csts |= N.NVME_CSTS_RDY;
  }

  /** Drops all commands and queues. Admin queue registers stay, as the specification has it. */
  #resetController(): void {
    this.#generation = (this.#generation + 1) & 0x7fffff;
    this.#kicked = false;
    this.#queues.clear();
    for (const command of this.#commands) {
      if (command.queue !== undefined) this.#drop(command);
    }
    this.#csts = 0;
    this.port.observer.restarted?.(this.port.fn);
    if (this.#serving > 0) {
      this.#serving = 0;
      this.port.observer.work(this.port.fn, false);
    }
  }

  /** A value outside the queue, or a queue that is not there, is ignored. */
  #doorbell(index: number, value: number): void {
    const qid = index >> 1;
    if (index & 1) {
      const cq = this.#queues.completion[qid];
      if (cq === undefined || value >= cq.entries) return;
      cq.head = value;
    } else {
      const sq = this.#queues.submission[qid];
      if (sq === undefined || value >= sq.entries) return;
      sq.tail = value;
      sq.stalled = false;
    }
    // The DMA a doorbell leads to is the controller's doing, not part of the host's store.
    if (this.#kicked) return;
    this.#kicked = true;
    this.port.queue.after(0, this.#kickEvent, this.#generation);
  }

  #kick(generation: number): void {
    if (generation !== this.#generation) return;
    this.#kicked = false;
    for (const cq of this.#queues.completion) {
      if (cq !== undefined) this.#postWaiting(cq);
    }
    this.#fetchAll();
  }

  #postWaiting(cq: CompletionQueue): void {
    while (cq.firstWaiting !== undefined && !cq.full) {
      const command = cq.takeWaiting();
      if (command !== undefined) this.#post(command, cq);
    }
  }

  /** Fetches round robin, one entry from each queue in turn, while there is a place free. */
  #fetchAll(): void {
    const queues = this.#queues.submission;
    for (let idle = 0; idle < queues.length && this.#freeCount > 0;) {
      const sq = queues[this.#turn];
      this.#turn = (this.#turn + 1) % queues.length;
      if (sq !== undefined && sq.hasWork && this.#fetch(sq)) idle = 0;
      else idle++;
    }
  }

  #fetch(sq: SubmissionQueue): boolean {
    const slot = this.#free[this.#freeCount - 1];
    const command = this.#commands[slot] ??= new NvmeCommand(slot);
    if (!sq.fetch(this.port, command.entry)) {
      this.dmaErrors++;
      this.#csts |= N.NVME_CSTS_CFS;
      return false;
    }
    this.#freeCount--;
    command.queue = sq;
    command.serial = this.fetched++;
    const { latency, seed } = this.options;
    const extra = mix32(seed, command.serial, this.port.fn) % ((latency >>> 1) + 1);
    const argument = this.#generation << 8 | command.slot;
    this.port.queue.after(latency + extra, this.#serveEvent, argument);
    if (this.#serving++ === 0) this.port.observer.work(this.port.fn, true);
    return true;
  }

  /** A command's service time is over. */
  #serve(argument: number): void {
    if (argument >>> 8 !== this.#generation) return;
    const command = this.#commands[argument & 0xff];
    const sq = command.queue;
    if (sq === undefined) return;
    if (sq.deleted) {
      this.#drop(command);
    } else {
      command.status = sq.id === 0 ? this.#admin.execute(command) : this.#executeIo(command);
      if (command.status === N.NVME_SC_DATA_XFER_ERROR) this.dmaErrors++;
      this.port.hash.mix(command.serial, command.status, command.cid);
      const cq = sq.completions;
      if (cq.firstWaiting !== undefined || cq.full) cq.wait(command);
      else this.#post(command, cq);
    }
    if (--this.#serving === 0) this.port.observer.work(this.port.fn, false);
    this.#fetchAll();
  }

  #executeIo(command: NvmeCommand): number {
    const entry = command.entry;
    command.result = 0;
    if (entry[N.SQE_NSID] !== NVME_NAMESPACE) return N.NVME_SC_INVALID_NS;
    const opcode = command.opcode;
    if (opcode === N.NVME_CMD_FLUSH) return N.NVME_SC_SUCCESS;
    if (opcode !== N.NVME_CMD_READ && opcode !== N.NVME_CMD_WRITE) return N.NVME_SC_INVALID_OPCODE;
    const block = entry[N.SQE_CDW10] + entry[N.SQE_CDW11] * 4294967296;
    const blocks = (entry[N.SQE_CDW12] & 0xffff) + 1;
    if (block + blocks > this.medium.blocks) return N.NVME_SC_LBA_RANGE;
    if (blocks > MAX_TRANSFER_PAGES) return N.NVME_SC_INVALID_FIELD;
    const read = opcode === N.NVME_CMD_READ;
    let status = this.#transfer.resolve(entry, blocks * BLOCK_WORDS * 4);
    if (status === N.NVME_SC_SUCCESS) status = this.#transfer.moveBlocks(this.medium, block, read);
    const { observer, fn } = this.port;
    observer.executed?.(fn, !read, block, blocks, status === N.NVME_SC_SUCCESS);
    return status;
  }

  /** A completion that cannot be written is lost, and the controller says so. */
  #post(command: NvmeCommand, cq: CompletionQueue): void {
    const entry = this.#completion, sq = command.queue;
    if (sq !== undefined) {
      entry[N.CQE_RESULT] = command.result;
      entry[N.CQE_SQ] = sq.head | sq.id << 16;
      entry[N.CQE_CID_STATUS] = command.cid | cq.phase << 16 | command.status << 17;
      if (cq.post(this.port, entry)) {
        this.completed++;
      } else {
        this.dmaErrors++;
        this.#csts |= N.NVME_CSTS_CFS;
      }
    }
    this.#release(command);
  }

  #drop(command: NvmeCommand): void {
    this.dropped++;
    this.#release(command);
  }

  #release(command: NvmeCommand): void {
    command.queue = undefined;
    command.next = undefined;
    this.#free[this.#freeCount++] = command.slot;
  }
}
