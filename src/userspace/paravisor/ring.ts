import * as N from "../../uapi/nvme_regs.ts";
import type { GuestCpu } from "../guest/cpu.ts";

/** A queue in guest memory, as whoever plays the controller keeps it. */
export interface RingState {
  readonly gpa: number;
  readonly entries: number;
  readonly head: number;
  readonly tail: number;
  readonly phase: number;
}

/** A submission queue of the guest's: it moves the tail, we the head. */
export class SubmissionRing {
  head: number;
  tail: number;

  constructor(
    readonly cpu: GuestCpu,
    readonly gpa: number,
    readonly entries: number,
    at?: RingState,
  ) {
    this.head = at?.head ?? 0;
    this.tail = at?.tail ?? 0;
  }

  get empty(): boolean {
    return this.head === this.tail;
  }

  /** The oldest entry, 16 words; it stays until {@link advance}. */
  peek(): number[] {
    const at = this.gpa + this.head * N.NVME_SQE_BYTES;
    return Array.from({ length: 16 }, (_, i) => this.cpu.load32(at + i * 4) >>> 0);
  }

  advance(): void {
    this.head = (this.head + 1) % this.entries;
  }

  save(): RingState {
    const { gpa, entries, head, tail } = this;
    return { gpa, entries, head, tail, phase: 0 };
  }
}

/** A completion queue of the guest's: we move the tail, it the head. */
export class CompletionRing {
  head: number;
  tail: number;
  #phase: number;

  constructor(
    readonly cpu: GuestCpu,
    readonly gpa: number,
    readonly entries: number,
    at?: RingState,
  ) {
    this.head = at?.head ?? 0;
    this.tail = at?.tail ?? 0;
    this.#phase = at?.phase ?? 1;
  }

  get full(): boolean {
    return (this.tail + 1) % this.entries === this.head;
  }

  /** Writes an entry, its phase last. There must be room. */
  post(result: number, sq: number, sqHead: number, cid: number, status: number): void {
    const at = this.gpa + this.tail * N.NVME_CQE_BYTES;
    this.cpu.store32(at + N.CQE_RESULT * 4, result);
    this.cpu.store32(at + N.CQE_SQ * 4, sqHead | sq << 16);
    this.cpu.store32(at + N.CQE_CID_STATUS * 4, cid | this.#phase << 16 | status << 17);
    if (++this.tail === this.entries) {
      this.tail = 0;
      this.#phase ^= 1;
    }
  }

  save(): RingState {
    const { gpa, entries, head, tail } = this;
    return { gpa, entries, head, tail, phase: this.#phase };
  }
}
