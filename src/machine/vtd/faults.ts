import type { EventHash } from "../../base/event_log.ts";
import type { EventQueue } from "../../base/event_queue.ts";
import { DMA_FSTS_IQE } from "../../uapi/vtd_queue.ts";
import {
  DMA_FRCD_F_WORD3,
  DMA_FRCD_REASON_MASK_WORD3,
  DMA_FRCD_SID_MASK_WORD2,
  DMA_FRCD_T_WORD3,
  DMA_FSTS_FRI_SHIFT,
  DMA_FSTS_PFO,
  DMA_FSTS_PPF,
} from "../../uapi/vtd_regs.ts";
import {
  DMA_FRCD_PASID_MASK_WORD3,
  DMA_FRCD_PASID_SHIFT_WORD3,
  DMA_FRCD_PP_WORD2,
} from "../../uapi/vtd_scalable.ts";
import { InterruptGate } from "./interrupt_gate.ts";

/** A fault that waits in its register for software, for whoever inspects the unit. */
export interface PendingFault {
  index: number;
  sid: number;
  /** Byte address of the page, as two words. */
  hi: number;
  lo: number;
  reason: number;
  read: boolean;
  /** The request's PASID; -1 for one without. */
  pasid: number;
}

/**
 * Primary fault logging (FACTS 3.5): a ring of 16-byte recording registers. A fault goes to the
 * next register of the ring; if that still holds one, PFO is set and the fault is lost, and so
 * are all that follow until software has cleared PFO. Repeats are not collapsed.
 *
 * FSTS also tells of an error of the invalidation queue (IQE). An interrupt goes out when the
 * first thing becomes pending (PPF, PFO or IQE). While FECTL masks it, IP remembers it.
 */
export class FaultRecorder {
  /** FECTL, FEDATA, FEADDR and FEUADDR. */
  readonly gate: InterruptGate;
  /** Called when software has cleared IQE. */
  onQueueCleared: (() => void) | undefined;
  /** Faults recorded, lost by overflow, and kept quiet by FPD since power-on. */
  recorded = 0;
  lost = 0;
  suppressed = 0;
  #words: Int32Array;
  #next = 0;
  #pending = 0;
  #fri = 0;
  #overflow = false;
  #queueError = false;

  /** `records`: 1..256. `interrupt` is called for each fault interrupt that goes out. */
  constructor(
    records: number,
    readonly queue: EventQueue,
    readonly hash: EventHash,
    interrupt: () => void,
  ) {
    this.gate = new InterruptGate(interrupt);
    this.#words = new Int32Array(records * 4);
  }

  /** Counts a fault that FPD keeps from being recorded. */
  suppress(): void {
    this.suppressed++;
  }

  /**
   * Records one fault. `hi`, `lo`: the address of the request. `reason`: 1..255. `pasid`: -1 for
   * a request without one.
   */
  record(
    sid: number,
    hi: number,
    lo: number,
    write: boolean,
    reason: number,
    pasid = -1,
  ): void {
    this.hash.mixAt(this.queue.now, (reason << 16) | sid);
    this.hash.mix(hi, lo, write ? 1 : 0);
    if (pasid >= 0) this.hash.mix(pasid, 0, 0);
    const quiet = !this.#waiting();
    const at = this.#next * 4;
    if (this.#overflow || (this.#words[at + 3] & DMA_FRCD_F_WORD3) !== 0) {
      this.#overflow = true;
      this.lost++;
    } else {
      this.#words[at] = lo & ~0xfff;
      this.#words[at + 1] = hi;
      this.#words[at + 2] = sid | (pasid < 0 ? 0 : DMA_FRCD_PP_WORD2);
      this.#words[at + 3] = DMA_FRCD_F_WORD3 | (write ? 0 : DMA_FRCD_T_WORD3) |
        (pasid < 0 ? 0 : pasid << DMA_FRCD_PASID_SHIFT_WORD3) | reason;
      if (this.#pending++ === 0) this.#fri = this.#next;
      this.#next = this.#next + 1 === this.#words.length / 4 ? 0 : this.#next + 1;
      this.recorded++;
    }
    if (quiet) this.gate.raise();
  }

  /** IQE: the invalidation queue met something it cannot carry out. */
  get queueError(): boolean {
    return this.#queueError;
  }

  raiseQueueError(): void {
    const quiet = !this.#waiting();
    this.#queueError = true;
    if (quiet) this.gate.raise();
  }

  /** FSTS: PFO, IQE, PPF and, while PPF is set, FRI: the first record of this round. */
  get status(): number {
    return (this.#overflow ? DMA_FSTS_PFO : 0) | (this.#queueError ? DMA_FSTS_IQE : 0) |
      (this.#pending > 0 ? DMA_FSTS_PPF | (this.#fri << DMA_FSTS_FRI_SHIFT) : 0);
  }

  writeStatus(value: number): void {
    if ((value & DMA_FSTS_PFO) !== 0) this.#overflow = false;
    const resumes = this.#queueError && (value & DMA_FSTS_IQE) !== 0;
    if (resumes) this.#queueError = false;
    this.#settle();
    if (resumes) this.onQueueCleared?.();
  }

  /** A word of the recording registers. */
  readWord(word: number): number {
    return this.#words[word];
  }

  /** Only F can be written: 1 clears it. */
  writeWord(word: number, value: number): void {
    if ((word & 3) !== 3 || (value & this.#words[word] & DMA_FRCD_F_WORD3) === 0) return;
    this.#words[word] &= ~DMA_FRCD_F_WORD3;
    this.#pending--;
    this.#settle();
  }

  /** Words of all recording registers. */
  get words(): number {
    return this.#words.length;
  }

  /** The faults that wait, in the order of the registers. */
  *pending(): Generator<PendingFault> {
    const words = this.#words;
    for (let at = 0; at < words.length; at += 4) {
      const last = words[at + 3];
      if ((last & DMA_FRCD_F_WORD3) === 0) continue;
      yield {
        index: at / 4,
        sid: words[at + 2] & DMA_FRCD_SID_MASK_WORD2,
        hi: words[at + 1],
        lo: words[at],
        reason: last & DMA_FRCD_REASON_MASK_WORD3,
        read: (last & DMA_FRCD_T_WORD3) !== 0,
        pasid: (words[at + 2] & DMA_FRCD_PP_WORD2) === 0
          ? -1
          : (last >>> DMA_FRCD_PASID_SHIFT_WORD3) & DMA_FRCD_PASID_MASK_WORD3,
      };
    }
  }

  #waiting(): boolean {
    return this.#pending > 0 || this.#overflow || this.#queueError;
  }

  /** An interrupt that was held back has no more reason to go out once all is serviced. */
  #settle(): void {
    if (!this.#waiting()) this.gate.withdraw();
  }
}
