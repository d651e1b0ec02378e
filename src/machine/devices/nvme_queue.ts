import { NVME_CQE_BYTES } from "../../uapi/nvme_regs.ts";
import type { DmaPort } from "../dma_port.ts";
import type { NvmeCommand } from "./nvme_command.ts";

/** The controller's view of a completion queue in host memory. */
export class CompletionQueue {
  /** First entry the host has not taken yet. */
  head = 0;
  /** Entry written next. */
  tail = 0;
  /** Phase tag of entries written now: flips at each turn of the ring. */
  phase = 1;
  /** Submission queues that complete here. */
  users = 0;
  /** Finished commands that wait for a free entry, oldest first. */
  firstWaiting: NvmeCommand | undefined;
  #lastWaiting: NvmeCommand | undefined;

  /** `hi`, `lo`: DMA address of the ring, page aligned. `entries`: at least 2. */
  constructor(
    readonly id: number,
    readonly hi: number,
    readonly lo: number,
    readonly entries: number,
  ) {}

  get full(): boolean {
    return (this.tail + 1) % this.entries === this.head;
  }

  wait(command: NvmeCommand): void {
    command.next = undefined;
    if (this.#lastWaiting === undefined || this.firstWaiting === undefined) {
      this.firstWaiting = command;
    } else {
      this.#lastWaiting.next = command;
    }
    this.#lastWaiting = command;
  }

  /** Takes the oldest waiting command. */
  takeWaiting(): NvmeCommand | undefined {
    const command = this.firstWaiting;
    this.firstWaiting = command?.next;
    return command;
  }

  /** Writes an entry at the tail, which must be free. False when the DMA failed. */
  post(port: DmaPort, entry: Uint32Array): boolean {
    const at = this.lo + this.tail * NVME_CQE_BYTES;
    const hi = this.hi + (at >= 4294967296 ? 1 : 0);
    if (!port.write(hi, at >>> 0, entry, NVME_CQE_BYTES / 4)) return false;
    if (++this.tail === this.entries) {
      this.tail = 0;
      this.phase ^= 1;
    }
    return true;
  }
}

/** The controller's view of a submission queue in host memory. */
export class SubmissionQueue {
  /** Next entry to fetch. */
  head = 0;
  /** One past the last entry the host has filled. */
  tail = 0;
  /** A fetch failed; nothing is fetched until the next doorbell. */
  stalled = false;
  deleted = false;

  /** See {@link CompletionQueue} for the arguments. */
  constructor(
    readonly id: number,
    readonly hi: number,
    readonly lo: number,
    readonly entries: number,
    readonly completions: CompletionQueue,
  ) {}

  get hasWork(): boolean {
    return this.head !== this.tail && !this.stalled;
  }

  /** Reads the entry at the head. False when the DMA failed: the queue then stalls. */
  fetch(port: DmaPort, entry: Uint32Array): boolean {
    const at = this.lo + this.head * entry.length * 4;
    const hi = this.hi + (at >= 4294967296 ? 1 : 0);
    if (!port.read(hi, at >>> 0, entry, entry.length)) {
      this.stalled = true;
      return false;
    }
    this.head = this.head + 1 === this.entries ? 0 : this.head + 1;
    return true;
  }
}
