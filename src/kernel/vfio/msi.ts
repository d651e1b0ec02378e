import { EINVAL } from "../../uapi/errno.ts";
import * as R from "../../uapi/pci_regs.ts";
import { type EventFd, eventFdOf } from "../fs/eventfd.ts";
import type { PciDev } from "../pci/pci.ts";
import type { Task } from "../process/task.ts";
import type { IrqData } from "./irqs.ts";

/** Where messages of interrupts are written: the first processor's local APIC. */
const MSI_ADDRESS = 0xfee00000;
/** First interrupt vector a message may name. */
const FIRST_VECTOR = 0x40;

/** The MSI vectors of one open device, each with its eventfd. */
export class MsiVectors {
  #triggers: (EventFd | undefined)[] = [];
  readonly #cap: number;

  constructor(readonly dev: PciDev) {
    this.#cap = dev.capability(R.PCI_CAP_ID_MSI);
  }

  /** Vectors in use; 0: MSI is off. */
  get count(): number {
    return this.#triggers.length;
  }

  /** Messages come in powers of two. */
  get log2(): number {
    return Math.ceil(Math.log2(Math.max(1, this.count)));
  }

  /**
   * Eventfds switch MSI on with as many vectors as they reach to; from then on the number stands
   * until all are switched off, by no data for none of them. EINVAL beyond it.
   */
  trigger(task: Task, start: number, data: IrqData): number {
    const { count } = data;
    if (this.count > 0 && count === 0 && data.kind === "none") {
      this.disable();
      return 0;
    }
    if (data.kind === "eventfd") {
      const fresh = this.count === 0;
      if (start + count === 0) return -EINVAL;
      if (fresh) this.#enable(start + count);
      const rc = this.#setBlock(task, start, data);
      if (rc < 0 && fresh) this.disable();
      return rc;
    }
    if (this.count === 0 || start + count > this.count) return -EINVAL;
    for (let i = 0; i < count; i++) {
      if (data.kind === "none" || data.values[i] !== 0) this.#triggers[start + i]?.signal();
    }
    return 0;
  }

  /** All of the eventfds, or none of those vectors has one any more. */
  #setBlock(task: Task, start: number, data: IrqData): number {
    if (start >= this.count || start + data.count > this.count) return -EINVAL;
    for (let i = 0; i < data.count; i++) {
      const fd = data.values[i];
      this.#set(start + i, undefined);
      const file = fd < 0 ? undefined : eventFdOf(task, fd);
      if (typeof file === "number") {
        for (let j = start; j < start + i; j++) this.#set(j, undefined);
        return file;
      }
      this.#set(start + i, file);
    }
    return 0;
  }

  #set(vector: number, file: EventFd | undefined): void {
    this.#triggers[vector]?.put();
    this.#triggers[vector] = file;
  }

  #enable(vectors: number): void {
    this.#triggers = Array.from({ length: vectors }, () => undefined);
    this.dev.write(this.#cap + R.PCI_MSI_ADDRESS_LO, 4, MSI_ADDRESS);
    this.dev.write(this.#cap + R.PCI_MSI_ADDRESS_HI, 4, 0);
    this.dev.write(this.#cap + R.PCI_MSI_DATA_64, 2, FIRST_VECTOR);
    this.#writeFlags(R.PCI_MSI_FLAGS_ENABLE | this.log2 << 4);
  }

  disable(): void {
    if (this.count === 0) return;
    this.#triggers.forEach((_, vector) => this.#set(vector, undefined));
    this.#triggers = [];
    this.#writeFlags(0);
  }

  #writeFlags(value: number): void {
    this.dev.write(this.#cap + R.PCI_MSI_FLAGS, 2, value);
  }
}
