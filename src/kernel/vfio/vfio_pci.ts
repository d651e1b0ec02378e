import { EAGAIN, EINVAL } from "../../uapi/errno.ts";
import * as R from "../../uapi/pci_regs.ts";
import type { OpenFile } from "../fs/vfs.ts";
import type { IommufdCtx } from "../iommufd/ctx.ts";
import { bindDevice, type IommufdDevice, unbindDevice } from "../iommufd/device.ts";
import type { Kernel } from "../kernel.ts";
import type { PciDev } from "../pci/pci.ts";
import { type PciSavedState, restoreState, saveState } from "../pci/saved_state.ts";
import { VirtualConfig } from "./config_space.ts";
import type { VfioGroup } from "./group.ts";
import { VfioIrqs } from "./irqs.ts";

/** What there is of a device while it is open. */
interface Opened {
  /** Undefined where it was opened without an iommufd: by its noiommu group. */
  readonly idev: IommufdDevice | undefined;
  readonly irqs: VfioIrqs;
  readonly config: VirtualConfig;
  /** Configuration space as the last close is to leave it. */
  readonly saved: PciSavedState;
}

/** One device in vfio-pci's hands: what opening and closing does to it (FACTS 2.4). */
export class VfioPciDevice {
  /** Files that have it open, in the order they did: one that is bound, or its group's. */
  readonly #files: OpenFile[] = [];
  /** Name of its cdev. */
  name = "";
  /** Its driver has given the device up. */
  removed = false;
  /** The legacy way to it. */
  group!: VfioGroup;
  #opened: Opened | undefined;

  constructor(readonly kernel: Kernel, readonly dev: PciDev) {}

  get isOpen(): boolean {
    return this.#files.length > 0;
  }

  #state(): Opened {
    if (this.#opened === undefined) throw new Error(`${this.dev.name} is not open`);
    return this.#opened;
  }

  /** Whether the device can be reset, as the last open found out. */
  get resetWorks(): boolean {
    return this.dev.resetWorks;
  }

  get idev(): IommufdDevice {
    const { idev } = this.#state();
    if (idev === undefined) throw new Error(`${this.dev.name} is bound to no iommufd`);
    return idev;
  }
  get irqs(): VfioIrqs {
    return this.#state().irqs;
  }
  get config(): VirtualConfig {
    return this.#state().config;
  }

  /**
   * One more file has it open. The first binds it to the context and brings the device up; the
   * errno is that of {@link bindDevice}, or EAGAIN where the device cannot be locked for its reset.
   * `ctx`: undefined where nothing is to be known of its DMA. In a persistent context the device is
   * to go on through a kexec, and the PCI core is told (seed lines 3190-3196, 3382-3384).
   */
  open(ctx: IommufdCtx | undefined, file: OpenFile): number {
    if (this.isOpen) {
      this.#files.push(file);
      return 0;
    }
    const { dev } = this;
    const awaited = [...ctx?.awaited ?? []].some((idev) => idev.dev === dev);
    const handedOver = dev.held || awaited;
    const idev = ctx && bindDevice(ctx, dev, file);
    if (typeof idev === "number") return idev;
    const keepsOn = handedOver && !this.kernel.has("G3") &&
      !(dev.group === undefined && this.kernel.has("K02"));
    const rc = keepsOn ? 0 : this.#enable();
    if (rc < 0) {
      if (idev !== undefined) unbindDevice(idev);
      return rc;
    }
    dev.keep = this.kernel.design.keepsUncovered && (ctx?.persistentId ?? 0) !== 0;
    const irqs = new VfioIrqs(this.dev);
    const config = new VirtualConfig(this.dev, irqs);
    this.#opened = { idev, irqs, config, saved: saveState(this.dev) };
    this.#files.push(file);
    return 0;
  }

  /**
   * First open: bus master off, decoding on, reset. A device that was handed over is left alone
   * altogether: a reset would end the very DMA that was carried across (seed lines 2237-2241).
   */
  #enable(): number {
    this.dev.setCommand(0, R.PCI_COMMAND_MASTER);
    this.dev.setCommand(R.PCI_COMMAND_MEMORY, R.PCI_COMMAND_INTX_DISABLE);
    const rc = this.dev.tryReset();
    if (rc === -EAGAIN) return rc;
    this.dev.resetWorks = rc === 0;
    return 0;
  }

  /** One file less. The last close silences the device first, then gives its group back. */
  close(file: OpenFile): void {
    this.#files.splice(this.#files.indexOf(file), 1);
    const { idev, irqs, saved } = this.#state();
    if (this.isOpen) {
      if (idev !== undefined) idev.file = this.#files[0];
      return;
    }
    this.dev.keep = false;
    if (idev !== undefined && (this.dev.group?.inheritedDomains.length ?? 0) > 0) {
      // Its heir never got to its tables: the device goes on as it came, for the next heir.
      irqs.release();
      this.#opened = undefined;
      unbindDevice(idev);
      return;
    }
    this.dev.setCommand(0, R.PCI_COMMAND_MASTER);
    irqs.release();
    if (this.resetWorks) this.dev.tryReset();
    // A device that came from another kernel at work was saved with its bus mastering on.
    restoreState(this.dev, { ...saved, command: saved.command & ~R.PCI_COMMAND_MASTER });
    this.#opened = undefined;
    if (idev !== undefined) unbindDevice(idev);
  }

  /** VFIO_DEVICE_RESET. EINVAL where the device has no working reset; EAGAIN if it is locked. */
  reset(): number {
    return this.resetWorks ? this.dev.tryReset() : -EINVAL;
  }
}
