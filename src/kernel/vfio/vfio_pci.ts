import { EINVAL } from "../../uapi/errno.ts";
import * as R from "../../uapi/pci_regs.ts";
import type { Kernel } from "../kernel.ts";
import type { PciDev } from "../pci/pci.ts";

/** One device in vfio-pci's hands: what opening and closing does to it (FACTS 2.4). */
export class VfioPciDevice {
  /** Files that have it open (bound). */
  opens = 0;
  resetWorks = true;

  constructor(readonly kernel: Kernel, readonly dev: PciDev) {}

  /**
   * First open: bus master off, reset, memory decoding on. A device that was handed over is left
   * alone altogether: a reset would end the very DMA that was carried across (seed lines 2237-2241).
   */
  enable(handedOver: boolean): void {
    this.opens++;
    if (handedOver) return;
    this.dev.setCommand(0, R.PCI_COMMAND_MASTER);
    this.dev.reset();
    this.dev.setCommand(R.PCI_COMMAND_MEMORY, 0);
  }

  /** Last close: bus master off, reset. */
  disable(): void {
    this.opens--;
    this.dev.setCommand(0, R.PCI_COMMAND_MASTER);
    this.dev.reset();
  }

  /** VFIO_DEVICE_RESET. EINVAL where the device has no working reset. */
  reset(): number {
    if (!this.resetWorks) return -EINVAL;
    this.dev.reset();
    return 0;
  }
}
