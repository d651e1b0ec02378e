import { ms, PAGE_SIZE } from "../../base/units.ts";
import { ENODEV, ENOMEM } from "../../uapi/errno.ts";
import * as N from "../../uapi/nvme_regs.ts";
import * as R from "../../uapi/pci_regs.ts";
import { PagingDomain } from "../iommu/domain.ts";
import type { Kernel } from "../kernel.ts";
import { FrameUse } from "../mm/frames.ts";
import type { PciDev, PciDriver } from "../pci/pci.ts";

const ENTRIES = 16;
/** How often the driver looks for its answer, and how long it waits. */
const POLL = 1 * ms, TIMEOUT = 2000 * ms;
const READ_WRITE = 3;

/** A controller in the kernel's own hands. */
interface Controller {
  readonly dev: PciDev;
  readonly name: string;
  /** Frames of submission queue, completion queue and data. */
  readonly frames: readonly number[];
  /** Virtual time at which it is given up. */
  readonly deadline: number;
  answered: boolean;
}

/**
 * The kernel's own NVMe driver. It takes every controller that nobody else was told to take, resets
 * it, and puts it to work on queues in kernel memory. Here it only asks the controller who it is.
 */
export class NvmeDriver implements PciDriver {
  readonly name = "nvme";
  readonly #controllers: Controller[] = [];
  readonly #event: number;

  constructor(readonly kernel: Kernel) {
    this.#event = kernel.queue.register((index) => this.#poll(this.#controllers[index]));
  }

  matches(dev: PciDev): boolean {
    return dev.classCode === R.PCI_CLASS_STORAGE_NVME;
  }

  /** ENOMEM; ENODEV: the controller does not get ready. */
  probe(dev: PciDev): number {
    const { pages, dmesg, queue } = this.kernel;
    const name = `nvme${this.#controllers.length}`;
    dmesg.info(`nvme ${name}: pci function ${dev.name}`);
    const first = pages.allocRange(3, 1, FrameUse.kernel);
    if (first < 0) return -ENOMEM;
    const frames = [first, first + 1, first + 2];
    const deadline = queue.now + TIMEOUT;
    const controller: Controller = { dev, name, frames, deadline, answered: false };
    this.#mapForDma(dev, first, true);
    dev.setCommand(R.PCI_COMMAND_MEMORY | R.PCI_COMMAND_MASTER, 0);
    if (!this.#enable(controller)) {
      this.#stop(controller);
      return -ENODEV;
    }
    this.#identify(controller);
    queue.after(POLL, this.#event, this.#controllers.push(controller) - 1);
    return 0;
  }

  remove(dev: PciDev): number {
    const controller = this.#of(dev);
    if (controller !== undefined) this.#stop(controller);
    return 0;
  }

  shutdown(dev: PciDev): void {
    this.#write(dev, N.NVME_REG_CC, 0);
  }

  #of(dev: PciDev): Controller | undefined {
    return this.#controllers.find((c) => c.dev === dev && c.frames.length > 0);
  }

  #enable({ dev, frames: [sq, cq] }: Controller): boolean {
    this.#write(dev, N.NVME_REG_CC, 0);
    this.#write(dev, N.NVME_REG_AQA, ENTRIES - 1 | (ENTRIES - 1) << 16);
    this.#writeAddress(dev, N.NVME_REG_ASQ, sq);
    this.#writeAddress(dev, N.NVME_REG_ACQ, cq);
    const sizes = 6 << N.NVME_CC_IOSQES_SHIFT | 4 << N.NVME_CC_IOCQES_SHIFT;
    this.#write(dev, N.NVME_REG_CC, sizes | N.NVME_CC_EN);
    return (this.#read(dev, N.NVME_REG_CSTS) & N.NVME_CSTS_RDY) !== 0;
  }

  /** The first command: Identify Controller. */
  #identify({ dev, frames: [sq, , data] }: Controller): void {
    const { memory } = this.kernel.machine;
    memory.store(sq, N.SQE_OPCODE_CID, N.NVME_ADMIN_IDENTIFY);
    memory.store(sq, N.SQE_PRP1, data << 12);
    memory.store(sq, N.SQE_PRP1 + 1, data >>> 20);
    memory.store(sq, N.SQE_CDW10, N.NVME_ID_CNS_CTRL);
    this.#write(dev, N.sqDoorbell(0), 1);
  }

  #poll(controller: Controller): void {
    const { kernel } = this, { name, frames: [, cq, data] } = controller;
    if (kernel.rebooting || cq === undefined || controller.answered) return;
    const { memory } = kernel.machine;
    if (((memory.load(cq, N.CQE_CID_STATUS) >>> 16) & 1) === 0) {
      const index = this.#controllers.indexOf(controller);
      if (kernel.queue.now < controller.deadline) kernel.queue.after(POLL, this.#event, index);
      else kernel.dmesg.warn(`nvme ${name}: I/O timeout, QID 0`);
      return;
    }
    controller.answered = true;
    this.#write(controller.dev, N.cqDoorbell(0), 1);
    const text = new TextDecoder().decode(memory.read(data * PAGE_SIZE + 4, 20)).trimEnd();
    kernel.dmesg.info(`nvme ${name}: serial ${text}`);
  }

  /** Off, without DMA, its memory given back. */
  #stop(controller: Controller): void {
    const { dev, frames } = controller;
    this.#write(dev, N.NVME_REG_CC, 0);
    dev.setCommand(0, R.PCI_COMMAND_MASTER);
    this.#mapForDma(dev, frames[0], false);
    this.kernel.pages.freeRange(frames[0], frames.length);
    const at = this.#controllers.indexOf(controller);
    if (at >= 0) this.#controllers[at] = { ...controller, frames: [] };
  }

  /** Behind an IOMMU the driver's memory is mapped at its own addresses; elsewhere it is open. */
  #mapForDma({ group }: PciDev, first: number, on: boolean): void {
    if (!(group?.domain instanceof PagingDomain)) return;
    if (on) group.domain.map(first, first, 3, READ_WRITE);
    else group.domain.unmap(first, 3);
  }

  #read(dev: PciDev, offset: number): number {
    return this.kernel.machine.bus.read32(dev.bar0 + offset);
  }

  #write(dev: PciDev, offset: number, value: number): void {
    this.kernel.machine.bus.write32(dev.bar0 + offset, value);
  }

  #writeAddress(dev: PciDev, offset: number, pfn: number): void {
    this.#write(dev, offset, pfn << 12);
    this.#write(dev, offset + 4, pfn >>> 20);
  }
}
