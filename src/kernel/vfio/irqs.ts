import * as E from "../../uapi/errno.ts";
import * as R from "../../uapi/pci_regs.ts";
import { type EventFd, eventFdOf } from "../fs/eventfd.ts";
import type { PciDev } from "../pci/pci.ts";
import type { Task } from "../process/task.ts";
import type { ConfigHooks } from "./config_space.ts";
import { MsiVectors } from "./msi.ts";

/** What SET_IRQS wants done: the kind of data, and how many of what. */
export interface IrqData {
  readonly kind: "none" | "bool" | "eventfd";
  readonly count: number;
  /** Per interrupt: whether it is meant, or a descriptor, -1 for none. */
  readonly values: readonly number[];
}

/**
 * The interrupts of one open device: INTx or MSI, one at a time, and the two events of its own, ERR
 * and REQ. Each has an eventfd that is signalled when it comes.
 */
export class VfioIrqs implements ConfigHooks {
  /** INTx is in use; its eventfd may be missing all the same. */
  #intx = false;
  #intxTrigger: EventFd | undefined;
  #intxUnmask: EventFd | undefined;
  #intxMasked = false;
  /** The user's own bit in the command register. */
  #intxOff = false;
  readonly #msi: MsiVectors;
  readonly #events: { err?: EventFd | undefined; req?: EventFd | undefined } = {};

  constructor(readonly dev: PciDev) {
    this.#msi = new MsiVectors(dev);
  }

  get msi(): { readonly enabled: boolean; readonly log2: number } {
    return { enabled: this.#msi.count > 0, log2: this.#msi.log2 };
  }

  /** The command register's bit masks INTx beside the calls that do. */
  intxDisabled(disabled: boolean): void {
    if (disabled === this.#intxOff) return;
    this.#intxOff = disabled;
    if (disabled) this.maskIntx();
    else this.unmaskIntx();
  }

  /** INTx stays off at the device until it is unmasked. */
  maskIntx(): void {
    this.#intxMasked ||= this.#intx;
    this.dev.setCommand(R.PCI_COMMAND_INTX_DISABLE, 0);
  }

  unmaskIntx(): void {
    if (this.#intx && (!this.#intxMasked || this.#intxOff)) return;
    this.#intxMasked = false;
    this.dev.setCommand(0, R.PCI_COMMAND_INTX_DISABLE);
  }

  /** MASK and UNMASK, INTx only. EINVAL while it is not in use; ENOTTY to mask by an eventfd. */
  setIntxMask(task: Task, mask: boolean, start: number, data: IrqData): number {
    if (!this.#intx || start !== 0 || data.count !== 1) return -E.EINVAL;
    if (data.kind === "eventfd") {
      return mask ? -E.ENOTTY : this.#unmaskBy(task, data.values[0]);
    }
    if (data.kind === "bool" && data.values[0] === 0) return 0;
    if (mask) this.maskIntx();
    else this.unmaskIntx();
    return 0;
  }

  /** An eventfd whose every signal unmasks; EBUSY while there is one. */
  #unmaskBy(task: Task, fd: number): number {
    if (fd < 0) {
      this.#intxUnmask?.unlisten();
      this.#intxUnmask?.put();
      this.#intxUnmask = undefined;
      return 0;
    }
    const file = eventFdOf(task, fd);
    if (typeof file === "number") return file;
    if (this.#intxUnmask !== undefined || !file.listen(() => this.unmaskIntx())) {
      file.put();
      return -E.EBUSY;
    }
    this.#intxUnmask = file;
    return 0;
  }

  /** TRIGGER of INTx: sets its eventfd, takes it away, or signals it. */
  triggerIntx(task: Task, start: number, data: IrqData): number {
    if (this.#intx && data.count === 0 && data.kind === "none") return this.#disableIntx();
    if (this.#msi.count > 0 || start !== 0 || data.count !== 1) return -E.EINVAL;
    if (data.kind === "eventfd") return this.#enableIntx(task, data.values[0]);
    if (!this.#intx) return -E.EINVAL;
    const meant = data.kind === "none" || data.values[0] !== 0;
    if (meant && !this.#intxOff) this.#intxTrigger?.signal();
    return 0;
  }

  #enableIntx(task: Task, fd: number): number {
    const file = fd < 0 ? undefined : eventFdOf(task, fd);
    if (typeof file === "number") {
      // A bad descriptor takes away the eventfd there was; a first one leaves INTx unused.
      this.#dropIntxTrigger();
      return file;
    }
    if (!this.#intx) {
      this.#intx = true;
      this.#intxMasked = this.#intxOff;
    }
    this.#dropIntxTrigger();
    this.#intxTrigger = file;
    return 0;
  }

  #dropIntxTrigger(): void {
    this.#intxTrigger?.put();
    this.#intxTrigger = undefined;
  }

  #disableIntx(): number {
    this.#intxUnmask?.unlisten();
    this.#intxUnmask?.put();
    this.#intxUnmask = undefined;
    this.#dropIntxTrigger();
    this.#intx = this.#intxMasked = false;
    return 0;
  }

  /** TRIGGER of MSI; EINVAL while INTx is in use. */
  triggerMsi(task: Task, start: number, data: IrqData): number {
    return this.#intx ? -E.EINVAL : this.#msi.trigger(task, start, data);
  }

  /** TRIGGER of ERR or REQ, which have one eventfd each. */
  triggerEvent(task: Task, which: "err" | "req", start: number, data: IrqData): number {
    if (start !== 0 || data.count > 1) return -E.EINVAL;
    const now = this.#events[which];
    if (data.kind === "none") {
      if (now === undefined) return -E.EINVAL;
      if (data.count > 0) now.signal();
      else this.#setEvent(which, undefined);
      return 0;
    }
    if (data.count === 0) return -E.EINVAL;
    if (data.kind === "bool") {
      if (data.values[0] !== 0) now?.signal();
      return 0;
    }
    if (data.values[0] < -1) return 0;
    const file = data.values[0] < 0 ? undefined : eventFdOf(task, data.values[0]);
    if (typeof file === "number") return file;
    this.#setEvent(which, file);
    return 0;
  }

  #setEvent(which: "err" | "req", file: EventFd | undefined): void {
    this.#events[which]?.put();
    this.#events[which] = file;
  }

  /** The device is closed: nothing is signalled any more. */
  release(): void {
    this.#disableIntx();
    this.#msi.disable();
    this.#setEvent("err", undefined);
    this.#setEvent("req", undefined);
  }
}
