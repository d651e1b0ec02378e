import * as qi from "../../uapi/vtd_queue.ts";
import type { Mmio } from "../bus.ts";
import type { Memory } from "../memory.ts";
import type { DescriptorExecutor } from "./descriptors.ts";
import type { FaultRecorder } from "./faults.ts";
import { InterruptGate } from "./interrupt_gate.ts";
import { RamMap } from "../ram_map.ts";

/**
 * The invalidation queue (FACTS 3.3, 3.4): a ring of descriptors in physical memory. Software
 * writes at the tail; writing IQT carries out everything from the head to there before it
 * returns, in order. Base, size and width are those that IQA had when QIE was set.
 *
 * A descriptor that cannot be read or carried out sets FSTS.IQE and stays at the head. Nothing
 * after it is done until software clears IQE; then the queue goes on with whatever is at the head
 * by then. ICE and ITE never happen: devices answer at once.
 */
export class InvalidationQueue implements Mmio {
  /** GSTS.QIES. */
  enabled = false;
  /** Scalable mode takes 32-byte descriptors only. */
  scalable = false;
  /** Descriptors carried out since power-on. */
  done = 0;
  /** IECTL, IEDATA, IEADDR and IEUADDR. */
  readonly gate: InterruptGate;
  #ram: RamMap;
  #head = 0;
  #tail = 0;
  #addressLow = 0;
  #addressHigh = 0;
  #completed = false;
  /** Latched: frame of the first page (-1 = beyond 8 TiB), bytes in the ring, width. */
  #base = 0;
  #bytes = 0;
  #wide = false;

  /** `wideAllowed`: the unit has IQA.DW. `interrupt`: called for each interrupt that goes out. */
  constructor(
    memory: Memory,
    readonly executor: DescriptorExecutor,
    readonly faults: FaultRecorder,
    readonly wideAllowed: boolean,
    interrupt: () => void,
  ) {
    this.#ram = new RamMap(memory.ranges);
    this.gate = new InterruptGate(interrupt);
    faults.onQueueCleared = () => this.#run();
  }

  /** GCMD.QIE. Turning the queue off or on takes the head back to the start. */
  enable(on: boolean): void {
    if (on === this.enabled) return;
    this.enabled = on;
    this.#head = 0;
    if (!on) return;
    const high = this.#addressHigh >>> 0;
    this.#base = high < 0x800 ? (high << 20) | (this.#addressLow >>> 12) : -1;
    this.#bytes = 4096 << (this.#addressLow & qi.DMA_IQA_QS_MASK);
    this.#wide = (this.#addressLow & qi.DMA_IQA_DW) !== 0;
    this.#run();
  }

  /** WAIT with the interrupt flag. While ICS.IWC is set no further interrupt is raised. */
  complete(): void {
    if (this.#completed) return;
    this.#completed = true;
    this.gate.raise();
  }

  read32(offset: number): number {
    switch (offset) {
      case qi.DMAR_IQH_REG:
        return this.#head;
      case qi.DMAR_IQT_REG:
        return this.#tail;
      case qi.DMAR_IQA_REG:
        return this.#addressLow;
      case qi.DMAR_IQA_REG + 4:
        return this.#addressHigh;
      case qi.DMAR_ICS_REG:
        return this.#completed ? qi.DMA_ICS_IWC : 0;
      default:
        return this.gate.read32(offset - qi.DMAR_IECTL_REG);
    }
  }

  write32(offset: number, value: number): void {
    switch (offset) {
      case qi.DMAR_IQT_REG:
        this.#tail = value & qi.DMA_IQ_OFFSET_MASK;
        return this.#run();
      case qi.DMAR_IQA_REG:
        this.#addressLow = value &
          (~0xfff | qi.DMA_IQA_QS_MASK | (this.wideAllowed ? qi.DMA_IQA_DW : 0));
        return;
      case qi.DMAR_IQA_REG + 4:
        this.#addressHigh = value;
        return;
      case qi.DMAR_ICS_REG:
        if ((value & qi.DMA_ICS_IWC) === 0) return;
        this.#completed = false;
        return this.gate.withdraw();
      default:
        return this.gate.write32(offset - qi.DMAR_IECTL_REG, value);
    }
  }

  #run(): void {
    if (!this.enabled || this.faults.queueError) return;
    const size = this.#wide ? 32 : 16;
    while (this.#head !== this.#tail) {
      if (!this.#possible(size) || !this.#execute()) return this.faults.raiseQueueError();
      this.done++;
      this.#head = this.#head + size === this.#bytes ? 0 : this.#head + size;
    }
  }

  /** A tail inside the ring, on a descriptor's boundary, and a width this mode has. */
  #possible(size: number): boolean {
    return this.#tail < this.#bytes && this.#tail % size === 0 && (this.#wide || !this.scalable);
  }

  #execute(): boolean {
    const pfn = this.#base + (this.#head >>> 12);
    if (this.#base < 0 || !this.#ram.has(pfn)) return false;
    return this.executor.execute(pfn, (this.#head & 0xfff) >>> 2, this.#wide);
  }
}
